//! From a configuration to open addresses, and what the operator is told then.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

use super::cors_source::FromConfig;
use super::listeners::{self, ListenError, Listener};
use super::snapshots::{self, Recorder};
use super::tls::{Tls, TlsError};
use super::unpack_dir::UnpackDir;
use super::{AppState, Parts, Phase, Server, self_test, shutdown};
use crate::archive::{self, ArchiveLimits};
use crate::auth::{KeyFileError, NoRandomness, PublishedKeys, TokenAuthorization};
use crate::batching::{DecodePool, Filling};
use crate::config::{
    self, BatchPolicy, Config, CorsSource, ListenAddress, LoadModels, ModelEntry,
    ProcessEnvironment, ResponseCompression, Scheme, ServiceEnvelope,
};
use crate::cors_live::LiveCors;
use crate::download::Downloads;
use crate::engine::{DeviceError, Devices, Engine, available_cores};
use crate::handlers::Envelope;
use crate::http::{BodyLimits, BodyMemory, Compression, RequestBounds, SequenceHeaders, State};
use crate::metrics::{Metrics, MetricsError};
use crate::registry::{Defaults, LoadRequest, Loader, PartialSettings, Registry};
use crate::trace::Tracer;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A GPU was asked for that is not there.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The model store cannot be read.
    #[error(transparent)]
    ModelStore(#[from] archive::ArchiveError),
    /// A snapshot names an archive that is not in the model store.
    #[error(
        "the snapshot's model {name}, version {version}, cannot be restored: {reason}; put the \
         archive into the model store, or start without the snapshot"
    )]
    Snapshot {
        /// The model.
        name: String,
        /// Its version.
        version: String,
        /// The archive's name and what is wrong.
        reason: archive::ArchiveError,
    },
    /// The key or the certificate of an `https://` address cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The folder for unpacked archives cannot be made.
    #[error(
        "{path} cannot be used to unpack models: {reason}; set TEMP to a folder that can be written"
    )]
    TempDir {
        /// The folder.
        path: String,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// The keys cannot be handed out.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// No keys can be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// Built without libtorch, and no engine was given.
    #[error("this build has no libtorch: build with the feature `torch`, or give an engine")]
    NoEngine,
    /// The system grants no threads for preprocessing.
    #[error("the system grants no decode threads: {0}; lower decode_threads")]
    Threads(std::io::Error),
    /// Traces are wanted and cannot be exported.
    #[error(
        "OTEL_*: traces cannot be exported: {0}; set OTEL_TRACES_EXPORTER=none to start without"
    )]
    Traces(std::io::Error),
    /// The metrics' files cannot be written.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

/// Requests of all models that may wait for a decode thread, unless one model's queue is longer.
const MIN_DECODE_QUEUE: usize = 1024;

