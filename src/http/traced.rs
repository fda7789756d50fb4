//! OpenTelemetry at the door: which requests are traced, and what their answers carry.
//!
//! Requests of a model are, health checks and descriptions are not. The caller's `traceparent` is
//! continued; one that is not sound is replaced by a trace of our own. The answer carries ours as
//! `traceresponse`, and the log lines of the request its `trace_id`.

use std::time::Instant;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};

use super::request_id::RequestId;
use super::route::{Api, Asks, InferenceRoute};
use super::state::State;
use crate::trace::{self, RemoteParent, RequestFacts};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The answer's half of the trace context, of its Level 2 draft.
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// The trace of a request, for its line in the access log.
#[derive(Clone)]
pub(super) struct TraceId(pub(super) String);

/// Answers a request of the inference listener under a span of its own, if requests are traced.
pub(super) async fn traced(
    request: &HttpRequest,
    state: &State,
    answer: impl Future<Output = HttpResponse>,
) -> HttpResponse {
    let Some(tracer) = &state.tracer else { return answer.await };
    let Some(route) = template(&InferenceRoute::of(request.path())) else { return answer.await };
    let parent = tracer.reads_context().then(|| parent(request.headers())).flatten();
    let request_id = RequestId::of(request);
    let facts = RequestFacts {
        method: request.method().as_str(),
        route,
        path: request.path(),
        request_id: request_id.as_str(),
        started: Instant::now(),
    };
    let trace = tracer.request(parent, &facts);
    request.extensions_mut().insert(TraceId(trace.trace_id()));
    let mut response = trace::within(&trace, answer).await;
    trace.answered(response.status().as_u16());
    if let Ok(value) = HeaderValue::try_from(trace.traceparent()) {
        response.headers_mut().insert(TRACERESPONSE, value);
    }
    response
}

fn parent(headers: &HeaderMap) -> Option<RemoteParent> {
    let lines = |name| headers.get_all(name).map(HeaderValue::as_bytes);
    RemoteParent::read(lines(TRACEPARENT), lines(TRACESTATE))
}

/// The template of a route that asks a model; the span is named by it.
fn template(route: &InferenceRoute) -> Option<&'static str> {
    let call = match route {
        InferenceRoute::Model(call) => call,
        InferenceRoute::Invocations => return Some("/invocations"),
        _ => return None,
    };
    Some(match (call.api, call.asks) {
        (Api::TorchServe, Asks::Prediction) => "/predictions/{model_name}",
        (Api::TorchServe, Asks::Explanation) => "/explanations/{model_name}",
        (_, Asks::AsHeader) => "/{model_name}/predict",
        (Api::KServeV1, Asks::Prediction) => "/v1/models/{model_name}:predict",
        (Api::KServeV1, Asks::Explanation) => "/v1/models/{model_name}:explain",
        (Api::OpenInference, Asks::Prediction) => "/v2/models/{model_name}/infer",
        (Api::OpenInference, Asks::Explanation) => "/v2/models/{model_name}/explain",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_models_are_traced_by_their_template_and_probes_are_not() {
        for (path, expected) in [
            ("/predictions/mlp", Some("/predictions/{model_name}")),
            ("/predictions/mlp/1.0/x", Some("/predictions/{model_name}")),
            ("/explanations/mlp", Some("/explanations/{model_name}")),
            ("/models/mlp/invoke", Some("/{model_name}/predict")),
            ("/mlp/predict", Some("/{model_name}/predict")),
            ("/invocations", Some("/invocations")),
            ("/v1/models/mlp:predict", Some("/v1/models/{model_name}:predict")),
            ("/v1/models/mlp:explain", Some("/v1/models/{model_name}:explain")),
            ("/v2/models/mlp/infer", Some("/v2/models/{model_name}/infer")),
            ("/v2/models/mlp", None),
            ("/v2/models/mlp/ready", None),
            ("/ping", None),
            ("/", None),
            ("/openapi.json", None),
            ("/nothing", None),
        ] {
            assert_eq!(template(&InferenceRoute::of(path)), expected, "{path}");
        }
    }
}
