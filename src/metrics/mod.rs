//! Every metric of the server, once.
//!
//! TorchServe's metrics have its names, labels and units, and go where `metrics_mode` says; the
//! histograms beside them are in seconds. A label never takes a value from a request: models and
//! versions come from the registry. Written by `http/middleware.rs` (responses), by workers
//! (batches) and by the collector in `system.rs`, read by `http/metrics.rs`.
//!
//! ```text
//!   definitions.rs       metrics_config: which of TorchServe's metrics there are
//!   mode.rs              metrics_mode: where they go
//!   torchserve.rs        to a series, to a line of log_file.rs, or nowhere
//!   torchserve_model.rs  those of one model version
//!   model.rs             all that is counted of one model version
//!   view.rs              what was counted of a version, for the console
//!   responses.rs         all that is counted of one listener
//!   histogram.rs         histograms that threads write without waiting for each other
//!   stripe.rs            a place for each thread
//!   devices.rs           jobs that the workers of a device have in hand
//!   downloads.rs         models that are downloaded
//!   traces.rs            OpenTelemetry spans, while there are some
//!   system.rs gpu.rs     processor, memory, disk, GPUs
//!   text.rs              Prometheus' text
//! ```

mod definitions;
mod devices;
mod downloads;
mod gpu;
mod histogram;
mod log_file;
mod mode;
mod model;
mod raw_forward;
mod responses;
mod stripe;
mod system;
mod text;
mod torchserve;
mod torchserve_model;
mod traces;
mod view;

use std::path::Path;
use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{CounterVec, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry as Families};

pub use definitions::Definitions;
pub use devices::DeviceQueue;
pub use downloads::{ActiveDownload, DownloadMetrics};
use histogram::{Histograms, Scale};
pub use mode::MetricsMode;
pub use model::{Accepted, ModelMetrics};
pub use raw_forward::{RawForward, Served};
pub use responses::ResponseCounters;
use responses::ResponseThreads;
pub use stripe::Striped;
pub use system::SystemMetrics;
pub use text::TEXT_FORMAT;
use torchserve::{Series, TorchServe};
use torchserve_model::RegisteredVersions;
pub use traces::TraceMetrics;
pub use view::{Durations, Latencies, Outcomes};

use crate::telemetry::RollingSettings;

/// All metric families of one server. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    mode: MetricsMode,
    torchserve: TorchServe,
    versions: Arc<RegisteredVersions>,
    families: Families,
    responses: [Series; 3],
    http_requests: IntCounterVec,
    response_threads: ResponseThreads,
    downloads: DownloadMetrics,
    batch_size: Histograms,
    queue_seconds: Histograms,
    preprocess_seconds: Histograms,
    forward_seconds: Histograms,
    postprocess_seconds: Histograms,
    request_seconds: Histograms,
    overhead_seconds: Histograms,
    outcomes: IntCounterVec,
    worker_faults: IntCounterVec,
    queue_depth: IntGaugeVec,
    devices: devices::DeviceMetrics,
    raw_forward_seconds: GaugeVec,
    served_rows: IntCounterVec,
    busy_seconds: CounterVec,
    efficiency: GaugeVec,
}

/// What the operator says about TorchServe's metrics.
#[derive(Clone, Debug, Default)]
pub struct MetricsSettings {
    /// `metrics_mode`.
    pub mode: MetricsMode,
    /// `metrics_config`.
    pub definitions: Definitions,
    /// The files that `mode` writes.
    pub files: MetricsFiles,
}

/// The files of `metrics_mode=log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsFiles {
    /// `ts_metrics.log`.
    pub server: RollingSettings,
    /// `model_metrics.log`.
    pub model: RollingSettings,
}

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// A file of `metrics_mode=log` or `legacy` cannot be opened.
    #[error(
        "metrics_mode: {0}; set METRICS_LOCATION to a folder that can be written, or \
         metrics_mode=prometheus"
    )]
    LogFile(#[from] std::io::Error),
    /// A family is there twice, which is a bug.
    #[error("metrics: {0}")]
    Family(#[from] prometheus::Error),
}

/// Upper bounds in seconds, from a tenth of a millisecond to a minute.
const SECONDS: [f64; 18] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0, 60.0,
];
const BATCH_SIZES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
const MODEL: [&str; 2] = ["model_name", "model_version"];

/// TorchServe's folder, in the working directory.
const FOLDER: &str = "logs";

// === impl MetricsFiles ===

impl MetricsFiles {
    /// TorchServe's names in a folder: `METRICS_LOCATION`.
    pub fn in_folder(folder: &Path) -> MetricsFiles {
        let file = |name: &str| RollingSettings::torchserve(folder.join(name));
        MetricsFiles { server: file("ts_metrics.log"), model: file("model_metrics.log") }
    }
}

impl Default for MetricsFiles {
    fn default() -> MetricsFiles {
        MetricsFiles::in_folder(Path::new(FOLDER))
    }
}

// === impl Metrics ===

