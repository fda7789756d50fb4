//! The management listener.
//!
//! | path | method | answer |
//! |---|---|---|
//! | `/models` | GET | the registered models, by name, in pages |
//! | `/models/{model}[/{version}]` | GET | settings and workers; `all` for every version |
//! | `/token` | any | replaces a key; see `token.rs` |
//! | `/` | OPTIONS | this listener's API description; any other method 405 |
//! | `/api-description` | any | the same, TorchServe's older spelling |
//!
//! Registering, scaling and unregistering over HTTP are not there yet: 405, as TorchServe answers
//! while the model API is off.

use std::time::SystemTime;

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

use super::response;
use super::route::ManagementRoute;
use super::state::State;
use super::token;
use crate::batching::WorkerStatus;
use crate::error::ServeError;
use crate::openapi;
use crate::registry::{Model, WorkerInfo};

/// TorchServe's page size, and the largest one.
const PAGE: usize = 100;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
    models: Vec<Listed<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    model_name: &'a str,
    model_url: &'a str,
}

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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobQueueStatus {
    remaining_capacity: usize,
    pending_requests: usize,
}

/// Answers one request.
pub(super) async fn answer(
    request: &HttpRequest,
    state: &State,
) -> Result<HttpResponse, ServeError> {
    let (get, options) = (request.method() == Method::GET, request.method() == Method::OPTIONS);
    match ManagementRoute::of(request.path()) {
        ManagementRoute::Root if !options => Err(ServeError::method_not_allowed()),
        ManagementRoute::Root | ManagementRoute::ApiDescription => {
            Ok(response::json(StatusCode::OK, &openapi::management()))
        }
        ManagementRoute::Token => token::renew(request, state).await,
        ManagementRoute::Models if get || request.method() == Method::HEAD => {
            Ok(list(request, state))
        }
        ManagementRoute::Model { model, version } if get || request.method() == Method::HEAD => {
            describe(state, &model, version.as_deref())
        }
        ManagementRoute::Models | ManagementRoute::Model { .. } => {
            Err(ServeError::method_not_allowed())
        }
        ManagementRoute::None => Err(ServeError::no_such_route()),
    }
}

/// The first value of a query parameter that is a whole number; TorchServe ignores any other.
fn number(request: &HttpRequest, name: &str) -> Option<i64> {
    let mut pairs = form_urlencoded::parse(request.query_string().as_bytes());
    pairs.find(|(key, _)| key == name).and_then(|(_, value)| value.parse().ok())
}

fn list(request: &HttpRequest, state: &State) -> HttpResponse {
    let limit = number(request, "limit").and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.filter(|limit| *limit <= PAGE).unwrap_or(PAGE);
    let offset = number(request, "next_page_token").and_then(|token| usize::try_from(token).ok());
    let offset = offset.unwrap_or(0);
    let models = state.registry.list();
    let end = offset.saturating_add(limit);
    let page = models.iter().skip(offset).take(limit);
    let listing = Listing {
        next_page_token: (end <= models.len()).then(|| end.to_string()),
        models: page
            .map(|model| Listed { model_name: &model.name, model_url: &model.url })
            .collect(),
    };
    response::json(StatusCode::OK, &listing)
}

fn describe(state: &State, name: &str, version: Option<&str>) -> Result<HttpResponse, ServeError> {
    let models = if version == Some("all") {
        state.registry.versions(name)?.all.into_values().collect()
    } else {
        vec![state.registry.resolve(name, version)?]
    };
    let descriptions: Vec<_> = models.iter().map(|model| description(model)).collect();
    Ok(response::json(StatusCode::OK, &descriptions))
}

fn description(model: &Model) -> Description<'_> {
    let settings = &model.settings;
    let (pending_requests, remaining_capacity) = model.queue_status();
    Description {
        model_name: &model.name,
        model_version: &model.version,
        model_url: &model.url,
        runtime: &model.runtime,
        min_workers: settings.min_workers,
        max_workers: settings.max_workers,
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
        stateful: false,
        sequence_max_idle_m_sec: 0,
        sequence_timeout_m_sec: 0,
        max_num_sequence: 0,
        max_sequence_job_queue_size: 0,
        loaded_at_startup: model.loaded_at_startup,
        workers: model.workers().iter().map(worker).collect(),
        job_queue_status: JobQueueStatus { remaining_capacity, pending_requests },
    }
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
