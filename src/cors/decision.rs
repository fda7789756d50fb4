//! What was decided about one request, in words that logs, counters and tests share. PURE.

use serde::Serialize;

use super::{
    origins::EntryIndex,
    wire::{HeaderValue, StatusCode},
};

/// What a request is to CORS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// OPTIONS with `Origin` and `Access-Control-Request-Method`.
    Preflight,
    /// Any other request with `Origin`.
    Actual,
    /// No `Origin`: not a CORS request.
    None,
}

/// The outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The page may do it, the answer says so.
    Allowed,
    /// A preflight is refused; an actual request is served, its answer carries no CORS headers.
    Denied,
    /// The request is refused before anything else sees it.
    Blocked,
    /// Served; CORS has nothing to say.
    NotCors,
    /// Served; no policy applies here.
    Off,
}

/// Why: a closed set, so that a counter can have it as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Origin, method and headers are allowed.
    Ok,
    /// A sound origin that no entry covers.
    OriginNotListed,
    /// `Origin: null`.
    OriginNull,
    /// Not a serialised origin.
    OriginMalformed,
    /// Several lines, or a list in one.
    OriginMultiple,
    /// Longer than any origin.
    OriginTooLong,
    /// The method is not allowed.
    MethodNotListed,
    /// `Access-Control-Request-Method` is not one token.
    MethodMalformed,
    /// A requested header is not allowed.
    HeadersNotListed,
    /// `Access-Control-Request-Headers` has something that is no header name.
    HeadersMalformed,
    /// `Access-Control-Request-Headers` passes a bound.
    HeadersTooLarge,
    /// An unsafe request of a foreign page (B30).
    CrossSiteWrite,
    /// Any other request that is refused for where it comes from or goes to.
    ForeignBlocked,
    /// The policy would deny it, and is not enforced (`mode=shadow`).
    ShadowDenied,
    /// There is no `Origin`.
    NoOrigin,
    /// No policy applies here.
    PolicyOff,
}

/// What happens next with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The router gets it.
    Pass,
    /// A preflight is answered with the policy's lists.
    Grant,
    /// It is answered at once with this status and a reason in JSON.
    Refuse(StatusCode),
}

/// The value of `Access-Control-Allow-Origin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowOrigin {
    /// The header is not sent.
    Absent,
    /// `*`.
    Any,
    /// The origin of the request; the bytes are shared with it.
    Echo(HeaderValue),
}

/// The decision on one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What the request is to CORS.
    pub kind: Kind,
    /// The outcome.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// What happens next.
    pub action: Action,
    /// What the answer says about the origin.
    pub allow_origin: AllowOrigin,
    /// The entry of the allow-list that covers the origin.
    pub entry: Option<EntryIndex>,
    /// The preflight asked for the private network and gets it (B27).
    pub private_network: bool,
    /// Under `mode=shadow`: why, as if the policy were enforced. It is counted, nothing is sent.
    pub shadow: Option<Reason>,
}

// === impl Kind ===

impl Kind {
    /// Every kind, in the order of the enumeration.
    pub const ALL: [Self; 3] = [Self::Preflight, Self::Actual, Self::None];

    /// The label of logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Actual => "actual",
            Self::None => "none",
        }
    }
}

// === impl AllowOrigin ===

impl AllowOrigin {
    /// The value of the header.
    pub fn value(&self) -> Option<HeaderValue> {
        match self {
            Self::Absent => None,
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::Echo(origin) => Some(origin.clone()),
        }
    }
}

// === impl Verdict ===

impl Verdict {
    /// Every verdict, for counters that start at 0.
    pub const ALL: [Self; 5] =
        [Self::Allowed, Self::Denied, Self::Blocked, Self::NotCors, Self::Off];

    /// The label of logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Blocked => "blocked",
            Self::NotCors => "not_cors",
            Self::Off => "off",
        }
    }
}

// === impl Reason ===

impl Reason {
    /// The verdict that this is the reason of.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Ok => Verdict::Allowed,
            Self::CrossSiteWrite | Self::ForeignBlocked => Verdict::Blocked,
            Self::NoOrigin => Verdict::NotCors,
            Self::PolicyOff => Verdict::Off,
            _ => Verdict::Denied,
        }
    }

    /// The closed set, in the order of the enumeration.
    pub const ALL: [Self; 16] = [
        Self::Ok,
        Self::OriginNotListed,
        Self::OriginNull,
        Self::OriginMalformed,
        Self::OriginMultiple,
        Self::OriginTooLong,
        Self::MethodNotListed,
        Self::MethodMalformed,
        Self::HeadersNotListed,
        Self::HeadersMalformed,
        Self::HeadersTooLarge,
        Self::CrossSiteWrite,
        Self::ForeignBlocked,
        Self::ShadowDenied,
        Self::NoOrigin,
        Self::PolicyOff,
    ];

    /// The label of logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::OriginNotListed => "origin_not_listed",
            Self::OriginNull => "origin_null",
            Self::OriginMalformed => "origin_malformed",
            Self::OriginMultiple => "origin_multiple",
            Self::OriginTooLong => "origin_too_long",
            Self::MethodNotListed => "method_not_listed",
            Self::MethodMalformed => "method_malformed",
            Self::HeadersNotListed => "headers_not_listed",
            Self::HeadersMalformed => "headers_malformed",
            Self::HeadersTooLarge => "headers_too_large",
            Self::CrossSiteWrite => "cross_site_write",
            Self::ForeignBlocked => "foreign_blocked",
            Self::ShadowDenied => "shadow_denied",
            Self::NoOrigin => "no_origin",
            Self::PolicyOff => "policy_off",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixteen_reasons_have_sixteen_names_which_serialise_alike() {
        let names: std::collections::HashSet<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(names.len(), 16);
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        for verdict in Verdict::ALL {
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.as_str());
        }
    }
}
