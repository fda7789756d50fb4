//! From a name in the model store to a registered model: archive, engine, handler, warm-up, workers.
//!
//! Called by `mod.rs`, on a blocking thread. Nothing is registered, and nothing is left on disk or
//! in memory, when a step fails.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::error::RegisterError;
use super::model::Model;
use super::settings::{Defaults, ModelSettings, PartialSettings};
use crate::archive::{
    self, ArchiveLimits, DeviceType, HandlerChoice, ModelArchive, ModelConfig, Unnamed,
};
use crate::batching::JobQueue;
use crate::engine::{Devices, Engine, Module, available_cores};
use crate::handlers::{self, Handler, HandlerSettings};
use crate::metrics::Metrics;

/// What every load needs; one for the server.
pub struct Loader {
    /// Loads serialized files.
    pub engine: Arc<dyn Engine>,
    /// What the server says where a model does not.
    pub defaults: Defaults,
    /// `model_store`.
    pub model_store: Option<PathBuf>,
    /// Where archives are unpacked.
    pub unpack_dir: PathBuf,
    /// Bounds of unpacking.
    pub limits: ArchiveLimits,
    /// The number of GPUs that the server uses.
    pub gpus: usize,
    /// Where the models' series are registered.
    pub metrics: Metrics,
    /// Handlers that the embedding program brings, beside the built-in ones.
    pub handlers: handlers::Catalog,
}

/// One model to load.
#[derive(Clone, Debug, Default)]
pub struct LoadRequest {
    /// A file or directory name in the model store.
    pub url: String,
    /// The name to serve it under; none for the manifest's.
    pub name: Option<String>,
    /// `handler` of the register call.
    pub handler: Option<String>,
    /// Settings of the register call.
    pub settings: PartialSettings,
    /// Workers of the register call; none for what the settings say.
    pub initial_workers: Option<usize>,
    /// True at the start of the server.
    pub at_startup: bool,
}

/// A loaded model that is not registered yet.
pub(super) struct Loaded {
    pub(super) model: Model,
    pub(super) default_version: bool,
    pub(super) workers: usize,
}

// === impl Loader ===

impl Loader {
    /// Loads a model up to the point where workers can be started. `entry` gives the `models`
    /// property's settings for a name and version.
    pub(super) fn load(
        &self,
        request: LoadRequest,
        entry: impl FnOnce(&str, &str) -> PartialSettings,
    ) -> Result<Loaded, RegisterError> {
        let started = Instant::now();
        let store = self.model_store.as_deref().ok_or(RegisterError::NoModelStore)?;
        let source = archive::resolve(store, &request.url)?;
        let names = self.handlers.names();
        let choice = HandlerChoice {
            handler_override: request.handler.as_deref(),
            default_service_handler: self.defaults.default_service_handler.as_deref(),
            built_in: &names,
        };
        let archive = ModelArchive::open(&source, &self.limits, &self.unpack_dir, &choice)?;
        let unnamed = if request.at_startup { Unnamed::UseFileName } else { Unnamed::Refuse };
        let name = archive.model_name(request.name.as_deref(), unnamed)?;
        let version = archive.version().to_owned();
        for warning in archive.model_config().iter().flat_map(|config| &config.warnings) {
            tracing::warn!(model = name, version, "{warning}");
        }
        let from_archive = archive.model_config().map(of_model_config).unwrap_or_default();
        let merged = request.settings.or(from_archive).or(entry(&name, &version));
        let default_version = merged.default_version.unwrap_or(false);
        let settings = merged.resolve(&self.defaults);
        let devices = Devices::choose(settings.device_type, &settings.device_ids, self.gpus)?;
        let workers = match request.initial_workers {
            Some(workers) => workers.min(self.defaults.workers_max),
            None => settings.min_workers,
        };
        let modules = self.load_modules(&name, &archive, &devices, workers.max(1))?;
        let handler = self.handler(&name, &archive, &modules)?;
        let queue = Arc::new(JobQueue::new(settings.job_queue_size, settings.batch));
        warm_up(&name, &*handler, &modules, &*self.engine, &settings);
        let took = started.elapsed();
        if took > settings.startup_timeout {
            tracing::warn!(model = name, version, ?took, "loading took longer than startupTimeout");
        }
        let cores = available_cores().get();
        Ok(Loaded {
            default_version,
            workers,
            model: Model {
                metrics: self.metrics.model(&name, &version),
                url: request.url,
                runtime: archive.manifest().runtime.as_str().to_owned(),
                loaded_at_startup: request.at_startup,
                engine: Arc::clone(&self.engine),
                // Workers share the cores; one thread each is the fastest on a busy machine.
                intra_op_threads: (cores / workers.max(1)).max(1),
                workers: Mutex::default(),
                worker_count: AtomicUsize::new(0),
                preprocessing: AtomicUsize::new(0),
                name,
                version,
                settings,
                archive,
                handler,
                modules,
                devices,
                queue,
            },
        })
    }

