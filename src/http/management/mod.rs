//! The management listener.
//!
//! | path | method | answer | file |
//! |---|---|---|---|
//! | `/models` | GET | the registered models, by name, in pages | `list.rs` |
//! | `/models` | POST | registers a model; 405 unless `enable_model_api` | `register.rs` |
//! | `/models/{model}[/{version}]` | GET | settings and workers; `all` for every version | `describe.rs` |
//! | `/models/{model}[/{version}]` | PUT | sets the number of workers | `scale.rs` |
//! | `/models/{model}[/{version}]` | DELETE | unregisters; 405 unless `enable_model_api` | `unregister.rs` |
//! | `/models/{model}[/{version}]` | OPTIONS | the model's management API description | |
//! | `/models/{model}/{version}/set-default` | PUT | makes it the default version | `set_default.rs` |
//! | `/v1/models/{model}` | GET | KServe's readiness | `describe.rs` |
//! | `/token` | any | replaces a key | `../token.rs` |
//! | `/cors/policy`, `/cors/denied`, `/cors/origins` | GET | CORS as it is in force | `cors.rs` |
//! | `/cors/reload`, `/cors/rollback` | POST | changes the CORS policies | `cors.rs` |
//! | `/workflows[/{workflow}]` | | there are none, and none can be registered | |
//! | `/` | OPTIONS | this listener's API description; any other method 405 | |
//! | `/api-description` | any | the same, TorchServe's older spelling | |
//! | `/openapi.json` | GET | what is really there | `../openapi_json.rs` |
//! | `/docs` | GET | the same as a page | `../page.rs` |
//! | `/console[/...]` | GET | the operator's page, and what it shows | `../page.rs`, `../console/` |
//!
//! HEAD is answered as GET. What may wait for a disk, an engine or a worker is done off the reactor,
//! and to its end even when the client goes away.

mod cors;
mod describe;
mod lenient_json;
mod list;
mod parameters;
mod register;
mod scale;
mod set_default;
#[cfg(test)]
mod tests;
mod unregister;

use actix_http::Payload;
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::route::{CorsRoute, ManagementRoute};
use super::state::State;
use super::token;
use super::{console, openapi_json, page, response};
use crate::error::ServeError;
use crate::openapi::{self, ServedApi};

/// TorchServe's answer to a change.
#[derive(Serialize)]
struct Status {
    status: String,
}

/// TorchServe's answer to `GET /workflows`.
#[derive(Serialize)]
struct Workflows {
    workflows: [&'static str; 0],
}

/// The methods that some route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Get,
    Post,
    Put,
    Delete,
    Options,
    Other,
}

/// Answers one request.
pub(super) async fn answer(
    request: &HttpRequest,
    payload: &mut Payload,
    state: &State,
) -> Result<HttpResponse, ServeError> {
    use ManagementRoute::{
        ApiDescription, ConsoleExplain, ConsoleState, Cors, Model, Models, None, OpenApi, Page,
        Ready, Root, SetDefault, Token, Workflow, Workflows,
    };
    let verb = Verb::of(request.method());
    match (ManagementRoute::of(request.path()), verb) {
        (Root, Verb::Options) | (ApiDescription, _) => {
            Ok(response::json(StatusCode::OK, &openapi::management()))
        }
        (Page(file), _) => page::answer(request, file),
        (ConsoleState, _) => console::overview(request, state),
        (ConsoleExplain, _) => console::explain(request, state),
        (OpenApi, _) => openapi_json::answer(request, state, ServedApi::Management),
        (Token, _) => token::renew(request, state).await,
        (Models, Verb::Get) => Ok(list::answer(request, state)),
        (Models, Verb::Post) => register::answer(request, payload, state).await,
        (Model { model, version }, Verb::Get) => {
            describe::answer(request, state, &model, version.as_deref())
        }
        (Model { model, version }, Verb::Put) => {
            scale::answer(request, state, model, version).await
        }
        (Model { model, version }, Verb::Delete) => unregister::answer(state, model, version).await,
        (Model { model, version }, Verb::Options) => {
            let model = state.registry.resolve(&model, version.as_deref())?;
            Ok(response::json(StatusCode::OK, &openapi::managed_model(&model.name)))
        }
        (SetDefault { model, version }, Verb::Put) => {
            set_default::answer(state, model, version).await
        }
        // With this path TorchServe reads no version: the default one is meant.
        (SetDefault { model, .. }, Verb::Get) => {
            describe::answer(request, state, &model, Option::None)
        }
        (SetDefault { model, .. }, Verb::Delete) => {
            unregister::answer(state, model, Option::None).await
        }
        (SetDefault { model, .. }, Verb::Options) => {
            let model = state.registry.resolve(&model, Option::None)?;
            Ok(response::json(StatusCode::OK, &openapi::managed_model(&model.name)))
        }
        (Cors(CorsRoute::Policy), Verb::Get) => Ok(cors::policy(state)),
        (Cors(CorsRoute::Denied), Verb::Get) => Ok(cors::denied(state)),
        (Cors(CorsRoute::Origins), Verb::Get) => Ok(cors::origins(request, state)),
        (Cors(CorsRoute::Reload), Verb::Post) => cors::reload(state).await,
        (Cors(CorsRoute::Rollback), Verb::Post) => cors::rollback(request, state).await,
        (Ready { model }, Verb::Get) => describe::ready(state, &model),
        (Workflows, Verb::Get) => {
            Ok(response::json(StatusCode::OK, &self::Workflows { workflows: [] }))
        }
        (Workflows, Verb::Post) => {
            Err(ServeError::bad_request("Registering new workflows is disabled."))
        }
        (Workflow { workflow }, Verb::Get | Verb::Delete) => {
            Err(ServeError::workflow_not_found(&workflow))
        }
        (None, _) => Err(ServeError::no_such_route()),
        (
            Root
            | Models
            | Model { .. }
            | SetDefault { .. }
            | Ready { .. }
            | Cors(_)
            | Workflows
            | Workflow { .. },
            _,
        ) => Err(ServeError::method_not_allowed()),
    }
}

/// TorchServe's `{"status": ...}`.
fn status(code: StatusCode, status: String) -> HttpResponse {
    response::json(code, &Status { status })
}

/// TorchServe's answer to a change that goes on behind it.
fn accepted() -> HttpResponse {
    status(StatusCode::ACCEPTED, "Processing worker updates...".to_owned())
}

/// Does what may wait on a thread that may, to its end even when the client goes away.
async fn off_the_reactor<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ServeError> {
    let done = tokio::task::spawn_blocking(work).await;
    // The panic hook has logged the message and the place.
    done.map_err(|_| ServeError::internal())
}

// === impl Verb ===

impl Verb {
    fn of(method: &Method) -> Verb {
        match *method {
            Method::GET | Method::HEAD => Verb::Get,
            Method::POST => Verb::Post,
            Method::PUT => Verb::Put,
            Method::DELETE => Verb::Delete,
            Method::OPTIONS => Verb::Options,
            _ => Verb::Other,
        }
    }
}