impl Metrics {
    /// All families, empty, with TorchServe's own set in Prometheus' mode. `hostname` is TorchServe's
    /// label of that name.
    ///
    /// # Errors
    /// [`MetricsError::Family`].
    pub fn new(hostname: &str) -> Result<Metrics, MetricsError> {
        Metrics::with(&MetricsSettings::default(), hostname)
    }

    /// All families, empty, as the operator wants them.
    ///
    /// # Errors
    /// [`MetricsError`].
    pub fn with(settings: &MetricsSettings, hostname: &str) -> Result<Metrics, MetricsError> {
        let MetricsSettings { mode, definitions, files } = settings;
        let torchserve = TorchServe::new(definitions, *mode, files, hostname)?;
        let families = Families::new();
        let count = |name: &str, help: &str, labels: &[&str]| {
            let family = IntCounterVec::new(Opts::new(name, help), labels)?;
            families.register(Box::new(family.clone())).map(|()| family)
        };
        let histogram = |name: &str, help: &str, scale: Scale| {
            let family = Histograms::new(name, help, &MODEL, scale)?;
            families.register(Box::new(family.clone())).map(|()| family)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let family = GaugeVec::new(Opts::new(name, help), labels)?;
            families.register(Box::new(family.clone())).map(|()| family)
        };
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let family = CounterVec::new(Opts::new(name, help), labels)?;
            families.register(Box::new(family.clone())).map(|()| family)
        };
        let queue_depth = IntGaugeVec::new(
            Opts::new("ts_queue_depth", "Jobs that wait in the job queue of a model version"),
            &MODEL,
        )?;
        families.register(Box::new(queue_depth.clone()))?;
        Ok(Metrics {
            responses: ["Requests2XX", "Requests4XX", "Requests5XX"]
                .map(|name| torchserve.series(name, &["Host"])),
            http_requests: count(
                "ts_http_requests_total",
                "Responses by listener and status class",
                &["listener", "class"],
            )?,
            batch_size: histogram("ts_batch_size", "Jobs in a batch", Scale::Pieces(&BATCH_SIZES))?,
            queue_seconds: histogram(
                "ts_queue_duration_seconds",
                "In the job queue, until the batch is started",
                Scale::Seconds(&SECONDS),
            )?,
            preprocess_seconds: histogram(
                "ts_preprocess_duration_seconds",
                "From the request to the handler's sample, the way to a free thread included",
                Scale::Seconds(&SECONDS),
            )?,
            postprocess_seconds: histogram(
                "ts_postprocess_duration_seconds",
                "From the outputs of a batch to its predictions",
                Scale::Seconds(&SECONDS),
            )?,
            forward_seconds: histogram(
                "ts_forward_duration_seconds",
                "One forward of a batch in the engine",
                Scale::Seconds(&SECONDS),
            )?,
            request_seconds: histogram(
                "ts_request_duration_seconds",
                "From acceptance to the answer of a prediction",
                Scale::Seconds(&SECONDS),
            )?,
            overhead_seconds: histogram(
                "ts_overhead_duration_seconds",
                "What of the duration of a prediction is neither queue nor forward",
                Scale::Seconds(&SECONDS),
            )?,
            outcomes: count(
                "ts_predictions_total",
                "Predictions by outcome: accepted is the sum of ok, error, bad_input, cancelled, \
                 expired and those in hand; ts_inference_requests_total of accepted and rejected",
                &["model_name", "model_version", "outcome"],
            )?,
            worker_faults: count(
                "ts_worker_faults_total",
                "Panics in a worker, and workers replaced because their forward does not end",
                &["model_name", "model_version", "reason"],
            )?,
            raw_forward_seconds: gauge(
                "ts_raw_forward_seconds",
                "One forward of a batch of this size alone, measured when the model was loaded",
                &["model_name", "model_version", "batch_size"],
            )?,
            served_rows: count("ts_served_rows_total", "Rows answered with a prediction", &MODEL)?,
            busy_seconds: counter(
                "ts_worker_busy_seconds_total",
                "Time that workers had a batch in hand",
                &MODEL,
            )?,
            efficiency: gauge(
                "ts_serving_efficiency",
                "Rows served in a second that a worker is busy, by those of the best raw forward",
                &MODEL,
            )?,
            queue_depth,
            devices: devices::DeviceMetrics::register(&families)?,
            response_threads: ResponseThreads::default(),
            downloads: DownloadMetrics::register(&families)?,
            mode: *mode,
            torchserve,
            versions: Arc::default(),
            families,
        })
    }

    /// Adds families that another room counts: asked at every scrape.
    ///
    /// # Errors
    /// [`MetricsError::Family`] when one of them is there already.
    pub fn add(&self, families: Box<dyn Collector>) -> Result<(), MetricsError> {
        Ok(self.families.register(families)?)
    }

    /// Writes the lines of `metrics_mode=log` that are on their way; later ones are lost. Blocks on
    /// the disk.
    pub fn end_logs(&self) {
        self.torchserve.end_logs();
    }
}
