//! The configuration: `config.properties`, the command line and the environment, read once.
//!
//! `main.rs` calls [`Config::load`] and hands each room its part; a program that embeds the server
//! starts from [`Config::default`] and sets fields. No room imports this one, except for the plain
//! types that it is handed.
//!
//! | file | what it does |
//! |---|---|
//! | `source.rs` | finds the file, lays command line and environment over it |
//! | `properties.rs`, `interpolate.rs` | Java's properties format, `$$NAME$$` |
//! | `keys.rs` | every key: type, default, variable, and what this version does with it |
//! | `typed.rs`, `parse.rs` | text to values |
//! | `address.rs`, `load_models.rs`, `models.rs` | the values that are more than a scalar |
//! | `bounds.rs` | what clients and archives may take |
//! | `checks.rs` | values that do not go together, or with this machine |
//! | `tls.rs` | the key and the certificate |
//! | `stance.rs` | notes on keys without effect and on unknown keys |
//! | `snapshot.rs` | which snapshot is restored, and what is written into the next ones |
//! | `cors_source.rs` | the CORS settings again, while the server runs |
//! | `cors.rs` | hands the CORS keys to the room `cors`, takes its policies and findings back |
//! | `metrics.rs` | TorchServe's metrics: where they go, and the file that defines them |
//! | `traces.rs` | OpenTelemetry's variables |
//! | `logging.rs`, `log4j/` | where log lines go; log4j2 configurations |
//! | `downloads.rs` | which URLs may be downloaded, how much of them |
//! | `examination.rs` | what becomes of each key of a file, without a server |
//! | `error.rs` | all problems at once |
//!
//! A wrong value never becomes a default in silence: it is an error with its place, and the server
//! does not start. What TorchServe would accept and ignore is a note.

mod address;
mod bounds;
mod checks;
mod cors;
mod cors_source;
mod downloads;
mod error;
mod examination;
mod interpolate;
pub mod keys;
mod load_models;
mod log4j;
mod logging;
mod metrics;
mod models;
mod parse;
mod properties;
mod snapshot;
mod source;
mod stance;
mod tls;
mod traces;
mod typed;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use address::{ListenAddress, Role, Scheme};
pub use bounds::{ArchiveLimits, BodyBounds, ConnectionBounds};
pub use cors_source::CorsSource;
pub use error::{ConfigError, ConfigErrors, Level, Note};
pub use examination::{Examination, ExaminedKey, Runs};
pub use load_models::{LoadModel, LoadModels};
pub use models::{ModelEntry, ModelsSetting};
pub use properties::{Entry, Properties, PropertiesFormat, SyntaxError};
pub use snapshot::Effective;
pub use source::{Environment, ProcessEnvironment, Setting, temp_dir};
pub use tls::{Password, TlsIdentity};

use crate::cli::Overrides;
use crate::cors::{Compiled, ListenerPolicies};
use crate::download::DownloadPolicy;
use crate::metrics::MetricsSettings;
use crate::snapshot::{ModelSnapshot, SnapshotFolder};
use crate::telemetry::{Layout, Sink};
use crate::trace::TraceSettings;
use source::Gathered;
use typed::Typed;

