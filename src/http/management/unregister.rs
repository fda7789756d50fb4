//! `DELETE /models/{model}[/{version}]`: always waits, as TorchServe does, for up to
//! `unregister_model_timeout`.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use super::{off_the_reactor, status};
use crate::error::ServeError;
use crate::http::state::State;

/// Without a version the default one is meant.
pub(super) async fn answer(
    state: &State,
    name: String,
    version: Option<String>,
) -> Result<HttpResponse, ServeError> {
    if !state.enable_model_api {
        return Err(ServeError::method_not_allowed());
    }
    let registry = Arc::clone(&state.registry);
    let patience = state.unregister_model_timeout;
    let asked = name.clone();
    off_the_reactor(move || {
        let unregistered = registry.unregister(&asked, version.as_deref(), patience);
        match &unregistered {
            Ok(()) => tracing::info!(model = asked, version, "model unregistered"),
            Err(error) => tracing::warn!(model = asked, version, %error, "not unregistered"),
        }
        unregistered
    })
    .await??;
    Ok(status(StatusCode::OK, format!("Model \"{name}\" unregistered")))
}
