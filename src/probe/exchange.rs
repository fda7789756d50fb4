//! One request of a probe and its answer, as they were.

use std::time::Duration;

use crate::cors::{HeaderMap, HeaderName, StatusCode};

/// What a request is for; the same on the server and on the edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// The request without `Origin`: what a cache may keep for everybody.
    NoOrigin,
    /// A preflight of a page that must be able to call.
    Preflight { origin: String, method: String },
    /// The request of such a page.
    Actual { origin: String },
    /// A preflight of somebody who must not be able to.
    StrangerPreflight { origin: String },
    /// A request of such a one.
    Stranger { origin: String },
    /// A preflight of an allowed page that asks for a method that it may not use.
    UnlistedMethod { origin: String, method: String },
    /// The same for a header.
    UnlistedHeader { origin: String, name: String },
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// From the request's first byte to the end of the answer's head.
    pub(super) latency: Duration,
}

/// Both.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) purpose: Purpose,
    pub(super) answer: Answer,
}

/// How much of a value is shown.
const SHOWN: usize = 200;

// === impl Purpose ===

impl Purpose {
    /// In the words of a report.
    pub(super) fn describe(&self) -> String {
        match self {
            Purpose::NoOrigin => "the request without an Origin".to_owned(),
            Purpose::Preflight { origin, method } => {
                format!("the preflight of {origin} for {method}")
            }
            Purpose::Actual { origin } => format!("the request of {origin}"),
            Purpose::StrangerPreflight { origin } => format!("the preflight of {origin}"),
            Purpose::Stranger { origin } => format!("the request of {origin}"),
            Purpose::UnlistedMethod { origin, method } => {
                format!("the preflight of {origin} for {method}")
            }
            Purpose::UnlistedHeader { origin, name } => {
                format!("the preflight of {origin} with the header {name}")
            }
        }
    }
}

// === impl Answer ===

impl Answer {
    /// All lines of a header.
    pub(super) fn lines(&self, name: &HeaderName) -> Vec<String> {
        let lines = self.headers.get_all(name);
        lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned()).collect()
    }

    /// All lines of a header as one value.
    pub(super) fn value(&self, name: &HeaderName) -> Option<String> {
        let lines = self.lines(name);
        (!lines.is_empty()).then(|| lines.join(", "))
    }

    /// The elements of a list, in lower case.
    pub(super) fn list(&self, name: &HeaderName) -> Vec<String> {
        let value = self.value(name).unwrap_or_default();
        let elements = value.split(',').map(|element| element.trim().to_ascii_lowercase());
        elements.filter(|element| !element.is_empty()).collect()
    }

    /// It says something about CORS.
    pub(super) fn has_cors(&self) -> bool {
        self.headers.keys().any(|name| name.as_str().starts_with("access-control-"))
    }
}

/// A value that came over the wire, fit for a terminal.
pub(super) fn shown(value: &str) -> String {
    let mut text: String = value.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if value.chars().count() > SHOWN {
        text.push_str("...");
    }
    text
}
