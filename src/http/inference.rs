//! The inference listener.
//!
//! | path | method | answer |
//! |---|---|---|
//! | `/ping` | any | health |
//! | `/predictions/{model}[/{version}[/...]]` | any but OPTIONS | a prediction |
//! | `/explanations/{model}[/{version}[/...]]` | any but OPTIONS | an explanation |
//! | `/models/{model}/invoke`, `/{model}[/{version}]/predict`, `/invocations` | any but OPTIONS | either, as the header `explain` says; the query gives parameters |
//! | `/v1/models/{model}:predict`, `:explain` | any but OPTIONS | KServe v1 |
//! | `/v2/...` | any | the Open Inference Protocol: `open_inference.rs` |
//! | `/wfpredict/{workflow}` | any | 404: there are no workflows |
//! | those of a model | OPTIONS | the model's API description |
//! | `/` | OPTIONS | this listener's API description; any other method 405 |
//! | `/api-description` | any | the same, TorchServe's older spelling |
//! | `/openapi.json` | GET | what is really there: `openapi_json.rs` |
//! | `/docs` | GET | the same as a page: `page.rs` |

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_http::Payload;
use actix_web::http::header::HeaderValue;
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use serde::Serialize;

use super::request_id::RequestId;
use super::route::{Api, Asks, InferenceRoute, ModelCall};
use super::server_timing::{SERVER_TIMING, Timings};
use super::state::State;
use super::{body, open_inference, openapi_json, page, response};
use crate::batching::Answer;
use crate::cors::{ModelPolicies, ServedModel};
use crate::error::ServeError;
use crate::handlers::{Protocol, RequestInput};
use crate::openapi::{self, ServedApi};
use crate::registry::Model;
use crate::trace::{self, RequestTrace};

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// TorchServe's header, with Python's spelling of "yes".
const EXPLAIN: (&str, &[u8]) = ("explain", b"True");

/// Answers one request.
pub(super) async fn answer(
    request: &HttpRequest,
    payload: &mut Payload,
    state: &State,
) -> Result<HttpResponse, ServeError> {
    let route = InferenceRoute::of(request.path());
    let (is_open_inference, started) = (route.is_open_inference(), Instant::now());
    match of_route(route, request, payload, state, started).await {
        Err(error) if is_open_inference => Ok(response::open_inference_error(&error)),
        answer => answer,
    }
}

