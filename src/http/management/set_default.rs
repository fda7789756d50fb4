//! `PUT /models/{model}/{version}/set-default`: the version that answers requests that name none.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use super::status;
use crate::error::ServeError;
use crate::http::state::State;

/// Takes effect for the next request; those under way keep their version.
pub(super) fn answer(state: &State, name: &str, version: &str) -> Result<HttpResponse, ServeError> {
    state.registry.set_default(name, version)?;
    tracing::info!(model = name, version, "default version set");
    let text =
        format!("Default version successfully updated for model \"{name}\" to \"{version}\"");
    Ok(status(StatusCode::OK, text))
}
