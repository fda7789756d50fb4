//! The Open Inference Protocol's answers about the server and its models: `/v2/...`.
//!
//! Called by `inference.rs`. TorchServe has the first three over REST, and the ones about a model over
//! gRPC only. Its own words are kept beside the protocol's, its typing error included.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;

use super::response;
use super::state::State;
use crate::error::ServeError;
use crate::handlers::TensorMetadata;

#[derive(Serialize)]
struct Server {
    name: &'static str,
    version: &'static str,
    extensions: &'static [&'static str],
    /// TorchServe's spelling, and what it says.
    extenstion: &'static [&'static str],
}

#[derive(Serialize)]
struct Live {
    live: bool,
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
}

#[derive(Serialize)]
struct ModelReady<'a> {
    name: &'a str,
    ready: bool,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    versions: Vec<String>,
    platform: &'static str,
    inputs: Vec<TensorMetadata>,
    outputs: Vec<TensorMetadata>,
}

/// `/v2`.
pub(super) fn server() -> HttpResponse {
    let server = Server {
        name: "Torchfront",
        version: env!("CARGO_PKG_VERSION"),
        extensions: &["binary_tensor_data"],
        extenstion: &["kserve", "kubeflow"],
    };
    response::json(StatusCode::OK, &server)
}

/// `/v2/health/live`.
pub(super) fn live() -> HttpResponse {
    response::json(StatusCode::OK, &Live { live: true })
}

/// `/v2/health/ready`: what `/ping` says. TorchServe is always ready.
pub(super) fn ready(state: &State) -> HttpResponse {
    let ready = state.registry.is_healthy();
    response::json(status(ready), &Ready { ready })
}

/// `/v2/models/{model}[/versions/{version}]`.
///
/// # Errors
/// There is no such model.
pub(super) fn metadata(
    state: &State,
    name: &str,
    version: Option<&str>,
) -> Result<HttpResponse, ServeError> {
    let model = state.registry.resolve(name, version)?;
    let versions = state.registry.versions(name)?;
    let metadata = Metadata {
        name: &model.name,
        versions: versions.all.into_keys().collect(),
        platform: "pytorch_torchscript",
        inputs: model.inputs(),
        outputs: model.outputs(),
    };
    Ok(response::json(StatusCode::OK, &metadata))
}

/// `/v2/models/{model}[/versions/{version}]/ready`: there are workers, and as many as there should
/// be.
///
/// # Errors
/// There is no such model.
pub(super) fn model_ready(
    state: &State,
    name: &str,
    version: Option<&str>,
) -> Result<HttpResponse, ServeError> {
    let model = state.registry.resolve(name, version)?;
    let ready = model.worker_count() > 0 && model.is_healthy();
    Ok(response::json(status(ready), &ModelReady { name: &model.name, ready }))
}

/// Probes read the status, not the body.
fn status(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
