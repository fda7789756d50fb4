//! One model on its way into the table: opened, reserved, loaded, started, published.
//!
//! The name and the version are reserved as soon as the archive has told them, so that of two
//! registrations one fails at once; no lock is held while anything is unpacked, loaded or started. A
//! registration that fails or is dropped leaves nothing behind.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::error::RegisterError;
use super::load::{LoadRequest, Opened};
use super::model::Model;
use super::workers::{Unchanged, WorkerLimits};
use super::{Key, Registry, Table, Versions};
use crate::download::Downloaded;

/// Models that may be on their way at the same time: each holds a thread, an unpacked archive and
/// the model's weights.
const MAX_LOADING: usize = 32;

/// A model whose name and version are reserved. Dropping it gives them back.
pub struct Registration<'a> {
    registry: &'a Registry,
    opened: Opened,
    reservation: Reservation<'a>,
    _permit: Permit<'a>,
}

/// A name and version that nobody else may register meanwhile.
pub(super) struct Reservation<'a> {
    registry: &'a Registry,
    key: Key,
}

/// Counts a registration against [`MAX_LOADING`] for as long as it lives.
struct Permit<'a>(&'a AtomicUsize);

// === impl Registry ===

impl Registry {
    /// Loads a model and registers it. Blocks: call it on a thread that may.
    ///
    /// # Errors
    /// [`RegisterError`]; nothing is changed then.
    pub fn register(&self, request: LoadRequest) -> Result<Arc<Model>, RegisterError> {
        self.prepare(request)?.complete()
    }

    /// The first part of [`Registry::register`]: everything that can be told from the archive. Blocks
    /// on the disk.
    ///
    /// # Errors
    /// [`RegisterError`]; nothing is changed then.
    pub fn prepare(&self, request: LoadRequest) -> Result<Registration<'_>, RegisterError> {
        let permit = Permit::take(&self.loading)?;
        let opened = unpanicked(&request.shown_url(), || {
            self.loader.open(request, |name, version| {
                let key = (name.to_owned(), version.to_owned());
                self.entries.get(&key).cloned().unwrap_or_default()
            })
        })?;
        let key = (opened.name.clone(), opened.version.clone());
        let mut changes = self.lock();
        if changes.closed {
            return Err(RegisterError::Stopping);
        }
        let versions = self.table.load();
        let registered = versions.get(&key.0).is_some_and(|all| all.all.contains_key(&key.1));
        if registered || !changes.reserved.insert(key.clone()) {
            let (name, version) = key;
            return Err(RegisterError::Conflict { name, version });
        }
        drop(changes);
        let reservation = Reservation::of(self, key);
        Ok(Registration { registry: self, opened, reservation, _permit: permit })
    }
}

// === impl Registration ===

impl Registration<'_> {
    /// The model's name.
    pub fn name(&self) -> &str {
        &self.opened.name
    }

    /// The model's version.
    pub fn version(&self) -> &str {
        &self.opened.version
    }

    /// The number of workers that it will have.
    pub fn workers(&self) -> usize {
        self.opened.settings.min_workers
    }

    /// Loads the model, starts its workers and publishes it. Blocks for as long as the engine takes.
    ///
    /// # Errors
    /// [`RegisterError`]; nothing is changed then.
    pub fn complete(self) -> Result<Arc<Model>, RegisterError> {
        let Registration { registry, mut opened, reservation, _permit } = self;
        let downloaded = opened.downloaded.take();
        let make_default = opened.default_version;
        let shown = opened.name.clone();
        let started = unpanicked(&shown, || {
            let mut model = registry.loader.load(opened)?;
            model.downloaded = downloaded.as_ref().map(|file| file.path().to_owned());
            start(&model, &registry.next_worker_id)?;
            Ok(Arc::new(model))
        });
        let published = started.and_then(|model| reservation.publish(model, make_default));
        if published.is_err() {
            // The series exist once the model is loaded; nobody else has this name and version.
            let (name, version) = &reservation.key;
            registry.loader.metrics.forget_model(name, version);
        } else {
            downloaded.map(Downloaded::keep);
            registry.changed();
        }
        published
    }
}

fn start(model: &Model, next_worker_id: &AtomicUsize) -> Result<(), RegisterError> {
    let settings = &model.settings;
    let limits = WorkerLimits { min: settings.min_workers, max: settings.max_workers };
    match model.scale(limits, next_worker_id) {
        Ok(_) => Ok(()),
        Err(Unchanged::Closed) => Err(RegisterError::Stopping),
        Err(Unchanged::Engine(reason)) => {
            let (name, version) = (model.name.clone(), model.version.clone());
            tracing::error!(model = name, version, %reason, "workers did not start");
            Err(RegisterError::Workers { name, version, reason })
        }
    }
}

/// A panic of a parser, a handler or the engine fails this registration alone.
fn unpanicked<T>(
    model: &str,
    work: impl FnOnce() -> Result<T, RegisterError>,
) -> Result<T, RegisterError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(RegisterError::Panicked(format!("{model}; the log has the reason")))
    })
}

// === impl Reservation ===

impl<'a> Reservation<'a> {
    /// Keeps a key that the caller has put into the set.
    pub(super) fn of(registry: &'a Registry, key: Key) -> Reservation<'a> {
        Reservation { registry, key }
    }

    fn publish(&self, model: Arc<Model>, make_default: bool) -> Result<Arc<Model>, RegisterError> {
        let changes = self.registry.lock();
        if changes.closed {
            return Err(RegisterError::Stopping);
        }
        let mut table = Table::clone(&self.registry.table.load());
        let versions = table
            .entry(model.name.clone())
            .or_insert_with(|| Versions { default: model.version.clone(), all: BTreeMap::new() });
        versions.all.insert(model.version.clone(), Arc::clone(&model));
        if make_default {
            versions.default.clone_from(&model.version);
        }
        self.registry.table.store(Arc::new(table));
        Ok(model)
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.registry.lock().reserved.remove(&self.key);
    }
}

// === impl Permit ===

impl<'a> Permit<'a> {
    fn take(loading: &'a AtomicUsize) -> Result<Permit<'a>, RegisterError> {
        let before = loading.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(loading);
        if before >= MAX_LOADING {
            return Err(RegisterError::Busy { loading: before });
        }
        Ok(permit)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