/// The whole configuration, every value checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that was read; none for the built-in defaults.
    pub file: Option<PathBuf>,
    /// Where the inference API listens.
    pub inference: ListenAddress,
    /// Where the management API listens; equal to `inference` when one listener serves both.
    pub management: ListenAddress,
    /// Where the metrics API listens.
    pub metrics: ListenAddress,
    /// The mode of the files of `unix:` addresses.
    pub unix_socket_mode: u32,
    /// The key and the certificate of `https://` addresses.
    pub tls: TlsIdentity,
    /// Whether the metrics API is served.
    pub enable_metrics_api: bool,
    /// What becomes of TorchServe's metrics.
    pub metrics_settings: MetricsSettings,
    /// How often processor, memory, disk and GPUs are read; none when they are not.
    pub system_metrics: Option<Duration>,
    /// HTTP threads over all listeners (`number_of_netty_threads`); none leaves it to the server.
    pub http_workers: Option<NonZeroUsize>,
    /// The folder with model archives; none only in an embedding program.
    pub model_store: Option<PathBuf>,
    /// What to load at the start.
    pub load_models: LoadModels,
    /// Settings per model version.
    pub models: ModelsSetting,
    /// The models to start with in place of `load_models`: `model_snapshot`, or the snapshot that
    /// `restore_snapshot` names.
    pub restore: Option<ModelSnapshot>,
    /// Where snapshots are written: `$LOG_LOCATION/config`, `logs/config` without that variable; none
    /// with `--no-config-snapshots`, and in an embedding program that sets nothing.
    pub snapshots: Option<SnapshotFolder>,
    /// What is set, for the snapshots that are written.
    pub effective: Effective,
    /// Workers of a model that says nothing; none: as many as there are GPUs, else cores, for
    /// models loaded at the start, and no workers for models registered later.
    pub default_workers_per_model: Option<NonZeroUsize>,
    /// Most workers that one model version may have.
    pub workers_max: NonZeroUsize,
    /// How long one prediction may take.
    pub default_response_timeout: Duration,
    /// How long a worker may take to become ready.
    pub default_startup_timeout: Duration,
    /// How long to wait for the workers of a model that is unregistered.
    pub unregister_model_timeout: Duration,
    /// Waiting jobs per model version; one more is refused with 503.
    pub job_queue_size: usize,
    /// How batches are cut.
    pub batch_policy: BatchPolicy,
    /// Threads that preprocess what is not cheap; none: as many as cores.
    pub decode_threads: Option<NonZeroUsize>,
    /// GPUs to use at most; none: all that are found.
    pub number_of_gpu: Option<usize>,
    /// Largest request body in bytes; a larger one is refused with 413.
    pub max_request_size: usize,
    /// What a client may take for its body, and how many of its parts are read.
    pub bodies: BodyBounds,
    /// What a client may hold of connections and time.
    pub connections: ConnectionBounds,
    /// Longest target of a request in bytes; a longer one is refused with 414.
    pub url_max_length: usize,
    /// Bytes that may come out of a compressed request body for each that came in.
    pub max_request_ratio: usize,
    /// Which answers are compressed.
    pub response_compression: ResponseCompression,
    /// Largest response body in bytes.
    pub max_response_size: usize,
    /// The handler of archives that name none.
    pub default_service_handler: Option<String>,
    /// The form around the inputs and outputs of all handlers.
    pub service_envelope: ServiceEnvelope,
    /// Whether images with very many pixels are refused.
    pub limit_max_image_pixels: bool,
    /// Whether models can be registered and unregistered over HTTP.
    pub enable_model_api: bool,
    /// Whether the operator said that clients need no token.
    pub disable_token_authorization: bool,
    /// Whether the operator said that other machines may manage models without a token.
    pub allow_open_management: bool,
    /// How long a management or inference key is good (`token_expiration_min`).
    pub token_expiration: Duration,
    /// Where clients find their keys: `key_file.json` in the working directory.
    pub key_file: PathBuf,
    /// Limits on unpacking an archive.
    pub archive_limits: ArchiveLimits,
    /// Which models may be downloaded.
    pub downloads: DownloadPolicy,
    /// Where archives are unpacked.
    pub temp_dir: PathBuf,
    /// How log lines look on standard output.
    pub log_format: LogFormat,
    /// Whether predictions carry `Server-Timing`.
    pub server_timing: bool,
    /// The headers that name a request's sequence, and say that it begins or ends.
    pub sequence_headers: [String; 3],
    /// Where traces go (`OTEL_*` variables); none when they do not.
    pub traces: Option<TraceSettings>,
    /// Where log lines go.
    pub log_sinks: Vec<Sink>,
    /// Whether each request gives a line in the access log.
    pub access_log: bool,
    /// The folder for log files (variable `LOG_LOCATION`); none logs to standard output only.
    pub log_location: Option<PathBuf>,
    /// The CORS settings in the order of the file, duplicates included.
    pub cors: Vec<Setting>,
    /// The CORS policies that those settings make.
    pub policies: ListenerPolicies,
    /// What to tell the operator at the start.
    pub notes: Vec<Note>,
}

/// How batches are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchPolicy {
    /// An idle worker takes what is there at once.
    WorkConserving,
    /// A batch waits until it is full or `maxBatchDelay` is over, as in TorchServe.
    Fill,
}

/// The form around the inputs and outputs of handlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceEnvelope {
    /// None.
    None,
    /// `body`.
    Body,
    /// `json`: `instances` in, `predictions` out.
    Json,
    /// `kserve`: KServe v1.
    KServe,
    /// `kservev2`: the Open Inference Protocol.
    KServeV2,
}

/// Which answers are compressed for clients that accept it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseCompression {
    /// None.
    Off,
    /// What the server says of itself: API descriptions, lists, metrics.
    Descriptions,
    /// Predictions, too.
    All,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line each.
    Text,
    /// One JSON object each.
    Json,
}

