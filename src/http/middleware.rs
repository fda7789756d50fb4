//! The outermost layer: request id, TorchServe's headers on every answer, the counters and one line
//! in the access log a request.
//!
//! Outside CORS, so that refused preflights are logged and counted too. It never refuses anything.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, EXPIRES, HeaderMap, HeaderValue, PRAGMA,
    X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{Method, StatusCode};
use actix_web::{Error, HttpMessage};
use pin_project_lite::pin_project;

use super::access_log::{AccessLine, Asked, allowed};
use super::request_id::{RequestId, X_REQUEST_ID};
use super::traced::TraceId;
use crate::cors::CorsOutcome;
use crate::metrics::{Metrics, ResponseCounters};

/// Counts, names and logs every request of one listener.
#[derive(Clone)]
pub struct AccessLog {
    listener: &'static str,
    responses: ResponseCounters,
    enabled: bool,
}

/// The service that [`AccessLog`] makes.
pub struct AccessLogService<S> {
    inner: S,
    log: Rc<AccessLog>,
}

pin_project! {
    /// A request under way.
    pub struct AccessLogFuture<F> {
        #[pin]
        inner: F,
        log: Rc<AccessLog>,
        request_id: RequestId,
        preflight: bool,
        started: Instant,
    }
}

// === impl AccessLog ===

impl AccessLog {
    /// For the listener of this name (`inference`, `management` or `metrics`); with `enabled` each
    /// request is logged. To be made by the thread that will use it.
    pub fn new(listener: &'static str, metrics: &Metrics, enabled: bool) -> AccessLog {
        AccessLog { listener, responses: metrics.responses(listener), enabled }
    }

    /// Counts and logs a preflight that was answered before the application. Returns its id, for the
    /// answer; it has one only where there is a line to find by it. `ids`: what the client says.
    pub(super) fn preflight(
        &self,
        asked: Asked<'_>,
        ids: &[HeaderValue],
        (status, allowed): (StatusCode, Option<&HeaderValue>),
        outcome: CorsOutcome,
    ) -> Option<RequestId> {
        self.responses.count(status.as_u16());
        if !self.enabled {
            return None;
        }
        let (started, request_id) = (Instant::now(), RequestId::said(ids));
        let line = AccessLine {
            listener: self.listener,
            asked,
            request_id: &request_id,
            status,
            allowed,
            cors: Some(outcome),
            trace_id: None,
            started,
        };
        line.write();
        Some(request_id)
    }
}

impl<S, B> Transform<S, ServiceRequest> for AccessLog
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Transform = AccessLogService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, Self::InitError>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(AccessLogService { inner, log: Rc::new(self.clone()) }))
    }
}

// === impl AccessLogService ===

impl<S, B> Service<ServiceRequest> for AccessLogService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Future = AccessLogFuture<S::Future>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let started = Instant::now();
        let headers = request.headers();
        let request_id = RequestId::choose(headers);
        let preflight = request.method() == Method::OPTIONS
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        request.extensions_mut().insert(request_id.clone());
        AccessLogFuture {
            inner: self.inner.call(request),
            log: Rc::clone(&self.log),
            request_id,
            preflight,
            started,
        }
    }
}

// === impl AccessLogFuture ===

impl<F, B> Future for AccessLogFuture<F>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // An error of an inner layer becomes its response here: the headers are on it, too.
        let mut response = ready!(this.inner.poll(context))?;
        let headers = response.headers_mut();
        headers.insert(X_REQUEST_ID, this.request_id.value());
        if !*this.preflight {
            forbid_storing(headers);
        }
        let status = response.status();
        this.log.responses.count(status.as_u16());
        if this.log.enabled {
            let request = response.request();
            let extensions = request.extensions();
            let cors = extensions.get::<CorsOutcome>().copied();
            let trace_id = extensions.get::<TraceId>().map(|TraceId(id)| id.as_str());
            AccessLine {
                listener: this.log.listener,
                asked: request.head().into(),
                request_id: this.request_id,
                status,
                allowed: allowed(response.headers()),
                cors,
                trace_id,
                started: *this.started,
            }
            .write();
        }
        Poll::Ready(Ok(response))
    }
}

/// TorchServe's three headers (with a comma where it has a semicolon), and that nobody guesses at
/// the media type.
fn forbid_storing(headers: &mut HeaderMap) {
    const NO_STORE: &str = "no-cache, no-store, must-revalidate, private";
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
    headers.insert(EXPIRES, HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 UTC"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
