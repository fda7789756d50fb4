//! The border to the room `cors`: which keys are its, which variables override them, and what it
//! makes of the settings.
//!
//! Called by `source.rs` and `mod.rs`. Values are handed over as they are; that room reads and judges
//! them.

use std::net::IpAddr;

use super::Config;
use super::LoadModels;
use super::address::ListenAddress;
use super::error::{ConfigError, Note};
use super::source::{Environment, Setting};
use crate::cors::{self, BindScope, Diagnostic, ListenerFacts, ListenerPolicies, SettingOrigin};

/// The listeners' prefixes.
const PREFIXES: [&str; 3] = ["cors", "management_cors", "metrics_cors"];

/// True for a key of the CORS vocabulary, well spelt or not.
pub(super) fn is_key(key: &str) -> bool {
    cors::is_cors_key(key)
}

/// The policies that the settings ask for; none when there is a mistake among them.
pub(super) fn compile(
    config: &Config,
    errors: &mut Vec<ConfigError>,
    notes: &mut Vec<Note>,
) -> Option<ListenerPolicies> {
    let settings: Vec<_> = config.cors.iter().map(handed_over).collect();
    let compiled = cors::compile(&settings, &facts(config));
    errors.extend(compiled.problems.iter().map(error));
    notes.extend(compiled.warnings.iter().map(|warning| Note::warning(warning.to_string())));
    compiled.policies
}

fn handed_over(setting: &Setting) -> cors::Setting {
    let (key, value) = (setting.key.clone(), setting.value.clone());
    match setting.line {
        Some(line) => {
            let place = setting.origin.rsplit_once(':').map_or(&*setting.origin, |(file, _)| file);
            cors::Setting::in_file(&key, &value, place, line)
        }
        None => {
            let name = setting.origin.strip_prefix(VARIABLE).unwrap_or(&setting.origin);
            let origin = SettingOrigin::Environment(name.to_owned());
            cors::Setting { key, value, file: String::new(), line: 0, origin }
        }
    }
}

fn error(problem: &Diagnostic) -> ConfigError {
    let origin = match problem.line {
        0 => problem.file.clone(),
        line => format!("{}:{line}", problem.file),
    };
    let fix = problem.fix.as_ref().map(|fix| format!("; {fix}")).unwrap_or_default();
    ConfigError {
        origin: Some(origin),
        line: Some(problem.line).filter(|line| *line > 0),
        key: Some(problem.key.clone()),
        problem: format!("{}{fix} [{}]", problem.message, problem.code),
    }
}

/// What warnings depend on besides the settings.
fn facts(config: &Config) -> ListenerFacts {
    ListenerFacts {
        token_auth: !config.disable_token_authorization,
        inference: scope(&config.inference),
        management: scope(&config.management),
        metrics: scope(&config.metrics),
        models: match &config.load_models {
            LoadModels::List(list) => list.iter().map(|model| model.name.clone()).collect(),
            LoadModels::None | LoadModels::All => None,
        },
        models_load_later: true,
    }
}

/// From where an address can be reached, as far as its text tells.
fn scope(address: &ListenAddress) -> BindScope {
    let ListenAddress::Tcp { host, .. } = address else { return BindScope::Loopback };
    match host.parse::<IpAddr>() {
        Ok(address) if address.is_loopback() => BindScope::Loopback,
        Ok(IpAddr::V4(address)) if address.is_private() || address.is_link_local() => {
            BindScope::Private
        }
        Ok(IpAddr::V6(address)) if address.is_unique_local() || address.is_unicast_link_local() => {
            BindScope::Private
        }
        Err(_) if host == "localhost" || host.ends_with(".localhost") => BindScope::Loopback,
        _ => BindScope::Any,
    }
}

/// Properties that a variable can set even when the file does not have them.
const SUFFIXES: [&str; 26] = [
    "allowed.origin",
    "allowed.methods",
    "allowed.headers",
    "allow.credentials",
    "exposed.headers",
    "max.age",
    "allowed.origin.file",
    "allowed.origin.file.reload.s",
    "block.disallowed",
    "same.origin.hosts",
    "allowed.hosts",
    "allow.private.network",
    "allow.any.origin",
    "preflight.status",
    "preflight.cache.control",
    "mode",
    "shadow.file",
    "debug",
    "strict",
    "allow.insecure.origins",
    "allow.public.suffix.wildcards",
    "report.enabled",
    "report.path",
    "report.max.per.s",
    "metrics.origin.slots",
    "log",
];

/// Puts the values of `TS_CORS_ALLOWED_ORIGIN` and the like in place of both spellings of the key.
pub(super) fn override_from(environment: &dyn Environment, settings: &mut Vec<Setting>) {
    let known = PREFIXES
        .iter()
        .flat_map(|prefix| SUFFIXES.iter().map(move |suffix| format!("{prefix}.{suffix}")));
    let in_file: Vec<String> = settings.iter().map(|setting| setting.key.clone()).collect();
    for key in known.chain(in_file) {
        let variable = env_name(&key);
        if let Some(value) = environment.get(&variable) {
            settings.retain(|setting| env_name(&setting.key) != variable);
            let origin = format!("{VARIABLE}{variable}");
            settings.push(Setting::new(&key, &value, &origin));
        }
    }
}

/// What the origin of a variable's value starts with.
const VARIABLE: &str = "environment variable ";

/// Dots and underscores are the same in a variable's name.
fn env_name(key: &str) -> String {
    format!("TS_{}", key.replace('.', "_").to_ascii_uppercase())
}