    /// One copy of the weights for each device that a worker runs on.
    fn load_modules(
        &self,
        name: &str,
        archive: &ModelArchive,
        devices: &Devices,
        workers: usize,
    ) -> Result<Vec<Arc<dyn Module>>, RegisterError> {
        let mut used = Vec::new();
        for device in (0..workers).map(|worker| devices.of_worker(worker)) {
            if used.contains(&device) {
                break; // the round robin has come back to its start
            }
            used.push(device);
        }
        used.into_iter()
            .map(|device| {
                let module = self.engine.load(name, archive.serialized_file(), device);
                module.map_err(RegisterError::from)
            })
            .collect()
    }

    fn handler(
        &self,
        name: &str,
        archive: &ModelArchive,
        modules: &[Arc<dyn Module>],
    ) -> Result<Arc<dyn Handler>, RegisterError> {
        let null = serde_json::Value::Null;
        let index_to_name = archive.index_to_name()?;
        let settings = HandlerSettings {
            model: name,
            index_to_name: index_to_name.as_deref(),
            model_config: archive.model_config().map_or(&null, |config| &config.rest),
            signature: modules.first().map(|module| module.signature().clone()).unwrap_or_default(),
            limit_max_image_pixels: self.defaults.limit_max_image_pixels,
        };
        self.handlers.make(archive.handler(), settings).map_err(RegisterError::Handler)
    }
}

/// Runs the model before its first request does: libtorch prepares itself during the first calls
/// with a shape. A model whose shapes are not known, or that refuses zeros, is served cold.
fn warm_up(
    name: &str,
    handler: &dyn Handler,
    modules: &[Arc<dyn Module>],
    engine: &dyn Engine,
    settings: &ModelSettings,
) {
    let started = Instant::now();
    let mut sizes = vec![1, settings.batch.batch_size.get()];
    sizes.dedup();
    // The loading thread is one of the blocking pool: it is given back as a worker's would be.
    engine.enter_worker_thread(1);
    for module in modules {
        for rows in &sizes {
            for _ in 0..2 {
                let Some(arguments) = handler.example(*rows) else { return };
                if let Err(error) = module.forward(arguments) {
                    tracing::debug!(model = name, rows, %error, "not warmed up");
                    return;
                }
                if started.elapsed() > WARM_UP_BUDGET {
                    return;
                }
            }
        }
    }
}

/// Warming up ends after this time, however many sizes are left.
const WARM_UP_BUDGET: Duration = Duration::from_secs(5);

/// What `model-config.yaml` says.
fn of_model_config(config: &ModelConfig) -> PartialSettings {
    let size = |value: Option<u32>| value.map(|value| value as usize);
    PartialSettings {
        min_workers: size(config.min_workers),
        max_workers: size(config.max_workers).filter(|max| *max > 0),
        batch_size: size(config.batch_size).and_then(NonZeroUsize::new),
        max_batch_delay: config.max_batch_delay,
        response_timeout: config.response_timeout,
        startup_timeout: config.startup_timeout,
        client_timeout: config.client_timeout,
        max_retry_timeout: config.max_retry_timeout,
        job_queue_size: size(config.job_queue_size),
        device_type: config.device_type.map(|device| match device {
            DeviceType::Cpu => "cpu",
            DeviceType::Gpu => "gpu",
        }),
        device_ids: config
            .device_ids
            .as_ref()
            .map(|ids| ids.iter().map(|id| *id as usize).collect()),
        default_version: None,
    }
}
