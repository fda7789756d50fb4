//! CORS-W1xx: what is allowed and still worth a second look, over policies as they will be applied.
//!
//! Warnings about a value itself come from its parser; these look at policies together, at tokens
//! and at addresses. `cors.strict` turns all of them into errors (CORS-E099).

use super::{
    BindScope, Built, ListenerFacts, Setting,
    keys::{Key, Name, Scope, Spelling},
    merge::Merged,
    values,
};
use crate::cors::{
    diagnostic::{Diagnostic, Finding},
    listener::{Listener, PolicyName},
    origins::AllowedOrigins,
    pattern::{HostPattern, OriginPattern},
    policy::CorsPolicy,
    spec::{Engine, PolicySpec},
};

/// Looks at everything.
pub fn whole(
    merged: &Merged<'_>,
    policies: &Built,
    settings: &[Setting],
    facts: &ListenerFacts,
    report: &mut Vec<Diagnostic>,
) {
    torchserve_spellings(settings, report);
    for listener in Listener::ALL {
        let mut sight = Sight { merged, facts, listener, scope: Scope::Listener, report };
        let Some(policies) = policies else { continue };
        let policy = policies.of(listener);
        sight.policy(policy.base());
        for policy in policy.overrides() {
            sight.scope = match &policy.spec().name {
                PolicyName::Listener => Scope::Listener,
                PolicyName::Model(model) => Scope::Model(model.clone()),
                PolicyName::Route(id) => Scope::Route(id.clone()),
            };
            sight.policy(policy);
        }
    }
    if let Some(policies) = policies {
        let mut sight =
            Sight { merged, facts, listener: Listener::Management, scope: Scope::Listener, report };
        sight.broader_than(policies.management.base(), policies.inference.base());
    }
}

/// The warnings as errors where `strict` is set. `cors.strict` covers all listeners, the others
/// their own.
pub fn under_strict(merged: &Merged<'_>, warnings: &[Diagnostic]) -> Vec<Diagnostic> {
    let strict = |listener| {
        let setting = merged.get(listener, &Scope::Listener, Name::Strict);
        setting.is_some_and(|setting| values::boolean(setting.value.trim()) == Ok(true))
    };
    let concerns = |warning: &Diagnostic| {
        strict(Listener::Inference)
            || Key::parse(&warning.key).is_ok_and(|(key, _)| strict(key.listener))
    };
    let as_error = |warning: &Diagnostic| Diagnostic {
        code: "CORS-E099",
        message: format!("{} (warning {} under `cors.strict`)", warning.message, warning.code),
        ..warning.clone()
    };
    warnings.iter().filter(|warning| concerns(warning)).map(as_error).collect()
}

/// One policy seen with its settings.
struct Sight<'a, 'r> {
    merged: &'a Merged<'a>,
    facts: &'a ListenerFacts,
    listener: Listener,
    scope: Scope,
    report: &'r mut Vec<Diagnostic>,
}

// === impl Sight ===

impl Sight<'_, '_> {
    fn policy(&mut self, policy: &CorsPolicy) {
        if !policy.is_on() {
            return;
        }
        let spec = policy.spec();
        if spec.debug {
            self.warn(
                Name::Debug,
                "CORS-W115",
                "the reasons of refusals are sent to every page; not for production",
            );
        }
        if spec.engine == Engine::Actix {
            self.warn(
                Name::Engine,
                "CORS-W118",
                "for comparison only: actix-cors grants preflights with 200, refuses them with 400 \
                 and without `Vary`, sends credentials and exposed headers to every origin and \
                 checks no method on the request itself; an address shared with management stays \
                 `native`",
            );
        }
        self.any_origin(spec);
        self.origins(spec);
        if self.facts.asks_tokens(self.listener) && !spec.headers.allows(b"authorization") {
            self.warn_either(
                Name::AllowedHeaders,
                "CORS-W106",
                "tokens are required but `Authorization` is not among the allowed headers: pages \
                 can't send one",
            );
        }
        if self.listener == Listener::Inference && !spec.methods.allows(b"POST") {
            self.warn(
                Name::AllowedMethods,
                "CORS-W109",
                "`POST` is missing: pages can't ask for predictions",
            );
        }
        if !spec.exposed.is_any() && !spec.exposed.names("x-request-id") {
            self.warn_either(
                Name::ExposedHeaders,
                "CORS-W111",
                "`X-Request-Id` is not exposed: pages can't report which request failed",
            );
        }
    }

