//! The actix application of a listener, made in one function that the server and the tests use.

use std::sync::Arc;

use actix_http::Request;
use actix_service::IntoServiceFactory;
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::Condition;
use actix_web::{App, Error, web};

use crate::auth::TokenCheck;
use crate::cors::{Cors, Engine, Listener};
use crate::http::{self, AccessLog, Beacon, PreflightGate, State};

/// Which APIs a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Predictions.
    Inference,
    /// Models and workers.
    Management,
    /// Prometheus.
    Metrics,
    /// Predictions, models and workers on one address: TorchServe's `ALL`.
    InferenceAndManagement,
}

/// What the applications of all listeners share.
#[derive(Clone)]
pub struct AppState {
    /// Handles for the routes.
    pub state: State,
    /// `access_log`.
    pub access_log: bool,
}

// === impl Role ===

impl Role {
    /// The label of logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Inference | Role::InferenceAndManagement => "inference",
            Role::Management => "management",
            Role::Metrics => "metrics",
        }
    }
}

/// The application of one listener.
///
/// The order of the layers, outermost first: request id, access log and counters; the beacon; CORS;
/// tokens; routes. In actix the last `wrap` is the outermost.
pub fn create_app(
    role: Role,
    app: &AppState,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + use<>>,
        Error = Error,
        InitError = (),
    > + use<>,
> {
    let routes = match role {
        Role::Inference => web::to(http::inference),
        Role::Management => web::to(http::management),
        Role::Metrics => web::to(http::metrics),
        Role::InferenceAndManagement => web::to(http::inference_and_management),
    };
    let actix_cors = actix_cors(role, app);
    App::new()
        .app_data(web::Data::new(app.state.clone()))
        .default_service(routes)
        .wrap(tokens(role, app))
        .wrap(Condition::new(actix_cors.is_none(), cors(role, app)))
        .wrap(Condition::new(actix_cors.is_some(), actix_cors.unwrap_or_default()))
        .wrap(Beacon { cors: serves_beacon(role).then(|| Arc::clone(&app.state.cors)) })
        .wrap(AccessLog::new(role.as_str(), &app.state.metrics, app.access_log))
}

/// Pages that call models report.
fn serves_beacon(role: Role) -> bool {
    matches!(role, Role::Inference | Role::InferenceAndManagement)
}

/// What a listener serves: [`create_app`] behind the gate that answers preflights.
pub fn create_service(
    role: Role,
    app: &AppState,
) -> PreflightGate<
    impl ServiceFactory<
        Request,
        Config = AppConfig,
        Response = ServiceResponse<impl MessageBody + use<>>,
        Error = Error,
        InitError = (),
        Service: 'static,
        Future: 'static,
    > + use<>,
> {
    PreflightGate {
        application: create_app(role, app).into_factory(),
        cors: actix_cors(role, app).is_none().then(|| cors(role, app)),
        log: AccessLog::new(role.as_str(), &app.state.metrics, app.access_log),
    }
}

/// The layer that asks for tokens; it lets everything pass when token authorization is off.
fn tokens(role: Role, app: &AppState) -> TokenCheck {
    let access = match role {
        Role::Inference => http::inference_access,
        Role::Management => http::management_access,
        Role::Metrics => http::metrics_access,
        Role::InferenceAndManagement => http::inference_and_management_access,
    };
    TokenCheck { authorization: app.state.authorization.clone(), access, refuse: http::refuse }
}

/// The CORS layer of a listener.
fn cors(role: Role, app: &AppState) -> Cors {
    let live = &app.state.cors;
    let handle = |listener| live.handle(listener).clone();
    let layer = match role {
        Role::Inference => Cors::new(handle(Listener::Inference)),
        Role::Management => Cors::new(handle(Listener::Management)),
        Role::Metrics => Cors::new(handle(Listener::Metrics)),
        Role::InferenceAndManagement => {
            let [inference, management, metrics] = Listener::ALL.map(handle);
            Cors::shared(inference, management, metrics)
        }
    };
    layer.observed_by(live.observer())
}

/// actix-cors in place of [`cors`], for `cors.engine=actix`: on a listener of predictions alone, and
/// only while some origin is allowed, as it cannot be off.
fn actix_cors(role: Role, app: &AppState) -> Option<actix_cors::Cors> {
    let policies = app.state.cors.handle(Listener::Inference).current();
    let policy = policies.base();
    let chosen = role == Role::Inference && policy.spec().engine == Engine::Actix;
    (chosen && policy.is_on()).then(|| policy.to_actix_cors())
}
