//! Every metric of the server, once.
//!
//! Names, labels and units are TorchServe's where TorchServe has the metric; the histograms beside
//! them are in seconds. A label never takes a value from a request: models and versions come from
//! the registry. Written by `http/middleware.rs` (responses) and by workers (batches), read by
//! `http/metrics.rs`.

mod model;
mod raw_forward;
mod responses;
mod text;

use prometheus::{
    CounterVec, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts,
    Registry as Families,
};

pub use model::{Accepted, ModelMetrics};
pub use raw_forward::{RawForward, Served};
pub use responses::ResponseCounters;
use responses::ResponseThreads;
pub use text::TEXT_FORMAT;

/// All metric families of one server. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    families: Families,
    responses: [prometheus::Counter; 3],
    http_requests: IntCounterVec,
    response_threads: ResponseThreads,
    inference_requests: CounterVec,
    inference_latency: CounterVec,
    queue_latency: CounterVec,
    batch_size: HistogramVec,
    queue_seconds: HistogramVec,
    forward_seconds: HistogramVec,
    request_seconds: HistogramVec,
    overhead_seconds: HistogramVec,
    outcomes: IntCounterVec,
    queue_depth: IntGaugeVec,
    raw_forward_seconds: GaugeVec,
    served_rows: IntCounterVec,
    busy_seconds: CounterVec,
    efficiency: GaugeVec,
    hostname: String,
}

/// Upper bounds in seconds, from a tenth of a millisecond to a minute.
const SECONDS: [f64; 18] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0, 60.0,
];
const BATCH_SIZES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
const MODEL: [&str; 2] = ["model_name", "model_version"];

// === impl Metrics ===

impl Metrics {
    /// All families, empty. `hostname` is TorchServe's label of that name.
    ///
    /// # Errors
    /// [`prometheus::Error`] when a family is registered twice, which is a bug.
    pub fn new(hostname: &str) -> Result<Metrics, prometheus::Error> {
        let families = Families::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let family = CounterVec::new(Opts::new(name, help), labels)?;
            families.register(Box::new(family.clone())).map(|()| family)
        };
        let count = |name: &str, help: &str, labels: &[&str]| {
            let family = IntCounterVec::new(Opts::new(name, help), labels)?;
            families.register(Box::new(family.clone())).map(|()| family)
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            let family = HistogramVec::new(options, &MODEL)?;
            families.register(Box::new(family.clone())).map(|()| family)
        };
        let torchserve =
            |unit: &str| format!("Torchserve prometheus counter metric with unit: {unit}");
        let host = ["Level", "Hostname"];
        let response = |name: &str| -> Result<prometheus::Counter, prometheus::Error> {
            let family = counter(name, &torchserve("Count"), &host)?;
            Ok(family.with_label_values(&["Host", hostname]))
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let family = GaugeVec::new(Opts::new(name, help), labels)?;
            families.register(Box::new(family.clone())).map(|()| family)
        };
        let by_model = ["model_name", "model_version", "hostname"];
        let queue_depth = IntGaugeVec::new(
            Opts::new("ts_queue_depth", "Jobs that wait in the job queue of a model version"),
            &MODEL,
        )?;
        families.register(Box::new(queue_depth.clone()))?;
        Ok(Metrics {
            responses: [
                response("Requests2XX")?,
                response("Requests4XX")?,
                response("Requests5XX")?,
            ],
            http_requests: count(
                "ts_http_requests_total",
                "Responses by listener and status class",
                &["listener", "class"],
            )?,
            inference_requests: counter(
                "ts_inference_requests_total",
                &torchserve("Count"),
                &by_model,
            )?,
            inference_latency: counter(
                "ts_inference_latency_microseconds",
                &torchserve("Microseconds"),
                &by_model,
            )?,
            queue_latency: counter(
                "ts_queue_latency_microseconds",
                &torchserve("Microseconds"),
                &by_model,
            )?,
            batch_size: histogram("ts_batch_size", "Jobs in a batch", &BATCH_SIZES)?,
            queue_seconds: histogram(
                "ts_queue_duration_seconds",
                "In the job queue, until the batch is started",
                &SECONDS,
            )?,
            forward_seconds: histogram(
                "ts_forward_duration_seconds",
                "One forward of a batch in the engine",
                &SECONDS,
            )?,
            request_seconds: histogram(
                "ts_request_duration_seconds",
                "From acceptance to the answer of a prediction",
                &SECONDS,
            )?,
            overhead_seconds: histogram(
                "ts_overhead_duration_seconds",
                "What of the duration of a prediction is neither queue nor forward",
                &SECONDS,
            )?,
            outcomes: count(
                "ts_predictions_total",
                "Predictions by outcome: accepted is the sum of ok, error, bad_input, cancelled, \
                 expired and those in hand; ts_inference_requests_total of accepted and rejected",
                &["model_name", "model_version", "outcome"],
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
            response_threads: ResponseThreads::default(),
            hostname: hostname.to_owned(),
            families,
        })
    }
}
