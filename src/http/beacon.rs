//! `/cors/rum.js` and `/cors/report`: a layer in front of CORS and of tokens, as the pages that are
//! refused have something to say.
//!
//! A report is always answered with 204 and nothing else: the page does not read it.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_http::Payload;
use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, ORIGIN,
};
use actix_web::{Error, HttpResponse};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use pin_project_lite::pin_project;

use super::body;
use crate::cors_live::{LiveCors, MAX_REPORT_BYTES, Rejection};

/// The layer of a listener that serves predictions.
#[derive(Clone)]
pub struct Beacon {
    /// None on the other listeners.
    pub cors: Option<Arc<LiveCors>>,
}

/// The service that [`Beacon`] makes.
pub struct BeaconService<S> {
    inner: S,
    cors: Option<Arc<LiveCors>>,
}

pin_project! {
    /// The answer of [`BeaconService`].
    #[project = BeaconProjection]
    pub enum BeaconFuture<F, B> {
        /// Of the beacon.
        Own { answer: LocalBoxFuture<'static, ServiceResponse<EitherBody<B>>> },
        /// Of what is inside.
        Inside { #[pin] inner: F },
    }
}

/// What the beacon answers.
enum Asked {
    Script,
    Report,
}

/// Where the script is.
pub(super) const SCRIPT: &str = "/cors/rum.js";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

// === impl BeaconService ===

impl<S> BeaconService<S> {
    fn asked(&self, request: &ServiceRequest) -> Option<(Asked, &Arc<LiveCors>)> {
        let cors = self.cors.as_ref()?;
        let (beacon, path, method) = (cors.beacon(), request.path(), request.method());
        let asked = if path == beacon.path() && method == Method::POST {
            Asked::Report
        } else if path == SCRIPT && matches!(*method, Method::GET | Method::HEAD) {
            Asked::Script
        } else {
            return None;
        };
        if beacon.is_enabled() {
            return Some((asked, cors));
        }
        if matches!(asked, Asked::Report) {
            cors.reject_report(Rejection::Disabled);
        }
        None
    }
}

impl<S, B> Transform<S, ServiceRequest> for Beacon
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = BeaconService<S>;
    type InitError = ();
    type Future = Ready<Result<BeaconService<S>, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(BeaconService { inner, cors: self.cors.clone() }))
    }
}

impl<S, B> Service<ServiceRequest> for BeaconService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = BeaconFuture<S::Future, B>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let Some((asked, cors)) = self.asked(&request) else {
            return BeaconFuture::Inside { inner: self.inner.call(request) };
        };
        let cors = Arc::clone(cors);
        let answer = async move {
            let (request, mut payload) = request.into_parts();
            let response = match asked {
                Asked::Script => script(&cors),
                Asked::Report => {
                    // Why it is not counted, is counted.
                    let _rejected = take(&cors, request.headers(), &mut payload).await;
                    HttpResponse::NoContent().finish()
                }
            };
            body::drain(&mut payload).await;
            ServiceResponse::new(
                request,
                response.map_body(|_, body: BoxBody| EitherBody::right(body)),
            )
        };
        BeaconFuture::Own { answer: answer.boxed_local() }
    }
}

impl<F, B> Future for BeaconFuture<F, B>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
    B: MessageBody,
{
    type Output = Result<ServiceResponse<EitherBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            BeaconProjection::Own { answer } => answer.as_mut().poll(context).map(Ok),
            BeaconProjection::Inside { inner } => {
                let response = ready!(inner.poll(context))?;
                Poll::Ready(Ok(response.map_into_left_body()))
            }
        }
    }
}

/// Every page may load it, also with a hash of its content (SRI), which asks by CORS.
fn script(cors: &LiveCors) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/javascript; charset=utf-8"))
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((RESOURCE_POLICY, "cross-origin"))
        .body(cors.script())
}

/// Reads and counts one report.
async fn take(
    cors: &LiveCors,
    headers: &HeaderMap,
    payload: &mut Payload,
) -> Result<(), Rejection> {
    cors.admit_report()?;
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let declared = text(CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if declared.is_some_and(|length| length > MAX_REPORT_BYTES) {
        return Err(cors.reject_report(Rejection::Size));
    }
    let kind = text(CONTENT_TYPE).and_then(|kind| kind.split(';').next()).unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case("text/plain") {
        return Err(cors.reject_report(Rejection::Syntax));
    }
    let report = match body::read_short(payload, MAX_REPORT_BYTES).await {
        Ok(Some(report)) => report,
        Ok(None) => return Err(cors.reject_report(Rejection::Size)),
        Err(_) => return Err(cors.reject_report(Rejection::Syntax)),
    };
    let origin = headers.get(ORIGIN).map(|origin| origin.as_bytes());
    cors.count_report(origin, &report)
}
