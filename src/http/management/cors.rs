//! `/cors/...`: the CORS policies in force, what was refused, how often origins are used, and how
//! policies change.
//!
//! Never shown to a page of another origin, whatever the policies say: the CORS layer treats these
//! paths as closed.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use std::sync::Arc;

use super::off_the_reactor;
use super::parameters::Parameters;
use crate::cors_live::{ChangeReport, ChangeResult, Trigger};
use crate::error::ServeError;
use crate::http::response;
use crate::http::state::State;

/// Origins of a page of an answer, and the most of one.
const PAGE: usize = 100;
const MAX_PAGE: usize = 10_000;

/// A change that was refused: TorchServe's error, and what the linter says.
#[derive(Serialize)]
struct Rejected {
    code: u16,
    #[serde(rename = "type")]
    kind: &'static str,
    message: String,
    #[serde(flatten)]
    report: ChangeReport,
}

/// `GET /cors/policy`
pub(super) fn policy(state: &State) -> HttpResponse {
    response::json(StatusCode::OK, &state.cors.shown_policies())
}

/// `GET /cors/denied`
pub(super) fn denied(state: &State) -> HttpResponse {
    response::json(StatusCode::OK, &state.cors.telemetry().denials())
}

/// `GET /cors/origins?limit=&next_page_token=`
pub(super) fn origins(request: &HttpRequest, state: &State) -> HttpResponse {
    let parameters = Parameters::of_query(request.query_string());
    let number = |name| parameters.number(name).and_then(|number| usize::try_from(number).ok());
    let limit = number("limit").filter(|limit| (1..=MAX_PAGE).contains(limit)).unwrap_or(PAGE);
    let offset = number("next_page_token").unwrap_or(0);
    response::json(StatusCode::OK, &state.cors.shown_origins(offset, limit))
}

/// `POST /cors/reload`
pub(super) async fn reload(state: &State) -> Result<HttpResponse, ServeError> {
    let cors = Arc::clone(&state.cors);
    let report = off_the_reactor(move || cors.reload(Trigger::Api)).await?;
    Ok(changed(report))
}

/// `POST /cors/rollback?hash=`
pub(super) async fn rollback(
    request: &HttpRequest,
    state: &State,
) -> Result<HttpResponse, ServeError> {
    let parameters = Parameters::of_query(request.query_string());
    let hash = parameters.text("hash").filter(|hash| !hash.is_empty()).map(str::to_owned);
    let cors = Arc::clone(&state.cors);
    let report = off_the_reactor(move || cors.roll_back(hash.as_deref())).await?;
    report.map(changed).ok_or_else(ServeError::no_such_policy)
}

fn changed(report: ChangeReport) -> HttpResponse {
    if report.result != ChangeResult::Rejected {
        return response::json(StatusCode::OK, &report);
    }
    let problems = &report.check.problems;
    let first = problems.first().map(ToString::to_string).unwrap_or_default();
    let rejected = Rejected {
        code: 400,
        kind: "CorsReloadException",
        message: format!(
            "The policies in force stay: {} problems, the first is {first}",
            problems.len()
        ),
        report,
    };
    response::json(StatusCode::BAD_REQUEST, &rejected)
}
