//! Which models are registered, and which one a request means.
//!
//! Readers (every prediction) take no lock: the table is immutable and swapped whole. Writers take
//! turns for the swap alone.
//!
//! ```text
//!   registration.rs   open -> reserve name and version -> load -> start workers -> publish
//!     load.rs           archive, settings, handler
//!   inspection.rs     the same up to the handler, for a look without a server
//!   change.rs         scale, set the default version, unregister
//!   model.rs          one version: the way of a request through it
//!     workers.rs        its threads, and how their number changes
//!       supervision.rs    those whose forward does not end are replaced
//!     weights.rs        its files and its loaded modules
//!       raw_forward.rs    what the model takes with nothing around it
//! ```

mod archive_files;
mod change;
mod error;
mod execution;
mod inspection;
mod load;
mod model;
mod model_keys;
mod raw_forward;
mod registration;
mod sequence_settings;
mod settings;
mod supervision;
#[cfg(test)]
pub(crate) mod tests;
mod weights;
mod workers;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::batching::{Answer, PushError};
use crate::handlers::RequestInput;

pub use change::{Scaled, Scaling};
pub use error::{
    ModelError, RegisterError, ScaleError, SetDefaultError, TooManyWorkers, UnregisterError,
};
pub use inspection::{Inspection, Inspector};
pub use load::{LoadRequest, Loader};
pub use model::{Model, SEQUENCE_ID};
pub use model_keys::MODEL_KEYS;
pub use registration::Registration;
pub use settings::{Defaults, ModelSettings, PartialSettings};
pub use workers::{WorkerInfo, WorkerLimits};

/// The registered models.
pub struct Registry {
    table: ArcSwap<Table>,
    /// Held by whoever changes the table, for moments only.
    changes: Mutex<Changes>,
    loader: Loader,
    /// The `models` property: settings by name and version.
    entries: HashMap<Key, PartialSettings>,
    next_worker_id: AtomicUsize,
    /// Models that are on their way.
    loading: AtomicUsize,
    /// Told of every change.
    observer: OnceLock<Observer>,
    /// False until the models of the start have been tried, and again when the server stops.
    ready: AtomicBool,
}

type Observer = Box<dyn Fn(&Registry) + Send + Sync>;
type Table = BTreeMap<String, Versions>;
/// Name and version.
type Key = (String, String);

#[derive(Default)]
struct Changes {
    /// Versions that are not in the table and must not be registered: they are on their way in or
    /// out.
    reserved: BTreeSet<Key>,
    /// The server is stopping.
    closed: bool,
}

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
    pub fn new(loader: Loader, entries: HashMap<Key, PartialSettings>) -> Registry {
        Registry {
            table: ArcSwap::default(),
            changes: Mutex::default(),
            loader,
            entries,
            next_worker_id: AtomicUsize::new(FIRST_WORKER_ID),
            loading: AtomicUsize::new(0),
            observer: OnceLock::new(),
            ready: AtomicBool::new(false),
        }
    }

    /// Has `observer` called after every change, on the thread that made it, before the change is
    /// answered; it may block. The first one stays.
    pub fn observe(&self, observer: impl Fn(&Registry) + Send + Sync + 'static) {
        let _first = self.observer.set(Box::new(observer));
    }

    /// Something is registered, changed or unregistered.
    fn changed(&self) {
        if let Some(observer) = self.observer.get() {
            observer(self);
        }
    }

    /// Every model, by name. The table is never changed, only replaced.
    pub fn models(&self) -> Arc<BTreeMap<String, Versions>> {
        self.table.load_full()
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

    /// One prediction by the model that the request means; see [`Model::predict`].
    ///
    /// A version that was replaced between being found and being asked has handed its requests on:
    /// the one that took its place is asked then.
    ///
    /// # Errors
    /// [`ModelError`].
    pub async fn predict(
        &self,
        name: &str,
        version: Option<&str>,
        input: RequestInput,
    ) -> Result<Answer, ModelError> {
        let mut model = self.resolve(name, version)?;
        loop {
            let refused = match model.admit() {
                Ok(admission) => return model.answer(admission, input, version).await,
                Err(refused) => refused,
            };
            let now = self.resolve(name, version)?;
            // Each turn means that the table has changed.
            if refused == PushError::Full || Arc::ptr_eq(&now, &model) {
                return Err(now.reject(version));
            }
            model = now;
        }
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

    /// The name of the model that was loaded at the start, if it was just one.
    pub fn only_model(&self) -> Option<String> {
        let table = self.table.load();
        let at_startup =
            |versions: &Versions| versions.all.values().any(|model| model.loaded_at_startup);
        let mut names = table.iter().filter(|(_, versions)| at_startup(versions));
        let (name, _) = names.next()?;
        names.next().is_none().then(|| name.clone())
    }

    /// Loads the models of the start, one after the other: a model that fails is logged, the others
    /// are loaded all the same. Then the server is ready. While a model is loaded, the archive of the next
    /// one is unpacked.
    pub fn load_all(&self, requests: Vec<LoadRequest>) {
        let mut opened = requests.first().map(|request| self.prepare(request.clone()));
        for (number, request) in requests.iter().enumerate() {
            let url = request.shown_url();
            let registered = std::thread::scope(|scope| {
                let next = requests.get(number + 1).map(|next| {
                    let open = || self.prepare(next.clone());
                    let unpack = std::thread::Builder::new().name("unpack".to_owned());
                    unpack.spawn_scoped(scope, open)
                });
                let registered = match opened.take() {
                    Some(Ok(registration)) => registration.complete(),
                    // What it met may have failed since: the model before it.
                    Some(Err(RegisterError::Conflict { .. })) | None => {
                        self.register(request.clone())
                    }
                    Some(Err(error)) => Err(error),
                };
                // Without a thread it is opened when its turn comes.
                opened = next.and_then(|next| next.ok()?.join().ok());
                registered
            });
            match registered {
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

    /// From now on `/ping` says that this server should get no more traffic; downloads are given up.
    pub fn leave_service(&self) {
        self.loader.downloads.stop();
        self.ready.store(false, Ordering::Release);
    }

    /// Ends all workers, those of all models at once; what was accepted is answered, within
    /// `patience`. Nothing can be registered after it. Blocks.
    pub fn close(&self, patience: Duration) {
        let table = {
            let mut changes = self.lock();
            changes.closed = true;
            self.loader.downloads.stop();
            self.table.swap(Arc::default())
        };
        let models = table.values().flat_map(|versions| versions.all.values());
        let closing: Vec<_> = models.map(|model| (model, model.begin_close())).collect();
        let end = change::deadline(patience);
        for (model, closing) in closing {
            if !closing.finish(end) {
                tracing::warn!(
                    model = model.name,
                    "did not end in time; its waiting jobs were dropped"
                );
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Changes> {
        // Every change is one statement: a panic between them leaves it whole.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
