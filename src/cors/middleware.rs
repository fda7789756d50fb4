//! The decision core as actix middleware, to be wrapped outside of everything but the access log.
//!
//! Preflights and blocked requests are answered here and reach nothing else: no authentication, no
//! queue, no router (B19, B20). Every other answer is finished on its way out, errors of inner
//! layers included (B22). No future is boxed. A server asks [`Cors::answer_preflight`] before it
//! enters the application at all, or [`Cors::grant_preflight`] before it has a request; all ways give
//! the same answer.

use std::{
    future::{Future, Ready, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready as poll_ready},
    time::Instant,
};

use actix_web::{
    Error, HttpMessage, HttpResponse,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{RequestHead, Service, ServiceRequest, ServiceResponse, Transform},
};
use pin_project_lite::pin_project;

use super::{
    answer::Answer,
    decide::decide,
    decision::{Action, AllowOrigin, Decision, Kind, Verdict},
    facts::RequestFacts,
    listener::{Listener, ListenerPolicies, ListenerPolicy},
    observer::{AnswerFacts, CorsObserver, CorsOutcome, Taken, Unobserved},
    path,
    policy::CorsPolicy,
    policy_handle::PolicyHandle,
    wire::{Method, StatusCode},
};

/// What one socket serves.
#[derive(Clone, Debug)]
enum Apis {
    One(PolicyHandle),
    /// All of them: the path tells which (B33).
    Shared {
        inference: PolicyHandle,
        management: PolicyHandle,
        metrics: PolicyHandle,
    },
}

/// The middleware, to be given to `App::wrap` last but for the access log.
#[derive(Clone)]
pub struct Cors {
    apis: Apis,
    observer: Arc<dyn CorsObserver>,
}

/// Put into the extensions of a request by a handler that found its model elsewhere than in the
/// target (the body of `/invocations`): the answer is then finished under that model's policy.
#[derive(Clone, Debug)]
pub struct ServedModel(pub String);

/// In the extensions of a request whose target may not name its model, where models have policies of
/// their own.
#[derive(Clone, Debug)]
pub struct ModelPolicies(Arc<ListenerPolicy>);

/// [`Cors`] in front of a service.
#[derive(Clone)]
pub struct CorsService<S> {
    service: S,
    cors: Cors,
}

pin_project! {
    /// The answer of [`CorsService`].
    #[project = CorsFutureProjection]
    #[must_use = "futures do nothing unless polled"]
    pub enum CorsFuture<F, B> {
        /// Answered here.
        Answered { response: Option<ServiceResponse<EitherBody<B>>> },
        /// The inner service is at work.
        Inner {
            #[pin]
            inner: F,
            decided: Option<Decided>,
        },
    }
}

/// A preflight that was granted.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Of the answer, which has no body.
    pub status: StatusCode,
    /// What the answer says about the origin.
    pub allow_origin: AllowOrigin,
    /// For the access log.
    pub outcome: CorsOutcome,
}

/// What an observer is told of an answer that is given at once.
struct Answering {
    started: Instant,
    credentialed: bool,
}

/// What is needed to finish an answer.
pub struct Decided {
    decision: Decision,
    policy: Arc<CorsPolicy>,
    credentialed: bool,
    observer: Arc<dyn CorsObserver>,
}

// === impl Cors ===

impl Cors {
    /// For a socket that serves one API.
    pub fn new(policy: impl Into<PolicyHandle>) -> Self {
        Self { apis: Apis::One(policy.into()), observer: Arc::new(Unobserved) }
    }

    /// For a socket that serves all of them: each path falls under its API's policy.
    pub fn shared(
        inference: impl Into<PolicyHandle>,
        management: impl Into<PolicyHandle>,
        metrics: impl Into<PolicyHandle>,
    ) -> Self {
        let apis = Apis::Shared {
            inference: inference.into(),
            management: management.into(),
            metrics: metrics.into(),
        };
        Self { apis, observer: Arc::new(Unobserved) }
    }

