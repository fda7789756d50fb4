//! Who is told of decisions, and in what words: counters, logs, traces.
//!
//! Called by `middleware.rs`, on the reactor: an observer must not wait.

use std::time::Duration;

use super::{
    cross_site,
    decision::{Decision, Kind, Reason, Verdict},
    facts::RequestFacts,
    listener::ListenerPolicy,
    policy::CorsPolicy,
    wire::{HeaderMap, StatusCode},
};

/// Is told of every decision; counts, logs, traces.
pub trait CorsObserver: Send + Sync + 'static {
    /// A decision was taken.
    fn decided(&self, taken: &Taken<'_>) {
        let _ = taken;
    }

    /// The answer is complete: its status, its headers and how many `Access-Control-*` lines of
    /// inner layers were removed from it (B23). Not called for errors, whose response does not
    /// exist yet.
    fn answered(&self, policy: &CorsPolicy, decision: &Decision, response: &AnswerFacts<'_>) {
        let _ = (policy, decision, response);
    }
}

/// The observer that does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

/// What an observer learns of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Taken<'a> {
    /// The policies of the listener.
    pub listener: &'a ListenerPolicy,
    /// The one that applies.
    pub policy: &'a CorsPolicy,
    /// What was decided.
    pub decision: &'a Decision,
    /// The request's, for what a counter or a log needs besides.
    pub facts: &'a RequestFacts<'a>,
}

/// What an observer learns of an answer.
#[derive(Clone, Copy, Debug)]
pub struct AnswerFacts<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its headers as sent; none of a preflight's, which its policy says.
    pub headers: Option<&'a HeaderMap>,
    /// `Access-Control-*` lines of inner layers that were removed.
    pub stripped: usize,
    /// The request had an origin and a cookie or an authorization.
    pub credentialed: bool,
    /// How long a preflight took, where it was answered here.
    pub took: Option<Duration>,
}

/// The decision on a request, in its extensions for the access log. Requests that are not CORS and
/// are served have none.
#[derive(Clone, Copy, Debug)]
pub struct CorsOutcome {
    /// What the request was to CORS.
    pub kind: Kind,
    /// The outcome.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
}

impl CorsObserver for Unobserved {}

// === impl Taken ===

impl Taken<'_> {
    /// Nothing is kept from the page: it is one of this server's own, which reads the answer without a
    /// grant. Its browser says `Origin` when it writes, and for a module script.
    pub fn is_of_own_page(&self) -> bool {
        self.decision.kind == Kind::Actual
            && self.decision.verdict == Verdict::Denied
            && cross_site::is_same_site(self.policy, self.facts)
    }
}

// === impl CorsOutcome ===

impl CorsOutcome {
    pub(super) fn of(decision: &Decision) -> Self {
        let &Decision { kind, verdict, reason, .. } = decision;
        Self { kind, verdict, reason }
    }
}
