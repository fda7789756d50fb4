//! What a listener asks itself after it is bound: one preflight and one request for an origin of each
//! policy, and a preflight of an origin that nobody has. PURE; `server/self_test.rs` sends them.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::live::LiveCors;
use super::now;
use crate::cors::{CorsPolicy, Engine, Listener, ListenerPolicy, PolicyName};

/// A request, and what its answer must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfCheck {
    /// The policy's label.
    pub policy: String,
    /// What is asked, for a message.
    pub what: &'static str,
    /// The path.
    pub path: String,
    /// The header lines, but the connection's own.
    pub headers: Vec<(&'static str, String)>,
    /// None: any.
    status: Option<u16>,
    /// `Access-Control-Allow-Origin`.
    allowed: Option<String>,
}

// === impl LiveCors ===

impl LiveCors {
    /// The checks of a listener's policies; none where CORS is off. `host` is what it is called by.
    pub fn self_checks(&self, listener: Listener, host: &str) -> Vec<SelfCheck> {
        let policies = self.handle(listener).current();
        let all = std::iter::once(policies.base()).chain(policies.overrides());
        // actix-cors answers in its own way.
        let judged = all.filter(|one| one.is_on() && one.spec().engine == Engine::Native);
        judged
            .flat_map(|policy| checks(policy, &policies, host, self.telemetry().canary()))
            .collect()
    }

    /// Counts what came of the checks of a listener.
    pub fn self_checked(&self, passed: u64, failed: u64) {
        let families = self.telemetry().families();
        let count = |result, n| {
            families.probe_checks.with_label_values(&["self", result]).inc_by(n);
        };
        count("pass", passed);
        count("fail", failed);
        if failed == 0 && passed > 0 {
            families.probe_last_success.with_label_values(&["self"]).set(now().into());
        }
    }
}

fn checks(
    policy: &std::sync::Arc<CorsPolicy>,
    listener: &ListenerPolicy,
    host: &str,
    canary: &str,
) -> Vec<SelfCheck> {
    let spec = policy.spec();
    let any = policy.origins().is_any();
    let entry = policy.origins().entries().first();
    let Some(origin) = entry.map(|entry| entry.example()).or(any.then(|| canary.to_owned())) else {
        return Vec::new();
    };
    let path = match &spec.name {
        PolicyName::Listener => "/".to_owned(),
        PolicyName::Model(model) => {
            format!("/predictions/{}", utf8_percent_encode(model, NON_ALPHANUMERIC))
        }
        PolicyName::Route(_) => {
            let route = listener.route_of(policy).map(ToString::to_string).unwrap_or_default();
            route.replace("/*", "/self-test")
        }
    };
    let host = spec.allowed_hosts.listed().next().unwrap_or(host).to_owned();
    let check = |what, origin: &str, method: Option<String>, status, allowed| {
        let mut headers = vec![("Host", host.clone()), ("Origin", origin.to_owned())];
        headers.extend(method.map(|method| ("Access-Control-Request-Method", method)));
        let policy = policy.label().to_string();
        SelfCheck { policy, what, path: path.clone(), headers, status, allowed }
    };
    let method = spec.methods.header_value();
    let method = method.split(',').next().unwrap_or_default().trim();
    let method = if method == "*" { "GET" } else { method }.to_owned();
    let granted = Some(if any { "*".to_owned() } else { origin.clone() });
    let status = Some(policy.preflight_status().as_u16());
    let mut checks = vec![
        check("preflight", &origin, Some(method.clone()), status, granted.clone()),
        // OPTIONS without a request method is an ordinary request that runs nothing.
        check("request", &origin, None, None, granted),
    ];
    if !any {
        checks.push(check("preflight of a stranger", canary, Some(method), Some(403), None));
    }
    checks
}

// === impl SelfCheck ===

impl SelfCheck {
    /// What is wrong with an answer: its status and its lines of `Access-Control-Allow-Origin`.
    ///
    /// # Errors
    /// What is wrong.
    pub fn judge(&self, status: u16, allowed: &[String]) -> Result<(), String> {
        if self.status.is_some_and(|expected| expected != status) {
            return Err(format!("status {status}"));
        }
        match (allowed, &self.allowed) {
            ([], None) => Ok(()),
            ([one], Some(expected)) if one == expected => Ok(()),
            ([], Some(_)) => Err("no Access-Control-Allow-Origin".to_owned()),
            (lines, _) => Err(format!("Access-Control-Allow-Origin: {}", lines.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cors::{ListenerFacts, Setting, compile};
    use crate::metrics::Metrics;

    fn live(lines: &[(&str, &str)]) -> std::sync::Arc<LiveCors> {
        let settings: Vec<_> =
            lines.iter().map(|(key, value)| Setting::in_file(key, value, "f", 1)).collect();
        let policies = compile(&settings, &ListenerFacts::default()).policies.expect("sound");
        LiveCors::fixed(policies, &Metrics::new("host").expect("once")).expect("once")
    }

    #[test]
    fn every_policy_is_asked_at_its_own_path_and_nothing_where_cors_is_off() {
        let live = live(&[
            ("cors.allowed.origin", "https://*.a.example"),
            ("cors.allowed.methods", "PUT"),
            ("cors.model.a/b.allowed.origin", "*"),
            ("cors.route.r.path", "/x/*"),
            ("cors.route.r.allowed.origin", "https://r.example"),
        ]);
        assert_eq!(live.self_checks(Listener::Management, "h"), []);
        let checks = live.self_checks(Listener::Inference, "h");
        let asked: Vec<(&str, &str, &str)> = checks
            .iter()
            .map(|check| (check.policy.as_str(), check.path.as_str(), check.what))
            .collect();
        assert_eq!(
            asked,
            [
                ("inference", "/", "preflight"),
                ("inference", "/", "request"),
                ("inference", "/", "preflight of a stranger"),
                ("model:a/b", "/predictions/a%2Fb", "preflight"),
                ("model:a/b", "/predictions/a%2Fb", "request"),
                ("route:r", "/x/self-test", "preflight"),
                ("route:r", "/x/self-test", "request"),
                ("route:r", "/x/self-test", "preflight of a stranger"),
            ]
        );
        let first = &checks[0];
        assert!(first.headers.contains(&("Origin", "https://sub.a.example".to_owned())));
        assert!(first.headers.contains(&("Access-Control-Request-Method", "PUT".to_owned())));
        let origin = ["https://sub.a.example".to_owned()];
        assert_eq!(first.judge(204, &origin), Ok(()));
        assert!(first.judge(200, &origin).is_err() && first.judge(204, &[]).is_err());
        assert!(first.judge(204, &[&origin[..], &origin[..]].concat()).is_err());
        assert!(checks[2].judge(403, &[]).is_ok() && checks[2].judge(403, &origin).is_err());
    }
}