/// TorchServe's name, in the working directory.
const KEY_FILE: &str = "key_file.json";
// === impl Config ===

impl Default for Config {
    /// TorchServe's defaults where they exist, ours elsewhere; no file, no model store.
    fn default() -> Config {
        let nothing = Gathered::default();
        Config::from_typed(&Typed::read(&nothing.settings, &mut Vec::new()))
    }
}

impl Config {
    /// Reads file, command line and environment.
    ///
    /// # Errors
    /// Every problem of the configuration; nothing is started then.
    pub fn load(
        overrides: &Overrides,
        environment: &dyn Environment,
    ) -> Result<Config, ConfigErrors> {
        let mut found = Gathered::gather(overrides, environment);
        let typed = Typed::read(&found.settings, &mut found.errors);
        let mut config = Config::from_typed(&typed);
        found.notes.extend(stance::notes(&found.settings, &typed));
        config.read_models(&typed, &mut found);
        checks::addresses(&config, &mut found);
        config.tls = tls::identity(&config, &typed, &mut found);
        checks::values(&config, &mut found);
        checks::model_store(&config, &mut found);
        config.temp_dir = source::temp_dir(environment);
        config.log_location =
            environment.get("LOG_LOCATION").filter(|path| !path.is_empty()).map(PathBuf::from);
        if !overrides.no_config_snapshots {
            config.snapshots = Some(snapshot::folder(config.log_location.as_deref()));
        }
        config.restore = snapshot::restore(&config, &typed, &mut found);
        config.effective = Effective::of(&found);
        downloads::read(&mut config.downloads, &mut found);
        metrics::read(&mut config.metrics_settings, &typed, environment, &mut found);
        config.traces = traces::read(environment, &mut found.notes);
        logging::read(&mut config, &typed, overrides, environment, &mut found);
        config.file = found.file;
        config.cors = std::mem::take(&mut found.cors);
        let compiled = cors::compile(&config, environment);
        config.policies = cors::take_policies(compiled, &mut found.errors, &mut found.notes);
        config.notes = found.notes;
        ConfigErrors::check(config, found.errors)
    }

    /// What the CORS settings of `file` compile to, for the commands that start no server: wrong
    /// values of other keys do not matter, `TS_CONFIG_FILE` is not followed, no model store is
    /// needed.
    ///
    /// # Errors
    /// What makes the file unreadable as a whole or in one of its lines.
    pub fn compile_cors(
        file: &Path,
        environment: &dyn Environment,
    ) -> Result<Compiled, ConfigErrors> {
        let mut found = Gathered::of_file(file, environment);
        let typed = Typed::read(&found.settings, &mut Vec::new());
        let mut config = Config::from_typed(&typed);
        // The start warns of overrides for models that it does not load; so does the check.
        if let Some(setting) = found.settings.get("load_models") {
            config.load_models = LoadModels::parse(&setting.value).unwrap_or_default();
        }
        config.cors = std::mem::take(&mut found.cors);
        ConfigErrors::check(cors::compile(&config, environment), found.errors)
    }

