//! The layer that asks for tokens: inside CORS, in front of the routes.
//!
//! Preflights end in the CORS layer and never come here. A refusal is an answer like any other
//! (`Ok`), so that the layers outside finish it: a page reads it where CORS lets it. What a path
//! needs and how a refusal is written is given by the room `http`.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready as poll_ready};
use std::time::SystemTime;

use actix_web::Error;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{RequestHead, Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::header::{AUTHORIZATION, HeaderValue, ORIGIN};
use futures_util::future::LocalBoxFuture;
use pin_project_lite::pin_project;

use super::{Access, Refusal, TokenAuthorization};

/// Asks for a token where one is needed; to be given to `App::wrap` before the CORS layer.
#[derive(Clone)]
pub struct TokenCheck {
    /// The keys; none when token authorization is off.
    pub authorization: Option<Arc<TokenAuthorization>>,
    /// What a path of this listener needs.
    pub access: fn(&str) -> Access,
    /// Answers a request that is not let in, and sees to its body.
    pub refuse: fn(Refusal, ServiceRequest) -> LocalBoxFuture<'static, ServiceResponse>,
}

/// [`TokenCheck`] in front of a service.
pub struct TokenCheckService<S> {
    service: S,
    check: TokenCheck,
}

pin_project! {
    /// The answer of [`TokenCheckService`].
    #[project = TokenCheckProjection]
    #[must_use = "futures do nothing unless polled"]
    pub enum TokenCheckFuture<F> {
        /// Not let in.
        Refused { answer: LocalBoxFuture<'static, ServiceResponse> },
        /// The inner service is at work.
        Inner { #[pin] inner: F },
    }
}

// === impl TokenCheck ===

impl TokenCheck {
    fn judge(&self, head: &RequestHead) -> Result<(), Refusal> {
        let Some(authorization) = &self.authorization else { return Ok(()) };
        let scope = match (self.access)(head.uri.path()) {
            Access::Open => return Ok(()),
            Access::OpenToProbes(_) if !head.headers.contains_key(ORIGIN) => return Ok(()),
            Access::OpenToProbes(scope) | Access::Key(scope) => scope,
        };
        let values = head.headers.get_all(AUTHORIZATION).map(HeaderValue::as_bytes);
        authorization.authorize(scope, values, SystemTime::now())
    }
}

impl<S, B> Transform<S, ServiceRequest> for TokenCheck
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = TokenCheckService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, Self::InitError>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(TokenCheckService { service, check: self.clone() }))
    }
}

// === impl TokenCheckService ===

impl<S, B> Service<ServiceRequest> for TokenCheckService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = TokenCheckFuture<S::Future>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        match self.check.judge(request.head()) {
            Ok(()) => TokenCheckFuture::Inner { inner: self.service.call(request) },
            Err(refusal) => {
                TokenCheckFuture::Refused { answer: (self.check.refuse)(refusal, request) }
            }
        }
    }
}

// === impl TokenCheckFuture ===

impl<F, B> Future for TokenCheckFuture<F>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
    B: MessageBody,
{
    type Output = Result<ServiceResponse<EitherBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            TokenCheckProjection::Refused { answer } => {
                let response = poll_ready!(answer.as_mut().poll(context));
                Poll::Ready(Ok(response.map_into_right_body()))
            }
            TokenCheckProjection::Inner { inner } => {
                let response = poll_ready!(inner.poll(context))?;
                Poll::Ready(Ok(response.map_into_left_body()))
            }
        }
    }
}
