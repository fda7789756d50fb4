//! Writes the snapshots: at the end of the start, after every change of the models, at the stop.
//!
//! The registry calls [`Recorder::changed`] on the thread that made the change, which may block; a
//! disk that fails is a line in the log, and a disk that hangs holds one thread, never two: who comes
//! meanwhile leaves his change to that one. Invariant: a snapshot holds every model that the server
//! has, and those of a restored snapshot that could not be loaded, so that a bad start loses nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, SystemTime};

use crate::config::Config;
use crate::registry::{LoadRequest, Model, PartialSettings, Registry, Versions};
use crate::snapshot::{ModelSnapshot, Moment, SnapshotFolder, SnapshotModel};

/// Writes the snapshots of one server.
pub(super) struct Recorder {
    folder: SnapshotFolder,
    properties: BTreeMap<String, String>,
    /// Changes so far.
    changes: AtomicU64,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    /// The changes that the latest snapshot holds.
    written: u64,
    /// Models of the restored snapshot that are not registered.
    missing: Models,
}

/// Changes are recorded while `Open` only: what is registered before is not all there will be, and
/// after the last snapshot the models go.
#[derive(PartialEq, Eq)]
enum Stage {
    Loading,
    Open,
    Closed,
}

type Models = BTreeMap<String, BTreeMap<String, SnapshotModel>>;

/// The stop waits this long for the last snapshot.
const LAST_TIMEOUT: Duration = Duration::from_secs(5);

// === impl Recorder ===

impl Recorder {
    /// None when no snapshots are to be written. Nothing is written before [`Recorder::started`].
    pub(super) fn new(config: &Config) -> Option<Arc<Recorder>> {
        let folder = config.snapshots.clone()?;
        let missing = config.restore.as_ref().map(|restored| restored.models.clone());
        let state =
            State { stage: Stage::Loading, written: 0, missing: missing.unwrap_or_default() };
        Some(Arc::new(Recorder {
            folder,
            properties: config.effective.as_map().clone(),
            changes: AtomicU64::new(0),
            state: Mutex::new(state),
        }))
    }

    /// The models of the start have been tried. Blocks.
    pub(super) fn started(&self, registry: &Registry) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Not when the server is being stopped already: its models are on their way out.
        if state.stage == Stage::Loading {
            state.stage = Stage::Open;
            self.write(&mut state, registry, Moment::Startup);
        }
    }

    /// A model was registered, changed or unregistered. Blocks, unless another thread is writing.
    pub(super) fn changed(&self, registry: &Registry) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        loop {
            let mut state = match self.state.try_lock() {
                Ok(state) => state,
                Err(TryLockError::Poisoned(state)) => state.into_inner(),
                // Whoever holds it looks again before he goes.
                Err(TryLockError::WouldBlock) => return,
            };
            let written = state.written;
            if state.stage != Stage::Open || self.changes.load(Ordering::SeqCst) == written {
                return;
            }
            self.write(&mut state, registry, Moment::Snapshot);
            let written = state.written;
            drop(state);
            if self.changes.load(Ordering::SeqCst) == written {
                return;
            }
        }
    }

    /// The last snapshot, while the models are still there. After [`LAST_TIMEOUT`] the server stops
    /// without it.
    pub(super) async fn stopping(self: Arc<Recorder>, registry: Arc<Registry>) {
        let (done, written) = tokio::sync::oneshot::channel::<()>();
        // A thread of its own: the runtime's end would wait for one of the pool.
        let thread = std::thread::Builder::new().name("snapshot".to_owned());
        let spawned = thread.spawn(move || {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            // A server that is stopped during its start has not all its models.
            if state.stage == Stage::Open {
                self.write(&mut state, &registry, Moment::Shutdown);
            }
            state.stage = Stage::Closed;
            drop(done);
        });
        let waited = tokio::time::timeout(LAST_TIMEOUT, written).await;
        if spawned.is_err() || waited.is_err() {
            tracing::warn!("the last snapshot was not written; the one before is kept");
        }
    }

    fn write(&self, state: &mut State, registry: &Registry, moment: Moment) {
        state.written = self.changes.load(Ordering::SeqCst);
        let mut models = models(registry);
        state.missing = without(std::mem::take(&mut state.missing), &models);
        for (name, versions) in &state.missing {
            models.entry(name.clone()).or_default().extend(versions.clone());
        }
        match self.folder.write(moment, SystemTime::now(), &self.properties, &models) {
            Ok(name) => tracing::debug!(%name, "snapshot written"),
            Err(error) => tracing::warn!(
                folder = %self.folder.path().display(),
                %error,
                "no snapshot was written; a restart would not know the latest change of the models. \
                 Make the folder writable, name another with LOG_LOCATION, or pass \
                 --no-config-snapshots"
            ),
        }
    }
}

