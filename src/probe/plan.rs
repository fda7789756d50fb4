//! What to send, and what to expect of the answers.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::target::Target;
use crate::cors::{CorsPolicy, OriginPattern};

/// One probe.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub url: Target,
    /// What stands in front of it.
    pub edge: Option<Target>,
    /// What is wanted of both.
    pub expected: Expected,
    /// The method of the request itself.
    pub request: String,
    /// Sent with requests, never with preflights.
    pub token: Option<String>,
    /// Of one answer.
    pub timeout: Duration,
    /// Of a preflight; `None`: it is only reported.
    pub max_latency: Option<Duration>,
}

/// What pages must be able to do.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Where the pages come from.
    pub origins: Vec<String>,
    /// What they ask with.
    pub methods: Vec<String>,
    /// The headers that they set.
    pub headers: Vec<String>,
    /// The headers that they read.
    pub exposed: Vec<String>,
    /// They send cookies.
    pub credentials: bool,
    /// What the server should do, exactly; without it more than is wanted is only a warning.
    pub policy: Option<Arc<CorsPolicy>>,
}

/// Why nothing is sent.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// A URL that cannot be probed.
    #[error("{url}: {reason}")]
    Url {
        /// Without its query.
        url: String,
        /// Why.
        reason: String,
    },
    /// A flag that cannot go over the wire.
    #[error("{flag}: {reason}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// Why, with the value unless that is a secret.
        reason: String,
    },
    /// The policy allows nobody.
    #[error("the policy `{0}` is off: no origin is allowed")]
    PolicyOff(String),
}

/// Pages that are tried.
pub(super) const MAX_ORIGINS: usize = 50;
/// Methods that are tried for each.
pub(super) const MAX_METHODS: usize = 16;
/// Names of headers that are asked for.
const MAX_HEADERS: usize = 64;
/// A page where a policy of `*` names none.
const ANY_PAGE: &str = "https://page.example";

// === impl Expected ===

impl Expected {
    /// What a policy lets pages do; flags that were given replace its parts.
    ///
    /// # Errors
    /// [`PlanError::PolicyOff`].
    pub fn of_policy(policy: &Arc<CorsPolicy>) -> Result<Expected, PlanError> {
        let spec = policy.spec();
        if policy.origins().is_empty() {
            return Err(PlanError::PolicyOff(policy.label().to_string()));
        }
        let entries = policy.origins().entries().iter();
        let mut origins: Vec<String> =
            entries.map(OriginPattern::example).take(MAX_ORIGINS).collect();
        if policy.origins().is_any() {
            origins = vec![ANY_PAGE.to_owned()];
        }
        let listed = |names: &[String]| -> Vec<String> {
            names.iter().filter(|name| *name != "*").cloned().collect()
        };
        let mut methods = listed(spec.methods.listed());
        methods.retain(|method| method != "OPTIONS");
        if spec.methods.is_any() {
            methods.extend(["POST".to_owned(), "PUT".to_owned()]);
        }
        Ok(Expected {
            origins,
            methods,
            headers: listed(spec.headers.listed()),
            exposed: listed(spec.exposed.listed()),
            credentials: spec.credentials,
            policy: Some(Arc::clone(policy)),
        })
    }

    pub(super) fn allows_method(&self, method: &str) -> Option<bool> {
        self.policy.as_ref().map(|policy| policy.spec().methods.allows(method.as_bytes()))
    }

    pub(super) fn allows_header(&self, name: &str) -> Option<bool> {
        self.policy.as_ref().map(|policy| policy.spec().headers.allows(name.as_bytes()))
    }

    /// Whether the policy covers an origin; `None` without a policy.
    pub(super) fn allows_origin(&self, origin: &str) -> Option<bool> {
        self.policy.as_ref().map(|policy| {
            let origins = policy.origins();
            origins.is_any() || matches!(origins.find(origin.as_bytes()), Ok(Some(_)))
        })
    }

    /// The policy is `*`; `None` without a policy.
    pub(super) fn allows_any_origin(&self) -> Option<bool> {
        self.policy.as_ref().map(|policy| policy.origins().is_any())
    }
}

// === impl Plan ===

impl Plan {
    /// Refuses what cannot go over the wire, and more than is bounded.
    ///
    /// # Errors
    /// [`PlanError::Flag`].
    pub fn check(&self) -> Result<(), PlanError> {
        let expected = &self.expected;
        let flag = |flag, reason: String| Err(PlanError::Flag { flag, reason });
        for origin in &expected.origins {
            if origin.is_empty() || !origin.bytes().all(|byte| byte.is_ascii_graphic()) {
                return flag("--origin", format!("`{}` is no origin", origin.escape_debug()));
            }
            if !origin.contains("://") || origin.ends_with('/') {
                return flag(
                    "--origin",
                    format!("`{origin}` is no origin: write scheme://host[:port], as browsers do"),
                );
            }
        }
        let names = [&expected.methods[..], std::slice::from_ref(&self.request)].concat();
        for method in &names {
            if !is_token(method) {
                return flag("--method", format!("`{}` is no method", method.escape_debug()));
            }
        }
        for name in expected.headers.iter().chain(&expected.exposed) {
            if !is_token(name) {
                return flag("--headers", format!("`{}` is no name", name.escape_debug()));
            }
        }
        if let Some(token) = &self.token
            && (token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return flag("--token", "it is empty or has characters that no token has".to_owned());
        }
        for (name, count, most) in [
            ("--origin", expected.origins.len(), MAX_ORIGINS),
            ("--method", expected.methods.len(), MAX_METHODS),
            ("--headers", expected.headers.len(), MAX_HEADERS),
        ] {
            if count > most {
                return flag(name, format!("{count} are too many, at most {most}"));
            }
        }
        Ok(())
    }

    /// The names that a page's preflight asks for.
    pub(super) fn page_headers(&self) -> Vec<String> {
        let mut names = self.expected.headers.clone();
        let token = self.token.is_some();
        if token && !names.iter().any(|name| name.eq_ignore_ascii_case("authorization")) {
            names.push("Authorization".to_owned());
        }
        names
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
