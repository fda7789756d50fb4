//! `migrate`: what of a TorchServe installation runs here, key by key and model by model.
//!
//! Reads the installation and writes nothing into it: archives are unpacked into a folder of its own,
//! which is removed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::Value;

use super::archive::inspector;
use crate::archive::{self, ArchiveError, Contents, ModelConfig, Printable};
use crate::cli::Migrate;
use crate::config::keys::{self, Stance};
use crate::config::{
    Config, Examination, Level, LoadModels, ProcessEnvironment, Runs, ServiceEnvelope,
};
use crate::handlers::{Effect, Envelope, handler_keys};
use crate::registry::MODEL_KEYS;

/// What is looked for in a folder.
const CONFIG_FILE: &str = "config.properties";
/// Folders that model stores are usually called, in a folder without a configuration.
const STORES: [&str; 3] = ["model_store", "model-store", "models"];

/// Everything that was found.
#[derive(Serialize)]
struct Report {
    /// The configuration file, if there is one.
    config: Option<String>,
    model_store: Option<String>,
    settings: Vec<Item>,
    models: Vec<Item>,
    /// What concerns neither one key nor one model.
    server: Vec<Item>,
}

/// One key or one model.
#[derive(Serialize)]
struct Item {
    name: String,
    runs: &'static str,
    reasons: Vec<String>,
}

/// Prints the report.
pub fn migrate(flags: &Migrate) -> ExitCode {
    let report = match report(flags) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("torchfront migrate: {error}");
            return ExitCode::FAILURE;
        }
    };
    match flags.json {
        true => println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default()),
        false => print!("{report}"),
    }
    let items = [&report.settings, &report.models, &report.server];
    match items.iter().any(|items| items.iter().any(|item| item.runs == word(Runs::No))) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn report(flags: &Migrate) -> Result<Report, String> {
    let path = &flags.path;
    let (file, folder) = if path.is_dir() {
        (Some(path.join(CONFIG_FILE)).filter(|file| file.is_file()), path.as_path())
    } else if path.is_file() {
        (Some(path.clone()), path.parent().unwrap_or(Path::new(".")))
    } else {
        return Err(format!("{}: no such file or folder", path.display()));
    };
    let examined = file.as_deref().map(|file| Examination::of_file(file, &ProcessEnvironment));
    let (mut settings, mut server) = (Vec::new(), Vec::new());
    let mut config = Config::default();
    match examined {
        Some(examined) => {
            for key in examined.keys {
                let name = format!("{}: {}", key.origin, key.key);
                settings.push(Item::new(name, key.runs, key.reason));
            }
            for error in examined.errors {
                server.push(Item::new("configuration", Runs::No, Some(error.to_string())));
            }
            for note in examined.notes.into_iter().filter(|note| note.level == Level::Warning) {
                server.push(Item::new("configuration", Runs::Changed, Some(note.text)));
            }
            config = examined.config;
        }
        None => config.load_models = LoadModels::All,
    }
    server.extend(always());
    let store = model_store(flags, &config, folder, file.is_none());
    let mut models = Vec::new();
    match &store {
        Ok(store) => models = of_store(store, &config)?,
        Err(problem) => server.push(Item::new("model_store", Runs::No, Some(problem.clone()))),
    }
    Ok(Report {
        config: file.map(|file| file.display().to_string()),
        model_store: store.ok().map(|store| store.display().to_string()),
        settings,
        models,
        server,
    })
}

/// What TorchServe does without being asked.
fn always() -> Vec<Item> {
    let grpc = keys::find("grpc_inference_port").map(|key| key.stance);
    let mut items = Vec::new();
    if let Some(Stance::NotYet(reason)) = grpc {
        items.push(Item::new("gRPC", Runs::Changed, Some(reason.to_owned())));
    }
    items
}

/// The flag's, else the file's, from the working directory or from beside the file, as it is there.
fn model_store(
    flags: &Migrate,
    config: &Config,
    folder: &Path,
    no_file: bool,
) -> Result<PathBuf, String> {
    let candidates: Vec<PathBuf> = match (&flags.model_store, &config.model_store) {
        (Some(given), _) => vec![given.clone()],
        (None, Some(set)) => vec![set.clone(), folder.join(set)],
        (None, None) => {
            let usual = STORES.iter().map(|name| folder.join(name));
            usual.chain(no_file.then(|| folder.to_path_buf())).collect()
        }
    };
    candidates.iter().find(|path| path.is_dir()).cloned().ok_or_else(|| {
        let tried: Vec<String> = candidates.iter().map(|path| path.display().to_string()).collect();
        format!("not found: {}; give it with --model-store", tried.join(", "))
    })
}

/// Every model of the store, and every one that the file names and is not there.
fn of_store(store: &Path, config: &Config) -> Result<Vec<Item>, String> {
    let unpack_dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut names = archive::scan(store).map_err(|error| error.to_string())?;
    if let LoadModels::List(list) = &config.load_models {
        let missing = list.iter().map(|model| model.archive.clone());
        names.extend(missing.filter(|name| !names.contains(name)).collect::<Vec<_>>());
    }
    names.extend(workflows(store));
    Ok(names.iter().map(|name| of_model(store, name, config, unpack_dir.path())).collect())
}

/// Workflow archives, which `scan` leaves out.
fn workflows(store: &Path) -> Vec<String> {
    let entries = store.read_dir().into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".war")).collect();
    names.sort_unstable();
    names
}