    /// [`Cors::shared`] with policies that are never replaced.
    pub fn shared_fixed(policies: &ListenerPolicies) -> Self {
        Self::shared(
            Arc::clone(&policies.inference),
            Arc::clone(&policies.management),
            Arc::clone(&policies.metrics),
        )
    }

    /// The same, counted and logged by this observer.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn CorsObserver>) -> Self {
        Self { observer, ..self }
    }

    /// The answer to a preflight, where this layer gives it; none for every other request, and
    /// while no policy applies.
    pub fn answer_preflight(&self, request: &RequestHead) -> Option<(HttpResponse, CorsOutcome)> {
        if request.method != Method::OPTIONS {
            return None;
        }
        let started = Instant::now();
        let listener = self.handle(request.uri.path()).load();
        let facts = RequestFacts::from(request);
        let (policy, decision) = listener.decide(&facts);
        if decision.kind != Kind::Preflight || decision.action == Action::Pass {
            return None;
        }
        self.observer.decided(&Taken {
            listener: &listener,
            policy,
            decision: &decision,
            facts: &facts,
        });
        let answering = Answering { started, credentialed: false };
        let response = answer(policy, &decision, answering, &*self.observer);
        Some((response, CorsOutcome::of(&decision)))
    }

    /// Appends the header lines of the answer to a preflight, where it is granted. None for every other
    /// request: nothing is written then, and nobody has been told of it.
    pub fn grant_preflight(&self, facts: &RequestFacts<'_>, lines: &mut Vec<u8>) -> Option<Grant> {
        let started = Instant::now();
        let listener = self.handle(facts.path).load();
        let (policy, decision) = listener.decide(facts);
        if decision.kind != Kind::Preflight || decision.action != Action::Grant {
            return None;
        }
        self.observer.decided(&Taken { listener: &listener, policy, decision: &decision, facts });
        policy.write_grant(&decision, lines);
        let status = policy.preflight_status();
        let (stripped, credentialed, took) = (0, false, Some(started.elapsed()));
        let facts = AnswerFacts { status, headers: None, stripped, credentialed, took };
        self.observer.answered(policy, &decision, &facts);
        let outcome = CorsOutcome::of(&decision);
        Some(Grant { status, allow_origin: decision.allow_origin, outcome })
    }

    fn handle(&self, path: &str) -> &PolicyHandle {
        match &self.apis {
            Apis::One(handle) => handle,
            Apis::Shared { inference, management, metrics } => match path::api_of_path(path) {
                Listener::Inference => inference,
                Listener::Management => management,
                Listener::Metrics => metrics,
            },
        }
    }
}

impl std::fmt::Debug for Cors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cors").field("apis", &self.apis).finish_non_exhaustive()
    }
}

impl<S, B> Transform<S, ServiceRequest> for Cors
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = CorsService<S>;
    type InitError = ();
    type Future = Ready<Result<CorsService<S>, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(CorsService { service, cors: self.clone() }))
    }
}

// === impl ModelPolicies ===

impl ModelPolicies {
    /// True when the policy of this model refuses the request: nothing more need be done for it, the
    /// refusal takes the place of whatever is answered to a [`ServedModel`].
    pub fn refuse(&self, request: &RequestHead, model: &str) -> bool {
        let policy = self.0.select(Some(model), request.uri.path());
        decide(policy, &RequestFacts::from(request)).action != Action::Pass
    }
}

// === impl CorsService ===

impl<S, B> Service<ServiceRequest> for CorsService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = CorsFuture<S::Future, B>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let started = Instant::now();
        let listener = self.cors.handle(request.head().uri.path()).load();
        let observer = &self.cors.observer;
        let (policy, decision, credentialed) = {
            let facts = RequestFacts::from(request.head());
            let (policy, decision) = listener.decide(&facts);
            let (listener, facts) = (&**listener, &facts);
            observer.decided(&Taken { listener, policy, decision: &decision, facts });
            let credentialed = decision.kind == Kind::Actual && facts.has_credentials();
            (Arc::clone(policy), decision, credentialed)
        };
        if decision.action == Action::Pass {
            if listener.has_overrides() && decision.verdict != Verdict::Blocked {
                request.extensions_mut().insert(ModelPolicies(Arc::clone(&listener)));
            }
            let decided =
                Decided { decision, policy, credentialed, observer: Arc::clone(observer) };
            decided.note(&request);
            return CorsFuture::Inner { inner: self.service.call(request), decided: Some(decided) };
        }
        let answering = Answering { started, credentialed };
        let response = answer(&policy, &decision, answering, &**observer);
        request.extensions_mut().insert(CorsOutcome::of(&decision));
        let response = request.into_response(response);
        CorsFuture::Answered { response: Some(response.map_into_right_body()) }
    }
}

