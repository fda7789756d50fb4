//! `PUT /models/{model}/{version}/set-default`: the version that answers requests that name none.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use super::{off_the_reactor, status};
use crate::error::ServeError;
use crate::http::state::State;

/// Takes effect for the next request; those under way keep their version.
pub(super) async fn answer(
    state: &State,
    name: String,
    version: String,
) -> Result<HttpResponse, ServeError> {
    let registry = Arc::clone(&state.registry);
    let work = move || registry.set_default(&name, &version).map(|()| (name, version));
    let (name, version) = off_the_reactor(work).await??;
    tracing::info!(model = name, version, "default version set");
    let text =
        format!("Default version successfully updated for model \"{name}\" to \"{version}\"");
    Ok(status(StatusCode::OK, text))
}
