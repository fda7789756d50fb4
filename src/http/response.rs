//! Answers as TorchServe writes them: pretty JSON with a final newline, errors as
//! `{code, type, message}`.
//!
//! The headers that every answer carries are added by `middleware.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue,
    RETRY_AFTER, TRANSFER_ENCODING, WWW_AUTHENTICATE,
};
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use serde::Serialize;

use super::compression::OfAModel;
use super::inflate;
use crate::auth::{Refusal, RefusalReason, Scope};
use crate::error::ServeError;
use crate::handlers::{Pieces, Prediction};

/// TorchServe's error body.
#[derive(Serialize)]
struct ErrorBody<'a> {
    code: u16,
    #[serde(rename = "type")]
    kind: &'a str,
    message: &'a str,
}

/// A JSON answer with two spaces of indent and a final newline, as Gson writes it.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    match serde_json::to_vec_pretty(body) {
        Ok(mut text) => {
            text.push(b'\n');
            HttpResponse::build(status)
                .insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json")))
                .body(text)
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// The answer to a prediction, with the status and the headers that its handler chose.
pub(super) fn prediction(prediction: Prediction) -> HttpResponse {
    // Below 200 nothing is an answer.
    let status = StatusCode::from_u16(prediction.status).ok().filter(|code| code.as_u16() >= 200);
    let mut response = HttpResponse::build(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    response.insert_header((CONTENT_TYPE, HeaderValue::from_static(prediction.content_type)));
    for (name, value) in &prediction.headers {
        let header = (HeaderName::try_from(*name), HeaderValue::try_from(&**value));
        match header {
            (Ok(name), Ok(value)) if !OF_THE_CONNECTION.contains(&name) => {
                response.insert_header((name, value));
            }
            _ => tracing::warn!(name, "a handler's header cannot be sent"),
        }
    }
    let mut response = match prediction.rest {
        None => response.body(prediction.body),
        Some(rest) => response.streaming(in_pieces(prediction.body, rest)),
    };
    response.extensions_mut().insert(OfAModel);
    response
}

/// A body that is made while it is sent. Between two pieces other clients have their turn; a piece
/// that cannot be made ends the connection, so that nobody takes the part for the whole.
fn in_pieces(first: Bytes, rest: Pieces) -> impl Stream<Item = Result<Bytes, PieceFailed>> {
    stream::unfold(Some(0), move |next: Option<usize>| {
        let (first, rest) = (first.clone(), rest.clone());
        async move {
            let index = next?;
            let Some(before) = index.checked_sub(1) else { return Some((Ok(first), Some(1))) };
            tokio::task::yield_now().await;
            match catch_unwind(AssertUnwindSafe(|| rest.get(before))) {
                Ok(piece) => piece.map(|piece| (Ok(piece), Some(index + 1))),
                Err(_) => Some((Err(PieceFailed), None)),
            }
        }
    })
}

/// A handler panicked while a piece of its answer was made.
#[derive(Debug, thiserror::Error)]
#[error("the rest of the answer could not be made")]
struct PieceFailed;

/// Headers that tell how a body is sent: not the handler's.
const OF_THE_CONNECTION: [HeaderName; 3] = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING];

/// The answer to a request of the Open Inference Protocol that failed: its `error` beside
/// TorchServe's words, so that clients of either understand it.
pub(super) fn open_inference_error(error: &ServeError) -> HttpResponse {
    #[derive(Serialize)]
    struct Both<'a> {
        #[serde(flatten)]
        torchserve: ErrorBody<'a>,
        error: &'a str,
    }
    let status = status_of(error);
    let torchserve = ErrorBody { code: status.as_u16(), kind: error.kind, message: &error.message };
    with_codings(json(status, &Both { torchserve, error: &error.message }))
}

/// The answer to an unknown coding says which there are.
fn with_codings(mut response: HttpResponse) -> HttpResponse {
    if response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        let codings = HeaderValue::from_static(inflate::ACCEPTED);
        response.headers_mut().insert(ACCEPT_ENCODING, codings);
    }
    response
}

fn status_of(error: &ServeError) -> StatusCode {
    StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The answer to a request that failed.
pub(crate) fn error(error: &ServeError) -> HttpResponse {
    let status = status_of(error);
    let body = ErrorBody { code: status.as_u16(), kind: error.kind, message: &error.message };
    with_codings(json(status, &body))
}

/// The answer to a request without the key that it needs: 400 as in TorchServe, with the challenge
/// that HTTP asks for.
pub(super) fn refusal(refusal: Refusal) -> HttpResponse {
    let (why, header, value) = match (refusal.reason, refusal.scope) {
        (RefusalReason::InvalidKey, Scope::Api) => {
            (ServeError::invalid_api_key(), WWW_AUTHENTICATE, "Bearer")
        }
        (RefusalReason::InvalidKey, Scope::Inference | Scope::Management) => {
            (ServeError::invalid_key(), WWW_AUTHENTICATE, "Bearer")
        }
        (RefusalReason::TooManyFailures, _) => (ServeError::too_many_keys(), RETRY_AFTER, "1"),
    };
    let mut response = error(&why);
    response.headers_mut().insert(header, HeaderValue::from_static(value));
    response
}
