//! The inference listener.
//!
//! | path | method | answer |
//! |---|---|---|
//! | `/ping` | any | health |
//! | `/predictions/{model}[/{version}]` | any but OPTIONS | a prediction |
//! | `/predictions/{model}` | OPTIONS | the model's API description |
//! | `/` | OPTIONS | this listener's API description; any other method 405 |
//! | `/api-description` | any | the same, TorchServe's older spelling |

use actix_http::Payload;
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use tracing::Instrument;

use super::request_id::RequestId;
use super::route::InferenceRoute;
use super::state::State;
use super::{body, response};
use crate::error::ServeError;
use crate::openapi;

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// Answers one request.
pub(super) async fn answer(
    request: &HttpRequest,
    payload: &mut Payload,
    state: &State,
) -> Result<HttpResponse, ServeError> {
    match InferenceRoute::of(request.path()) {
        InferenceRoute::Ping => Ok(ping(state)),
        InferenceRoute::Predictions { model, version } => {
            if request.method() == Method::OPTIONS {
                let model = state.registry.resolve(&model, version.as_deref())?;
                return Ok(response::json(StatusCode::OK, &openapi::model(&model.name)));
            }
            predict(request, payload, state, &model, version.as_deref()).await
        }
        InferenceRoute::Root if request.method() != Method::OPTIONS => {
            Err(ServeError::method_not_allowed())
        }
        InferenceRoute::Root | InferenceRoute::ApiDescription => {
            Ok(response::json(StatusCode::OK, &openapi::inference()))
        }
        InferenceRoute::None => Err(ServeError::no_such_route()),
    }
}

/// TorchServe's health answer: 200 or 500.
fn ping(state: &State) -> HttpResponse {
    if state.registry.is_healthy() {
        response::json(StatusCode::OK, &Health { status: "Healthy" })
    } else {
        response::json(StatusCode::INTERNAL_SERVER_ERROR, &Health { status: "Unhealthy" })
    }
}

async fn predict(
    request: &HttpRequest,
    payload: &mut Payload,
    state: &State,
    name: &str,
    version: Option<&str>,
) -> Result<HttpResponse, ServeError> {
    // The model first: a body for a model that is not there, or has no worker, is not worth reading.
    let model = state.registry.resolve(name, version)?;
    model.expect_workers(version)?;
    let input = body::read(request, payload, state.max_request_size).await?;
    let request_id = RequestId::of(request);
    let span = tracing::info_span!("prediction", model = name, request_id = %request_id);
    // Found again: the body may have taken its time.
    drop(model);
    let answer = state.registry.predict(name, version, input).instrument(span).await?;
    Ok(response::prediction(answer.prediction))
}
