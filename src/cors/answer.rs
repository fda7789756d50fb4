//! What an answer says after a decision: headers to add, headers to take away, refusal bodies.
//!
//! Used by `middleware.rs` on live responses and by `explain.rs` on imagined ones, so that both say
//! the same bytes. Only an allowed origin is ever echoed (B16); every other value is the policy's.

use super::{
    decision::{Action, AllowOrigin, Decision, Kind, Reason, Verdict},
    policy::{CorsPolicy, PRIVATE_NETWORK_GRANT, write_line},
    spec::Block,
    vary,
    wire::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, name},
};

const ANY: HeaderValue = HeaderValue::from_static("*");
const VARY_ORIGIN: HeaderValue = HeaderValue::from_static("Origin");

/// The answer to a request that never reaches the router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 204 or 200 for a granted preflight, else 403 or 421.
    pub status: StatusCode,
    /// JSON in TorchServe's error shape; empty for a granted preflight.
    pub body: String,
}

impl CorsPolicy {
    /// The answer that is given at once, with its headers; `None`: the router answers.
    pub(super) fn answer(&self, decision: &Decision, headers: &mut HeaderMap) -> Option<Answer> {
        let answer = match decision.action {
            Action::Pass => return None,
            Action::Grant => {
                write_origin(decision, headers);
                for (name, value) in self.preflight_headers() {
                    headers.insert(name.clone(), value.clone());
                }
                if decision.private_network {
                    let (name, value) = PRIVATE_NETWORK_GRANT;
                    headers.insert(name, value);
                }
                Answer { status: self.preflight_status(), body: String::new() }
            }
            Action::Refuse(status) => {
                match decision.kind {
                    Kind::Preflight if self.is_on() => {
                        headers.insert(header::VARY, self.preflight_vary());
                    }
                    Kind::Preflight | Kind::Actual | Kind::None => self.write_vary(headers),
                }
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Answer { status, body: self.refusal_body(decision, status) }
            }
        };
        self.write_debug(decision, headers);
        Some(answer)
    }

    /// The header lines of a granted preflight, as they are sent: those of [`Self::answer`].
    pub(super) fn write_grant(&self, decision: &Decision, lines: &mut Vec<u8>) {
        match &decision.allow_origin {
            AllowOrigin::Absent => {}
            AllowOrigin::Any => write_line(lines, &header::ACCESS_CONTROL_ALLOW_ORIGIN, &ANY),
            AllowOrigin::Echo(origin) => {
                write_line(lines, &header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            }
        }
        lines.extend_from_slice(self.preflight_lines());
        if decision.private_network {
            let (name, value) = &PRIVATE_NETWORK_GRANT;
            write_line(lines, name, value);
        }
        if self.spec().debug {
            let reason = HeaderValue::from_static(decision.reason.as_str());
            write_line(lines, &name::X_CORS_REASON, &reason);
        }
    }

    /// Finishes the answer of the router. `Access-Control-*` headers that something inside has set
    /// are removed, this policy is their only owner (B23).
    ///
    /// Returns how many were removed. Doing it twice changes nothing.
    pub fn finish(&self, decision: &Decision, headers: &mut HeaderMap) -> usize {
        if decision.verdict == Verdict::Off || decision.shadow.is_some() {
            if self.varies_by_origin() {
                vary::merge(headers, &VARY_ORIGIN);
            }
            return 0;
        }
        let removed = strip(headers);
        if let Some(origin) = origin_value(decision) {
            if self.spec().timing {
                headers.insert(name::TIMING_ALLOW_ORIGIN, origin.clone());
            }
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            for (name, value) in self.actual_headers() {
                headers.insert(name.clone(), value.clone());
            }
        }
        self.write_vary(headers);
        self.write_debug(decision, headers);
        removed
    }

    fn write_vary(&self, headers: &mut HeaderMap) {
        if self.varies_by_origin() {
            vary::merge(headers, &VARY_ORIGIN);
        }
    }

    fn write_debug(&self, decision: &Decision, headers: &mut HeaderMap) {
        if self.spec().debug {
            let reason = HeaderValue::from_static(decision.reason.as_str());
            headers.insert(name::X_CORS_REASON, reason);
        }
    }

    /// TorchServe's error shape. Tells the operator which property decides, never what it lists.
    fn refusal_body(&self, decision: &Decision, status: StatusCode) -> String {
        let prefix = self.listener().prefix();
        let message = match decision.reason {
            Reason::CrossSiteWrite | Reason::ForeignBlocked
                if status == StatusCode::MISDIRECTED_REQUEST =>
            {
                format!("This server does not answer for that host ({prefix}.allowed.hosts).")
            }
            Reason::CrossSiteWrite | Reason::ForeignBlocked => {
                let block = match self.spec().block {
                    Block::Off => "off",
                    Block::Unsafe => "unsafe",
                    Block::All => "all",
                };
                format!(
                    "Request of a foreign page refused: its origin and method are not both listed \
                     in {prefix}.allowed.origin and {prefix}.allowed.methods \
                     ({prefix}.block.disallowed={block})."
                )
            }
            Reason::OriginNotListed
            | Reason::OriginNull
            | Reason::OriginMalformed
            | Reason::OriginMultiple
            | Reason::OriginTooLong => {
                format!("Preflight refused: the origin is not in {prefix}.allowed.origin.")
            }
            Reason::MethodNotListed | Reason::MethodMalformed => {
                format!("Preflight refused: the method is not in {prefix}.allowed.methods.")
            }
            Reason::HeadersNotListed | Reason::HeadersMalformed | Reason::HeadersTooLarge => {
                format!("Preflight refused: a header is not in {prefix}.allowed.headers.")
            }
            Reason::Ok | Reason::ShadowDenied | Reason::NoOrigin | Reason::PolicyOff => {
                "Request refused.".to_owned()
            }
        };
        // No character of the message needs escaping.
        format!(
            "{{\"code\":{},\"type\":\"CorsDeniedException\",\"message\":\"{message}\"}}",
            status.as_u16()
        )
    }
}

fn write_origin(decision: &Decision, headers: &mut HeaderMap) {
    if let Some(origin) = origin_value(decision) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
}

fn origin_value(decision: &Decision) -> Option<HeaderValue> {
    match &decision.allow_origin {
        AllowOrigin::Absent => None,
        AllowOrigin::Any => Some(ANY),
        AllowOrigin::Echo(origin) => Some(origin.clone()),
    }
}

/// Removes every `Access-Control-*` header and says how many lines that were.
fn strip(headers: &mut HeaderMap) -> usize {
    if !headers.keys().any(is_cors) {
        return 0;
    }
    let before = headers.len();
    headers.retain(|name, _| !is_cors(name));
    before - headers.len()
}

fn is_cors(name: &HeaderName) -> bool {
    name.as_str().starts_with("access-control-")
}
