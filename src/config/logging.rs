//! Where log lines go: `log_format`, `log_files`, `LOG_LOCATION` and `--log-config`.
//!
//! Called by `mod.rs`. Without a word standard output alone; TorchServe's files beside it when
//! `LOG_LOCATION` says where or `log_files=true` asks for them; else what a log4j2 configuration says,
//! named by the flag or, as TorchServe's documents advise, in `vmargs`.

use std::path::{Path, PathBuf};

use super::error::{ConfigError, Note};
use super::log4j::{self, Log4j};
use super::snapshot::LOGS;
use super::source::{Environment, Gathered};
use super::typed::Typed;
use super::{Config, LogFormat};
use crate::cli::Overrides;
use crate::telemetry::{Destination, Layout, Sink};

/// The Java properties that name a log4j2 configuration.
const IN_VMARGS: [&str; 2] = ["-Dlog4j.configurationFile=", "-Dlog4j2.configurationFile="];

/// Sets the sinks of `config`, and the files of the metrics where the configuration names them.
pub(super) fn read(
    config: &mut Config,
    typed: &Typed,
    overrides: &Overrides,
    environment: &dyn Environment,
    found: &mut Gathered,
) {
    let format = layout(config.log_format);
    let Some(log4j) = log4j(overrides, environment, found) else {
        config.log_sinks = vec![Sink::stdout(format)];
        let wanted = match typed.choice("log_files") {
            "true" => true,
            "false" => false,
            _ => config.log_location.is_some(),
        };
        if wanted {
            let folder = config.log_location.as_deref().unwrap_or(Path::new(LOGS));
            config.log_sinks.extend(Sink::torchserve_files(folder));
        }
        return;
    };
    config.log_sinks = log4j.sinks;
    if found.settings.contains_key("log_format") {
        // Ours, and nearer than a pattern that was written for another server.
        let terminals =
            config.log_sinks.iter_mut().filter(|sink| !matches!(sink.to, Destination::File(_)));
        terminals.for_each(|sink| sink.layout = format.clone());
    }
    let files = &mut config.metrics_settings.files;
    if let Some(file) = log4j.server_metrics {
        files.server = file;
    }
    if let Some(file) = log4j.model_metrics {
        files.model = file;
    }
}

/// The form of standard output.
pub(super) fn layout(format: LogFormat) -> Layout {
    match format {
        LogFormat::Text => Layout::Text,
        LogFormat::Json => Layout::Json,
    }
}

fn log4j(
    overrides: &Overrides,
    environment: &dyn Environment,
    found: &mut Gathered,
) -> Option<Log4j> {
    if let Some(path) = &overrides.log_config {
        // TorchServe does not start, either.
        if !path.is_file() {
            let shown = path.display();
            let problem = format!("{shown} does not exist; give a log4j2 file, or leave it out");
            found.errors.push(ConfigError::at("--log-config", problem));
            return None;
        }
        return log4j::read(path, environment, &mut found.notes);
    }
    let setting = found.settings.get("vmargs")?;
    let named = setting.value.split_whitespace().find_map(|argument| {
        IN_VMARGS.iter().find_map(|property| argument.strip_prefix(property))
    })?;
    let named = named.strip_prefix("file://").unwrap_or(named);
    let (path, place) = (PathBuf::from(named), setting.origin.clone());
    let log4j = log4j::read(&path, environment, &mut found.notes)?;
    let text = format!("{place}: vmargs: logging is as {} says", path.display());
    found.notes.push(Note::notice(text));
    Some(log4j)
}
