//! Is told of each decision by one thread: counts it, samples it for the log, traces it.
//!
//! On the way of every request: nothing here waits, and a request that is allowed allocates nothing.

use std::sync::Arc;

use rustix::time::{ClockId, clock_gettime};

use super::denial_log;
use super::denials::Refused;
use super::exposure;
use super::thread_counts::{ThreadCounts, add};
use crate::cors::{
    AnswerFacts, CorsObserver, CorsPolicy, Decision, DecisionLog, Kind, Mode, Slot, Taken, Verdict,
};

/// The observer of one thread.
pub struct ThreadObserver {
    /// Which of the policies' numbers are this thread's.
    number: usize,
    counts: Arc<ThreadCounts>,
    /// The foreign origin of our own self-test: counted, and no news.
    canary: Arc<str>,
}

// === impl ThreadObserver ===

impl ThreadObserver {
    pub(super) fn new(number: usize, counts: Arc<ThreadCounts>, canary: Arc<str>) -> Self {
        Self { number, counts, canary }
    }

    fn refused(&self, taken: &Taken<'_>, slot: Option<Slot>, now: u32) {
        let (policy, decision) = (taken.policy, taken.decision);
        let origin = taken.facts.origin().unwrap_or_default();
        if origin == self.canary.as_bytes() || taken.is_of_own_page() {
            return;
        }
        let reason = denial_log::real_reason(decision);
        let detail = denial_log::detail(taken);
        self.counts.refused(&Refused {
            listener: policy.listener(),
            kind: decision.kind,
            reason,
            listed: decision.entry.is_some(),
            origin,
            detail,
            now,
        });
        let times = policy.tally().map_or(1, |tally| {
            tally.origins().count_refusal(reason, slot.unwrap_or(Slot::UNLISTED))
        });
        if policy.spec().log == DecisionLog::Denied && times.is_power_of_two() {
            denial_log::write(taken, detail, Some(times));
        }
    }

    /// What the candidate says, where it says something else.
    fn compare(&self, taken: &Taken<'_>) {
        let counts = self.counts.of(taken.policy.listener());
        let decision = taken.decision;
        let (now, then) = if taken.policy.spec().mode == Mode::Shadow {
            // Nothing is enforced: what would be refused passes, and no answer is shared.
            match decision.verdict {
                Verdict::Denied => (true, false),
                Verdict::Allowed => (false, true),
                _ => return,
            }
        } else {
            let Some(candidate) = taken.listener.candidate() else { return };
            if decision.kind == Kind::None {
                return;
            }
            let (policy, candidate) = candidate.decide(taken.facts);
            // A candidate that is off, or itself a shadow, would share nothing.
            let shares = policy.is_on() && candidate.verdict == Verdict::Allowed;
            (decision.verdict == Verdict::Allowed && decision.shadow.is_none(), shares)
        };
        if now != then {
            add(&counts.shadow[usize::from(then)], 1);
        }
    }
}

impl CorsObserver for ThreadObserver {
    fn decided(&self, taken: &Taken<'_>) {
        let (policy, decision) = (taken.policy, taken.decision);
        // Of a request that no page sends, only a refusal is of interest: that of its `Host`.
        let is_of_interest = decision.kind != Kind::None || decision.verdict == Verdict::Blocked;
        let now = if is_of_interest { coarse_now() } else { 0 };
        let slot = policy.tally().and_then(|tally| tally.count(self.number, decision, now));
        if !is_of_interest {
            return;
        }
        let span = span(taken);
        let _entered = span.enter();
        if policy.spec().mode == Mode::Shadow || taken.listener.candidate().is_some() {
            self.compare(taken);
        }
        if denial_log::is_refusal(decision) {
            self.refused(taken, slot, now);
        }
        if policy.spec().log == DecisionLog::All {
            denial_log::write(taken, denial_log::detail(taken), None);
        }
    }

