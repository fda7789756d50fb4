//! `PUT /models/{model}[/{version}]`: how many workers a model has.
//!
//! | parameter | default | |
//! |---|---|---|
//! | `min_worker` | 1 | started up to this number |
//! | `max_worker` | `min_worker` | ended above this number |
//! | `model_version` | the default version | where the path has none |
//! | `synchronous` | false | answer when it is done |
//!
//! `number_gpu` and `timeout` are documented by TorchServe and not read there either.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};

use super::parameters::Parameters;
use super::{accepted, off_the_reactor, status};
use crate::error::ServeError;
use crate::http::state::State;
use crate::registry::{Registry, ScaleError, Scaled, Scaling, WorkerLimits};

/// What can be told at once is told at once, also when nobody waits for the rest.
pub(super) async fn answer(
    request: &HttpRequest,
    state: &State,
    name: String,
    version: Option<String>,
) -> Result<HttpResponse, ServeError> {
    let parameters = Parameters::of_query(request.query_string());
    let limits = limits(&parameters)?;
    let version = version.or_else(|| parameters.text("model_version").map(str::to_owned));
    let scaling = state.registry.prepare_scale(&name, version.as_deref(), limits)?;
    let registry = Arc::clone(&state.registry);
    let patience = state.unregister_model_timeout;
    let work = move || scale(&registry, scaling, patience);
    if !parameters.flag("synchronous") {
        // What comes of it is in the log.
        drop(tokio::task::spawn_blocking(work));
        return Ok(accepted());
    }
    let scaled = off_the_reactor(work).await??;
    if !scaled.settled {
        let text = "Workers scaling in progress...".to_owned();
        return Ok(status(StatusCode::PARTIAL_CONTENT, text));
    }
    let of_version = version.map(|version| format!(", version: {version}")).unwrap_or_default();
    let text = format!("Workers scaled to {} for model: {name}{of_version}", scaled.workers);
    Ok(status(StatusCode::OK, text))
}

fn limits(parameters: &Parameters) -> Result<WorkerLimits, ServeError> {
    let min = parameters.number("min_worker").unwrap_or(1);
    let max = parameters.number("max_worker").unwrap_or(min);
    if max < min {
        return Err(ServeError::bad_request("max_worker cannot be less than min_worker."));
    }
    let (Ok(min), Ok(max)) = (usize::try_from(min), usize::try_from(max)) else {
        return Err(ServeError::negative_workers(min));
    };
    Ok(WorkerLimits { min, max })
}

fn scale(registry: &Registry, scaling: Scaling, patience: Duration) -> Result<Scaled, ScaleError> {
    let name = scaling.model().to_owned();
    let scaled = registry.scale(scaling, patience);
    match &scaled {
        Ok(scaled) => tracing::info!(model = name, workers = scaled.workers, "workers scaled"),
        Err(error) => tracing::error!(model = name, %error, "the number of workers did not change"),
    }
    scaled
}
