//! What the answers of an endpoint mean. PURE.
//!
//! A page that must be able to call is judged by the Fetch standard's own steps. What a server does
//! beyond what is wanted fails where a policy says otherwise, and is a warning where none is known; what
//! is unsafe under every policy always fails.

use serde::Serialize;

use super::exchange::{Answer, Exchange, Purpose, shown};
use super::plan::Plan;
use super::sending::{Heard, STRANGER};
use super::target::Target;
use crate::cors::{HeaderName, PageHeader, PageRequest};

/// What was looked at: a closed set, which is a label of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// There are answers at all.
    Reachable,
    /// Preflights of pages that must be able to call.
    Preflight,
    /// Their requests.
    Actual,
    /// `Access-Control-Allow-Credentials`.
    Credentials,
    /// The headers that pages read.
    Exposed,
    /// What caches are told.
    Vary,
    /// One value each.
    Duplicate,
    /// A stranger.
    Foreign,
    /// `Origin: null`.
    Null,
    /// Origins that resemble an allowed one.
    LookAlike,
    /// Methods and headers that are not allowed.
    Limits,
    /// How long preflights take.
    Latency,
    /// What the edge changes.
    Edge,
    /// How the token travels.
    Token,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Pass,
    /// Could not be looked at.
    Skip,
    /// Perhaps not meant.
    Warn,
    /// Wrong.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub flow: Flow,
    /// How it is.
    pub outcome: Outcome,
    /// In words.
    pub text: String,
}

/// Response headers that people forget to expose.
const WATCHED: [&str; 6] = ["etag", "link", "location", "retry-after", "x-request-id", "sunset"];

const ALLOW_ORIGIN: HeaderName = HeaderName::from_static("access-control-allow-origin");
const ALLOW_CREDENTIALS: HeaderName = HeaderName::from_static("access-control-allow-credentials");
const ALLOW_METHODS: HeaderName = HeaderName::from_static("access-control-allow-methods");
const EXPOSE_HEADERS: HeaderName = HeaderName::from_static("access-control-expose-headers");
const VARY: HeaderName = HeaderName::from_static("vary");

/// Judges what one endpoint answered.
pub(super) fn judge(plan: &Plan, target: &Target, heard: &Heard) -> Vec<Check> {
    let mut judge = Judge { plan, checks: Vec::new() };
    match &heard.failure {
        Some(failure) => judge.add(Flow::Reachable, Outcome::Fail, shown(failure)),
        None => judge.add(Flow::Reachable, Outcome::Pass, target.shown()),
    }
    if plan.token.is_some() && target.is_open() {
        let text = "the token goes unencrypted to another machine";
        judge.add(Flow::Token, Outcome::Warn, text);
    }
    for Exchange { purpose, answer } in &heard.exchanges {
        judge.exchange(purpose, answer);
        judge.every_answer(purpose, answer);
    }
    if plan.expected.allows_method(&plan.request) == Some(false) {
        let text = format!("{} is not in the policy; name another --request", plan.request);
        judge.add(Flow::Actual, Outcome::Skip, text);
    }
    judge.vary(&heard.exchanges);
    judge.latency(heard);
    judge.checks
}

struct Judge<'a> {
    plan: &'a Plan,
    checks: Vec<Check>,
}

// === impl Check ===

impl Check {
    pub(super) fn new(flow: Flow, outcome: Outcome, text: impl Into<String>) -> Check {
        Check { flow, outcome, text: text.into() }
    }

    pub(super) fn passed(flow: Flow, text: impl Into<String>) -> Check {
        Check::new(flow, Outcome::Pass, text)
    }
}

// === impl Flow ===

impl Flow {
    /// The label of metrics, and the word of the report.
    pub fn as_str(self) -> &'static str {
        match self {
            Flow::Reachable => "reachable",
            Flow::Preflight => "preflight",
            Flow::Actual => "actual",
            Flow::Credentials => "credentials",
            Flow::Exposed => "exposed",
            Flow::Vary => "vary",
            Flow::Duplicate => "duplicate",
            Flow::Foreign => "foreign",
            Flow::Null => "null",
            Flow::LookAlike => "look_alike",
            Flow::Limits => "limits",
            Flow::Latency => "latency",
            Flow::Edge => "edge",
            Flow::Token => "token",
        }
    }
}

// === impl Judge ===