    fn answered(&self, policy: &CorsPolicy, decision: &Decision, answer: &AnswerFacts<'_>) {
        let counts = self.counts.of(policy.listener());
        if let Some(took) = answer.took {
            counts.preflight(took);
            return;
        }
        if decision.kind == Kind::Preflight {
            // In shadow mode the router answered it.
            return;
        }
        counts.answered(decision.verdict, answer.status.as_u16(), answer.credentialed);
        if answer.stripped > 0 {
            add(&counts.stripped, 1);
        }
        let is_shared = decision.verdict == Verdict::Allowed && decision.shadow.is_none();
        if decision.kind == Kind::Actual
            && is_shared
            && let Some(headers) = answer.headers
        {
            let names = headers.keys().map(|name| name.as_str());
            exposure::hidden(names, &policy.spec().exposed, |at| add(&counts.unexposed[at], 1));
        }
    }
}

/// Costs nothing where nobody traces at this level. A preflight is a trace of its own: it belongs to
/// no other request that this server knows.
fn span(taken: &Taken<'_>) -> tracing::Span {
    let Taken { listener, policy, decision, .. } = taken;
    macro_rules! span {
        ($($start:tt)*) => {
            tracing::debug_span!(
                target: "torchfront::cors",
                $($start)*,
                cors.kind = decision.kind.as_str(),
                cors.decision = decision.verdict.as_str(),
                cors.reason = decision.reason.as_str(),
                cors.policy = &**policy.label(),
                cors.policy_hash = &**listener.hash(),
            )
        };
    }
    match decision.kind {
        Kind::Preflight => span!(parent: None, "OPTIONS preflight"),
        Kind::Actual | Kind::None => span!("cors"),
    }
}

