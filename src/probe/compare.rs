//! What stands between the server and its public URL does to the CORS headers. PURE.

use std::collections::BTreeSet;

use serde::Serialize;

use super::checks::{Check, Flow, Outcome};
use super::exchange::{Answer, Exchange, shown};
use crate::cors::HeaderName;

/// A header, or the status, that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Of which exchange.
    pub exchange: String,
    /// The header, or `status`.
    pub name: String,
    /// What happened to it.
    pub kind: DifferenceKind,
    /// As the server sends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// As it arrives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge: Option<String>,
}

/// What happened to a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DifferenceKind {
    /// It does not arrive.
    Stripped,
    /// The server did not send it.
    Added,
    /// It has another value.
    Changed,
}

/// Every difference, in the order of the exchanges.
pub(super) fn differences(server: &[Exchange], edge: &[Exchange]) -> Vec<Difference> {
    let mut found = Vec::new();
    for exchange in server {
        let arrived = edge.iter().find(|arrived| arrived.purpose == exchange.purpose);
        let Some(arrived) = arrived else { continue };
        let of = exchange.purpose.describe();
        compare(&of, &exchange.answer, &arrived.answer, &mut found);
    }
    found
}

fn compare(of: &str, server: &Answer, edge: &Answer, found: &mut Vec<Difference>) {
    let mut add = |name: &str, kind, server: Option<String>, edge: Option<String>| {
        let value = |value: Option<String>| value.map(|value| shown(&value));
        let (name, exchange) = (name.to_owned(), of.to_owned());
        found.push(Difference { exchange, name, kind, server: value(server), edge: value(edge) });
    };
    if server.status != edge.status {
        let status = |answer: &Answer| Some(answer.status.as_u16().to_string());
        add("status", DifferenceKind::Changed, status(server), status(edge));
    }
    let names: BTreeSet<&str> = [server, edge]
        .iter()
        .flat_map(|answer| answer.headers.keys())
        .map(HeaderName::as_str)
        .filter(|name| name.starts_with("access-control-") || *name == "timing-allow-origin")
        .collect();
    for name in names {
        let name = HeaderName::from_bytes(name.as_bytes());
        let Ok(name) = name else { continue };
        let (sent, arrived) = (server.lines(&name), edge.lines(&name));
        let kind = match (sent.is_empty(), arrived.is_empty()) {
            (false, true) => DifferenceKind::Stripped,
            (true, false) => DifferenceKind::Added,
            (false, false) if sent != arrived => DifferenceKind::Changed,
            _ => continue,
        };
        add(name.as_str(), kind, server.value(&name), edge.value(&name));
    }
    // An edge that compresses adds to it; what is lost matters.
    let vary = HeaderName::from_static("vary");
    let arrived = edge.list(&vary);
    let lost = server.list(&vary).iter().any(|name| !arrived.contains(name));
    if lost && !arrived.iter().any(|name| name == "*") {
        let kind =
            if arrived.is_empty() { DifferenceKind::Stripped } else { DifferenceKind::Changed };
        add("vary", kind, server.value(&vary), edge.value(&vary));
    }
}

/// A check for each difference, or that there is none.
pub(super) fn checks(differences: &[Difference], owned_by_edge: bool) -> Vec<Check> {
    if owned_by_edge {
        return vec![Check::passed(Flow::Edge, "the edge alone sends CORS headers")];
    }
    if differences.is_empty() {
        return vec![Check::passed(Flow::Edge, "the CORS headers arrive as they were sent")];
    }
    let check = |difference: &Difference| {
        let status = difference.name == "status";
        let outcome = match difference.kind {
            DifferenceKind::Changed if status => Outcome::Warn,
            _ => Outcome::Fail,
        };
        Check::new(Flow::Edge, outcome, difference.to_string())
    };
    differences.iter().map(check).collect()
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Difference { exchange, name, kind, server, edge } = self;
        let (server, edge) =
            (server.as_deref().unwrap_or_default(), edge.as_deref().unwrap_or_default());
        match kind {
            DifferenceKind::Stripped => write!(f, "{exchange}: {name} is stripped (was {server})"),
            DifferenceKind::Added => write!(f, "{exchange}: {name} is added ({edge})"),
            DifferenceKind::Changed => {
                write!(f, "{exchange}: {name} is changed from {server} to {edge}")
            }
        }
    }
}
