//! What becomes of each key of a file that was written for TorchServe: the verdicts of `keys.rs`,
//! the errors and the notes of a start, without a start.
//!
//! Called by the command `migrate`. Unlike a start it goes on after a mistake.

use std::path::Path;

use super::Config;
use super::error::{ConfigError, Note};
use super::keys::{self, Stance};
use super::source::{Environment, Gathered, Setting};
use super::typed::Typed;
use super::{checks, cors};

/// A file, key by key.
#[derive(Debug)]
pub struct Examination {
    /// What could be read of it; wrong values have their defaults.
    pub config: Config,
    /// The keys that are set, in alphabetical order, and CORS keys in the order of the file.
    pub keys: Vec<ExaminedKey>,
    /// What makes the file unreadable, as a whole or in a line.
    pub errors: Vec<ConfigError>,
    /// What a start would say besides.
    pub notes: Vec<Note>,
}

/// One key of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExaminedKey {
    /// The key.
    pub key: String,
    /// `config.properties:12`.
    pub origin: String,
    /// What becomes of it.
    pub runs: Runs,
    /// Why, where it does not run as it is.
    pub reason: Option<String>,
}

/// What becomes of a key, or a model, of TorchServe's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// It means the same.
    AsIs,
    /// It is taken, and something is different, or it has nothing to do here.
    Changed,
    /// It does not work here, or not yet.
    No,
}

// === impl Examination ===

impl Examination {
    /// Examines `file`; `TS_CONFIG_FILE` and the command line are not looked at.
    pub fn of_file(file: &Path, environment: &dyn Environment) -> Examination {
        let mut found = Gathered::of_file(file, environment);
        let mut problems = Vec::new();
        let typed = Typed::read(&found.settings, &mut problems);
        let mut config = Config::from_typed(&typed);
        config.read_models(&typed, &mut found);
        checks::addresses(&config, &mut found);
        config.tls = super::tls::identity(&config, &typed, &mut found);
        checks::values(&config, &mut found);
        super::downloads::read(&mut config.downloads, &mut found);
        super::metrics::read(&mut config.metrics_settings, &typed, environment, &mut found);
        let cors_settings = std::mem::take(&mut found.cors);
        config.cors = cors_settings.clone();
        problems.append(&mut found.errors);
        let mut notes = std::mem::take(&mut found.notes);
        cors::take_policies(cors::compile(&config, environment), &mut problems, &mut notes);
        let mut keys: Vec<ExaminedKey> =
            found.settings.values().map(|setting| examine(setting, &mut problems)).collect();
        keys.extend(cors_settings.iter().map(|setting| examine_cors(setting, &mut problems)));
        Examination { config, keys, errors: problems, notes }
    }
}

/// The errors about this setting, taken out of `problems`.
fn taken(setting: &Setting, problems: &mut Vec<ConfigError>) -> Option<String> {
    let about = |error: &mut ConfigError| {
        error.key.as_deref() == Some(&setting.key)
            && error.origin.as_deref().is_none_or(|origin| origin == setting.origin)
    };
    let texts: Vec<String> = problems.extract_if(.., about).map(|error| error.problem).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

fn examine(setting: &Setting, problems: &mut Vec<ConfigError>) -> ExaminedKey {
    let (runs, reason) = match (taken(setting, problems), keys::find(&setting.key)) {
        (Some(problem), _) => (Runs::No, Some(problem)),
        (None, None) => (
            Runs::Changed,
            Some("is not a known key and has no effect, as in TorchServe".to_owned()),
        ),
        (None, Some(key)) => match key.stance {
            Stance::Supported => (Runs::AsIs, None),
            Stance::NotApplicable(reason) => {
                (Runs::Changed, Some(format!("has no effect: {reason}")))
            }
            Stance::NotYet(_) if setting.value.trim() == key.default => (Runs::AsIs, None),
            Stance::NotYet(reason) => (Runs::No, Some(format!("has no effect: {reason}"))),
        },
    };
    ExaminedKey { key: setting.key.clone(), origin: setting.origin.clone(), runs, reason }
}

fn examine_cors(setting: &Setting, problems: &mut Vec<ConfigError>) -> ExaminedKey {
    let reason = taken(setting, problems);
    let runs = if reason.is_some() { Runs::No } else { Runs::AsIs };
    ExaminedKey { key: setting.key.clone(), origin: setting.origin.clone(), runs, reason }
}