impl Judge<'_> {
    fn exchange(&mut self, purpose: &Purpose, answer: &Answer) {
        match purpose {
            Purpose::NoOrigin => {}
            Purpose::Preflight { origin, method } => self.wanted_preflight(origin, method, answer),
            Purpose::Actual { origin } => self.wanted_request(origin, answer),
            Purpose::StrangerPreflight { origin } => {
                let page = self.page(origin, "GET", false);
                let granted = page.check_preflight(answer.status, &answer.headers).is_ok();
                self.stranger(origin, "a preflight", granted, answer);
            }
            Purpose::Stranger { origin } => {
                let page = self.page(origin, &self.plan.request, false);
                let shared = page.check_sharing(&answer.headers).is_ok();
                self.stranger(origin, "an answer", shared, answer);
            }
            Purpose::UnlistedMethod { origin, method } => {
                let mut page = self.page(origin, method, false);
                page.headers.clear();
                let granted = page.check_preflight(answer.status, &answer.headers).is_ok();
                let allowed = self.plan.expected.allows_method(method);
                self.limit(&format!("the method {method}"), granted, allowed);
            }
            Purpose::UnlistedHeader { origin, name } => {
                let mut page = self.page(origin, "GET", false);
                page.headers = vec![PageHeader { name: name.clone(), value: None }];
                let granted = page.check_preflight(answer.status, &answer.headers).is_ok();
                self.limit(
                    &format!("the header {name}"),
                    granted,
                    self.plan.expected.allows_header(name),
                );
            }
        }
    }

    fn page(&self, origin: &str, method: &str, credentials: bool) -> PageRequest {
        PageRequest {
            origin: origin.to_owned(),
            method: method.to_owned(),
            headers: Vec::new(),
            credentials,
        }
    }

    fn wanted_preflight(&mut self, origin: &str, method: &str, answer: &Answer) {
        let mut page = self.page(origin, method, self.plan.expected.credentials);
        let name = |name: String| PageHeader { name, value: None };
        page.headers = self.plan.page_headers().into_iter().map(name).collect();
        let what = format!("{origin} {method}");
        if let Err(refusal) = page.check_preflight(answer.status, &answer.headers) {
            let status = answer.status.as_u16();
            let text = format!("{what}: {status}: {}", shown(&refusal.to_string()));
            return self.add(Flow::Preflight, Outcome::Fail, text);
        }
        let listed = answer.list(&ALLOW_METHODS);
        let named = listed.iter().any(|name| *name == method.to_ascii_lowercase() || name == "*")
            || (method == "HEAD" && listed.iter().any(|name| name == "get"));
        if !named {
            let text =
                format!("{what}: granted, but {method} is not in {ALLOW_METHODS}: {listed:?}");
            return self.add(Flow::Preflight, Outcome::Warn, text);
        }
        self.add(Flow::Preflight, Outcome::Pass, what);
    }

    fn wanted_request(&mut self, origin: &str, answer: &Answer) {
        let expected = &self.plan.expected;
        let page = self.page(origin, &self.plan.request, expected.credentials);
        let (what, status) = (format!("{origin} {}", self.plan.request), answer.status.as_u16());
        match page.check_sharing(&answer.headers) {
            Err(refusal) => {
                let text = format!("{what}: {status}: {}", shown(&refusal.to_string()));
                self.add(Flow::Actual, Outcome::Fail, text);
            }
            Ok(()) if answer.status.is_redirection() || answer.status.is_server_error() => {
                self.add(Flow::Actual, Outcome::Warn, format!("{what}: the status is {status}"));
            }
            Ok(()) => self.add(Flow::Actual, Outcome::Pass, format!("{what}: {status}")),
        }
        let exposed = answer.list(&EXPOSE_HEADERS);
        let any = !expected.credentials && exposed.iter().any(|name| name == "*");
        let readable = |name: &str| any || exposed.contains(&name.to_ascii_lowercase());
        let missing: Vec<&String> =
            expected.exposed.iter().filter(|name| !readable(name)).collect();
        if !missing.is_empty() {
            self.add(
                Flow::Exposed,
                Outcome::Fail,
                format!("{what}: pages cannot read {missing:?}"),
            );
        } else if !expected.exposed.is_empty() {
            self.add(Flow::Exposed, Outcome::Pass, what.clone());
        }
        let forgotten = |name: &&str| {
            name.parse::<HeaderName>().is_ok_and(|name| answer.headers.contains_key(name))
                && !readable(name)
        };
        let forgotten: Vec<&str> = WATCHED.iter().copied().filter(|name| forgotten(name)).collect();
        if !forgotten.is_empty() {
            let text = format!("{what}: sent, but pages cannot read {forgotten:?}");
            self.add(Flow::Exposed, Outcome::Warn, text);
        }
    }

    /// Somebody who is not among the pages got something.
    fn stranger(&mut self, origin: &str, what: &str, got: bool, answer: &Answer) {
        let flow = match origin {
            STRANGER => Flow::Foreign,
            "null" => Flow::Null,
            _ => Flow::LookAlike,
        };
        let text = format!("{origin} gets {what}");
        let allowed = self.plan.expected.allows_origin(origin);
        if !got {
            return self.add(flow, Outcome::Pass, format!("{origin} does not get {what}"));
        }
        if answer.value(&ALLOW_ORIGIN).as_deref() == Some("*") {
            let text = format!("{text}: every origin does (`*`)");
            return match self.plan.expected.allows_any_origin() {
                Some(true) => self.add(flow, Outcome::Pass, text),
                Some(false) => self.add(flow, Outcome::Fail, text + ", the policy has a list"),
                None => self.add(flow, Outcome::Warn, text),
            };
        }
        // Another port or scheme of a page may be listed; a stranger and `null` never are.
        let own_host = host(origin).is_some_and(|own| {
            self.plan.expected.origins.iter().any(|page| host(page) == Some(own))
        });
        let may_be_meant = own_host && crate::cors::OriginPattern::parse(origin).is_ok();
        match allowed {
            Some(true) => self.add(flow, Outcome::Pass, text + ", as the policy says"),
            None if may_be_meant => self.add(flow, Outcome::Warn, text + ": is it meant?"),
            Some(false) | None => self.add(flow, Outcome::Fail, text),
        }
    }

    fn limit(&mut self, what: &str, granted: bool, allowed: Option<bool>) {
        let (outcome, text) = match (granted, allowed) {
            (false, _) => (Outcome::Pass, "is refused"),
            (true, Some(true)) => (Outcome::Pass, "is granted, as the policy says"),
            (true, Some(false)) => (Outcome::Fail, "is granted, the policy does not have it"),
            (true, None) => (Outcome::Warn, "is granted: is everything?"),
        };
        self.add(Flow::Limits, outcome, format!("{what} {text}"));
    }

    /// What must hold for each answer, whoever asked.
    fn every_answer(&mut self, purpose: &Purpose, answer: &Answer) {
        let of = purpose.describe();
        for name in [ALLOW_ORIGIN, ALLOW_CREDENTIALS] {
            let lines = answer.lines(&name);
            let values = answer.value(&name).unwrap_or_default();
            if lines.len() > 1 || values.contains(',') {
                let text = format!("{of}: {name} is there more than once: {}", shown(&values));
                self.add(Flow::Duplicate, Outcome::Fail, text);
            } else if name == ALLOW_ORIGIN && lines.len() == 1 {
                self.add(Flow::Duplicate, Outcome::Pass, of.clone());
            }
        }
        let origin = answer.value(&ALLOW_ORIGIN);
        let Some(credentials) = answer.value(&ALLOW_CREDENTIALS) else { return };
        let policy = self.plan.expected.policy.as_ref();
        let (outcome, text) = match origin.as_deref() {
            Some("*") => (
                Outcome::Fail,
                "every origin (`*`) with credentials: browsers refuse it, and it shows that somebody \
                 meant to open everything",
            ),
            _ if credentials != "true" => (Outcome::Fail, "the value is not `true`"),
            None => (Outcome::Warn, "it is sent without an allowed origin"),
            Some(_) if policy.is_some_and(|policy| !policy.spec().credentials) => {
                (Outcome::Fail, "the policy allows no credentials")
            }
            Some(_) => (Outcome::Pass, "true"),
        };
        self.add(Flow::Credentials, outcome, format!("{of}: {ALLOW_CREDENTIALS}: {text}"));
    }

    /// An answer that depends on `Origin` must say so, also to those who sent none: caches ask by that.
    fn vary(&mut self, exchanges: &[Exchange]) {
        let origin = |exchange: &Exchange| exchange.answer.value(&ALLOW_ORIGIN);
        let requests = || {
            exchanges.iter().filter(|exchange| {
                matches!(
                    exchange.purpose,
                    Purpose::NoOrigin | Purpose::Actual { .. } | Purpose::Stranger { .. }
                )
            })
        };
        let Some(first) = requests().next().map(origin) else { return };
        let depends = requests().any(|exchange| origin(exchange) != first);
        for Exchange { purpose, answer } in requests().filter(|_| depends) {
            let vary = answer.list(&VARY);
            let right = vary.iter().any(|name| name == "origin" || name == "*");
            let outcome = if right { Outcome::Pass } else { Outcome::Fail };
            let found =
                if right { "names Origin" } else { "does not name Origin: caches mix answers up" };
            self.add(Flow::Vary, outcome, format!("{}: Vary {found}", purpose.describe()));
        }
        for Exchange { purpose, answer } in exchanges {
            let echoed = answer.value(&ALLOW_ORIGIN).is_some_and(|value| value != "*");
            let vary = answer.list(&VARY);
            if matches!(purpose, Purpose::Preflight { .. })
                && echoed
                && !vary.iter().any(|name| name == "origin" || name == "*")
            {
                let text = format!("{}: Vary does not name Origin", purpose.describe());
                self.add(Flow::Vary, Outcome::Warn, text);
            }
        }
    }

    fn latency(&mut self, heard: &Heard) {
        let Some(median) = heard.latencies.get(heard.latencies.len() / 2) else { return };
        let text = format!("the median of {} preflights is {median:.1?}", heard.latencies.len());
        let outcome = match self.plan.max_latency {
            Some(most) if *median > most => Outcome::Fail,
            _ => Outcome::Pass,
        };
        self.add(Flow::Latency, outcome, text);
    }

    fn add(&mut self, flow: Flow, outcome: Outcome, text: impl Into<String>) {
        self.checks.push(Check::new(flow, outcome, text));
    }
}

/// The host of an origin, without scheme and port.
fn host(origin: &str) -> Option<&str> {
    let (_, authority) = origin.split_once("://")?;
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(host),
        _ => Some(authority),
    }
}
