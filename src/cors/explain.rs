//! `cors explain`: one request of one page, step by step, offline.
//!
//! Sends nothing. The preflight and the request are sketched, decided upon and answered by the code
//! that serves; `browser.rs` then judges the answers as a browser would.

use std::fmt;

use serde::Serialize;

use super::{
    browser::PageRequest,
    decision::{Action, Decision, Kind, Reason, Verdict},
    facts::RequestSketch,
    imagined::Imagined,
    listener::{Listener, ListenerPolicy},
    origins::EntryIndex,
    policy::CorsPolicy,
    wire::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
};

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Whose policy applies.
    pub listener: Listener,
    /// The policy: the listener, `model:<name>` or `route:<id>`.
    pub policy: String,
    /// In reading order.
    pub steps: Vec<Step>,
    /// The preflight, where the browser sends one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preflight: Option<Exchange>,
    /// The request itself, where the browser gets to sending it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<Exchange>,
    /// The script gets the answer.
    pub allowed: bool,
    /// What the browser concludes.
    pub conclusion: String,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// It was as it should be.
    pub ok: bool,
    /// What was found.
    pub text: String,
}

/// A request and its answer as they go over the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exchange {
    /// The head of the request.
    pub request: String,
    /// The head of the answer and, of a refusal, its body. Of an answer of the router only what
    /// CORS adds is known; its status is taken to be 200.
    pub answer: String,
    /// What the request is to CORS.
    pub kind: Kind,
    /// The outcome.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
}

/// Explains what becomes of a page's request for `target`, a path with an optional query, to
/// `host`. `credentials` of the page are taken to be sent.
pub fn explain(
    listener: &ListenerPolicy,
    page: &PageRequest,
    host: &str,
    target: &str,
) -> Explanation {
    Story { listener, page, host, target, steps: Vec::new() }.tell()
}

struct Story<'a> {
    listener: &'a ListenerPolicy,
    page: &'a PageRequest,
    host: &'a str,
    target: &'a str,
    steps: Vec<Step>,
}

/// What came back, and what the server thought.
struct Answered {
    exchange: Exchange,
    status: StatusCode,
    headers: HeaderMap,
    entry: Option<EntryIndex>,
}

// === impl Story ===

impl Story<'_> {
    fn tell(mut self) -> Explanation {
        let reasons = self.page.preflight_reasons();
        let names = self.page.unsafe_header_names();
        let mut asked = vec![(header::ACCESS_CONTROL_REQUEST_METHOD, self.page.sent_method())];
        if !names.is_empty() {
            asked.push((header::ACCESS_CONTROL_REQUEST_HEADERS, names.join(",")));
        }
        let own: Vec<(HeaderName, String)> = self
            .page
            .headers
            .iter()
            .filter_map(|h| Some((h.name.parse().ok()?, h.value.clone().unwrap_or_default())))
            .collect();
        let policy = {
            let sketch = self.sketch(&Method::GET, &[]);
            std::sync::Arc::clone(self.listener.policy_for(&sketch.facts()))
        };
        self.policy_step(&policy);
        let mut explanation = Explanation {
            listener: policy.listener(),
            policy: policy.label().to_string(),
            steps: Vec::new(),
            preflight: None,
            actual: None,
            allowed: false,
            conclusion: String::new(),
        };
        if reasons.is_empty() {
            self.step(true, "the browser sends it at once, without a preflight");
        } else {
            self.step(true, format!("the browser sends a preflight first: {}", reasons.join(", ")));
            let answered = self.exchange(&Method::OPTIONS, &asked);
            self.server_steps(&policy, &answered);
            let judged = self.page.check_preflight(answered.status, &answered.headers);
            explanation.preflight = Some(answered.exchange);
            if let Err(refusal) = judged {
                self.step(false, format!("the browser stops after the preflight: {refusal}"));
                explanation.conclusion =
                    format!("blocked, the request itself is not sent: {refusal}");
                explanation.steps = self.steps;
                return explanation;
            }
            self.step(true, "the browser accepts the preflight");
        }
        let Ok(method) = Method::from_bytes(self.page.sent_method().as_bytes()) else {
            explanation.conclusion = format!("`{}` is not a method", self.page.method);
            self.step(false, explanation.conclusion.clone());
            explanation.steps = self.steps;
            return explanation;
        };
        let answered = self.exchange(&method, &own);
        self.server_steps(&policy, &answered);
        let judged = self.page.check_sharing(&answered.headers);
        let served = answered.exchange.verdict != Verdict::Blocked;
        explanation.actual = Some(answered.exchange);
        explanation.allowed = judged.is_ok();
        explanation.conclusion = match (judged, served) {
            (Ok(()), _) => "allowed: the script gets the answer".to_owned(),
            (Err(refusal), true) => {
                format!("the request is served, but the script gets an error: {refusal}")
            }
            (Err(_), false) => "refused by the server, and the script gets an error".to_owned(),
        };
        self.step(explanation.allowed, explanation.conclusion.clone());
        explanation.steps = self.steps;
        explanation
    }

    fn sketch(&self, method: &Method, headers: &[(HeaderName, String)]) -> RequestSketch {
        let mut lines = vec![(header::HOST, self.host.to_owned())];
        lines.push((header::ORIGIN, self.page.origin.clone()));
        lines.extend_from_slice(headers);
        let start = RequestSketch::new(method.clone(), self.target);
        lines.into_iter().fold(start, |sketch, (name, value)| {
            // What cannot be on the wire is left out.
            match HeaderValue::from_str(&value) {
                Ok(value) => sketch.header(name, value),
                Err(_) => sketch,
            }
        })
    }

    fn exchange(&self, method: &Method, headers: &[(HeaderName, String)]) -> Answered {
        let sketch = self.sketch(method, headers);
        let Imagined { decision, status, headers: answer, body, .. } =
            Imagined::new(self.listener, &sketch);
        let mut request = format!("{method} {} HTTP/1.1\r\n", self.target);
        request += &format!("host: {}\r\norigin: {}\r\n", self.host, self.page.origin);
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        let exchange = Exchange {
            request: request + "\r\n",
            answer: write_answer(&decision, status, &answer, &body),
            kind: decision.kind,
            verdict: decision.verdict,
            reason: decision.reason,
        };
        Answered { exchange, status, headers: answer, entry: decision.entry }
    }

    fn policy_step(&mut self, policy: &CorsPolicy) {
        let (label, prefix) = (policy.label(), policy.listener().prefix());
        match policy.is_on() {
            true => self.step(true, format!("the policy `{label}` applies")),
            false => self.step(
                false,
                format!(
                    "the policy `{label}` is off: no origin is allowed ({prefix}.allowed.origin)"
                ),
            ),
        }
    }

    fn server_steps(&mut self, policy: &CorsPolicy, answered: &Answered) {
        let Answered { exchange, entry, .. } = answered;
        let what = match exchange.kind {
            Kind::Preflight => "preflight",
            Kind::Actual | Kind::None => "request",
        };
        let entry = entry.and_then(|EntryIndex(at)| policy.origins().entries().get(at as usize));
        if let Some(entry) = entry {
            self.step(true, format!("{what}: the origin is covered by `{entry}`"));
        }
        let text = reason_text(policy, exchange.reason);
        let verdict = exchange.verdict.as_str();
        self.step(
            matches!(exchange.verdict, Verdict::Allowed),
            format!("{what}: {verdict} ({}): {text}", exchange.reason.as_str()),
        );
    }

    fn step(&mut self, ok: bool, text: impl Into<String>) {
        self.steps.push(Step { ok, text: text.into() });
    }
}

