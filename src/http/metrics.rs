//! The metrics listener: `/metrics` in Prometheus' text format, `name[]` to pick families.

use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};

use super::state::State;
use super::{openapi_json, response};
use crate::cors::{decode_path, segments};
use crate::error::ServeError;
use crate::metrics::TEXT_FORMAT;
use crate::openapi::{self, ServedApi};

/// Answers one request.
pub(super) fn answer(request: &HttpRequest, state: &State) -> Result<HttpResponse, ServeError> {
    let path = decode_path(request.path());
    let mut words = segments(&path);
    match words.next() {
        None if request.method() != Method::OPTIONS => Err(ServeError::method_not_allowed()),
        None | Some("api-description") => Ok(response::json(StatusCode::OK, &openapi::metrics())),
        // TorchServe answers any method and any path below.
        Some("metrics") => Ok(text(request, state)),
        Some("openapi.json") if words.next().is_none() => {
            openapi_json::answer(request, state, ServedApi::Metrics)
        }
        Some(_) => Err(ServeError::no_such_route()),
    }
}

fn text(request: &HttpRequest, state: &State) -> HttpResponse {
    let names: Vec<String> = form_urlencoded::parse(request.query_string().as_bytes())
        .filter(|(key, _)| key == "name[]")
        .map(|(_, name)| name.into_owned())
        .collect();
    // Gauges that are read, not written.
    for model in state.registry.list() {
        model.queue_status();
    }
    let content_type = HeaderValue::from_static(TEXT_FORMAT);
    let text = state.metrics.text(&names);
    HttpResponse::Ok().insert_header((CONTENT_TYPE, content_type)).body(text)
}
