//! In front of the application: a preflight is answered here, before actix has made a request
//! object, layers or a route of it. Everything else goes in.
//!
//! Preflights that come first on a connection do not even come here: [`PreflightGate::fast_path`].
//! The CORS layer inside answers preflights as well, with the same bytes: an application without the
//! gate (a test, an embedding program) is no less right, only slower.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_http::{Request, Response, Version};
use actix_web::Error;
use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{AppConfig, Service, ServiceFactory, ServiceResponse};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use pin_project_lite::pin_project;

use super::access_log::allowed;
use super::connection::{Entered, Progress};
use super::fast_path::FastPath;
use super::middleware::AccessLog;
use super::request_id::X_REQUEST_ID;
use crate::cors::Cors;

/// Makes the gate of one thread.
pub struct PreflightGate<A> {
    /// What is behind it.
    pub application: A,
    /// None: every request goes in.
    pub cors: Option<Cors>,
    /// Counts and logs what is answered here.
    pub log: AccessLog,
}

/// The gate in front of one thread's application.
pub struct GatedService<S> {
    application: S,
    cors: Option<Cors>,
    log: AccessLog,
}

pin_project! {
    /// The answer of [`GatedService`].
    #[project = GateProjection]
    pub enum GateFuture<F> {
        /// A preflight, answered at the gate.
        Answered { response: Option<Response<BoxBody>> },
        /// The application is at work; its connection knows.
        Inside { #[pin] application: F, entered: Option<Entered> },
    }
}

// === impl PreflightGate ===

impl<A> PreflightGate<A> {
    /// The same answers for a thread's connections, given before HTTP is spoken; none where every
    /// request goes in.
    pub fn fast_path(&self) -> Option<FastPath> {
        self.cors.clone().map(|cors| FastPath::new(cors, self.log.clone()))
    }
}

impl<A, B> ServiceFactory<Request> for PreflightGate<A>
where
    A: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        >,
    A::Future: 'static,
    A::Service: 'static,
    B: MessageBody,
{
    type Response = Response<EitherBody<B>>;
    type Error = Error;
    type Config = AppConfig;
    type Service = GatedService<A::Service>;
    type InitError = ();
    type Future = LocalBoxFuture<'static, Result<Self::Service, ()>>;

    fn new_service(&self, config: AppConfig) -> Self::Future {
        let application = self.application.new_service(config);
        let (cors, log) = (self.cors.clone(), self.log.clone());
        let made = application
            .map(|application| Ok(GatedService { application: application?, cors, log }));
        made.boxed_local()
    }
}

impl<S, B> Service<Request> for GatedService<S>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Response = Response<EitherBody<B>>;
    type Error = Error;
    type Future = GateFuture<S::Future>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.application.poll_ready(context)
    }

    fn call(&self, request: Request) -> Self::Future {
        let head = request.head();
        match self.cors.as_ref().and_then(|cors| cors.answer_preflight(head)) {
            Some((mut response, outcome)) => {
                let ids = head.headers.get_all(X_REQUEST_ID).as_slice();
                let answer = (response.status(), allowed(response.headers()));
                if let Some(id) = self.log.preflight(head.into(), ids, answer, outcome) {
                    response.headers_mut().insert(X_REQUEST_ID, id.value());
                }
                GateFuture::Answered { response: Some(response.into()) }
            }
            None => {
                // An HTTP/2 connection has been told by `server/tls/stream_limits.rs`.
                let progress = request.conn_data::<Progress>();
                let progress = progress.filter(|_| head.version < Version::HTTP_2);
                let entered = progress.map(Progress::enter);
                GateFuture::Inside { application: self.application.call(request), entered }
            }
        }
    }
}

