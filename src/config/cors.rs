//! The border to the room `cors`: which keys are its, which variables override them, and what it
//! makes of the settings.
//!
//! Called by `source.rs` and `mod.rs`. Values are handed over as they are; that room reads and judges
//! them.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use super::address::{ListenAddress, Role};
use super::error::{ConfigError, Note};
use super::interpolate::interpolate;
use super::properties::Properties;
use super::source::{Environment, Setting};
use super::{Config, LoadModels};
use crate::cors::{
    self, BindScope, Compiled, Diagnostic, Disk, Files, Finding, Listener, ListenerFacts,
    ListenerPolicies, SettingOrigin,
};

/// The listeners' prefixes.
const PREFIXES: [&str; 3] = ["cors", "management_cors", "metrics_cors"];

/// True for a key of the CORS vocabulary, well spelt or not.
pub(super) fn is_key(key: &str) -> bool {
    cors::is_cors_key(key)
}

/// What the settings of `config` make, candidates for the next policies included.
pub(super) fn compile(config: &Config, environment: &dyn Environment) -> Compiled {
    compile_with(&handed_over_all(&config.cors), &facts(config), &Disk, environment)
}

/// The settings as the room `cors` takes them.
pub(super) fn handed_over_all(settings: &[Setting]) -> Vec<cors::Setting> {
    settings.iter().map(handed_over).collect()
}

/// Compiles settings, and the candidate that a `shadow.file` names beside them: what is wrong with
/// that one is a warning, as it is not in force.
pub(super) fn compile_with(
    settings: &[cors::Setting],
    facts: &ListenerFacts,
    files: &dyn Files,
    environment: &dyn Environment,
) -> Compiled {
    let mut compiled = cors::compile_with(settings, facts, files);
    for listener in Listener::ALL {
        let Some(file) = compiled.operations[listener as usize].shadow_file.clone() else {
            continue;
        };
        let key = format!("{}.shadow.file", listener.prefix());
        let Some(named) = settings.iter().find(|setting| setting.key == key) else { continue };
        let warn = |problem: String| {
            let message = format!("`{}` is not evaluated: {problem}", file.display());
            named.diagnose(Finding::new("CORS-W119", message))
        };
        let candidate = match candidate(&file, files, environment) {
            Ok(settings) => cors::compile_with(&settings, facts, files),
            Err(problem) => {
                compiled.warnings.push(warn(problem));
                continue;
            }
        };
        compiled.warnings.extend(candidate.problems.iter().map(|one| warn(one.to_string())));
        if let (Some(policies), Some(candidates)) = (&mut compiled.policies, &candidate.policies) {
            let candidate = Some(Arc::clone(candidates.of(listener)));
            Arc::make_mut(policies.of_mut(listener)).set_candidate(candidate);
        }
    }
    compiled
}

/// The CORS settings of a properties file.
fn candidate(
    file: &Path,
    files: &dyn Files,
    environment: &dyn Environment,
) -> Result<Vec<cors::Setting>, String> {
    let properties = Properties::read(&files.read(file)?);
    if let Some(error) = properties.errors.first() {
        return Err(format!("line {}: {}", error.line, error.problem));
    }
    let ours = properties.entries.into_iter().filter(|entry| is_key(&entry.key));
    ours.map(|entry| {
        let value = interpolate(&entry.value, environment)?;
        Ok(cors::Setting::in_file(&entry.key, &value, &file.display().to_string(), entry.line))
    })
    .collect()
}

