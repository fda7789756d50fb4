//! The border to the room `cors`: which keys are its, and which variables override them.
//!
//! Called by `source.rs`. Values are handed over as they are; that room reads and judges them.

use super::source::{Environment, Setting};

/// The listeners' prefixes, and the two spellings of each.
const PREFIXES: [&str; 3] = ["cors", "management_cors", "metrics_cors"];

/// True for a key of the CORS vocabulary, well spelt or not.
pub(super) fn is_key(key: &str) -> bool {
    key.starts_with("management.cors.")
        || key.starts_with("metrics.cors.")
        || PREFIXES
            .iter()
            .any(|prefix| key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(['.', '_'])))
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
            let origin = format!("environment variable {variable}");
            settings.push(Setting::new(&key, &value, &origin));
        }
    }
}

/// Dots and underscores are the same in a variable's name.
fn env_name(key: &str) -> String {
    format!("TS_{}", key.replace('.', "_").to_ascii_uppercase())
}
