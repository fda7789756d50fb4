//! `cors.*`, `management_cors.*` and `metrics_cors.*` properties to policies.
//!
//! Called at start before any port is opened, on reload and by the linter. [`compile`] never stops
//! at the first mistake; it gives policies only when there is none. `keys` knows the properties,
//! `merge` reconciles spellings and sources, `values` and the lists of this room read values,
//! `build` puts policies together, `warnings` looks at the result.
//!
//! Codes: E001 unknown key, E002 set twice, E003 spellings disagree, E004 no origin; E010-E026
//! origins; E030-E033 methods; E040-E043 request headers; E050-E053 exposed headers; E060, E061
//! numbers; E070, E071 words; E080 `*` on management; E081 `*` with private networks; E090, E091
//! the origin file; E093 the configuration file cannot be read again; E095 overrides; E096 beyond actix-cors; E099 a warning under `cors.strict`.
//! W101 `*`; W102 long max-age; W103 plain http; W104 localhost page, public listener; W105 subdomain pattern with
//! credentials; W106 tokens but no `Authorization`; W107 both spellings; W108 TorchServe's
//! spelling; W109 no POST; W110 management broader than inference; W111 `X-Request-Id` not exposed;
//! W112 listed twice; W113 method case; W114 `*` behind a firewall; W115 debug mode; W117 override for a model that is not loaded at start; W118 the engine actix;
//! W119 a shadow file that cannot be used.

mod build;
mod files;
mod keys;
mod merge;
mod operation;
mod origin_file;
mod values;
mod warnings;

use std::sync::Arc;

pub use files::{Disk, Files};
pub use keys::is_cors_key;
pub use operation::{Operation, Operations, OriginFile, Report, SelfTest};

use super::{
    diagnostic::{Diagnostic, Finding, Severity},
    listener::{Listener, ListenerPolicies},
    spec::DEFAULT_MAX_AGE,
};
use merge::Merged;
pub use merge::listener_of;

/// One property as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// As spelt.
    pub key: String,
    /// As the properties syntax gives it.
    pub value: String,
    /// The configuration file; relative paths in values start in its folder.
    pub file: String,
    /// Line in the file, 1 is the first; 0 where there is none.
    pub line: usize,
    /// Where it was said.
    pub origin: SettingOrigin,
}

/// Where a setting was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingOrigin {
    /// In the file.
    File,
    /// In this environment variable, which overrides the file.
    Environment(String),
}

/// What warnings depend on besides the properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerFacts {
    /// Inference and management ask for tokens.
    pub token_auth: bool,
    /// What 8080 is bound to.
    pub inference: BindScope,
    /// What 8081 is bound to.
    pub management: BindScope,
    /// What 8082 is bound to.
    pub metrics: BindScope,
    /// The models known at start, if that is known.
    pub models: Option<Vec<String>>,
    /// Models can be registered later: an override for an unknown one may still match.
    pub models_load_later: bool,
    /// Which listeners speak TLS themselves: inference, management, metrics.
    pub https: [bool; 3],
    /// Which listeners can be reached by programs of this machine alone, over TCP: a page that calls
    /// one under another name has had its name pointed here. Inference, management, metrics.
    pub guarded_hosts: [bool; 3],
}

/// From where a bound address can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindScope {
    /// This machine: loopback, or a Unix socket.
    Loopback,
    /// A private network.
    Private,
    /// Every interface, or a public address.
    Any,
}

/// What came of the settings.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// `None` when there is a problem.
    pub policies: Option<ListenerPolicies>,
    /// `CORS-E...`, in the order of the file.
    pub problems: Vec<Diagnostic>,
    /// `CORS-W...`, in the order of the file.
    pub warnings: Vec<Diagnostic>,
    /// How the listeners are run besides.
    pub operations: Operations,
}

/// Compiles the settings of all listeners. Keys that are not [`is_cors_key`] must not be among
/// them.
pub fn compile(settings: &[Setting], facts: &ListenerFacts) -> Compiled {
    compile_with(settings, facts, &Disk)
}