/// The answer's head; headers in alphabetical order.
fn write_answer(
    decision: &Decision,
    status: StatusCode,
    headers: &HeaderMap,
    body: &str,
) -> String {
    let mut lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    if decision.action != Action::Pass && status != StatusCode::NO_CONTENT {
        lines.push(format!("content-length: {}\r\n", body.len()));
    }
    lines.sort();
    format!("HTTP/1.1 {status}\r\n{}\r\n{body}", lines.concat())
}

fn reason_text(policy: &CorsPolicy, reason: Reason) -> String {
    let prefix = policy.listener().prefix();
    let spec = policy.spec();
    match reason {
        Reason::Ok => "origin, method and headers are allowed".to_owned(),
        Reason::OriginNotListed => format!("no entry of {prefix}.allowed.origin covers the origin"),
        Reason::OriginNull => "the origin `null` is never allowed by a list".to_owned(),
        Reason::OriginMalformed => {
            "the value is no origin as browsers send it: scheme://host[:port] in lower case, \
             without default port, path or trailing slash"
                .to_owned()
        }
        Reason::OriginMultiple => "there is more than one origin".to_owned(),
        Reason::OriginTooLong => "the value is longer than any origin".to_owned(),
        Reason::MethodNotListed => format!(
            "the method is not in {prefix}.allowed.methods ({})",
            spec.methods.header_value()
        ),
        Reason::MethodMalformed => "the method is not one token".to_owned(),
        Reason::HeadersNotListed => {
            format!("a header is not in {prefix}.allowed.headers ({})", spec.headers.header_value())
        }
        Reason::HeadersMalformed => "a header name is no token".to_owned(),
        Reason::HeadersTooLarge => "more headers than any page sets".to_owned(),
        Reason::CrossSiteWrite => format!(
            "a foreign page may not write ({prefix}.block.disallowed); list its origin in \
             {prefix}.allowed.origin and the method in {prefix}.allowed.methods"
        ),
        Reason::ForeignBlocked => {
            format!(
                "foreign requests are refused ({prefix}.block.disallowed, {prefix}.allowed.hosts)"
            )
        }
        Reason::ShadowDenied => "the shadow policy would deny it".to_owned(),
        Reason::NoOrigin => "there is no origin".to_owned(),
        Reason::PolicyOff => "no policy applies; the answer has no CORS header".to_owned(),
    }
}

// === impl Explanation ===

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{} {}", if step.ok { "ok  " } else { "FAIL" }, step.text)?;
        }
        for (name, exchange) in [("preflight", &self.preflight), ("request", &self.actual)] {
            let Some(exchange) = exchange else { continue };
            writeln!(f, "\n--- {name}")?;
            for line in exchange.request.lines().filter(|line| !line.is_empty()) {
                writeln!(f, "> {line}")?;
            }
            for line in exchange.answer.lines().filter(|line| !line.is_empty()) {
                writeln!(f, "< {line}")?;
            }
        }
        writeln!(f, "\n{}", self.conclusion)
    }
}