/// Takes the policies out of `compiled`, its findings to those of the other rooms.
pub(super) fn take_policies(
    compiled: Compiled,
    errors: &mut Vec<ConfigError>,
    notes: &mut Vec<Note>,
) -> ListenerPolicies {
    errors.extend(compiled.problems.iter().map(error));
    notes.extend(compiled.warnings.iter().map(|warning| Note::warning(warning.to_string())));
    compiled.policies.unwrap_or_default()
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

/// A problem of the file in the words of the room `cors`.
pub(super) fn diagnostic(error: &ConfigError) -> Diagnostic {
    let place = error.origin.as_deref().unwrap_or("configuration");
    let line = error.line.unwrap_or(0);
    let file = match line {
        0 => place,
        _ => place.rsplit_once(':').map_or(place, |(file, _)| file),
    };
    Diagnostic {
        code: "CORS-E093",
        file: file.to_owned(),
        line,
        key: error.key.clone().unwrap_or_default(),
        message: error.problem.clone(),
        fix: None,
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
pub(super) fn facts(config: &Config) -> ListenerFacts {
    ListenerFacts {
        token_auth: !config.disable_token_authorization,
        inference: scope(&config.inference),
        management: scope(&config.management),
        metrics: scope(&config.metrics),
        models: match (&config.restore, &config.load_models) {
            (Some(snapshot), _) => Some(snapshot.models.keys().cloned().collect()),
            (None, LoadModels::List(list)) => list.iter().map(|model| model.name.clone()).collect(),
            (None, LoadModels::None | LoadModels::All) => None,
        },
        models_load_later: true,
        https: Role::ALL.map(|role| config.address(role).is_tls()),
        guarded_hosts: Role::ALL.map(|role| {
            // Browsers do not reach a Unix socket; who may call predictions is the operator's word.
            let address = config.address(role);
            role != Role::Inference
                && address.is_loopback()
                && matches!(address, ListenAddress::Tcp { .. })
        }),
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
const SUFFIXES: [&str; 28] = [
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
    "selftest",
    "engine",
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::address::Role;
    use super::super::keys;
    use super::*;

    fn in_file(line: usize, key: &str, value: &str) -> Setting {
        Setting { line: Some(line), ..Setting::new(key, value, &format!("c:{line}")) }
    }

    #[test]
    fn no_other_key_is_taken_for_a_cors_key() {
        for key in keys::all() {
            assert_eq!(is_key(key.name), key.name.starts_with("cors_"), "{}", key.name);
        }
    }

    #[test]
    fn every_property_that_a_variable_can_set_is_known_to_the_room() {
        for suffix in SUFFIXES {
            let known = PREFIXES.iter().any(|prefix| {
                let setting = handed_over(&in_file(1, &format!("{prefix}.{suffix}"), ""));
                let compiled = cors::compile(&[setting], &ListenerFacts::default());
                compiled.problems.iter().all(|problem| problem.code != "CORS-E001")
            });
            assert!(known, "{suffix}");
        }
    }

    #[test]
    fn a_variable_replaces_both_spellings_of_its_key() {
        let mut settings = vec![
            in_file(1, "cors_allowed_origin", "https://a"),
            in_file(2, "cors.allowed.origin", "https://b"),
            in_file(3, "cors.max.age", "5"),
            in_file(4, "cors.model.m.allowed.origin", "*"),
        ];
        let environment: BTreeMap<String, String> = [
            ("TS_CORS_ALLOWED_ORIGIN", "https://c"),
            ("TS_METRICS_CORS_ALLOWED_ORIGIN", "https://d"),
            ("TS_CORS_MODEL_M_ALLOWED_ORIGIN", "https://e"),
        ]
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .into();
        override_from(&environment, &mut settings);
        let mut rows: Vec<(&str, &str)> =
            settings.iter().map(|setting| (setting.key.as_str(), setting.value.as_str())).collect();
        rows.sort_unstable();
        assert_eq!(
            rows,
            [
                ("cors.allowed.origin", "https://c"),
                ("cors.max.age", "5"),
                ("cors.model.m.allowed.origin", "https://e"),
                ("metrics_cors.allowed.origin", "https://d"),
            ]
        );
    }

    #[test]
    fn a_setting_is_handed_over_with_its_place() {
        let file = in_file(7, "cors.allowed.origin", "*");
        let expected = cors::Setting::in_file("cors.allowed.origin", "*", "c", 7);
        assert_eq!(handed_over(&file), expected);
        let variable = Setting::new("k", "v", &format!("{VARIABLE}TS_K"));
        assert_eq!(handed_over(&variable).origin, SettingOrigin::Environment("TS_K".to_string()));
    }

    #[test]
    fn reach_is_judged_by_the_text_of_an_address() {
        for (address, expected) in [
            ("http://127.0.0.1:1", BindScope::Loopback),
            ("http://localhost:1", BindScope::Loopback),
            ("unix:/s", BindScope::Loopback),
            ("http://10.1.2.3:1", BindScope::Private),
            ("http://[fd00::1]:1", BindScope::Private),
            ("http://0.0.0.0:1", BindScope::Any),
            ("http://[::]:1", BindScope::Any),
            ("http://example.com:1", BindScope::Any),
        ] {
            let address = ListenAddress::parse(address, Role::Inference).unwrap();
            assert_eq!(scope(&address), expected, "{address}");
        }
    }

    #[test]
    fn warnings_know_whether_clients_need_a_token() {
        for disabled in [false, true] {
            let config = Config { disable_token_authorization: disabled, ..Config::default() };
            assert_eq!(facts(&config).token_auth, !disabled);
        }
    }
}