/// What `restored` has and `registered` has not. An archive that holds another version by now is
/// registered under that.
fn without(restored: Models, registered: &Models) -> Models {
    let mut missing = Models::new();
    for (name, versions) in restored {
        let same = registered.get(&name);
        let is_there = |version: &String, model: &SnapshotModel| {
            same.is_some_and(|same| {
                same.contains_key(version)
                    || same.values().any(|other| other.mar_name == model.mar_name)
            })
        };
        let left: BTreeMap<_, _> =
            versions.into_iter().filter(|(version, model)| !is_there(version, model)).collect();
        if !left.is_empty() {
            missing.insert(name, left);
        }
    }
    missing
}

/// What the registry has.
fn models(registry: &Registry) -> Models {
    let of = |versions: &Versions| {
        let all = versions.all.iter();
        all.map(|(version, model)| (version.clone(), entry(model, *version == versions.default)))
            .collect()
    };
    loop {
        let table = registry.models();
        let models = table.iter().map(|(name, versions)| (name.clone(), of(versions))).collect();
        // A model that was taken out meanwhile has no workers any more: looked at again.
        if Arc::ptr_eq(&table, &registry.models()) {
            return models;
        }
    }
}

fn entry(model: &Model, is_default: bool) -> SnapshotModel {
    let limits = model.worker_limits();
    let settings = &model.settings;
    let number = |number: usize| i64::try_from(number).ok();
    let seconds = |time: Duration| i64::try_from(time.as_secs()).ok();
    SnapshotModel {
        default_version: is_default,
        // What the model store knows: a path to it was accepted, too.
        mar_name: model.url.rsplit(['/', '\\']).next().unwrap_or_default().to_owned(),
        min_workers: number(limits.min),
        max_workers: number(limits.max),
        batch_size: number(settings.batch.batch_size.get()),
        max_batch_delay: i64::try_from(settings.batch.max_batch_delay.as_millis()).ok(),
        response_timeout: seconds(settings.response_timeout),
        startup_timeout: seconds(settings.startup_timeout),
        runtime_type: Some(model.runtime.clone()),
        parallel_level: None,
        handler: model.handler_override.clone(),
    }
}

/// What must be loaded to have the models of a snapshot again.
pub(super) fn load_requests(snapshot: &ModelSnapshot, workers: usize) -> Vec<LoadRequest> {
    let requests = snapshot.iter().map(|(name, version, model)| {
        let positive = |number: Option<i64>| {
            number.filter(|number| *number > 0).and_then(|number| u64::try_from(number).ok())
        };
        let size = |number: Option<i64>| number.and_then(|number| usize::try_from(number).ok());
        LoadRequest {
            url: model.mar_name.clone(),
            name: Some(name.to_owned()),
            version: Some(version.to_owned()),
            handler: model.handler.clone(),
            runtime: model.runtime_type.clone(),
            settings: PartialSettings {
                min_workers: size(model.min_workers).or(Some(workers)),
                max_workers: size(model.max_workers),
                batch_size: size(model.batch_size).and_then(std::num::NonZeroUsize::new),
                max_batch_delay: model
                    .max_batch_delay
                    .and_then(|millis| u64::try_from(millis).ok())
                    .map(Duration::from_millis),
                response_timeout: positive(model.response_timeout).map(Duration::from_secs),
                startup_timeout: positive(model.startup_timeout).map(Duration::from_secs),
                default_version: Some(model.default_version),
                ..PartialSettings::default()
            },
            // As in TorchServe: what is restored does not count as loaded at the start.
            at_startup: false,
            ..LoadRequest::default()
        }
    });
    requests.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models(entries: &[(&str, &str, &str)]) -> Models {
        let mut models = Models::new();
        for (name, version, mar_name) in entries {
            let model = SnapshotModel { mar_name: (*mar_name).to_owned(), ..Default::default() };
            models.entry((*name).to_owned()).or_default().insert((*version).to_owned(), model);
        }
        models
    }

    #[test]
    fn a_restored_model_is_missing_until_it_or_its_archive_is_registered() {
        let restored = models(&[("a", "1", "a.mar"), ("a", "2", "a2.mar"), ("b", "1", "b.mar")]);
        let registered = models(&[("a", "1", "renamed.mar"), ("b", "2", "b.mar"), ("c", "1", "c")]);
        assert_eq!(without(restored, &registered), models(&[("a", "2", "a2.mar")]));
    }

    #[test]
    fn numbers_that_say_nothing_leave_it_to_the_next_source() {
        let mut snapshot =
            ModelSnapshot { models: models(&[("a", "1", "a.mar")]), ..Default::default() };
        let model = snapshot.models.get_mut("a").unwrap().get_mut("1").unwrap();
        model.max_batch_delay = Some(-10_000);
        model.batch_size = Some(0);
        model.response_timeout = Some(0);
        model.max_workers = Some(3);
        let requests = load_requests(&snapshot, 2);
        let settings = &requests[0].settings;
        assert_eq!((settings.min_workers, settings.max_workers), (Some(2), Some(3)));
        assert_eq!((settings.max_batch_delay, settings.batch_size), (None, None));
        assert_eq!(settings.response_timeout, None);
    }
}
