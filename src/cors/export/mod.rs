//! `cors export`: a policy in the words of an edge, so that layers do not drift apart.
//!
//! `nginx`, `ingress` and `envoy` write configuration for who stands in front of the server, `curl`
//! the commands that reproduce what browsers send. What a target cannot say is refused with the
//! reason: an edge that is almost as strict as the policy is worse than none. `expression` has the
//! regular expressions that the first and the last share. `tests/cors/edges.py` starts nginx and Envoy
//! with what is written here and sends them the conformance cases.

mod curl;
mod envoy;
mod expression;
mod ingress;
mod nginx;
#[cfg(test)]
mod tests;

use super::{listener::ListenerPolicy, policy::CorsPolicy, spec::PolicySpec};

/// For whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportTarget {
    /// A file for the `http` block of nginx.
    Nginx,
    /// Annotations of an Ingress of ingress-nginx.
    IngressNginx,
    /// A configuration of Envoy.
    Envoy,
    /// A shell script.
    Curl,
}

/// Where the edge stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `host:port` that the edge listens on.
    pub listen: String,
    /// `host:port` of the server.
    pub upstream: String,
    /// The path that the commands for curl request.
    pub path: String,
}

/// A policy in another language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The file.
    pub text: String,
}

/// What the target cannot say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unexpressible {
    /// Each with what to do instead.
    pub reasons: Vec<String>,
}

/// The header names that an edge must own alone.
const OWNED: [&str; 8] = [
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Access-Control-Expose-Headers",
    "Access-Control-Max-Age",
    "Access-Control-Allow-Private-Network",
    "Timing-Allow-Origin",
];
const VARY_PREFLIGHT: &str =
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
const REFUSAL: &str = "{\"code\":403,\"type\":\"CorsDeniedException\",\"message\":\"Preflight \
                       refused: origin, method or headers are not allowed.\"}";

/// Writes the policy of a listener for `target`.
///
/// # Errors
/// Everything that the target cannot express.
pub fn export(
    listener: &ListenerPolicy,
    target: ExportTarget,
    place: &Place,
) -> Result<Export, Unexpressible> {
    let text = match target {
        ExportTarget::Curl => curl::write(listener, place)?,
        ExportTarget::Nginx => nginx::write(for_the_edge(listener)?, place)?,
        ExportTarget::IngressNginx => ingress::write(for_the_edge(listener)?)?,
        ExportTarget::Envoy => envoy::write(for_the_edge(listener)?, place)?,
    };
    Ok(Export { text })
}

/// What no edge can say. A policy that is switched off here because the edge owns it is exported.
fn for_the_edge(listener: &ListenerPolicy) -> Result<&CorsPolicy, Unexpressible> {
    let policy = listener.base();
    let mut reasons = Reasons::default();
    let prefix = policy.listener().prefix();
    if policy.origins().is_empty() {
        reasons.add(format!(
            "no origin is allowed ({prefix}.allowed.origin): there is nothing to export"
        ));
    }
    for policy in listener.overrides() {
        reasons.add(format!(
            "`{}` has a policy of its own: an edge would choose by its own reading of the path, \
             this server chooses by the model or route that answers. Leave CORS to the server, or \
             give the path a listener of its own",
            policy.label()
        ));
    }
    if policy.spec().debug {
        reasons.add(format!("{prefix}.debug=true tells pages the lists: not for an edge"));
    }
    reasons.or(policy)
}

/// What is to be said first in every file.
fn introduction(policy: &CorsPolicy, target: &str) -> Vec<String> {
    let (label, prefix) = (policy.label(), policy.listener().prefix());
    vec![
        format!("Made by `torchfront cors export --to {target}` from the policy `{label}`."),
        format!("CORS has one owner: set {prefix}.mode=off on the server behind it."),
        format!("{prefix}.block.disallowed and {prefix}.allowed.hosts stay with the server."),
    ]
}

/// The value of `Vary` on preflights.
fn preflight_vary(spec: &PolicySpec) -> String {
    match spec.private_network {
        true => format!("{VARY_PREFLIGHT}, Access-Control-Request-Private-Network"),
        false => VARY_PREFLIGHT.to_owned(),
    }
}

/// Reasons that are collected before anything is refused.
#[derive(Default)]
struct Reasons(Vec<String>);

// === impl Reasons ===

impl Reasons {
    fn add(&mut self, reason: impl Into<String>) {
        self.0.push(reason.into());
    }

    fn or<T>(self, value: T) -> Result<T, Unexpressible> {
        if self.0.is_empty() { Ok(value) } else { Err(Unexpressible { reasons: self.0 }) }
    }
}
