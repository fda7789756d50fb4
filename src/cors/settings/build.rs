//! Specifications from merged settings, then policies: listener by listener, override by override.
//!
//! An override starts as a copy of its listener's specification and is validated after the merge
//! (B49).

use super::{
    Built, ListenerFacts, Setting,
    files::Files,
    keys::{Name, Scope},
    merge::Merged,
    operation::{Operation, Operations},
    origin_file, shared, values,
};
use crate::cors::{
    diagnostic::{Diagnostic, Finding, Parsed},
    exposed::ExposedHeaders,
    headers::AllowedHeaders,
    hosts::HostList,
    listener::{Listener, ListenerPolicies, ListenerPolicy, PolicyName, RoutePattern},
    methods::AllowedMethods,
    origins::AllowedOrigins,
    policy::CorsPolicy,
    spec::{Conflict, Mode, PolicySpec, Property},
};

/// Builds the policies of all listeners; `None` when one of them cannot be built.
pub fn policies(
    merged: &Merged<'_>,
    facts: &ListenerFacts,
    files: &dyn Files,
    operations: &mut Operations,
    report: &mut Vec<Diagnostic>,
) -> Built {
    let mut built = Listener::ALL.map(|listener| {
        let operation = &mut operations[listener as usize];
        let builder = Builder { merged, facts, files, listener, operation, report: &mut *report };
        builder.listener().map(shared)
    });
    let [inference, management, metrics] = &mut built;
    Some(ListenerPolicies {
        inference: inference.take()?,
        management: management.take()?,
        metrics: metrics.take()?,
    })
}

struct Builder<'a, 'r> {
    merged: &'a Merged<'a>,
    facts: &'a ListenerFacts,
    files: &'a dyn Files,
    listener: Listener,
    operation: &'r mut Operation,
    report: &'r mut Vec<Diagnostic>,
}

// === impl Builder ===