/// Where the listeners and the keys are, for the operator.
pub struct Summary {
    listeners: Vec<(&'static str, String)>,
    /// The path of the key file; none when clients need no token.
    key_file: Option<String>,
    /// Clients have to be told to trust the certificate.
    self_signed: bool,
}

/// Opens the addresses.
pub(super) fn build(config: Config, parts: Parts) -> Result<Server, StartError> {
    let gpus = Devices::usable(config.number_of_gpu, gpus_seen())?;
    let engine = parts.engine.map_or_else(default_engine, Ok)?;
    let unpack_dir = UnpackDir::create(&config.temp_dir).map_err(|reason| StartError::TempDir {
        path: config.temp_dir.display().to_string(),
        reason,
    })?;
    let metrics = Metrics::with(&config.metrics_settings, &hostname())?;
    let decode_threads = config.decode_threads.unwrap_or_else(available_cores);
    // Each task has its place in the queue of its model already: this bound holds for all models
    // together.
    let decode_queue = config.job_queue_size.max(MIN_DECODE_QUEUE);
    let decode_pool =
        DecodePool::start(decode_threads, decode_queue).map_err(StartError::Threads)?;
    let loader = Loader {
        decode_pool: Arc::new(decode_pool),
        engine,
        defaults: defaults(&config, gpus),
        model_store: config.model_store.clone(),
        downloads: Downloads::new(config.downloads.clone(), metrics.downloads()),
        unpack_dir: unpack_dir.path().to_owned(),
        limits: ArchiveLimits {
            max_size: config.archive_limits.max_size,
            max_entries: config.archive_limits.max_entries,
            max_ratio: config.archive_limits.max_ratio,
        },
        gpus,
        metrics: metrics.clone(),
        handlers: parts.handlers,
    };
    if let Some(store) = &config.model_store {
        Downloads::tidy(store);
    }
    let registry = Arc::new(Registry::new(loader, entries(&config)));
    let load = load_requests(&config, gpus)?;
    let recorder = Recorder::new(&config);
    if let Some(recorder) = &recorder {
        let recorder = Arc::clone(recorder);
        registry.observe(move |registry| recorder.changed(registry));
    }
    let authorization = match config.disable_token_authorization {
        true => None,
        false => Some(TokenAuthorization::new(config.token_expiration, SystemTime::now())?),
    };
    let tracer = start_tracer(&config, &metrics)?;
    let system_metrics = config.system_metrics.map(|every| (every, metrics.system(gpus)));
    let app = AppState {
        state: State {
            registry: Arc::clone(&registry),
            metrics: metrics.clone(),
            tracer: tracer.clone(),
            server_timing: config.server_timing,
            sequence_headers: SequenceHeaders::named(&config.sequence_headers),
            body_limits: BodyLimits {
                size: config.max_request_size,
                ratio: config.max_request_ratio,
            },
            compression: match config.response_compression {
                ResponseCompression::Off => Compression::Off,
                ResponseCompression::Descriptions => Compression::Descriptions,
                ResponseCompression::All => Compression::All,
            },
            cors: live_cors(&config, &metrics)?,
            bounds: RequestBounds {
                url_max_length: config.url_max_length,
                body_timeout: config.bodies.timeout,
                body_min_rate: config.bodies.min_rate,
                parts_max: config.bodies.parts_max,
                memory: BodyMemory::new(config.bodies.memory_max),
            },
            max_response_size: config.max_response_size,
            authorization: authorization.clone(),
            enable_model_api: config.enable_model_api,
            unregister_model_timeout: config.unregister_model_timeout,
        },
        access_log: config.access_log,
    };
    let tls = load_tls(&config)?;
    let listeners = listeners::open(&config, &app, tls.as_ref(), shutdown::DRAIN_TIMEOUT)?;
    let targets = self_test::targets(&config, &listeners);
    // Once the addresses are ours: a second server that is started in the same folder by mistake
    // ends before it overwrites the keys of the first.
    let keys = authorization.map(|keys| keys.publish(&config.key_file)).transpose()?;
    Ok(Server {
        listeners,
        keys,
        registry,
        app,
        targets,
        load,
        recorder,
        unpack_dir,
        tls,
        metrics,
        tracer,
        system_metrics,
        phase: watch::Sender::new(Phase::Loading),
        stop: Arc::new(watch::Sender::new(false)),
        reload: Arc::new(watch::Sender::new(0)),
    })
}

/// Traces, where the environment asks for them.
fn start_tracer(config: &Config, metrics: &Metrics) -> Result<Option<Tracer>, StartError> {
    let Some(settings) = &config.traces else { return Ok(None) };
    let tracer = Tracer::start(settings, metrics.traces()?).map_err(StartError::Traces)?;
    tracing::info!("OpenTelemetry: traces go to {}", settings.endpoint);
    Ok(Some(tracer))
}

#[cfg(feature = "torch")]
fn default_engine() -> Result<Arc<dyn Engine>, StartError> {
    Ok(Arc::new(crate::engine::TorchEngine))
}

#[cfg(not(feature = "torch"))]
fn default_engine() -> Result<Arc<dyn Engine>, StartError> {
    Err(StartError::NoEngine)
}

#[cfg(feature = "torch")]
fn gpus_seen() -> usize {
    crate::engine::TorchEngine::cuda_devices()
}

#[cfg(not(feature = "torch"))]
fn gpus_seen() -> usize {
    0
}

/// The CORS policies in service.
fn live_cors(config: &Config, metrics: &Metrics) -> Result<Arc<LiveCors>, MetricsError> {
    let source = CorsSource::new(config, ProcessEnvironment);
    let settings = source.settings().to_vec();
    let policies = config.policies.clone();
    LiveCors::start(policies, settings, Box::new(FromConfig(source)), metrics)
}

/// The host's name as the kernel has it: TorchServe's label `Hostname`.
fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

/// The certificate, where an address needs one.
fn load_tls(config: &Config) -> Result<Option<Tls>, TlsError> {
    let mut hosts = Vec::new();
    for role in config::Role::ALL {
        // What is not served needs no certificate.
        if role == config::Role::Metrics && !config.enable_metrics_api {
            continue;
        }
        if let ListenAddress::Tcp { scheme: Scheme::Https, host, .. } = config.address(role) {
            hosts.push(host.clone());
        }
    }
    if hosts.is_empty() {
        return Ok(None);
    }
    // The names by which clients may call a server whose certificate is its own.
    hosts.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    hosts.push(hostname());
    hosts.sort();
    hosts.dedup();
    Tls::load(config.tls.clone(), hosts).map(Some)
}

fn defaults(config: &Config, gpus: usize) -> Defaults {
    let all = if gpus > 0 { gpus } else { available_cores().get() };
    Defaults {
        workers: config.default_workers_per_model.map_or(all, NonZeroUsize::get),
        registered_workers: config.default_workers_per_model.map_or(0, NonZeroUsize::get),
        workers_max: config.workers_max.get(),
        response_timeout: config.default_response_timeout,
        startup_timeout: config.default_startup_timeout,
        job_queue_size: config.job_queue_size,
        filling: match config.batch_policy {
            BatchPolicy::WorkConserving => Filling::WorkConserving,
            BatchPolicy::Fill => Filling::Fill,
        },
        limit_max_image_pixels: config.limit_max_image_pixels,
        max_response_size: config.max_response_size,
        default_service_handler: config.default_service_handler.clone(),
        service_envelope: match config.service_envelope {
            ServiceEnvelope::None => Envelope::None,
            ServiceEnvelope::Body => Envelope::Body,
            ServiceEnvelope::Json => Envelope::Json,
            ServiceEnvelope::KServe => Envelope::KServe,
            ServiceEnvelope::KServeV2 => Envelope::KServeV2,
        },
    }
}

/// The `models` property, by name and version.
fn entries(config: &Config) -> HashMap<(String, String), PartialSettings> {
    config
        .models
        .iter()
        .map(|(name, version, entry)| ((name.to_owned(), version.to_owned()), of_entry(entry)))
        .collect()
}

fn of_entry(entry: &ModelEntry) -> PartialSettings {
    PartialSettings {
        min_workers: entry.min_workers.map(NonZeroUsize::get),
        max_workers: entry.max_workers.map(NonZeroUsize::get),
        batch_size: entry.batch_size,
        max_batch_delay: entry.max_batch_delay,
        response_timeout: entry.response_timeout,
        startup_timeout: entry.startup_timeout,
        client_timeout: entry.client_timeout,
        default_version: entry.default_version,
        ..PartialSettings::default()
    }
}

/// The models of the snapshot, else what `load_models` asks for, in its order.
fn load_requests(config: &Config, gpus: usize) -> Result<Vec<LoadRequest>, StartError> {
    if let Some(snapshot) = &config.restore {
        // As in TorchServe: with an archive gone, nothing is started.
        if let Some(store) = &config.model_store {
            for (name, version, model) in snapshot.iter() {
                archive::resolve(store, &model.mar_name).map_err(|reason| {
                    let (name, version) = (name.to_owned(), version.to_owned());
                    StartError::Snapshot { name, version, reason }
                })?;
            }
        }
        return Ok(snapshots::load_requests(snapshot, defaults(config, gpus).workers));
    }
    let request = |url: String, name: Option<String>| LoadRequest {
        url,
        name,
        at_startup: true,
        ..LoadRequest::default()
    };
    Ok(match (&config.load_models, &config.model_store) {
        (LoadModels::None, _) | (_, None) => Vec::new(),
        (LoadModels::All, Some(store)) => {
            archive::scan(store)?.into_iter().map(|url| request(url, None)).collect()
        }
        (LoadModels::List(list), Some(_)) => {
            list.iter().map(|model| request(model.archive.clone(), model.name.clone())).collect()
        }
    })
}

// === impl Summary ===

impl Summary {
    /// Where the listeners and the keys are.
    pub(super) fn of(
        listeners: &[Listener],
        keys: Option<&PublishedKeys>,
        tls: Option<&Tls>,
    ) -> Summary {
        let listeners = listeners.iter().map(|each| (each.role.as_str(), each.shown.clone()));
        let key_file = keys.map(|keys| keys.path().to_owned());
        let self_signed = tls.is_some_and(Tls::is_self_signed);
        Summary { listeners: listeners.collect(), key_file, self_signed }
    }

    /// One line a listener and a model. The last line is the one that TorchServe's harnesses wait
    /// for.
    pub(super) fn print(&self, registry: &Registry) {
        for (role, address) in &self.listeners {
            tracing::info!("{role} API on {address}");
        }
        if let Some(path) = &self.key_file {
            tracing::info!(
                "clients need the keys in {path}, which only this user can read; to serve without \
                 keys set disable_token_authorization=true or pass --disable-token-auth"
            );
        }
        let models = registry.list();
        if models.is_empty() {
            tracing::info!("no model is loaded; load_models or --models name what to load");
        }
        let inference = self.listeners.first().map(|(_, address)| address.as_str());
        let header = self.key_file.as_ref().map_or("", |_| "-H 'Authorization: Bearer KEY' ");
        for model in &models {
            let address = inference.unwrap_or_default();
            let trust = if self.self_signed && address.starts_with("https") { "-k " } else { "" };
            tracing::info!("try: curl -T FILE {trust}{header}{address}/predictions/{}", model.name);
        }
        tracing::info!("Model server started.");
    }
}
