//! Changes of registered models: workers, the default version, unregistering.
//!
//! Called by `http/management/`. Only the table's swap is done under its lock; what takes time
//! (loading weights for a new worker, a worker's last batch) is waited for outside of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::{ModelError, ScaleError, SetDefaultError, UnregisterError};
use super::model::Model;
use super::registration::Reservation;
use super::workers::{Unchanged, WorkerLimits};
use super::{Registry, Table};

/// A change of the number of workers that may be carried out.
pub struct Scaling {
    model: Arc<Model>,
    limits: WorkerLimits,
    /// As the call named it, for messages.
    version: Option<String>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scaled {
    /// The workers that serve now.
    pub workers: usize,
    /// False when some that were told to end still run their last batch.
    pub settled: bool,
}

// === impl Registry ===

impl Registry {
    /// Looks at a change of the number of workers without carrying it out.
    ///
    /// # Errors
    /// [`ScaleError::Model`] or [`ScaleError::TooManyWorkers`].
    pub fn prepare_scale(
        &self,
        name: &str,
        version: Option<&str>,
        limits: WorkerLimits,
    ) -> Result<Scaling, ScaleError> {
        let model = self.resolve(name, version)?;
        self.loader.defaults.check_workers(limits.max)?;
        Ok(Scaling { model, limits, version: version.map(str::to_owned) })
    }

    /// Starts or ends workers, and waits for those that end for up to `patience`. Blocks.
    ///
    /// # Errors
    /// [`ScaleError`]; the workers that served go on.
    pub fn scale(&self, scaling: Scaling, patience: Duration) -> Result<Scaled, ScaleError> {
        let Scaling { model, limits, version } = scaling;
        let name = model.name.clone();
        match model.scale(limits, &self.next_worker_id) {
            Ok(workers) => {
                self.changed();
                let settled = model.workers.wait_for_ending(deadline(patience));
                Ok(Scaled { workers, settled })
            }
            Err(Unchanged::Closed) => Err(ModelError::NotFound { name }.into()),
            Err(Unchanged::Engine(reason)) => {
                tracing::error!(model = name, version, %reason, "workers did not start");
                Err(ScaleError::Workers { name, version, reason })
            }
        }
    }

    /// Makes a version the one that answers requests that name none. Blocks for as long as the
    /// observer does.
    ///
    /// # Errors
    /// [`SetDefaultError`].
    pub fn set_default(&self, name: &str, version: &str) -> Result<(), SetDefaultError> {
        let changes = self.lock();
        let mut table = Table::clone(&self.table.load());
        let Some(versions) = table.get_mut(name) else {
            return Err(SetDefaultError::NotFound { name: name.to_owned() });
        };
        if !versions.all.contains_key(version) {
            let (name, version) = (name.to_owned(), version.to_owned());
            return Err(SetDefaultError::VersionNotFound { name, version });
        }
        version.clone_into(&mut versions.default);
        self.table.store(Arc::new(table));
        drop(changes);
        self.changed();
        Ok(())
    }

    /// Removes a version, the default one if none is named: no request finds it any more, what it
    /// has accepted is answered, then its memory and its files are given back; the store loses its
    /// file, too, if it was downloaded, as in TorchServe. Blocks for up to `patience`.
    ///
    /// # Errors
    /// [`UnregisterError`]. After [`UnregisterError::TimedOut`] the model is gone all the same; its
    /// waiting jobs were dropped, and memory is freed when the last batch is done.
    pub fn unregister(
        &self,
        name: &str,
        version: Option<&str>,
        patience: Duration,
    ) -> Result<(), UnregisterError> {
        let (model, _reservation) = self.take_out(name, version)?;
        self.changed();
        let finished = model.begin_close().finish(deadline(patience));
        self.loader.metrics.forget_model(&model.name, &model.version);
        if let Some(file) = &model.downloaded
            && let Err(error) = std::fs::remove_file(file)
        {
            tracing::warn!(model = model.name, %error, "its downloaded file could not be removed");
        }
        if finished { Ok(()) } else { Err(UnregisterError::TimedOut { name: name.to_owned() }) }
    }

    /// Takes a version out of the table. It stays reserved until its last traces are gone.
    fn take_out(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> Result<(Arc<Model>, Reservation<'_>), UnregisterError> {
        let mut changes = self.lock();
        let model = self.resolve(name, version)?;
        let mut table = Table::clone(&self.table.load());
        if let Some(versions) = table.get_mut(name) {
            if versions.all.len() > 1 && versions.default == model.version {
                return Err(UnregisterError::DefaultVersion { name: name.to_owned() });
            }
            versions.all.remove(&model.version);
            if versions.all.is_empty() {
                table.remove(name);
            }
        }
        self.table.store(Arc::new(table));
        let key = (model.name.clone(), model.version.clone());
        changes.reserved.insert(key.clone());
        drop(changes);
        Ok((model, Reservation::of(self, key)))
    }
}

// === impl Scaling ===

impl Scaling {
    /// The model's name.
    pub fn model(&self) -> &str {
        &self.model.name
    }
}

/// The end of a patience, however long.
pub(super) fn deadline(patience: Duration) -> Instant {
    /// As good as for ever, and no clock overflows.
    const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
    Instant::now() + patience.min(LONGEST)
}
