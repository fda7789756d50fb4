//! `GET /console/state`: every model version with its workers, its queue, what has become of its
//! requests and how long that took.
//!
//! Numbers since the start: the page makes rates and recent quantiles of two of these.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use crate::batching::WorkerStatus;
use crate::error::ServeError;
use crate::http::page::{expect_get, expect_own_page};
use crate::http::response;
use crate::http::state::State;
use crate::metrics::{Durations, Latencies, Outcomes};
use crate::registry::Model;

#[derive(Serialize)]
struct Overview<'a> {
    version: &'static str,
    /// As `/ping`.
    healthy: bool,
    /// Upper bounds of `counts`, in seconds; above the last there is one count more.
    bounds: &'static [f64],
    models: Vec<ModelView<'a>>,
    /// Versions that are left out.
    more: usize,
}

#[derive(Serialize)]
struct ModelView<'a> {
    name: &'a str,
    version: &'a str,
    default: bool,
    device: &'static str,
    batch_size: usize,
    workers: WorkersView,
    queue: QueueView,
    outcomes: OutcomesView,
    steps: StepsView,
}

#[derive(Serialize)]
struct WorkersView {
    ready: usize,
    min: usize,
    max: usize,
}

#[derive(Serialize)]
struct QueueView {
    pending: usize,
    capacity: usize,
}

#[derive(Serialize)]
struct OutcomesView {
    ok: u64,
    error: u64,
    bad_input: u64,
    rejected: u64,
    cancelled: u64,
    expired: u64,
}

#[derive(Serialize)]
struct StepsView {
    request: DurationsView,
    queue: DurationsView,
    preprocess: DurationsView,
    forward: DurationsView,
    postprocess: DurationsView,
}

#[derive(Serialize)]
struct DurationsView {
    count: u64,
    sum: f64,
    counts: Vec<u64>,
}

/// A page with more is of no use, and of no small cost.
const MAX_VERSIONS: usize = 200;

/// Answers one request.
///
/// # Errors
/// 403 for another page, 405 for another method.
pub(in crate::http) fn answer(
    request: &HttpRequest,
    state: &State,
) -> Result<HttpResponse, ServeError> {
    expect_get(request)?;
    expect_own_page(request)?;
    let table = state.registry.models();
    let all =
        || table.values().flat_map(|versions| versions.all.values().map(move |m| (versions, m)));
    let shown = all().take(MAX_VERSIONS);
    let models: Vec<_> =
        shown.map(|(versions, model)| view(model, versions.default == model.version)).collect();
    let overview = Overview {
        version: env!("CARGO_PKG_VERSION"),
        healthy: state.registry.is_healthy(),
        bounds: Durations::bounds(),
        more: all().count() - models.len(),
        models,
    };
    Ok(response::json(StatusCode::OK, &overview))
}

fn view(model: &Model, default: bool) -> ModelView<'_> {
    let limits = model.worker_limits();
    let (pending, room) = model.queue_status();
    let workers = model.workers();
    let ready = workers.iter().filter(|worker| worker.status == WorkerStatus::Ready).count();
    let Outcomes { ok, error, bad_input, rejected, cancelled, expired } = model.outcomes();
    let Latencies { request, queue, preprocess, forward, postprocess } = model.latencies();
    ModelView {
        name: &model.name,
        version: &model.version,
        default,
        device: model.device_type(),
        batch_size: model.settings.batch.batch_size.get(),
        workers: WorkersView { ready, min: limits.min, max: limits.max },
        queue: QueueView { pending, capacity: pending + room },
        outcomes: OutcomesView { ok, error, bad_input, rejected, cancelled, expired },
        steps: StepsView {
            request: request.into(),
            queue: queue.into(),
            preprocess: preprocess.into(),
            forward: forward.into(),
            postprocess: postprocess.into(),
        },
    }
}

// === impl DurationsView ===

impl From<Durations> for DurationsView {
    fn from(Durations { counts, sum }: Durations) -> DurationsView {
        DurationsView { count: counts.iter().sum(), sum, counts }
    }
}