    fn any_origin(&mut self, spec: &PolicySpec) {
        if !matches!(spec.origins, AllowedOrigins::Any) {
            return;
        }
        self.warn(
            Name::AllowedOrigin,
            "CORS-W101",
            "`*` lets every web page read the answers: for development only",
        );
        let open = !self.facts.asks_tokens(self.listener);
        if open && self.facts.bind(self.listener) != BindScope::Any {
            self.warn(
                Name::AllowedOrigin,
                "CORS-W114",
                "`*` on an address that only the network position protects, without tokens: every \
                 web page can reach it through its visitors",
            );
        }
    }

    fn origins(&mut self, spec: &PolicySpec) {
        let patterns = spec.origins.patterns();
        let names = |which: &dyn Fn(&OriginPattern) -> bool| {
            let names = patterns.iter().filter(|pattern| which(pattern)).take(5);
            let names: Vec<String> = names.map(|pattern| format!("`{pattern}`")).collect();
            (!names.is_empty()).then(|| names.join(", "))
        };
        if !spec.credentials
            && let Some(names) = names(&OriginPattern::is_forgeable)
        {
            let message = format!("{names}: a network attacker can forge an `http` origin");
            self.warn(Name::AllowedOrigin, "CORS-W103", message);
        }
        if self.facts.bind(self.listener) != BindScope::Loopback
            && let Some(names) = names(&OriginPattern::is_loopback)
        {
            let message = format!(
                "{names}: pages of whoever runs a local server are allowed, and this listener is \
                 not bound to loopback"
            );
            self.warn(Name::AllowedOrigin, "CORS-W104", message);
        }
        let subdomains = |pattern: &OriginPattern| {
            matches!(pattern.host(), HostPattern::Subdomains(_)) && !pattern.is_loopback()
        };
        if spec.credentials
            && let Some(names) = names(&subdomains)
        {
            let message = format!(
                "{names} with credentials: one abandoned subdomain is enough for an attacker"
            );
            self.warn(Name::AllowedOrigin, "CORS-W105", message);
        }
    }

    fn broader_than(&mut self, management: &CorsPolicy, inference: &CorsPolicy) {
        if !management.is_on() || inference.origins().is_any() {
            return;
        }
        if management.origins().is_any() {
            self.warn(
                Name::AllowedOrigin,
                "CORS-W110",
                "management allows any origin, inference does not",
            );
            return;
        }
        let inference = inference.origins().entries();
        let more: Vec<String> = management
            .origins()
            .entries()
            .iter()
            .filter(|pattern| !inference.iter().any(|known| known.covers_pattern(pattern)))
            .take(5)
            .map(|pattern| format!("`{pattern}`"))
            .collect();
        if !more.is_empty() {
            let message = format!("management allows {}, inference does not", more.join(", "));
            self.warn(Name::AllowedOrigin, "CORS-W110", message);
        }
    }

    /// A warning about a property that this scope sets itself; an inherited value is its owner's.
    fn warn(&mut self, name: Name, code: &'static str, message: impl Into<String>) {
        let names = [name, Name::OriginFile];
        let tried = if name == Name::AllowedOrigin { &names[..] } else { &names[..1] };
        let setting = tried.iter().find_map(|&n| self.merged.get(self.listener, &self.scope, n));
        if let Some(setting) = setting {
            self.report.push(setting.diagnose(Finding::new(code, message)));
        }
    }

    /// A warning about a property that may have its default: then it is shown at the origins.
    fn warn_either(&mut self, name: Name, code: &'static str, message: &str) {
        if self.merged.get(self.listener, &self.scope, name).is_some() {
            self.warn(name, code, message);
        } else if self.scope == Scope::Listener {
            let key = format!("{}.{}", self.listener.prefix(), name.text());
            self.warn(Name::AllowedOrigin, code, format!("{message} (`{key}` is not set)"));
        }
    }
}

/// TorchServe applied its three keys to every listener (CORS-W108).
fn torchserve_spellings(settings: &[Setting], report: &mut Vec<Diagnostic>) {
    for setting in settings {
        let Ok((key, Spelling::Underscore)) = Key::parse(&setting.key) else { continue };
        if key.listener != Listener::Inference {
            continue;
        }
        let (name, value) = (key.name.text(), setting.value.trim());
        report.push(setting.diagnose(
            Finding::new(
                "CORS-W108",
                "TorchServe applied this to management and metrics too, here it is for inference \
                 only",
            )
            .fix(format!(
                "to open them as well, add `management_cors.{name}={value}` and \
                 `metrics_cors.{name}={value}`"
            )),
        ));
    }
}
