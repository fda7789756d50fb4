//! What a probe found, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::checks::{Check, Flow, Outcome};
use super::compare::Difference;
use super::plan::Plan;

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Nothing is wrong.
    pub passed: bool,
    /// The server's URL, without its query.
    pub url: String,
    /// The edge's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge: Option<String>,
    /// In the order in which they were made.
    pub checks: Vec<EndpointCheck>,
    /// What the edge changes.
    pub differences: Vec<Difference>,
    /// Never shown.
    #[serde(skip)]
    token: Option<String>,
}

/// A check of one endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointCheck {
    /// Whose answers they are.
    pub endpoint: Endpoint,
    /// What was found.
    #[serde(flatten)]
    pub check: Check,
}

/// Which URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Endpoint {
    /// The first.
    Server,
    /// That of `--edge`.
    Edge,
}

/// Checks of a kind that are shown.
const MAX_SHOWN: usize = 4;

// === impl Report ===

impl Report {
    pub(super) fn new(plan: &Plan) -> Report {
        Report {
            passed: true,
            url: plan.url.shown(),
            edge: plan.edge.as_ref().map(super::Target::shown),
            checks: Vec::new(),
            differences: Vec::new(),
            token: plan.token.clone(),
        }
    }

    pub(super) fn add(&mut self, endpoint: Endpoint, checks: Vec<Check>) {
        for mut check in checks {
            // A server may send back what it was sent.
            if let Some(token) = &self.token {
                check.text = check.text.replace(token.as_str(), "***");
            }
            self.passed &= check.outcome != Outcome::Fail;
            self.checks.push(EndpointCheck { endpoint, check });
        }
    }

    /// Whether each flow that was looked at is as it should be, on both endpoints.
    pub fn flows(&self) -> BTreeMap<Flow, bool> {
        let mut flows = BTreeMap::new();
        for EndpointCheck { check, .. } in &self.checks {
            if check.outcome != Outcome::Skip {
                *flows.entry(check.flow).or_insert(true) &= check.outcome != Outcome::Fail;
            }
        }
        flows
    }

    /// By endpoint and flow, in that order.
    fn grouped(&self) -> BTreeMap<(Endpoint, Flow), Vec<&Check>> {
        let mut groups: BTreeMap<_, Vec<&Check>> = BTreeMap::new();
        for EndpointCheck { endpoint, check } in &self.checks {
            groups.entry((*endpoint, check.flow)).or_default().push(check);
        }
        groups
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = None;
        for ((endpoint, flow), checks) in self.grouped() {
            if last != Some(endpoint) {
                let (name, url) = match endpoint {
                    Endpoint::Server => ("server", self.url.as_str()),
                    Endpoint::Edge => ("edge", self.edge.as_deref().unwrap_or_default()),
                };
                writeln!(f, "{name} {url}")?;
                last = Some(endpoint);
            }
            let worst = checks.iter().map(|check| check.outcome).max().unwrap_or(Outcome::Pass);
            let good = checks.iter().filter(|check| check.outcome == Outcome::Pass).count();
            let single = if checks.len() == 1 { checks[0].text.as_str() } else { "" };
            let said = match (worst, single) {
                (Outcome::Pass, "") => format!("{good} checks"),
                (_, "") => format!("{good} of {} checks passed", checks.len()),
                (_, text) => text.to_owned(),
            };
            writeln!(f, "  {} {:11} {said}", word(worst), flow.as_str())?;
            let others = checks.iter().filter(|check| check.outcome != Outcome::Pass);
            let others: Vec<_> = others.filter(|_| single.is_empty()).collect();
            for check in others.iter().take(MAX_SHOWN) {
                writeln!(f, "       {} {}", word(check.outcome), check.text)?;
            }
            if others.len() > MAX_SHOWN {
                writeln!(f, "       ... and {} more (--json shows all)", others.len() - MAX_SHOWN)?;
            }
        }
        f.write_str(if self.passed { "passed" } else { "failed" })
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "ok  ",
        Outcome::Skip => "skip",
        Outcome::Warn => "warn",
        Outcome::Fail => "FAIL",
    }
}
