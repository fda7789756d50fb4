//! From a name in the model store to a model that can be served: archive, settings, engine, handler.
//!
//! Called by `registration.rs`, on a blocking thread, in two steps, because the version that is to be
//! reserved stands in the archive. Nothing is left on disk or in memory when a step fails.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::archive_files::ArchiveFiles;
use super::error::RegisterError;
use super::execution::Execution;
use super::model::Model;
use super::sequence_settings::sequence_limits;
use super::settings::{Defaults, ModelSettings, PartialSettings};
use super::weights::Weights;
use super::workers::{Equipment, Workers};
use crate::archive::{
    self, ArchiveLimits, DeviceType, HandlerChoice, ModelArchive, ModelConfig, Printable, Runtime,
    Unnamed,
};
use crate::batching::{DecodePool, Direct, JobQueue, Sequences};
use crate::download::{self, Downloaded, Downloads, ModelUrl};
use crate::engine::{Devices, Engine, Signature, available_cores};
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
    /// Fetches models from URLs into the store.
    pub downloads: Downloads,
    /// Where archives are unpacked.
    pub unpack_dir: PathBuf,
    /// Bounds of unpacking.
    pub limits: ArchiveLimits,
    /// The number of GPUs that the server uses.
    pub gpus: usize,
    /// Where the models' series are registered.
    pub metrics: Metrics,
    /// Preprocesses what is not cheap.
    pub decode_pool: Arc<DecodePool>,
    /// Handlers that the embedding program brings, beside the built-in ones.
    pub handlers: handlers::Catalog,
}

/// One model to load.
#[derive(Clone, Debug, Default)]
pub struct LoadRequest {
    /// A file or directory name in the model store, or a URL to download it from.
    pub url: String,
    /// The name to serve it under; none for the manifest's.
    pub name: Option<String>,
    /// The version that the archive is expected to hold; another one is served, with a warning.
    pub version: Option<String>,
    /// `handler` of the register call.
    pub handler: Option<String>,
    /// `runtime` of the register call: shown in place of the manifest's.
    pub runtime: Option<String>,
    /// Settings of the register call.
    pub settings: PartialSettings,
    /// Workers of the register call, in place of every other source's minimum and maximum.
    pub initial_workers: Option<usize>,
    /// True at the start of the server.
    pub at_startup: bool,
}

/// A model whose archive is on disk, and whose name, version and settings are known.
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) settings: ModelSettings,
    pub(super) default_version: bool,
    execution: Execution,
    url: String,
    handler_override: Option<String>,
    runtime: Runtime,
    at_startup: bool,
    /// Its file, when it was downloaded for this registration.
    pub(super) downloaded: Option<Downloaded>,
    archive: ModelArchive,
    devices: Devices,
    started: Instant,
}

// === impl LoadRequest ===

impl LoadRequest {
    /// The URL as it may be shown and logged: without a query, which may be a secret.
    pub fn shown_url(&self) -> String {
        download::without_secrets(&self.url)
    }
}

// === impl Loader ===

impl Loader {
    /// Finds and unpacks the archive. `entry` gives the `models` property's settings for a name and
    /// version. Blocks on the disk.
    ///
    /// # Errors
    /// [`RegisterError`] for everything that can be told without loading the model.
    pub(super) fn open(
        &self,
        request: LoadRequest,
        entry: impl FnOnce(&str, &str) -> PartialSettings,
    ) -> Result<Opened, RegisterError> {
        let started = Instant::now();
        let shown = request.shown_url();
        let runtime = request.runtime.as_deref().map(|text| {
            Runtime::parse(text).ok_or_else(|| RegisterError::Runtime(Printable::new(text)))
        });
        let runtime = runtime.transpose()?;
        if let Some(workers) = request.initial_workers {
            self.defaults.check_workers(workers)?;
        }
        let store = self.model_store.as_deref().ok_or(RegisterError::NoModelStore)?;
        let downloaded = match ModelUrl::parse(&request.url) {
            Some(url) => Some(self.downloads.fetch(&url?, store)?),
            None => None,
        };
        let source = match &downloaded {
            Some(downloaded) => downloaded.path().to_owned(),
            None => archive::resolve(store, &request.url)?,
        };
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
        if let Some(expected) = request.version.filter(|expected| *expected != version) {
            let expected = Printable::new(&expected);
            tracing::warn!(model = name, version, %expected, "the archive holds another version");
        }
        for warning in archive.model_config().iter().flat_map(|config| &config.warnings) {
            tracing::warn!(model = name, version, "{warning}");
        }
        let from_archive = archive.model_config().map(of_model_config).unwrap_or_default();
        let mut merged = request.settings.or(from_archive).or(entry(&name, &version));
        if let Some(workers) = request.initial_workers {
            (merged.min_workers, merged.max_workers) = (Some(workers), Some(workers));
        } else if !request.at_startup {
            let registered = self.defaults.registered_workers;
            merged.min_workers = merged.min_workers.or(Some(registered));
        }
        let default_version = merged.default_version.unwrap_or(false);
        let settings = merged.resolve(&self.defaults);
        let devices = Devices::choose(settings.device_type, &settings.device_ids, self.gpus)?;
        let null = serde_json::Value::Null;
        let config = archive.model_config().map_or(&null, |config| &config.rest);
        let execution = Execution::read(config)?;
        let cores = available_cores().get();
        if let Some(warning) = execution.warning(settings.min_workers, cores) {
            tracing::warn!(model = name, version, "{warning}");
        }
        Ok(Opened {
            runtime: runtime.unwrap_or(archive.manifest().runtime),
            url: shown,
            downloaded,
            handler_override: request.handler,
            at_startup: request.at_startup,
            name,
            version,
            settings,
            default_version,
            execution,
            archive,
            devices,
            started,
        })
    }

