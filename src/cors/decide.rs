//! The decision: policy and request head in, [`Decision`] out. PURE, without allocation.
//!
//! A cross-origin request is allowed if its origin, its method and the names of its headers are:
//! all three are checked at the preflight, origin and method again on the request itself. The table
//! is in the documentation of [`cors`](super).

use super::{
    cross_site,
    decision::{Action, AllowOrigin, Decision, Kind, Reason, Verdict},
    facts::RequestFacts,
    headers::HeadersFault,
    methods::MAX_METHOD_BYTES,
    origin::OriginFault,
    origins::EntryIndex,
    policy::CorsPolicy,
    syntax,
    wire::{HeaderValue, Method, StatusCode, header, name},
};

/// An origin that may read: how to say so, and which entry covers it.
struct Match {
    allow_origin: AllowOrigin,
    entry: Option<EntryIndex>,
}

/// Decides on one request under one policy.
pub fn decide(policy: &CorsPolicy, facts: &RequestFacts<'_>) -> Decision {
    let origin = facts.lines(&header::ORIGIN);
    let asked = match *facts.method == Method::OPTIONS {
        true => facts.lines(&header::ACCESS_CONTROL_REQUEST_METHOD),
        false => &[],
    };
    let kind = classify(origin, asked);
    if cross_site::is_for_another_host(policy, facts) {
        let refusal = Action::Refuse(StatusCode::MISDIRECTED_REQUEST);
        return Decision::new(kind, Verdict::Blocked, Reason::ForeignBlocked, refusal);
    }
    if policy.is_on() {
        return decide_on(policy, facts, kind, origin, asked);
    }
    let off = decide_off(policy, facts, kind, origin);
    match off.verdict == Verdict::Off && policy.is_shadow() {
        true => as_shadow(decide_on(policy, facts, kind, origin, asked)),
        false => off,
    }
}

fn decide_on(
    policy: &CorsPolicy,
    facts: &RequestFacts<'_>,
    kind: Kind,
    origin: &[HeaderValue],
    asked: &[HeaderValue],
) -> Decision {
    match kind {
        Kind::Preflight => decide_preflight(policy, facts, origin, asked),
        Kind::Actual => decide_actual(policy, facts, origin),
        Kind::None => decide_without_origin(policy, facts),
    }
}

/// The same for the counters alone: the router answers, and its answer is not touched.
fn as_shadow(decision: Decision) -> Decision {
    let Decision { kind, verdict, reason: would, entry, .. } = decision;
    let (verdict, reason) = match verdict {
        Verdict::Denied | Verdict::Blocked => (Verdict::Denied, Reason::ShadowDenied),
        Verdict::Allowed | Verdict::NotCors | Verdict::Off => (verdict, would),
    };
    let shadow = Some(would);
    Decision { entry, shadow, ..Decision::new(kind, verdict, reason, Action::Pass) }
}

/// What a request is to CORS (B1, B2): a header that is present and empty is present.
fn classify(origin: &[HeaderValue], asked: &[HeaderValue]) -> Kind {
    match (origin, asked) {
        ([], _) => Kind::None,
        (_, []) => Kind::Actual,
        (_, _) => Kind::Preflight,
    }
}

fn decide_preflight(
    policy: &CorsPolicy,
    facts: &RequestFacts<'_>,
    origin: &[HeaderValue],
    asked: &[HeaderValue],
) -> Decision {
    let deny = |reason| {
        let refusal = Action::Refuse(StatusCode::FORBIDDEN);
        Decision::new(Kind::Preflight, Verdict::Denied, reason, refusal)
    };
    let found = match match_origin(policy, origin) {
        Ok(found) => found,
        Err(reason) => return deny(reason),
    };
    let reason = match check_method(policy, asked).and_then(|()| check_headers(policy, facts)) {
        Ok(()) => Reason::Ok,
        Err(reason) => reason,
    };
    let allowed = Decision::new(Kind::Preflight, Verdict::Allowed, Reason::Ok, Action::Grant)
        .with_origin(found);
    match reason {
        Reason::Ok => Decision { private_network: asks_private_network(policy, facts), ..allowed },
        // The true lists let the browser itself name what is missing. Not for what a browser
        // would let pass: there the refusal has to be ours.
        reason if policy.spec().debug && browser_would_refuse(asked, reason) => {
            Decision { verdict: Verdict::Denied, reason, ..allowed }
        }
        reason => Decision { entry: allowed.entry, ..deny(reason) },
    }
}

fn decide_actual(
    policy: &CorsPolicy,
    facts: &RequestFacts<'_>,
    origin: &[HeaderValue],
) -> Decision {
    let (reason, entry) = match match_origin(policy, origin) {
        Ok(found) if is_listed_method(policy, facts) => {
            return Decision::new(Kind::Actual, Verdict::Allowed, Reason::Ok, Action::Pass)
                .with_origin(found);
        }
        Ok(found) => (Reason::MethodNotListed, found.entry),
        Err(reason) => (reason, None),
    };
    let refused = match cross_site::is_refused(policy, facts) {
        true => refuse_foreign(Kind::Actual, facts),
        false => Decision::new(Kind::Actual, Verdict::Denied, reason, Action::Pass),
    };
    Decision { entry, ..refused }
}

