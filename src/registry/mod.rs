//! Which models are registered, and which one a request means.
//!
//! Readers (every prediction) take no lock: the table is immutable and swapped whole. Writers
//! (register, unregister, scale) take turns.

mod error;
mod load;
mod model;
mod settings;

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

pub use error::{ModelError, RegisterError};
pub use load::{LoadRequest, Loader};
pub use model::{Model, WorkerInfo};
pub use settings::{Defaults, ModelSettings, PartialSettings};

use crate::engine::EngineError;

/// The registered models.
pub struct Registry {
    table: ArcSwap<Table>,
    /// Held by whoever changes the table.
    writing: Mutex<()>,
    loader: Loader,
    /// The `models` property: settings by name and version.
    entries: HashMap<(String, String), PartialSettings>,
    next_worker_id: AtomicUsize,
    /// False until the models of the start have been tried, and again when the server stops.
    ready: AtomicBool,
}

type Table = BTreeMap<String, Versions>;

/// The versions of one model.
#[derive(Clone, Debug)]
pub struct Versions {
    /// The version that answers requests that name none.
    pub default: String,
    /// All versions, by their name.
    pub all: BTreeMap<String, Arc<Model>>,
}

/// TorchServe's workers are named by their ports, which start here (`initial_worker_port`).
const FIRST_WORKER_ID: usize = 9000;

// === impl Registry ===

impl Registry {
    /// No models yet.
    pub fn new(loader: Loader, entries: HashMap<(String, String), PartialSettings>) -> Registry {
        Registry {
            table: ArcSwap::default(),
            writing: Mutex::new(()),
            loader,
            entries,
            next_worker_id: AtomicUsize::new(FIRST_WORKER_ID),
            ready: AtomicBool::new(false),
        }
    }

    /// The model that a request means.
    ///
    /// # Errors
    /// [`ModelError::NotFound`] or [`ModelError::VersionNotFound`].
    pub fn resolve(&self, name: &str, version: Option<&str>) -> Result<Arc<Model>, ModelError> {
        let table = self.table.load();
        let versions =
            table.get(name).ok_or_else(|| ModelError::NotFound { name: name.to_owned() })?;
        let wanted = version.unwrap_or(&versions.default);
        versions.all.get(wanted).cloned().ok_or_else(|| ModelError::VersionNotFound {
            name: name.to_owned(),
            version: wanted.to_owned(),
        })
    }

    /// All versions of a model.
    ///
    /// # Errors
    /// [`ModelError::NotFound`].
    pub fn versions(&self, name: &str) -> Result<Versions, ModelError> {
        let table = self.table.load();
        table.get(name).cloned().ok_or_else(|| ModelError::NotFound { name: name.to_owned() })
    }

    /// The default version of every model, sorted by name.
    pub fn list(&self) -> Vec<Arc<Model>> {
        let table = self.table.load();
        table.values().filter_map(|versions| versions.all.get(&versions.default).cloned()).collect()
    }

    /// Loads a model and registers it. Blocks: call it on a thread that may.
    ///
    /// # Errors
    /// [`RegisterError`]; nothing is changed then.
    pub fn register(&self, request: LoadRequest) -> Result<Arc<Model>, RegisterError> {
        let url = request.url.clone();
        let load = || {
            let of_entry = |name: &str, version: &str| {
                let key = (name.to_owned(), version.to_owned());
                self.entries.get(&key).cloned().unwrap_or_default()
            };
            self.loader.load(request, of_entry)
        };
        let loaded = catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|_| {
            Err(RegisterError::Panicked(format!("{url}; the log has the reason")))
        })?;
        let model = Arc::new(loaded.model);
        let writing = self.lock();
        let conflict = self
            .table
            .load()
            .get(&model.name)
            .is_some_and(|versions| versions.all.contains_key(&model.version));
        if conflict {
            let (name, version) = (model.name.clone(), model.version.clone());
            return Err(RegisterError::Conflict { name, version });
        }
        model.scale(loaded.workers, &self.next_worker_id)?;
        let mut table = Table::clone(&self.table.load());
        let versions = table
            .entry(model.name.clone())
            .or_insert_with(|| Versions { default: model.version.clone(), all: BTreeMap::new() });
        versions.all.insert(model.version.clone(), Arc::clone(&model));
        if loaded.default_version {
            versions.default.clone_from(&model.version);
        }
        self.table.store(Arc::new(table));
        drop(writing);
        Ok(model)
    }

    /// Sets the number of workers of a model.
    ///
    /// # Errors
    /// [`EngineError`] when a worker could not be started; those that run go on.
    pub fn scale(&self, model: &Model, workers: usize) -> Result<(), EngineError> {
        let _writing = self.lock();
        model.scale(workers.min(self.loader.defaults.workers_max), &self.next_worker_id)
    }

    /// Loads the models of the start, one after the other: a model that fails is logged, the others
    /// are loaded all the same. Then the server is ready.
    pub fn load_all(&self, requests: Vec<LoadRequest>) {
        for request in requests {
            let url = request.url.clone();
            match self.register(request) {
                Ok(model) => tracing::info!(
                    model = model.name,
                    version = model.version,
                    workers = model.worker_count(),
                    batch_size = model.settings.batch.batch_size,
                    device = model.device_type(),
                    "model loaded"
                ),
                Err(error) => tracing::error!(archive = url, %error, "Failed to load model"),
            }
        }
        self.ready.store(true, Ordering::Release);
    }

    /// What `/ping` says: the models of the start have been tried, and every default version has the
    /// workers it should have.
    pub fn is_healthy(&self) -> bool {
        self.ready.load(Ordering::Acquire) && self.list().iter().all(|model| model.is_healthy())
    }

    /// From now on `/ping` says that this server should get no more traffic.
    pub fn leave_service(&self) {
        self.ready.store(false, Ordering::Release);
    }

    /// Ends all workers; what was accepted is answered, within `patience`. Blocks.
    pub fn close(&self, patience: Duration) {
        let table = self.table.swap(Arc::default());
        let models = table.values().flat_map(|versions| versions.all.values());
        for model in models {
            if !model.close(patience) {
                tracing::warn!(
                    model = model.name,
                    "did not end in time; its waiting jobs were dropped"
                );
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        // Guards no data: a panic while it was held leaves the table as it was.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