/// Seconds of Unix time, to some milliseconds: the kernel's last tick, which is cheap to read.
fn coarse_now() -> u32 {
    u32::try_from(clock_gettime(ClockId::RealtimeCoarse).tv_sec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Debug;
    use std::sync::Mutex;

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id};
    use tracing::subscriber::with_default;
    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::super::LiveCors;
    use super::*;
    use crate::cors::{
        HeaderName, HeaderValue, Listener, ListenerFacts, Method, RequestSketch, Setting, compile,
    };
    use crate::metrics::Metrics;

    const APP: &str = "https://app.example.com";
    const ORIGIN: HeaderName = HeaderName::from_static("origin");
    const ASKS: HeaderName = HeaderName::from_static("access-control-request-method");

    /// Name, name of the span around it, and fields of each span.
    type Seen = Vec<(&'static str, Option<&'static str>, BTreeMap<&'static str, String>)>;

    /// What a subscriber sees of spans.
    #[derive(Clone, Default)]
    struct Spans(Arc<Mutex<Seen>>);

    struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

    impl Visit for Fields<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.0.insert(field.name(), format!("{value:?}"));
        }

        fn record_str(&mut self, field: &Field, value: &str) {
            self.0.insert(field.name(), value.to_owned());
        }
    }

    impl Layer<Registry> for Spans {
        fn on_new_span(&self, span: &Attributes<'_>, _: &Id, context: Context<'_, Registry>) {
            let mut fields = BTreeMap::new();
            span.record(&mut Fields(&mut fields));
            let around = if span.is_contextual() { context.lookup_current() } else { None };
            let around = around.map(|around| around.name());
            self.0.lock().unwrap().push((span.metadata().name(), around, fields));
        }
    }

    /// The spans of these requests, each decided inside a request's own span; and the policy's hash.
    fn spans(requests: &[RequestSketch]) -> (Seen, String) {
        let line = Setting::in_file("cors.allowed.origin", APP, "config.properties", 1);
        let policies = compile(&[line], &ListenerFacts::default()).policies.unwrap();
        let live = LiveCors::fixed(policies, &Metrics::new("host").unwrap()).unwrap();
        let listener = live.handle(Listener::Inference).current();
        let seen = Spans::default();
        with_default(tracing_subscriber::registry().with(seen.clone()), || {
            let observer = live.observer();
            for request in requests {
                let _request = tracing::info_span!("request").entered();
                let facts = request.facts();
                let (policy, decision) = listener.decide(&facts);
                observer.decided(&Taken {
                    listener: &listener,
                    policy,
                    decision: &decision,
                    facts: &facts,
                });
            }
        });
        let seen = std::mem::take(&mut *seen.0.lock().unwrap());
        let own = seen.into_iter().filter(|(name, ..)| *name != "request").collect();
        (own, listener.hash().to_string())
    }

    fn from_page(method: Method, origin: &'static str) -> RequestSketch {
        let request = RequestSketch::new(method, "/predictions/mlp");
        request.header(ORIGIN, HeaderValue::from_static(origin))
    }

    #[test]
    fn a_preflight_is_a_trace_of_its_own_and_an_actual_request_a_part_of_its_requests() {
        let asks = |method| HeaderValue::from_static(method);
        let (seen, hash) = spans(&[
            from_page(Method::OPTIONS, APP).header(ASKS, asks("POST")),
            from_page(Method::OPTIONS, APP).header(ASKS, asks("BREW")),
            from_page(Method::POST, APP),
            from_page(Method::POST, "https://evil.example"),
        ]);
        let expected = [
            ("OPTIONS preflight", None, "preflight", "allowed", "ok"),
            ("OPTIONS preflight", None, "preflight", "denied", "method_not_listed"),
            ("cors", Some("request"), "actual", "allowed", "ok"),
            ("cors", Some("request"), "actual", "denied", "origin_not_listed"),
        ];
        assert_eq!(seen.len(), expected.len(), "{seen:?}");
        for ((name, around, fields), expected) in seen.iter().zip(expected) {
            let (own, parent, kind, decision, reason) = expected;
            assert_eq!((*name, *around), (own, parent));
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
            let expected = [
                ("cors.decision", decision),
                ("cors.kind", kind),
                ("cors.policy", "inference"),
                ("cors.policy_hash", &*hash),
                ("cors.reason", reason),
            ];
            assert_eq!(fields, expected);
        }
    }

    #[test]
    fn what_a_page_of_our_own_loads_is_no_refusal() {
        let line = Setting::in_file("cors.allowed.origin", APP, "config.properties", 1);
        let policies = compile(&[line], &ListenerFacts::default()).policies.unwrap();
        let live = LiveCors::fixed(policies, &Metrics::new("host").unwrap()).unwrap();
        let listener = live.handle(Listener::Inference).current();
        let observer = live.observer();
        let on_host = |origin| {
            let host = HeaderValue::from_static("models.example:8080");
            from_page(Method::GET, origin).header(HeaderName::from_static("host"), host)
        };
        let site = HeaderName::from_static("sec-fetch-site");
        for request in [
            on_host("http://models.example:8080"),
            on_host("http://other.example")
                .header(site.clone(), HeaderValue::from_static("same-origin")),
            on_host("http://other.example").header(site, HeaderValue::from_static("same-site")),
            on_host("http://models.example:8081"),
        ] {
            let facts = request.facts();
            let (policy, decision) = listener.decide(&facts);
            let (listener, decision, facts) = (&listener, &decision, &facts);
            observer.decided(&Taken { listener, policy, decision, facts });
        }
        let mut denied: Vec<String> =
            live.telemetry().denials().denied.into_iter().map(|denial| denial.origin).collect();
        denied.sort();
        assert_eq!(denied, ["http://models.example:8081", "http://other.example"]);
    }

    #[test]
    fn a_request_of_no_page_has_no_span_of_cors() {
        let (seen, _) = spans(&[RequestSketch::new(Method::POST, "/predictions/mlp")]);
        assert!(seen.is_empty(), "{seen:?}");
    }
}