    /// Everything that is a plain scalar.
    fn from_typed(typed: &Typed) -> Config {
        Config {
            file: None,
            inference: typed.address(Role::Inference),
            management: typed.address(Role::Management),
            metrics: typed.address(Role::Metrics),
            unix_socket_mode: match typed.choice("unix_socket_mode") {
                "0660" => 0o660,
                "0666" => 0o666,
                _ => 0o600,
            },
            tls: TlsIdentity::default(),
            enable_metrics_api: typed.bool("enable_metrics_api"),
            metrics_settings: metrics::settings(typed),
            system_metrics: (!typed.bool("disable_system_metrics"))
                .then(|| typed.seconds("metric_time_interval")),
            http_workers: typed.count("number_of_netty_threads"),
            model_store: typed.path("model_store"),
            load_models: LoadModels::None,
            models: ModelsSetting::default(),
            restore: None,
            snapshots: None,
            effective: Effective::default(),
            default_workers_per_model: typed.count("default_workers_per_model"),
            workers_max: typed.count("workers_max").unwrap_or(NonZeroUsize::MIN),
            default_response_timeout: typed.seconds("default_response_timeout"),
            default_startup_timeout: typed.seconds("default_startup_timeout"),
            unregister_model_timeout: typed.seconds("unregister_model_timeout"),
            job_queue_size: typed.size("job_queue_size").unwrap_or(1),
            batch_policy: match typed.choice("batch_policy") {
                "fill" => BatchPolicy::Fill,
                _ => BatchPolicy::WorkConserving,
            },
            decode_threads: typed.count("decode_threads"),
            number_of_gpu: typed.size("number_of_gpu"),
            max_request_size: typed.size("max_request_size").unwrap_or(0),
            bodies: BodyBounds {
                timeout: typed.seconds("body_timeout"),
                min_rate: typed.number("body_min_rate").unwrap_or(0),
                memory_max: typed.size("body_memory_max").unwrap_or(0),
                parts_max: typed.size("parts_max").unwrap_or(1),
            },
            connections: ConnectionBounds {
                total: typed.size("connections_max").unwrap_or(1),
                per_address: typed.count("connections_max_per_address"),
                keep_alive: typed.seconds("keep_alive_timeout"),
                head_timeout: typed.seconds("head_timeout"),
                write_timeout: typed.seconds("write_timeout"),
                write_min_rate: typed.number("write_min_rate").unwrap_or(0),
                streams: typed.size("streams_max").unwrap_or(1),
            },
            url_max_length: typed.size("url_max_length").unwrap_or(0),
            max_request_ratio: typed.size("max_request_ratio").unwrap_or(1),
            response_compression: match typed.choice("response_compression") {
                "all" => ResponseCompression::All,
                "off" => ResponseCompression::Off,
                _ => ResponseCompression::Descriptions,
            },
            max_response_size: typed.size("max_response_size").unwrap_or(0),
            default_service_handler: typed.text("default_service_handler"),
            service_envelope: match typed.choice("service_envelope") {
                "body" => ServiceEnvelope::Body,
                "json" => ServiceEnvelope::Json,
                "kserve" => ServiceEnvelope::KServe,
                "kservev2" => ServiceEnvelope::KServeV2,
                _ => ServiceEnvelope::None,
            },
            limit_max_image_pixels: typed.bool("limit_max_image_pixels"),
            enable_model_api: typed.bool("enable_model_api"),
            disable_token_authorization: typed.bool("disable_token_authorization"),
            allow_open_management: typed.bool("allow_open_management"),
            token_expiration: minutes(typed.decimal("token_expiration_min")),
            key_file: PathBuf::from(KEY_FILE),
            archive_limits: ArchiveLimits {
                max_size: typed.number("archive_max_size").unwrap_or(0),
                max_entries: typed.number("archive_max_entries").unwrap_or(0),
                max_ratio: typed.number("archive_max_ratio").unwrap_or(0),
            },
            downloads: downloads::policy(typed),
            temp_dir: source::temp_dir(&std::collections::BTreeMap::new()),
            log_format: match typed.choice("log_format") {
                "json" => LogFormat::Json,
                _ => LogFormat::Text,
            },
            server_timing: typed.bool("server_timing"),
            sequence_headers: ["id", "start", "end"].map(|part| {
                typed.text(&format!("ts_header_key_sequence_{part}")).unwrap_or_default()
            }),
            traces: None,
            log_sinks: vec![Sink::stdout(Layout::Text)],
            access_log: typed.bool("access_log"),
            log_location: None,
            cors: Vec::new(),
            policies: ListenerPolicies::default(),
            notes: Vec::new(),
        }
    }

    /// The address of a listener.
    pub fn address(&self, role: Role) -> &ListenAddress {
        match role {
            Role::Inference => &self.inference,
            Role::Management => &self.management,
            Role::Metrics => &self.metrics,
        }
    }

    fn read_models(&mut self, typed: &Typed, found: &mut Gathered) {
        if let Some(setting) = found.settings.get("load_models") {
            match LoadModels::parse(&setting.value) {
                Ok(load_models) => self.load_models = load_models,
                Err(expected) => found.errors.push(setting.wrong(&expected)),
            }
        }
        if let (Some(json), Some(setting)) = (typed.json("models"), found.settings.get("models")) {
            let workers_max = self.workers_max.get();
            match ModelsSetting::read(json, setting, workers_max, &mut found.notes) {
                Ok(models) => self.models = models,
                Err(problems) => {
                    found.errors.extend(problems.into_iter().map(|problem| setting.error(problem)));
                }
            }
        }
    }
}

/// Minutes as TorchServe has them, with a fraction; too many for a duration become the longest one.
fn minutes(minutes: f64) -> Duration {
    Duration::try_from_secs_f64(minutes * 60.0).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests;