fn of_model(store: &Path, name: &str, config: &Config, unpack_dir: &Path) -> Item {
    let shown = Printable::new(name).to_string();
    if name.ends_with(".war") {
        let reason = keys::find("workflow_store").map(|key| key.stance);
        let text = match reason {
            Some(Stance::NotYet(reason) | Stance::NotApplicable(reason)) => reason,
            _ => "is a workflow archive, not a model",
        };
        return Item::new(shown, Runs::No, Some(text.to_owned()));
    }
    let refused = |error: &dyn fmt::Display| Item::new(&*shown, Runs::No, Some(error.to_string()));
    let source = match archive::resolve(store, name) {
        Ok(source) => source,
        Err(ArchiveError::UrlNotSupported { .. }) => {
            let text = "is downloaded when the server starts, if allowed_urls lets it in; it is not \
                        looked at here";
            return Item::new(shown, Runs::Changed, Some(text.to_owned()));
        }
        Err(error) => return refused(&error),
    };
    let mut inspector = inspector(config.default_service_handler.clone(), envelope(config));
    inspector.limits = archive::ArchiveLimits {
        max_size: config.archive_limits.max_size,
        max_entries: config.archive_limits.max_entries,
        max_ratio: config.archive_limits.max_ratio,
    };
    // Read once: the folder that it unpacks to is then looked at in place.
    let contents = match Contents::read(&source, &inspector.limits, unpack_dir) {
        Ok(contents) => contents,
        Err(error) => return refused(&error),
    };
    let found = match inspector.inspect(&contents.dir, unpack_dir) {
        Ok(found) => found,
        Err(error) => return refused(&error),
    };
    let mut item = Item::new(shown, Runs::AsIs, None);
    if contents.manifest.requirements_file.is_some() {
        item.add(
            Runs::Changed,
            "its Python packages are not installed; no Python is run".to_owned(),
        );
    }
    if let Some(model_config) = &contents.model_config {
        of_model_config(model_config, found.archive.handler(), &mut item);
    }
    item
}

fn of_model_config(config: &ModelConfig, handler: &str, item: &mut Item) {
    for warning in &config.warnings {
        item.add(Runs::Changed, format!("model-config.yaml: {warning}"));
    }
    for (name, value) in config.rest.as_object().into_iter().flatten() {
        let known = MODEL_KEYS
            .iter()
            .chain(handler_keys(handler))
            .find(|key| key.name.split('.').next() == Some(name));
        let key = Printable::new(name);
        match known.map(|key| key.effect) {
            Some(Effect::Read) => {}
            // What is switched off is not missed.
            Some(_) if matches!(value, Value::Null | Value::Bool(false)) => {}
            Some(Effect::None(reason)) => {
                item.add(
                    Runs::Changed,
                    format!("model-config.yaml: {key}: has no effect: {reason}"),
                );
            }
            Some(Effect::NotYet(reason)) => {
                item.add(Runs::No, format!("model-config.yaml: {key}: has no effect: {reason}"));
            }
            None => {
                let text = format!("model-config.yaml: {key}: nothing here reads this key");
                item.add(Runs::Changed, text);
            }
        }
    }
}

fn envelope(config: &Config) -> Envelope {
    match config.service_envelope {
        ServiceEnvelope::None => Envelope::None,
        ServiceEnvelope::Body => Envelope::Body,
        ServiceEnvelope::Json => Envelope::Json,
        ServiceEnvelope::KServe => Envelope::KServe,
        ServiceEnvelope::KServeV2 => Envelope::KServeV2,
    }
}

/// How a verdict is written.
fn word(runs: Runs) -> &'static str {
    match runs {
        Runs::AsIs => "as is",
        Runs::Changed => "changes",
        Runs::No => "does not run",
    }
}

// === impl Item ===

impl Item {
    fn new(name: impl Into<String>, runs: Runs, reason: Option<String>) -> Item {
        Item { name: name.into(), runs: word(runs), reasons: reason.into_iter().collect() }
    }

    /// One more reason; the worst verdict stays.
    fn add(&mut self, runs: Runs, reason: String) {
        if self.runs != word(Runs::No) {
            self.runs = word(runs);
        }
        self.reasons.push(reason);
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<13} {}", self.runs, self.name)?;
        for reason in &self.reasons {
            write!(f, "\n{:16}{reason}", "")?;
        }
        Ok(())
    }
}

// === impl Report ===

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = "none";
        writeln!(f, "configuration: {}", self.config.as_deref().unwrap_or(none))?;
        writeln!(f, "model store: {}", self.model_store.as_deref().unwrap_or(none))?;
        let parts =
            [("settings", &self.settings), ("models", &self.models), ("server", &self.server)];
        for (title, items) in parts.iter().filter(|(_, items)| !items.is_empty()) {
            writeln!(f, "\n{title}")?;
            for item in *items {
                writeln!(f, "{item}")?;
            }
        }
        let all = || parts.iter().flat_map(|(_, items)| items.iter());
        let count = |runs: Runs| all().filter(|item| item.runs == word(runs)).count();
        writeln!(
            f,
            "\n{} as is, {} changed, {} that do not run",
            count(Runs::AsIs),
            count(Runs::Changed),
            count(Runs::No)
        )
    }
}
