//! The three listeners' APIs over actix: read the request, call one room, write the answer.
//!
//! ```text
//! connection/     what one client may hold of the network
//! fast_path/      preflights on a connection that has carried nothing else, before actix
//! gate.rs         a preflight ends here, before the application
//! middleware.rs   request id, headers, counters, access log      every request
//!   beacon.rs     what browsers report, of pages that are refused, too
//!   (cors)        the decision on every other request
//!     (auth)      requests without the key that access.rs says   PURE
//!       dispatch    one entry per listener, here below
//!         route.rs  path -> route                                PURE
//!         body.rs  inflate.rs  body -> RequestInput, within request_bounds.rs
//!         inference.rs  open_inference.rs  management/  token.rs  metrics.rs  openapi_json.rs
//!         page.rs       the embedded pages, and console/ for what one of them asks for
//!         traced.rs    server_timing.rs                         what it took, to whom it may concern
//!         response.rs  compression.rs  Prediction, ServeError or Refusal -> answer
//! ```

mod access;
mod access_log;
mod beacon;
mod body;
mod compression;
pub mod connection;
mod console;
mod fast_path;
mod gate;
mod inference;
mod inflate;
mod management;
mod metrics;
mod middleware;
mod open_inference;
mod openapi_json;
mod page;
mod request_bounds;
mod request_id;
mod response;
mod route;
mod sequence_headers;
mod server_timing;
mod state;
mod token;
mod traced;

use std::panic::AssertUnwindSafe;
use std::pin::pin;

use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

pub use access::{
    inference_access, inference_and_management_access, management_access, metrics_access,
};
pub use beacon::Beacon;
pub use body::{BodyLimits, take_apart};
pub use compression::Compression;
pub use fast_path::{FastPath, FastPathStream};
pub use gate::PreflightGate;
pub use middleware::AccessLog;
pub use request_bounds::{BodyMemory, RequestBounds};
pub use sequence_headers::SequenceHeaders;
pub use state::State;

use self::route::InferenceRoute;

use crate::auth::Refusal;
use crate::cors::{Listener, api_of_path};
use crate::error::ServeError;
use crate::openapi::{self, ServedApi};

/// Every request of the inference listener.
pub async fn inference(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> HttpResponse {
    let mut payload = payload.into_inner();
    let response = {
        // By reference from here on: each function that is given a future holds it twice.
        let answer = pin!(inference::answer(&request, &mut payload, &state));
        let answer = pin!(finish(&request, &state, bounded(&request, &state, answer)));
        traced::traced(&request, &state, answer).await
    };
    body::drain(&mut payload).await;
    response
}

/// Every request of the management listener.
pub async fn management(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> HttpResponse {
    let mut payload = payload.into_inner();
    let response = {
        let answer = pin!(management::answer(&request, &mut payload, &state));
        finish(&request, &state, bounded(&request, &state, answer)).await
    };
    body::drain(&mut payload).await;
    response
}

/// Every request of the metrics listener.
pub async fn metrics(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    let answer = async { metrics::answer(&request, &state) };
    finish(&request, &state, bounded(&request, &state, answer)).await
}

/// Every request of a listener that serves inference and management (TorchServe's `ALL`): the path
/// tells which API is meant.
pub async fn inference_and_management(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> HttpResponse {
    if InferenceRoute::of(request.path()) == InferenceRoute::OpenApi {
        let mut payload = payload.into_inner();
        let api = ServedApi::InferenceAndManagement;
        let answer = async { openapi_json::answer(&request, &state, api) };
        let response = finish(&request, &state, answer).await;
        body::drain(&mut payload).await;
        return response;
    }
    if route::asks_for_description(request.method(), request.path()) {
        let mut payload = payload.into_inner();
        let description = openapi::inference_and_management();
        let answer = async { Ok(response::json(StatusCode::OK, &description)) };
        let response = finish(&request, &state, answer).await;
        body::drain(&mut payload).await;
        return response;
    }
    match api_of_path(request.path()) {
        Listener::Management => management(request, payload, state).await,
        Listener::Inference | Listener::Metrics => inference(request, payload, state).await,
    }
}

/// Every request without the key that it needs. The connection can be used again, as after any
/// other error.
pub fn refuse(
    refusal: Refusal,
    request: ServiceRequest,
) -> LocalBoxFuture<'static, ServiceResponse> {
    async move {
        let (request, mut payload) = request.into_parts();
        body::drain(&mut payload).await;
        ServiceResponse::new(request, response::refusal(refusal))
    }
    .boxed_local()
}

/// The answer, if the request's target is not too long.
async fn bounded(
    request: &HttpRequest,
    state: &State,
    answer: impl Future<Output = Result<HttpResponse, ServeError>>,
) -> Result<HttpResponse, ServeError> {
    let limit = state.bounds.url_max_length;
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > limit { Err(ServeError::url_too_long(limit)) } else { answer.await }
}

/// The answer, whatever happened: an error becomes TorchServe's JSON, a panic a 500.
async fn finish(
    request: &HttpRequest,
    state: &State,
    answer: impl Future<Output = Result<HttpResponse, ServeError>>,
) -> HttpResponse {
    let error = match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(Ok(response)) => return state.compression.apply(request, response).await,
        Ok(Err(error)) => error,
        // The panic hook has logged the message and the place.
        Err(_) => ServeError::internal(),
    };
    response::error(&error)
}
