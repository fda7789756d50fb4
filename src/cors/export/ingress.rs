//! Annotations for an Ingress of ingress-nginx.
//!
//! The controller sends lists and checks the origin only: what browsers do not check themselves
//! (GET, HEAD and POST that are not allowed) cannot be said, nor a subdomain of more than one label.
//! Its defaults are every origin, with credentials, for 20 days; every value is written.

use super::{Reasons, Unexpressible, introduction};
use crate::cors::{
    pattern::{HostPattern, PortPattern},
    policy::CorsPolicy,
    spec::PreflightStatus,
};

const PREFIX: &str = "nginx.ingress.kubernetes.io";
/// An Ingress is an object of etcd; annotations may have 256 KiB together.
const MAX_ORIGINS: usize = 1000;

pub(super) fn write(policy: &CorsPolicy) -> Result<String, Unexpressible> {
    let spec = policy.spec();
    let mut reasons = Reasons::default();
    for entry in policy.origins().entries() {
        if matches!(entry.host(), HostPattern::Subdomains(_)) {
            reasons.add(format!(
                "`{entry}` covers subdomains at any depth, there one label only: list them"
            ));
        }
        if entry.port() == PortPattern::Any {
            reasons.add(format!("`{entry}` covers every port: list them"));
        }
        if !matches!(entry.scheme(), "http" | "https") {
            reasons.add(format!("`{entry}` is no http or https origin"));
        }
    }
    if policy.origins().entries().len() > MAX_ORIGINS {
        reasons.add(format!("more than {MAX_ORIGINS} origins do not go into an annotation"));
    }
    for method in ["GET", "POST"] {
        if !spec.methods.allows(method.as_bytes()) {
            reasons.add(format!(
                "{method} is not allowed: the controller grants every preflight of an allowed \
                 origin, and browsers do not look for {method} in its lists"
            ));
        }
    }
    if spec.methods.is_any() || spec.headers.is_any() {
        reasons.add("`*` for methods or headers: the controller takes names only");
    }
    let plain =
        |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_*".contains(&b));
    let names =
        spec.methods.listed().iter().chain(spec.headers.listed()).chain(spec.exposed.listed());
    for name in names.filter(|name| !plain(name)) {
        reasons.add(format!("the name `{name}`: only letters, digits, `-` and `_` are accepted"));
    }
    for (cannot, what) in [
        (spec.private_network, "allow.private.network"),
        (spec.timing, "allow.timing"),
        (spec.preflight_cache_control.is_some(), "preflight.cache.control"),
        (spec.preflight_status == PreflightStatus::Ok, "preflight.status=200"),
    ] {
        if cannot {
            reasons.add(format!("{}.{what} has no annotation", policy.listener().prefix()));
        }
    }
    let origins = match policy.origins().is_any() {
        true => "*".to_owned(),
        false => {
            let entries: Vec<&str> =
                policy.origins().entries().iter().map(|entry| entry.as_str()).collect();
            entries.join(", ")
        }
    };
    let mut text: String =
        introduction(policy, "ingress-nginx").iter().map(|line| format!("# {line}\n")).collect();
    text += "# Preflights of an allowed origin are granted whatever they ask for, with the lists below:\n\
             # the browser refuses then. Whether your version sends `Vary: Origin` is seen with\n\
             # `torchfront cors probe`.\n\
             metadata:\n  annotations:\n";
    let credentials = spec.credentials.to_string();
    let max_age = spec.max_age.to_string();
    for (name, value) in [
        ("enable-cors", Some("true".to_owned())),
        ("cors-allow-origin", Some(origins)),
        ("cors-allow-methods", Some(spec.methods.header_value())),
        ("cors-allow-headers", Some(spec.headers.header_value())),
        ("cors-expose-headers", spec.exposed.header_value()),
        ("cors-allow-credentials", Some(credentials)),
        ("cors-max-age", Some(max_age)),
    ] {
        if let Some(value) = value {
            text += &format!("    {PREFIX}/{name}: \"{value}\"\n");
        }
    }
    reasons.or(text)
}