    /// Loads the model up to the point where workers can be started. Blocks for as long as the
    /// engine takes.
    ///
    /// # Errors
    /// [`RegisterError`] of the engine and the handler.
    pub(super) fn load(&self, opened: Opened) -> Result<Model, RegisterError> {
        let Opened { name, version, settings, devices, .. } = opened;
        let mut weights = Weights::new(opened.archive);
        let first = devices.of_worker(0);
        let signature = weights.load(first, &name, &*self.engine)?.signature().clone();
        let handler = self.handler(&name, &version, weights.archive(), signature)?;
        let queue = Arc::new(JobQueue::new(settings.job_queue_size, settings.batch));
        let direct = Arc::<Direct>::default();
        let metrics = self.metrics.model(&name, &version);
        let asked = weights.archive().model_config();
        let (batch_size, max_workers) = (settings.batch.batch_size.get(), settings.max_workers);
        let sequences = match sequence_limits(asked, batch_size, max_workers) {
            Ok(limits) => limits.map(Sequences::new),
            Err(reason) => {
                tracing::warn!(model = name, version, "model-config.yaml: {reason}");
                None
            }
        };
        let equipment = Equipment {
            model: name.clone(),
            queue: Arc::clone(&queue),
            direct: Arc::clone(&direct),
            handler: Arc::clone(&handler),
            engine: Arc::clone(&self.engine),
            metrics: metrics.clone(),
            devices,
            execution: opened.execution,
            workers: settings.min_workers.max(1),
            response_timeout: settings.response_timeout,
            raw_forward: OnceLock::new(),
        };
        weights.ready(first, &equipment)?;
        if let Some(measured) = equipment.raw_forward.get() {
            self.metrics.raw_forward(&name, &version, measured);
            metrics.compare_with(measured);
        }
        let took = opened.started.elapsed();
        if took > settings.startup_timeout {
            tracing::warn!(model = name, version, ?took, "loading took longer than startupTimeout");
        }
        Ok(Model {
            url: opened.url,
            handler_override: opened.handler_override,
            downloaded: None,
            runtime: opened.runtime.as_str().to_owned(),
            loaded_at_startup: opened.at_startup,
            workers: Arc::new(Workers::new(equipment, weights)),
            decode_pool: Arc::clone(&self.decode_pool),
            sequences,
            direct,
            name,
            version,
            settings,
            handler,
            queue,
            metrics,
        })
    }

    fn handler(
        &self,
        name: &str,
        version: &str,
        archive: &ModelArchive,
        signature: Signature,
    ) -> Result<Arc<dyn Handler>, RegisterError> {
        let null = serde_json::Value::Null;
        let index_to_name = archive.index_to_name()?;
        let settings = HandlerSettings {
            model: name,
            version,
            index_to_name: index_to_name.as_deref(),
            model_config: archive.model_config().map_or(&null, |config| &config.rest),
            signature,
            limit_max_image_pixels: self.defaults.limit_max_image_pixels,
            max_response_size: self.defaults.max_response_size,
            envelope: self.defaults.service_envelope,
            files: &ArchiveFiles(archive),
        };
        self.handlers.make(archive.handler(), settings).map_err(RegisterError::Handler)
    }
}

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
