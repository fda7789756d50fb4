//! The outermost layer: request id, TorchServe's headers on every answer, the counters and one line
//! in the access log a request.
//!
//! Outside CORS, so that refused preflights are logged and counted too. It never refuses anything.

use std::fmt;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, EXPIRES, HeaderMap, HeaderName, HeaderValue,
    ORIGIN, PRAGMA, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{Error, HttpMessage, HttpRequest};
use pin_project_lite::pin_project;
use uuid::Uuid;

use crate::cors::CorsOutcome;
use crate::metrics::{Metrics, ResponseCounters};

/// TorchServe's header, and the one that clients may send.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters of a client's own request id.
const MAX_REQUEST_ID: usize = 128;
/// Characters of a path or an origin in a log line.
const MAX_LOGGED: usize = 256;

/// Counts, names and logs every request of one listener.
#[derive(Clone)]
pub struct AccessLog {
    listener: &'static str,
    responses: ResponseCounters,
    enabled: bool,
}

/// The id of a request: the client's own if it is sound, else a new UUID.
#[derive(Clone)]
pub(super) struct RequestId(HeaderValue);

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
        request_id: HeaderValue,
        preflight: bool,
        started: Instant,
    }
}

// === impl RequestId ===

impl RequestId {
    /// The id that the layer gave to this request.
    pub(super) fn of(request: &HttpRequest) -> RequestId {
        let given = request.extensions().get::<RequestId>().cloned();
        given.unwrap_or_else(RequestId::new)
    }

    fn new() -> RequestId {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let text: &str = Uuid::new_v4().hyphenated().encode_lower(&mut text);
        RequestId(HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("none")))
    }

    /// The client's id when it is 1 to 128 of `A-Z a-z 0-9 - _ .`, so that it cannot break a log
    /// line or a header.
    fn from_client(headers: &HeaderMap) -> Option<RequestId> {
        let mut values = headers.get_all(X_REQUEST_ID);
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let sound = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let length_fits = (1..=MAX_REQUEST_ID).contains(&value.len());
        (length_fits && value.as_bytes().iter().all(sound)).then(|| RequestId(value.clone()))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

// === impl AccessLog ===

impl AccessLog {
    /// For the listener of this name (`inference`, `management` or `metrics`); with `enabled` each
    /// request is logged.
    pub fn new(listener: &'static str, metrics: &Metrics, enabled: bool) -> AccessLog {
        AccessLog { listener, responses: metrics.responses(listener), enabled }
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
        let request_id = RequestId::from_client(headers).unwrap_or_else(RequestId::new);
        let preflight = request.method() == Method::OPTIONS
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        request.extensions_mut().insert(request_id.clone());
        AccessLogFuture {
            inner: self.inner.call(request),
            log: Rc::clone(&self.log),
            request_id: request_id.0,
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
        headers.insert(X_REQUEST_ID, this.request_id.clone());
        if !*this.preflight {
            forbid_storing(headers);
        }
        let status = response.status().as_u16();
        this.log.responses.count(status);
        if this.log.enabled {
            write_line(&response, this.log.listener, this.request_id, *this.started);
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

/// One line. What the client wrote is escaped and cut; no query (it may hold a secret), no cookie,
/// no token.
fn write_line<B>(
    response: &ServiceResponse<B>,
    listener: &'static str,
    request_id: &HeaderValue,
    started: Instant,
) {
    let request = response.request();
    let origin = request.headers().get(ORIGIN).map(|origin| Logged(origin.as_bytes()));
    let extensions = request.extensions();
    let cors = extensions.get::<CorsOutcome>().map(CorsWords);
    let peer = request.peer_addr();
    tracing::info!(
        target: "access_log",
        listener,
        method = %Logged(request.method().as_str().as_bytes()),
        path = %Logged(request.path().as_bytes()),
        status = response.status().as_u16(),
        ms = started.elapsed().as_secs_f64() * 1e3,
        request_id = request_id.to_str().unwrap_or_default(),
        peer = peer.map(tracing::field::display),
        origin = origin.map(tracing::field::display),
        cors = cors.map(tracing::field::display),
    );
}

/// `kind/verdict/reason`.
struct CorsWords<'a>(&'a CorsOutcome);

impl fmt::Display for CorsWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CorsOutcome { kind, verdict, reason, .. } = self.0;
        write!(f, "{}/{}/{}", kind.as_str(), verdict.as_str(), reason.as_str())
    }
}

/// Bytes of a client, safe to write into a log line.
struct Logged<'a>(&'a [u8]);

impl fmt::Display for Logged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = &self.0[..self.0.len().min(MAX_LOGGED)];
        write!(f, "{}", cut.escape_ascii())?;
        if cut.len() < self.0.len() {
            f.write_str("...")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn from_client(values: &[&str]) -> Option<String> {
        let mut request = TestRequest::default();
        for value in values {
            request = request.append_header((X_REQUEST_ID, *value));
        }
        RequestId::from_client(request.to_http_request().headers()).map(|id| id.to_string())
    }

    #[test]
    fn keeps_a_sound_request_id_and_no_other() {
        assert_eq!(from_client(&["abc-1_2.3"]).as_deref(), Some("abc-1_2.3"));
        for unsound in [&["a b"][..], &["a;b"], &[""], &["a", "b"], &[&"x".repeat(129)], &[]] {
            assert_eq!(from_client(unsound), None, "{unsound:?}");
        }
        assert_eq!(RequestId::new().to_string().len(), 36);
    }

    #[test]
    fn a_logged_value_stays_on_one_line() {
        assert_eq!(Logged(b"a\r\nb\x1b[31m").to_string(), "a\\r\\nb\\x1b[31m");
        assert_eq!(Logged(&[b'x'; 300]).to_string().len(), MAX_LOGGED + 3);
    }
}
