//! The exchanges of one endpoint, and the probe as a whole.

use std::time::{Duration, Instant};

use super::checks::{Check, Flow, judge};
use super::client::Client;
use super::compare;
use super::exchange::{Exchange, Purpose};
use super::look_alikes::look_alikes;
use super::plan::Plan;
use super::report::{Endpoint, Report};
use super::target::Target;

/// Nobody has this origin.
pub(super) const STRANGER: &str = "https://cors-probe.invalid";
/// A method and a header that nobody lists.
pub(super) const UNLISTED_METHOD: &str = "CORSPROBE";
pub(super) const UNLISTED_HEADER: &str = "x-cors-probe";
/// Methods that scripts use; what a policy does not allow of them must not work.
const COMMON_METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];
/// Allowed origins whose look-alikes are tried.
const IMITATED: usize = 5;
/// Preflights that are timed.
const TIMED: usize = 5;
/// The whole probe.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// What one endpoint answered.
pub(super) struct Heard {
    pub(super) exchanges: Vec<Exchange>,
    /// Of the timed preflights, in order of length.
    pub(super) latencies: Vec<Duration>,
    /// Why there is no more.
    pub(super) failure: Option<String>,
}

/// Sends to one endpoint.
struct Sender<'a> {
    plan: &'a Plan,
    client: Client<'a>,
    until: Instant,
    heard: Heard,
}

/// Sends everything and judges the answers.
pub async fn probe(plan: &Plan) -> Report {
    let until = Instant::now() + TIME_LIMIT;
    let mut report = Report::new(plan);
    let server = hear(plan, &plan.url, until).await;
    let edge = match &plan.edge {
        Some(edge) => Some(hear(plan, edge, until).await),
        None => None,
    };
    let owned_by_edge = edge.is_some()
        && server.failure.is_none()
        && !server.exchanges.iter().any(|exchange| exchange.answer.has_cors());
    if owned_by_edge {
        let text = "the server sends no CORS header: the edge is the owner";
        report.add(Endpoint::Server, vec![Check::passed(Flow::Actual, text)]);
    } else {
        report.add(Endpoint::Server, judge(plan, &plan.url, &server));
    }
    if let (Some(target), Some(edge)) = (&plan.edge, &edge) {
        report.add(Endpoint::Edge, judge(plan, target, edge));
        let differences = compare::differences(&server.exchanges, &edge.exchanges);
        report.add(Endpoint::Edge, compare::checks(&differences, owned_by_edge));
        report.differences = differences;
    }
    report
}

async fn hear(plan: &Plan, target: &Target, until: Instant) -> Heard {
    let heard = Heard { exchanges: Vec::new(), latencies: Vec::new(), failure: None };
    let client = Client::new(target, plan.timeout);
    let mut sender = Sender { plan, client, until, heard };
    if let Err(failure) = sender.everything().await {
        sender.heard.failure = Some(failure);
    }
    sender.heard.latencies.sort();
    sender.heard
}

// === impl Sender ===

impl Sender<'_> {
    async fn everything(&mut self) -> Result<(), String> {
        let plan = self.plan;
        let expected = &plan.expected;
        let names = plan.page_headers().join(",").to_ascii_lowercase();
        let reads = expected.allows_method(&plan.request) != Some(false);
        self.request(Purpose::NoOrigin, None).await?;
        for origin in &expected.origins {
            for method in &expected.methods {
                let purpose = Purpose::Preflight { origin: origin.clone(), method: method.clone() };
                self.preflight(purpose, origin, method, &names).await?;
            }
            if reads {
                self.request(Purpose::Actual { origin: origin.clone() }, Some(origin)).await?;
            }
        }
        let method = expected.methods.first().map_or("POST", String::as_str);
        let imitated = expected.origins.iter().take(IMITATED);
        let mut strangers = vec![STRANGER.to_owned(), "null".to_owned()];
        strangers.extend(imitated.flat_map(|origin| look_alikes(origin)));
        strangers.retain(|origin| !expected.origins.contains(origin));
        for origin in &strangers {
            let purpose = Purpose::StrangerPreflight { origin: origin.clone() };
            self.preflight(purpose, origin, method, "").await?;
            self.request(Purpose::Stranger { origin: origin.clone() }, Some(origin)).await?;
        }
        if let Some(origin) = expected.origins.first() {
            self.limits(origin, method).await?;
            for _ in 0..TIMED {
                let answer = self.ask(origin, method, &names).await?;
                self.heard.latencies.push(answer.latency);
            }
        }
        Ok(())
    }

    /// What an allowed page may not do.
    async fn limits(&mut self, origin: &str, method: &str) -> Result<(), String> {
        let expected = &self.plan.expected;
        let forbidden = COMMON_METHODS.iter().copied().filter(|name| {
            expected.allows_method(name) == Some(false)
                && !expected.methods.iter().any(|wanted| wanted == name)
        });
        for method in forbidden.chain([UNLISTED_METHOD]) {
            let (origin, method) = (origin.to_owned(), method.to_owned());
            let purpose =
                Purpose::UnlistedMethod { origin: origin.clone(), method: method.clone() };
            self.preflight(purpose, &origin, &method, "").await?;
        }
        let name = UNLISTED_HEADER.to_owned();
        let purpose = Purpose::UnlistedHeader { origin: origin.to_owned(), name };
        self.preflight(purpose, origin, method, UNLISTED_HEADER).await
    }

    async fn preflight(
        &mut self,
        purpose: Purpose,
        origin: &str,
        method: &str,
        names: &str,
    ) -> Result<(), String> {
        let answer = self.ask(origin, method, names).await?;
        self.heard.exchanges.push(Exchange { purpose, answer });
        Ok(())
    }

    async fn ask(
        &mut self,
        origin: &str,
        method: &str,
        names: &str,
    ) -> Result<super::exchange::Answer, String> {
        let mut headers = vec![("origin", origin), ("access-control-request-method", method)];
        if !names.is_empty() {
            headers.push(("access-control-request-headers", names));
        }
        self.in_time()?;
        self.client.send("OPTIONS", &headers).await
    }

    async fn request(&mut self, purpose: Purpose, origin: Option<&str>) -> Result<(), String> {
        let bearer = self.plan.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut headers = Vec::new();
        headers.extend(origin.map(|origin| ("origin", origin)));
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        self.in_time()?;
        let answer = self.client.send(&self.plan.request, &headers).await?;
        self.heard.exchanges.push(Exchange { purpose, answer });
        Ok(())
    }

    fn in_time(&self) -> Result<(), String> {
        match Instant::now() < self.until {
            true => Ok(()),
            false => Err(format!("not done after {} s", TIME_LIMIT.as_secs())),
        }
    }
}