async fn of_route(
    route: InferenceRoute,
    request: &HttpRequest,
    payload: &mut Payload,
    state: &State,
    started: Instant,
) -> Result<HttpResponse, ServeError> {
    match route {
        InferenceRoute::Ping => Ok(ping(state)),
        InferenceRoute::Model(call) => ask(request, payload, state, call, started).await,
        InferenceRoute::Invocations => Box::pin(invoke(request, payload, state, started)).await,
        InferenceRoute::Workflow { workflow } => Err(ServeError::workflow_not_found(&workflow)),
        InferenceRoute::Server => Ok(open_inference::server()),
        InferenceRoute::Live => Ok(open_inference::live()),
        InferenceRoute::Ready => Ok(open_inference::ready(state)),
        InferenceRoute::ModelMetadata { model, version } => {
            open_inference::metadata(state, &model, version.as_deref())
        }
        InferenceRoute::ModelReady { model, version } => {
            open_inference::model_ready(state, &model, version.as_deref())
        }
        InferenceRoute::Root if request.method() != Method::OPTIONS => {
            Err(ServeError::method_not_allowed())
        }
        InferenceRoute::Root | InferenceRoute::ApiDescription => {
            Ok(response::json(StatusCode::OK, &openapi::inference()))
        }
        InferenceRoute::OpenApi => openapi_json::answer(request, state, ServedApi::Inference),
        InferenceRoute::Page(file) => page::answer(request, file),
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

/// A path that names its model.
async fn ask(
    request: &HttpRequest,
    payload: &mut Payload,
    state: &State,
    call: ModelCall,
    started: Instant,
) -> Result<HttpResponse, ServeError> {
    // The model first: a body for a model that is not there, or has no worker, is not worth reading.
    let model = state.registry.resolve(&call.model, call.version.as_deref())?;
    if request.method() == Method::OPTIONS {
        return Ok(response::json(StatusCode::OK, &openapi::model(&model.name)));
    }
    model.expect_workers(call.version.as_deref())?;
    let protocol = match call.api {
        Api::TorchServe => Protocol::TorchServe,
        Api::KServeV1 => Protocol::KServeV1,
        Api::OpenInference => Protocol::OpenInference { json_length: body::json_length(request)? },
    };
    let mut input = body::read(request, payload, state.body_limits, &state.bounds).await?;
    if call.asks == Asks::AsHeader {
        body::add_query(request, &mut input, state.bounds.parts_max);
    }
    input.explain = asks_why(request, call.asks);
    input.url_path = call.url_path;
    input.protocol = protocol;
    let version = call.version.as_deref();
    predict(request, state, (model, version), input, started).await
}

/// `/invocations`: the query's `model_name`, else the only model that was loaded at the start, else
/// the form's.
async fn invoke(
    request: &HttpRequest,
    payload: &mut Payload,
    state: &State,
    started: Instant,
) -> Result<HttpResponse, ServeError> {
    let find = |name: String| {
        let model = state.registry.resolve(&name, None);
        // Also when there is no such model: its CORS policy may be there.
        request.extensions_mut().insert(ServedModel(name));
        model
    };
    let named = body::query(request).find(|(name, _)| name == "model_name");
    let known = named.map(|(_, model)| model.into_owned()).or_else(|| state.registry.only_model());
    let known = known.map(find).transpose()?;
    if let Some(model) = known.as_ref().filter(|_| request.method() != Method::OPTIONS) {
        model.expect_workers(None)?;
    }
    let mut input = body::read(request, payload, state.body_limits, &state.bounds).await?;
    body::add_query(request, &mut input, state.bounds.parts_max);
    let model = match known {
        Some(model) => model,
        None => {
            let name = input.get("model_name").ok_or_else(ServeError::model_name_required)?;
            find(String::from_utf8_lossy(&name.value).into_owned())?
        }
    };
    if request.method() == Method::OPTIONS {
        return Ok(response::json(StatusCode::OK, &openapi::model(&model.name)));
    }
    let policies = request.extensions().get::<ModelPolicies>().cloned();
    if policies.is_some_and(|policies| policies.refuse(request.head(), &model.name)) {
        // The CORS middleware says why, in its own words.
        return Ok(HttpResponse::Forbidden().finish());
    }
    input.explain = asks_why(request, Asks::AsHeader);
    predict(request, state, (model, None), input, started).await
}

fn asks_why(request: &HttpRequest, asks: Asks) -> bool {
    match asks {
        Asks::Prediction => false,
        Asks::Explanation => true,
        Asks::AsHeader => {
            let (name, yes) = EXPLAIN;
            request.headers().get(name).is_some_and(|value| value.as_bytes() == yes)
        }
    }
}

async fn predict(
    request: &HttpRequest,
    state: &State,
    (model, version): (Arc<Model>, Option<&str>),
    mut input: RequestInput,
    started: Instant,
) -> Result<HttpResponse, ServeError> {
    input.accept = body::accept(request);
    input.request_id = RequestId::of(request).as_str().into();
    let name = model.name.clone();
    let trace = trace::current();
    if let Some(trace) = &trace {
        trace.asks(&name, version);
    }
    input.sequence = state.sequence_headers.read(request)?;
    // Found again: the body may have taken its time.
    drop(model);
    let mut answer = state.registry.predict(&name, version, input).await?;
    if answer.prediction.body.len() > state.max_response_size {
        return Err(ServeError::response_too_large(state.max_response_size));
    }
    let timing = state.server_timing.then(|| timing(&answer, started.elapsed(), trace.as_ref()));
    let sequence = state.sequence_headers.taken(&mut answer.prediction);
    let mut response = response::prediction(answer.prediction);
    state.sequence_headers.write(&mut response, sequence);
    if let Some(timing) = timing.flatten() {
        response.headers_mut().insert(SERVER_TIMING, timing);
    }
    Ok(response)
}

/// `Server-Timing` of a prediction.
fn timing(answer: &Answer, total: Duration, trace: Option<&RequestTrace>) -> Option<HeaderValue> {
    let traceparent = trace.map(RequestTrace::traceparent);
    let timings = Timings {
        queue: answer.queued,
        preprocess: answer.preprocess,
        forward: answer.forward,
        postprocess: answer.postprocess,
        total,
        traceparent: traceparent.as_deref(),
    };
    timings.header()
}
