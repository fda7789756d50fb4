//! `GET /models/{model}[/{version}]`: settings, workers and queue of one version, or of `all`; and
//! `GET /v1/models/{model}`, KServe's readiness.

use std::time::SystemTime;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

use super::parameters::Parameters;
use crate::batching::WorkerStatus;
use crate::error::ServeError;
use crate::http::response;
use crate::http::state::State;
use crate::registry::{Model, WorkerInfo};

/// One version in the describe answer; the order of the fields is TorchServe's.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Description<'a> {
    model_name: &'a str,
    model_version: &'a str,
    model_url: &'a str,
    runtime: &'a str,
    min_workers: usize,
    max_workers: usize,
    batch_size: usize,
    max_batch_delay: u64,
    response_timeout: u64,
    startup_timeout: u64,
    max_retry_timeout_in_sec: u64,
    client_timeout_in_mills: u64,
    parallel_type: &'static str,
    parallel_level: u32,
    device_type: &'static str,
    continuous_batching: bool,
    use_job_ticket: bool,
    use_venv: bool,
    stateful: bool,
    sequence_max_idle_m_sec: u64,
    sequence_timeout_m_sec: u64,
    max_num_sequence: u64,
    max_sequence_job_queue_size: u64,
    loaded_at_startup: bool,
    workers: Vec<WorkerDescription>,
    job_queue_status: JobQueueStatus,
    /// Not TorchServe's, whose clients skip what they do not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    measured: Option<Measured>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customized_metadata: Option<CustomizedMetadata>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkerDescription {
    id: String,
    start_time: String,
    status: &'static str,
    memory_usage: u64,
    pid: u32,
    gpu: bool,
    gpu_usage: &'static str,
}

/// What a handler says of itself: the built-in ones say nothing.
#[derive(Serialize)]
struct CustomizedMetadata {}

/// KServe's answer.
#[derive(Serialize)]
struct Readiness<'a> {
    name: &'a str,
    ready: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobQueueStatus {
    remaining_capacity: usize,
    pending_requests: usize,
}

/// How near the served rate comes to the bare model.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    /// The forward alone, by batch size, timed at load.
    raw_forward: Vec<RawForwardDescription>,
    served_rows: u64,
    worker_busy_seconds: f64,
    /// Rows in a busy second of a worker by those of the best raw forward; null before any.
    efficiency: Option<f64>,
    /// What a prediction took beside queue and forward, on average; null before any.
    overhead_seconds: Option<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RawForwardDescription {
    batch_size: usize,
    seconds: f64,
}

/// An array of one version, or of all.
pub(super) fn answer(
    request: &HttpRequest,
    state: &State,
    name: &str,
    version: Option<&str>,
) -> Result<HttpResponse, ServeError> {
    if version == Some("all") {
        let models = state.registry.versions(name)?.all;
        let all: Vec<_> = models.values().map(|model| description(model)).collect();
        return Ok(response::json(StatusCode::OK, &all));
    }
    let model = state.registry.resolve(name, version)?;
    let mut description = description(&model);
    if Parameters::of_query(request.query_string()).flag("customized") {
        if model.worker_count() == 0 {
            return Err(ServeError::no_worker_to_describe(name));
        }
        description.customized_metadata = Some(CustomizedMetadata {});
    }
    Ok(response::json(StatusCode::OK, &[description]))
}

/// Ready is a model with workers.
pub(super) fn ready(state: &State, name: &str) -> Result<HttpResponse, ServeError> {
    let model = state.registry.resolve(name, None)?;
    let readiness = Readiness { name: &model.name, ready: model.worker_count() > 0 };
    Ok(response::json(StatusCode::OK, &readiness))
}

fn description(model: &Model) -> Description<'_> {
    let settings = &model.settings;
    let limits = model.worker_limits();
    let sequences = model.sequence_limits();
    let (pending_requests, remaining_capacity) = model.queue_status();
    Description {
        model_name: &model.name,
        model_version: &model.version,
        model_url: &model.url,
        runtime: &model.runtime,
        min_workers: limits.min,
        max_workers: limits.max,
        batch_size: settings.batch.batch_size.get(),
        max_batch_delay: millis(settings.batch.max_batch_delay),
        response_timeout: settings.response_timeout.as_secs(),
        startup_timeout: settings.startup_timeout.as_secs(),
        max_retry_timeout_in_sec: settings.max_retry_timeout.as_secs(),
        client_timeout_in_mills: settings.client_timeout.map_or(0, millis),
        parallel_type: "",
        parallel_level: 0,
        device_type: model.device_type(),
        continuous_batching: false,
        use_job_ticket: false,
        use_venv: false,
        stateful: sequences.is_some(),
        sequence_max_idle_m_sec: sequences.map_or(0, |limits| millis(limits.max_idle)),
        sequence_timeout_m_sec: sequences.and_then(|limits| limits.timeout).map_or(0, millis),
        max_num_sequence: sequences.map_or(0, |limits| limits.max_sequences as u64),
        max_sequence_job_queue_size: sequences.map_or(0, |limits| limits.max_waiting as u64),
        loaded_at_startup: model.loaded_at_startup,
        workers: model.workers().iter().map(worker).collect(),
        job_queue_status: JobQueueStatus { remaining_capacity, pending_requests },
        measured: measured(model),
        customized_metadata: None,
    }
}

fn measured(model: &Model) -> Option<Measured> {
    let raw_forward = model.raw_forward().iter().map(|raw| RawForwardDescription {
        batch_size: raw.batch_size,
        seconds: raw.time.as_secs_f64(),
    });
    let raw_forward: Vec<_> = raw_forward.collect();
    let served = model.work_done();
    (!raw_forward.is_empty()).then_some(Measured {
        raw_forward,
        served_rows: served.rows,
        worker_busy_seconds: served.busy_seconds,
        efficiency: served.efficiency,
        overhead_seconds: served.overhead_seconds,
    })
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn worker(info: &WorkerInfo) -> WorkerDescription {
    WorkerDescription {
        id: info.id.to_string(),
        start_time: timestamp(info.started_at),
        status: match info.status {
            WorkerStatus::Ready => "READY",
            WorkerStatus::Unloading => "UNLOADING",
        },
        // A worker is a thread: it has no memory and no process of its own.
        memory_usage: 0,
        pid: std::process::id(),
        gpu: info.gpu,
        gpu_usage: "N/A",
    }
}

/// UTC with milliseconds, the form of TorchServe's `startTime`.
fn timestamp(time: SystemTime) -> String {
    let form =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from(time).format(form).unwrap_or_default()
}
