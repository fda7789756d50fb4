//! The management API from its requests to its answers: statuses and texts are TorchServe's, as its
//! own tests assert them.

mod changing;
mod registering;
mod routes;

use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::Method;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use serde_json::{Value, json};

use crate::cors_live::LiveCors;
use crate::http::{BodyLimits, Compression, State};
use crate::registry::tests::{Bench, PATIENCE, eventually};
use crate::server::{AppState, Role, create_app};

/// The management listener over a bench.
struct Api {
    bench: Bench,
    state: State,
}

/// An answer: its status, and its body if it is JSON.
#[derive(Debug, PartialEq)]
struct Got(u16, Value);

// === impl Api ===

impl Api {
    fn new() -> Api {
        let bench = Bench::new();
        let state = State {
            registry: Arc::clone(&bench.registry),
            metrics: bench.metrics.clone(),
            tracer: None,
            server_timing: true,
            sequence_headers: Default::default(),
            body_limits: BodyLimits { size: 1 << 20, ratio: 100 },
            compression: Compression::default(),
            cors: LiveCors::fixed(Default::default(), &bench.metrics).unwrap(),
            bounds: Default::default(),
            max_response_size: 1 << 20,
            authorization: None,
            enable_model_api: true,
            unregister_model_timeout: PATIENCE,
        };
        Api { bench, state }
    }

    async fn service(
        &self,
        role: Role,
    ) -> impl Service<
        actix_http::Request,
        Response = ServiceResponse<impl MessageBody>,
        Error = actix_web::Error,
    > {
        let app = AppState { state: self.state.clone(), access_log: false };
        init_service(create_app(role, &app)).await
    }

    async fn send(&self, role: Role, request: TestRequest) -> Got {
        let response = call_service(&self.service(role).await, request.to_request()).await;
        let status = response.status().as_u16();
        let body = read_body(response).await;
        Got(status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn call(&self, method: Method, path: &str) -> Got {
        self.send(Role::Management, TestRequest::with_uri(path).method(method)).await
    }

    async fn get(&self, path: &str) -> Got {
        self.call(Method::GET, path).await
    }

    async fn post(&self, path: &str) -> Got {
        self.call(Method::POST, path).await
    }

    async fn put(&self, path: &str) -> Got {
        self.call(Method::PUT, path).await
    }

    async fn delete(&self, path: &str) -> Got {
        self.call(Method::DELETE, path).await
    }

    async fn post_body(&self, content_type: &str, body: &str) -> Got {
        let request =
            TestRequest::post().uri("/models").insert_header(("Content-Type", content_type));
        self.send(Role::Management, request.set_payload(body.to_owned())).await
    }
}

fn done(status: u16, text: &str) -> Got {
    Got(status, json!({"status": text}))
}

fn refused(status: u16, kind: &str, message: &str) -> Got {
    Got(status, json!({"code": status, "type": kind, "message": message}))
}