impl<'a> Builder<'a, '_> {
    fn listener(mut self) -> Option<ListenerPolicy> {
        let mut spec = PolicySpec::new(self.listener);
        spec.https = self.facts.is_https(self.listener);
        spec.guarded_hosts = self.facts.guards_hosts(self.listener);
        self.apply(&Scope::Listener, &mut spec);
        self.merge_file(&mut spec);
        self.require_origin(&spec);
        let base = self.policy(&Scope::Listener, spec.clone());
        let mut policy = base.map(ListenerPolicy::new);
        let mut routes: Vec<(RoutePattern, String)> = Vec::new();
        for scope in self.merged.overrides(self.listener) {
            let mut spec = spec.clone();
            self.apply(&scope, &mut spec);
            match &scope {
                Scope::Listener => {}
                Scope::Model(model) => {
                    self.check_model(&scope, model);
                    spec.name = PolicyName::Model(model.clone());
                    let built = self.policy(&scope, spec);
                    policy = policy.zip(built).map(|(mut policy, built)| {
                        policy.add_model(model.clone(), built);
                        policy
                    });
                }
                Scope::Route(id) => {
                    spec.name = PolicyName::Route(id.clone());
                    let route = self.route(&scope, id, &mut routes);
                    let built = self.policy(&scope, spec);
                    policy = policy.zip(route.zip(built)).map(|(mut policy, (route, built))| {
                        policy.add_route(route, built);
                        policy
                    });
                }
            }
        }
        policy
    }

    /// Reads the settings of a scope into a specification.
    fn apply(&mut self, scope: &Scope, spec: &mut PolicySpec) {
        for (name, setting) in self.merged.of(self.listener, scope) {
            let value = setting.value.trim();
            let findings = match name {
                Name::AllowedOrigin => put(&mut spec.origins, AllowedOrigins::parse(value)),
                Name::AllowedMethods => put(&mut spec.methods, AllowedMethods::parse(value)),
                Name::AllowedHeaders => put(&mut spec.headers, AllowedHeaders::parse(value)),
                Name::ExposedHeaders => put(&mut spec.exposed, ExposedHeaders::parse(value)),
                Name::MaxAge => put(&mut spec.max_age, values::max_age(value)),
                Name::SameOriginHosts => {
                    put(&mut spec.same_origin_hosts, shared_list(HostList::parse(value)))
                }
                Name::AllowedHosts => {
                    put(&mut spec.allowed_hosts, shared_list(HostList::parse(value)))
                }
                Name::AllowCredentials => set(&mut spec.credentials, values::boolean(value)),
                Name::PrivateNetwork => set(&mut spec.private_network, values::boolean(value)),
                Name::Timing => set(&mut spec.timing, values::boolean(value)),
                Name::Debug => set(&mut spec.debug, values::boolean(value)),
                Name::AcceptInsecureOrigins => {
                    set(&mut spec.accepted.insecure_origins, values::boolean(value))
                }
                Name::AcceptPublicSuffixes => {
                    set(&mut spec.accepted.public_suffix_wildcards, values::boolean(value))
                }
                Name::AcceptAnyOrigin => set(&mut spec.accepted.any_origin, values::boolean(value)),
                Name::BlockDisallowed => {
                    set(&mut spec.block, values::keyword(value, &values::BLOCK))
                }
                Name::PreflightStatus => set(
                    &mut spec.preflight_status,
                    values::keyword(value, &values::PREFLIGHT_STATUS),
                ),
                Name::PreflightCacheControl => {
                    set(&mut spec.preflight_cache_control, values::cache_control(value))
                }
                Name::Engine => set(&mut spec.engine, values::keyword(value, &values::ENGINE)),
                Name::Log => set(&mut spec.log, values::keyword(value, &values::LOG)),
                Name::Mode => set(&mut spec.mode, values::keyword(value, &values::MODE)),
                Name::OriginFile => set(&mut (), not_empty(value)),
                Name::ShadowFile => {
                    self.operation.shadow_file =
                        not_empty(value).is_ok().then(|| origin_file::resolve(setting));
                    set(&mut (), not_empty(value))
                }
                Name::Strict => set(&mut false, values::boolean(value)),
                Name::ReportEnabled => {
                    set(&mut self.operation.report.enabled, values::boolean(value))
                }
                Name::OriginFileReload => {
                    set(&mut self.operation.reload_seconds, values::count(value, u32::MAX))
                }
                Name::ReportMaxPerS => {
                    set(&mut self.operation.report.max_per_second, values::count(value, u32::MAX))
                }
                Name::MetricsOriginSlots => {
                    set(&mut self.operation.origin_slots, values::count(value, 200))
                }
                Name::Selftest => set(&mut self.operation.selftest, values::selftest(value)),
                Name::ReportPath => set(&mut self.operation.report.path, absolute(value)),
                // Read by `route`.
                Name::Path => Vec::new(),
            };
            self.report.extend(findings.into_iter().map(|finding| setting.diagnose(finding)));
        }
    }

    fn merge_file(&mut self, spec: &mut PolicySpec) {
        let Some(file) = self.setting(&Scope::Listener, Name::OriginFile) else { return };
        if file.value.trim().is_empty() {
            return;
        }
        if matches!(spec.origins, AllowedOrigins::Any) {
            let finding = Finding::new("CORS-E011", "`*` must stand alone, without an origin file");
            self.report.push(file.diagnose(finding.fix("remove `*` or the file")));
        }
        let Some((patterns, read)) = origin_file::read(file, self.files, self.report) else {
            return;
        };
        self.operation.origin_file = Some(read);
        spec.origins = std::mem::take(&mut spec.origins).union(patterns);
    }

    /// Settings without effect are a mistake, most often a misspelt origin key.
    fn require_origin(&mut self, spec: &PolicySpec) {
        let opens = |scope: &Scope| {
            self.setting(scope, Name::AllowedOrigin).is_some_and(|s| !s.value.trim().is_empty())
        };
        let opened = spec.mode == Mode::Off
            || opens(&Scope::Listener)
            || self.setting(&Scope::Listener, Name::OriginFile).is_some()
            || self.merged.overrides(self.listener).iter().any(opens)
            || self.merged.is_misspelt(self.listener);
        if opened {
            return;
        }
        let origin = format!("{}.allowed.origin", self.listener.prefix());
        let scopes = [vec![Scope::Listener], self.merged.overrides(self.listener)].concat();
        for (name, setting) in scopes.iter().flat_map(|s| self.merged.of(self.listener, s)) {
            if name.needs_origin() {
                let message = format!(
                    "`{}` is set but no origin is allowed (`{origin}`); CORS would stay off",
                    setting.key
                );
                let finding = Finding::new("CORS-E004", message);
                self.report.push(
                    setting.diagnose(finding.fix(format!("set `{origin}`, or remove this line"))),
                );
            }
        }
    }

    fn policy(&mut self, scope: &Scope, spec: PolicySpec) -> Option<CorsPolicy> {
        let conflicts = match CorsPolicy::try_new(spec) {
            Ok(policy) => return Some(policy),
            Err(conflicts) => conflicts,
        };
        for conflict in conflicts {
            self.report_conflict(scope, conflict);
        }
        None
    }

    fn report_conflict(&mut self, scope: &Scope, conflict: Conflict) {
        let Conflict { property, with, mut finding } = conflict;
        let at = self.source(scope, property);
        let with = with.and_then(|property| self.source(scope, property));
        if let Some(with) = with {
            finding.message.push_str(&format!(" ({})", with.place()));
        }
        // Only `allowed.origin`, true switches and `engine` conflict: one of the two was written.
        if let Some(at) = at.or(with) {
            self.report.push(at.diagnose(finding));
        }
    }

    /// The setting that gave a property its value in this scope.
    fn source(&self, scope: &Scope, property: Property) -> Option<&'a Setting> {
        let names: &[Name] = match property {
            Property::Origins => &[Name::AllowedOrigin, Name::OriginFile],
            Property::Methods => &[Name::AllowedMethods],
            Property::Headers => &[Name::AllowedHeaders],
            Property::Exposed => &[Name::ExposedHeaders],
            Property::Credentials => &[Name::AllowCredentials],
            Property::PrivateNetwork => &[Name::PrivateNetwork],
            Property::Engine => &[Name::Engine],
        };
        [scope, &Scope::Listener]
            .into_iter()
            .flat_map(|scope| names.iter().map(move |name| (scope, *name)))
            .find_map(|(scope, name)| self.setting(scope, name))
    }

    fn setting(&self, scope: &Scope, name: Name) -> Option<&'a Setting> {
        self.merged.get(self.listener, scope, name)
    }

    fn check_model(&mut self, scope: &Scope, model: &str) {
        let Some(models) = &self.facts.models else { return };
        if models.iter().any(|known| known == model) {
            return;
        }
        let Some((_, setting)) = self.merged.of(self.listener, scope).next() else { return };
        let (code, later) = match self.facts.models_load_later {
            true => ("CORS-W117", "; the policy applies once it is registered"),
            false => ("CORS-E095", ", and none can be registered later"),
        };
        let message = format!("the model `{model}` is not loaded at start{later}");
        self.report.push(setting.diagnose(Finding::new(code, message)));
    }

    fn route(
        &mut self,
        scope: &Scope,
        id: &str,
        known: &mut Vec<(RoutePattern, String)>,
    ) -> Option<RoutePattern> {
        let Some(path) = self.setting(scope, Name::Path) else {
            let (_, setting) = self.merged.of(self.listener, scope).next()?;
            let prefix = self.listener.prefix();
            let finding = Finding::new("CORS-E095", format!("the route `{id}` has no path"));
            let fix = format!("add `{prefix}.route.{id}.path=/...`");
            self.report.push(setting.diagnose(finding.fix(fix)));
            return None;
        };
        let value = path.value.trim();
        let finding = match RoutePattern::parse(value) {
            None => Finding::new("CORS-E095", format!("`{value}` is no absolute path"))
                .fix("write `/path`, or `/path/*` for everything below it"),
            Some(route) => match known.iter().find(|(other, _)| *other == route) {
                Some((_, other)) => {
                    Finding::new("CORS-E095", format!("the route `{other}` has this path already"))
                        .fix("keep one")
                }
                None => {
                    known.push((route.clone(), id.to_owned()));
                    return Some(route);
                }
            },
        };
        self.report.push(path.diagnose(finding));
        None
    }
}

fn put<T>(slot: &mut T, parsed: Parsed<T>) -> Vec<Finding> {
    *slot = parsed.value;
    parsed.findings
}

fn set<T>(slot: &mut T, value: Result<T, Finding>) -> Vec<Finding> {
    match value {
        Ok(value) => {
            *slot = value;
            Vec::new()
        }
        Err(finding) => vec![finding],
    }
}

fn shared_list<T>(parsed: Parsed<T>) -> Parsed<std::sync::Arc<T>> {
    Parsed { value: shared(parsed.value), findings: parsed.findings }
}

fn not_empty(value: &str) -> Result<(), Finding> {
    match value {
        "" => Err(Finding::new("CORS-E090", "the name of the file is empty")),
        _ => Ok(()),
    }
}

fn absolute(value: &str) -> Result<String, Finding> {
    match value.starts_with('/') {
        true => Ok(value.to_owned()),
        false => Err(Finding::new("CORS-E071", format!("`{value}` is no absolute path"))),
    }
}