/// The answer that is given at once.
fn answer(
    policy: &CorsPolicy,
    decision: &Decision,
    answering: Answering,
    observer: &dyn CorsObserver,
) -> HttpResponse {
    let mut response = HttpResponse::new(policy.preflight_status());
    let answer = policy.answer(decision, response.headers_mut());
    if let Some(Answer { status, body }) = answer {
        *response.status_mut() = status;
        if !body.is_empty() {
            response = response.set_body(BoxBody::new(body));
        }
    }
    let facts = AnswerFacts {
        status: response.status(),
        headers: (decision.kind != Kind::Preflight).then(|| response.headers()),
        stripped: 0,
        credentialed: answering.credentialed,
        took: (decision.kind == Kind::Preflight).then(|| answering.started.elapsed()),
    };
    observer.answered(policy, decision, &facts);
    response
}

// === impl CorsFuture ===

impl<F, B> Future for CorsFuture<F, B>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
    B: MessageBody,
{
    type Output = Result<ServiceResponse<EitherBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            CorsFutureProjection::Answered { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                // Polled after completion: there is nothing more to say.
                None => Poll::Pending,
            },
            CorsFutureProjection::Inner { inner, decided } => {
                let result = poll_ready!(inner.poll(cx));
                let Some(decided) = decided.take() else { return Poll::Pending };
                Poll::Ready(match result {
                    Ok(response) => Ok(decided.finish(response)),
                    Err(error) => Err(decided.finish_error(error)),
                })
            }
        }
    }
}

// === impl Decided ===

impl Decided {
    /// Leaves the outcome for the access log, where there is one to leave.
    fn note(&self, request: &ServiceRequest) {
        if self.decision.kind != Kind::None {
            request.extensions_mut().insert(CorsOutcome::of(&self.decision));
        }
    }

    fn finish<B>(mut self, mut response: ServiceResponse<B>) -> ServiceResponse<EitherBody<B>> {
        self.follow_model(response.request());
        if self.decision.action != Action::Pass {
            let outcome = CorsOutcome::of(&self.decision);
            response.request().extensions_mut().insert(outcome);
            let answering = Answering { started: Instant::now(), credentialed: self.credentialed };
            let refusal = answer(&self.policy, &self.decision, answering, &*self.observer);
            return response.into_response(refusal).map_into_right_body();
        }
        let stripped = self.policy.finish(&self.decision, response.headers_mut());
        let (status, headers) = (response.status(), Some(response.headers()));
        let credentialed = self.credentialed;
        let facts = AnswerFacts { status, headers, stripped, credentialed, took: None };
        self.observer.answered(&self.policy, &self.decision, &facts);
        response.map_into_left_body()
    }

    /// The response is made later, perhaps more than once, from the error (B22).
    fn finish_error(self, mut error: Error) -> Error {
        let Self { policy, decision, .. } = self;
        error.add_response_mapper(move |mut response| {
            policy.finish(&decision, response.headers_mut());
            response
        });
        error
    }

    /// Decides again under the policy of the model that was served, where the target did not name
    /// it.
    fn follow_model(&mut self, request: &actix_web::HttpRequest) {
        let extensions = request.extensions();
        let Some(ModelPolicies(listener)) = extensions.get::<ModelPolicies>() else { return };
        let Some(ServedModel(model)) = extensions.get::<ServedModel>() else { return };
        let policy = listener.select(Some(model), request.uri().path());
        if !Arc::ptr_eq(policy, &self.policy) {
            self.decision = decide(policy, &RequestFacts::from(request.head()));
            self.policy = Arc::clone(policy);
        }
    }
}
