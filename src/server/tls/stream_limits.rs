//! What one HTTP/2 connection may ask for at a time.
//!
//! HTTP/1.1 has these bounds in its parser: one request after the other, a head of limited size. An
//! HTTP/2 connection opens as many streams as it likes, each with a head that a few bytes on the wire
//! can make large; more than the bounds is answered at once, before the application is entered, so
//! that nothing of it is kept.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_http::{Request, Response, Version};
use actix_service::{Service, ServiceFactory};
use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::http::StatusCode;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use pin_project_lite::pin_project;

use crate::http::connection::{Answer, Entered, Progress};

/// In front of the application of an `https://` listener.
pub(super) struct StreamLimits<A>(pub(super) A);

/// One thread's [`StreamLimits`].
pub(super) struct LimitedService<S>(S);

pin_project! {
    /// The answer of [`LimitedService`].
    #[project = LimitedProjection]
    pub(super) enum LimitedFuture<F> {
        /// Too much was asked for.
        Refused { status: StatusCode },
        /// The application is at work.
        Inside { #[pin] application: F, entered: Option<Entered>, progress: Option<Progress> },
    }
}

pin_project! {
    /// An answer's body: with its end the request is no longer under way.
    pub(super) struct CountedBody<B> {
        #[pin]
        body: B,
        entered: Option<Entered>,
        // By when it must have been taken.
        answer: Option<Answer>,
    }
}

/// Bytes of a head, as HTTP/1.1's parser here takes them.
const MAX_HEAD: usize = 128 << 10;

// === impl StreamLimits ===

impl<A, B> ServiceFactory<Request> for StreamLimits<A>
where
    A: ServiceFactory<Request, Config = (), Response = Response<B>>,
    A::Future: 'static,
    A::Service: 'static,
    B: MessageBody,
{
    type Response = Response<EitherBody<CountedBody<B>>>;
    type Error = A::Error;
    type Config = ();
    type Service = LimitedService<A::Service>;
    type InitError = A::InitError;
    type Future = LocalBoxFuture<'static, Result<Self::Service, A::InitError>>;

    fn new_service(&self, (): ()) -> Self::Future {
        self.0.new_service(()).map(|made| made.map(LimitedService)).boxed_local()
    }
}

// === impl LimitedService ===

impl<S, B> Service<Request> for LimitedService<S>
where
    S: Service<Request, Response = Response<B>>,
    B: MessageBody,
{
    type Response = Response<EitherBody<CountedBody<B>>>;
    type Error = S::Error;
    type Future = LimitedFuture<S::Future>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&self, request: Request) -> Self::Future {
        if request.head().version != Version::HTTP_2 {
            let application = self.0.call(request);
            return LimitedFuture::Inside { application, entered: None, progress: None };
        }
        if head_size(&request) > MAX_HEAD {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return LimitedFuture::Refused { status };
        }
        let progress = request.conn_data::<Progress>().cloned();
        let entered = progress.as_ref().map(Progress::enter_stream);
        if let Some(None) = entered {
            return LimitedFuture::Refused { status: StatusCode::SERVICE_UNAVAILABLE };
        }
        let application = self.0.call(request);
        LimitedFuture::Inside { application, entered: entered.flatten(), progress }
    }
}

/// Bytes of the target and of the header lines.
fn head_size(request: &Request) -> usize {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let lines = request.head().headers.iter();
    target + lines.map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>()
}

// === impl LimitedFuture ===

impl<F, B, E> Future for LimitedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: MessageBody,
{
    type Output = Result<Response<EitherBody<CountedBody<B>>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            LimitedProjection::Refused { status } => {
                let response = Response::with_body(*status, BoxBody::new(""));
                Poll::Ready(Ok(response.map_body(|_, body| EitherBody::right(body))))
            }
            LimitedProjection::Inside { application, entered, progress } => {
                let response = ready!(application.poll(context))?;
                let entered = entered.take();
                Poll::Ready(Ok(response.map_body(|_, body| {
                    let bytes = match body.size() {
                        BodySize::Sized(bytes) => bytes,
                        BodySize::None | BodySize::Stream => 0,
                    };
                    let answer = progress.take().map(|progress| progress.answer(bytes));
                    EitherBody::left(CountedBody { body, entered, answer })
                })))
            }
        }
    }
}

// === impl CountedBody ===

impl<B: MessageBody> MessageBody for CountedBody<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.project().body.poll_next(context)
    }

    fn try_into_bytes(self) -> Result<Bytes, Self> {
        let CountedBody { body, entered, answer } = self;
        body.try_into_bytes().map_err(|body| CountedBody { body, entered, answer })
    }
}