fn decide_without_origin(policy: &CorsPolicy, facts: &RequestFacts<'_>) -> Decision {
    let shared = policy.origins().is_any() && is_listed_method(policy, facts);
    if !shared && cross_site::is_refused(policy, facts) {
        return refuse_foreign(Kind::None, facts);
    }
    let decision = Decision::new(Kind::None, Verdict::NotCors, Reason::NoOrigin, Action::Pass);
    match shared {
        // The answer must not depend on `Origin`, so that shared caches need not know it (B18).
        true => Decision { allow_origin: AllowOrigin::Any, ..decision },
        false => decision,
    }
}

/// No header is sent; what an allow-list would cover still passes the write protection.
fn decide_off(
    policy: &CorsPolicy,
    facts: &RequestFacts<'_>,
    kind: Kind,
    origin: &[HeaderValue],
) -> Decision {
    if cross_site::is_refused(policy, facts) {
        let covered = !policy.origins().is_empty()
            && kind != Kind::None
            && match_origin(policy, origin).is_ok()
            && is_listed_method(policy, facts);
        if !covered {
            return refuse_foreign(kind, facts);
        }
    }
    Decision::new(kind, Verdict::Off, Reason::PolicyOff, Action::Pass)
}

fn refuse_foreign(kind: Kind, facts: &RequestFacts<'_>) -> Decision {
    let reason = match cross_site::is_safe(facts.method) {
        true => Reason::ForeignBlocked,
        false => Reason::CrossSiteWrite,
    };
    Decision::new(kind, Verdict::Blocked, reason, Action::Refuse(StatusCode::FORBIDDEN))
}

fn match_origin(policy: &CorsPolicy, origin: &[HeaderValue]) -> Result<Match, Reason> {
    if policy.origins().is_any() {
        return Ok(Match { allow_origin: AllowOrigin::Any, entry: None });
    }
    let [origin] = origin else { return Err(Reason::OriginMultiple) };
    match policy.origins().find(origin.as_bytes()) {
        Ok(Some(entry)) => {
            Ok(Match { allow_origin: AllowOrigin::Echo(origin.clone()), entry: Some(entry) })
        }
        Ok(None) => Err(Reason::OriginNotListed),
        Err(OriginFault::Null) => Err(Reason::OriginNull),
        Err(OriginFault::TooLong) => Err(Reason::OriginTooLong),
        Err(OriginFault::Multiple) => Err(Reason::OriginMultiple),
        Err(OriginFault::Malformed) => Err(Reason::OriginMalformed),
    }
}

/// One line with one token (B4), which is listed.
fn check_method(policy: &CorsPolicy, asked: &[HeaderValue]) -> Result<(), Reason> {
    let [method] = asked else { return Err(Reason::MethodMalformed) };
    let method = syntax::trim_ows(method.as_bytes());
    if method.len() > MAX_METHOD_BYTES || !syntax::is_token(method) {
        return Err(Reason::MethodMalformed);
    }
    match policy.spec().methods.allows(method) {
        true => Ok(()),
        false => Err(Reason::MethodNotListed),
    }
}

fn check_headers(policy: &CorsPolicy, facts: &RequestFacts<'_>) -> Result<(), Reason> {
    let lines = facts.lines(&header::ACCESS_CONTROL_REQUEST_HEADERS);
    policy.spec().headers.check(lines).map_err(|fault| match fault {
        HeadersFault::NotListed => Reason::HeadersNotListed,
        HeadersFault::Malformed => Reason::HeadersMalformed,
        HeadersFault::TooLarge => Reason::HeadersTooLarge,
    })
}

/// The method of the request itself. OPTIONS without `Access-Control-Request-Method` is an API
/// description and needs no listing.
fn is_listed_method(policy: &CorsPolicy, facts: &RequestFacts<'_>) -> bool {
    *facts.method == Method::OPTIONS
        || policy.spec().methods.allows(facts.method.as_str().as_bytes())
}

fn asks_private_network(policy: &CorsPolicy, facts: &RequestFacts<'_>) -> bool {
    policy.spec().private_network
        && matches!(facts.lines(&name::ACCESS_CONTROL_REQUEST_PRIVATE_NETWORK),
            [asked] if asked.as_bytes() == b"true")
}

/// Fetch never checks GET, HEAD and POST, and no browser sends malformed lists.
fn browser_would_refuse(asked: &[HeaderValue], reason: Reason) -> bool {
    match reason {
        Reason::HeadersNotListed => true,
        Reason::MethodNotListed => {
            !matches!(asked, [method] if matches!(method.as_bytes(), b"GET" | b"HEAD" | b"POST"))
        }
        _ => false,
    }
}

// === impl Decision ===

impl Decision {
    fn new(kind: Kind, verdict: Verdict, reason: Reason, action: Action) -> Self {
        let allow_origin = AllowOrigin::Absent;
        Self {
            kind,
            verdict,
            reason,
            action,
            allow_origin,
            entry: None,
            private_network: false,
            shadow: None,
        }
    }

    fn with_origin(self, found: Match) -> Self {
        Self { allow_origin: found.allow_origin, entry: found.entry, ..self }
    }
}