impl<F, B> Future for GateFuture<F>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
{
    type Output = Result<Response<EitherBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            GateProjection::Answered { response } => match response.take() {
                Some(response) => {
                    Poll::Ready(Ok(response.map_body(|_, body| EitherBody::right(body))))
                }
                // Polled after completion: there is nothing more to say.
                None => Poll::Pending,
            },
            GateProjection::Inside { application, entered } => {
                let response = ready!(application.poll(context));
                entered.take();
                let response: Response<B> = response?.into();
                Poll::Ready(Ok(response.map_body(|_, body| EitherBody::left(body))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_service::{IntoServiceFactory, map_config};
    use actix_web::body::to_bytes;
    use actix_web::test::TestRequest;
    use actix_web::{App, HttpResponse, web};

    use super::*;
    use crate::cors::{ListenerFacts, ListenerPolicies, Setting, compile};
    use crate::metrics::Metrics;

    fn policies(lines: &[(&str, &str)]) -> ListenerPolicies {
        let settings: Vec<Setting> =
            lines.iter().map(|(key, value)| Setting::in_file(key, value, "f", 1)).collect();
        compile(&settings, &ListenerFacts::default()).policies.unwrap()
    }

    /// Status, headers but the date and the request's id, and body, once with and once without gate.
    async fn ask(
        request: &[(&str, &str)],
        method: &str,
        gated: bool,
    ) -> (u16, Vec<String>, Vec<u8>) {
        let metrics = Metrics::new("host").unwrap();
        let log = || AccessLog::new("inference", &metrics, true);
        let cors = Cors::new(
            policies(&[
                ("cors.allowed.origin", "https://app.example.com, https://*.example.org"),
                ("cors.allowed.headers", "X-Custom"),
                ("cors.allow.credentials", "true"),
                ("cors.allow.private.network", "true"),
            ])
            .inference,
        );
        let app =
            App::new().default_service(web::to(HttpResponse::Ok)).wrap(cors.clone()).wrap(log());
        let gate = PreflightGate {
            application: app.into_factory(),
            cors: gated.then_some(cors),
            log: log(),
        };
        let service = map_config(gate, |()| AppConfig::default()).new_service(()).await.unwrap();
        let mut sent = TestRequest::with_uri("/predictions/a").method(method.parse().unwrap());
        for header in request {
            sent = sent.append_header(*header);
        }
        let response = service.call(sent.to_request()).await.unwrap();
        let status = response.status().as_u16();
        let mut headers: Vec<String> = response
            .headers()
            .iter()
            .filter(|(name, _)| name.as_str() != "x-request-id")
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        headers.sort();
        let counted = metrics.text(&[]);
        let class = format!("class=\"{}xx\",listener=\"inference\",}} 1.0", status / 100);
        assert!(counted.contains(&class), "{counted}");
        let body = to_bytes(response.into_body()).await.map_err(Into::into);
        let body: Result<_, Box<dyn std::error::Error>> = body;
        (status, headers, body.unwrap().to_vec())
    }

    #[actix_web::test]
    async fn the_gate_and_the_layer_inside_answer_with_the_same_bytes_and_count_once() {
        let origin = |origin| ("origin", origin);
        let asks = |method| ("access-control-request-method", method);
        let names = |names| ("access-control-request-headers", names);
        let app = "https://app.example.com";
        for (method, request) in [
            ("OPTIONS", vec![origin(app), asks("POST")]),
            ("OPTIONS", vec![origin(app), asks("POST"), names("x-custom")]),
            ("OPTIONS", vec![origin(app), asks("POST"), names("x-other")]),
            ("OPTIONS", vec![origin(app), asks("BREW")]),
            ("OPTIONS", vec![origin(app), asks("")]),
            ("OPTIONS", vec![origin("https://a.example.org"), asks("POST")]),
            ("OPTIONS", vec![origin("https://evil.example"), asks("POST")]),
            ("OPTIONS", vec![origin("null"), asks("POST")]),
            ("OPTIONS", vec![origin(app), origin(app), asks("POST")]),
            (
                "OPTIONS",
                vec![origin(app), asks("PUT"), ("access-control-request-private-network", "true")],
            ),
            ("OPTIONS", vec![asks("POST")]),
            ("OPTIONS", vec![origin(app)]),
            ("POST", vec![origin(app), asks("POST")]),
            ("GET", vec![origin("https://evil.example")]),
        ] {
            let (with, without) =
                (ask(&request, method, true).await, ask(&request, method, false).await);
            assert_eq!(with, without, "{method} {request:?}");
        }
    }
}