/// The same with the files that the settings name from elsewhere than the disk.
pub fn compile_with(settings: &[Setting], facts: &ListenerFacts, files: &dyn Files) -> Compiled {
    let mut found = Vec::new();
    let mut operations = Operations::default();
    let merged = Merged::new(settings, &mut found);
    let policies = build::policies(&merged, facts, files, &mut operations, &mut found);
    // Of values that were refused there is nothing left to warn about.
    let policies = policies.filter(|_| found.iter().all(|d| d.severity() == Severity::Warning));
    warnings::whole(&merged, &policies, settings, facts, &mut found);
    let mut problems: Vec<Diagnostic> = Vec::new();
    let mut warnings: Vec<Diagnostic> = Vec::new();
    for diagnostic in found {
        let list = match diagnostic.severity() {
            Severity::Error => &mut problems,
            Severity::Warning => &mut warnings,
        };
        if !list.contains(&diagnostic) {
            list.push(diagnostic);
        }
    }
    problems.extend(warnings::under_strict(&merged, &warnings));
    problems.sort_by_key(|diagnostic| diagnostic.line);
    warnings.sort_by_key(|diagnostic| diagnostic.line);
    let policies = policies.filter(|_| problems.is_empty());
    Compiled { policies, problems, warnings, operations }
}

// === impl Setting ===

impl Setting {
    /// A setting of a file.
    pub fn in_file(key: &str, value: &str, file: &str, line: usize) -> Self {
        let (key, value, file) = (key.to_owned(), value.to_owned(), file.to_owned());
        Self { key, value, file, line, origin: SettingOrigin::File }
    }

    /// A finding about this setting.
    pub fn diagnose(&self, finding: Finding) -> Diagnostic {
        let (file, line) = match &self.origin {
            SettingOrigin::File => (self.file.clone(), self.line),
            SettingOrigin::Environment(variable) => (variable.clone(), 0),
        };
        let Finding { code, message, fix } = finding;
        Diagnostic { code, file, line, key: self.key.clone(), message, fix }
    }

    /// `key=value` and where, for messages about another setting.
    fn place(&self) -> String {
        let (key, value) = (&self.key, self.value.trim());
        match &self.origin {
            SettingOrigin::File => format!("`{key}={value}`, line {}", self.line),
            SettingOrigin::Environment(variable) => format!("`{key}={value}`, from {variable}"),
        }
    }
}

// === impl ListenerFacts ===

impl Default for ListenerFacts {
    /// TorchServe's defaults: tokens, and loopback.
    fn default() -> Self {
        Self {
            token_auth: true,
            inference: BindScope::Loopback,
            management: BindScope::Loopback,
            metrics: BindScope::Loopback,
            models: None,
            models_load_later: true,
            https: [false; 3],
            guarded_hosts: [false; 3],
        }
    }
}

impl ListenerFacts {
    fn bind(&self, listener: Listener) -> BindScope {
        match listener {
            Listener::Inference => self.inference,
            Listener::Management => self.management,
            Listener::Metrics => self.metrics,
        }
    }

    fn is_https(&self, listener: Listener) -> bool {
        let [inference, management, metrics] = self.https;
        match listener {
            Listener::Inference => inference,
            Listener::Management => management,
            Listener::Metrics => metrics,
        }
    }

    fn guards_hosts(&self, listener: Listener) -> bool {
        let [inference, management, metrics] = self.guarded_hosts;
        match listener {
            Listener::Inference => inference,
            Listener::Management => management,
            Listener::Metrics => metrics,
        }
    }

    /// The metrics listener never asks for a token.
    fn asks_tokens(&self, listener: Listener) -> bool {
        self.token_auth && listener != Listener::Metrics
    }
}

/// Policies under construction: those of listeners that have no problem.
type Built = Option<ListenerPolicies>;

fn shared<T>(value: T) -> Arc<T> {
    Arc::new(value)
}
