//! `/token?type=inference|management`: replaces a key; the new one is in the key file only.
//!
//! The holder of the API key may, by any method, as in TorchServe. That a GET changes something is
//! safe here: a page of another site cannot make a browser send the key, and with the key the
//! request is not simple, so that CORS asks first. The layer of `auth/middleware.rs` has checked the
//! key.

use std::sync::Arc;
use std::time::SystemTime;

use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};

use super::state::State;
use crate::auth::{RenewError, Renewable};
use crate::error::ServeError;

/// Answers one request.
pub(super) async fn renew(
    request: &HttpRequest,
    state: &State,
) -> Result<HttpResponse, ServeError> {
    // Without token authorization there are no keys: no such route, as in TorchServe.
    let Some(authorization) = &state.authorization else { return Err(ServeError::no_such_route()) };
    let which = which(request.query_string()).ok_or_else(ServeError::invalid_api_key)?;
    let authorization = Arc::clone(authorization);
    let renewed = web::block(move || authorization.renew(which, SystemTime::now())).await;
    match renewed {
        Ok(Ok(())) => {
            tracing::info!("the {} key was replaced", name(which));
            // TorchServe's whole answer is one newline.
            let content_type = HeaderValue::from_static("application/json");
            Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, content_type)).body("\n"))
        }
        Ok(Err(error)) => Err(failed(&error)),
        Err(cancelled) => {
            tracing::error!(%cancelled, "a key was not replaced");
            Err(ServeError::internal())
        }
    }
}

fn failed(error: &RenewError) -> ServeError {
    tracing::error!(%error, "a key was not replaced; the old one is still good");
    ServeError::internal()
}

/// The first `type` of a query.
fn which(query: &str) -> Option<Renewable> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let (_, value) = pairs.find(|(key, _)| key == "type")?;
    Renewable::parse(&value)
}

fn name(which: Renewable) -> &'static str {
    match which {
        Renewable::Inference => "inference",
        Renewable::Management => "management",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_type_says_which_key() {
        for (query, expected) in [
            ("type=inference", Some(Renewable::Inference)),
            ("type=management", Some(Renewable::Management)),
            ("a=b&type=%69nference&type=management", Some(Renewable::Inference)),
            ("type=x&type=inference", None),
            ("type=Inference", None),
            ("type=api", None),
            ("type=", None),
            ("Type=inference", None),
            ("", None),
        ] {
            assert_eq!(which(query), expected, "{query}");
        }
    }
}
