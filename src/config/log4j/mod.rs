//! `--log-config FILE`: what a log4j2 configuration says, as far as it has a meaning here. PURE but
//! for reading the file.
//!
//! | read | not read |
//! |---|---|
//! | `Properties`, `${name}`, `${env:NAME}`, `${...:-default}` | other lookups |
//! | `Console`, `File`, `RollingFile` and their `RandomAccess` kin, `Async` around them | other appenders |
//! | `PatternLayout` (`telemetry/pattern.rs`), `JsonLayout`, `JsonTemplateLayout` | other layouts, templates |
//! | `SizeBasedTriggeringPolicy`, `TimeBasedTriggeringPolicy` (daily), `DefaultRolloverStrategy max` | other policies, names of files put aside |
//! | `Logger`, `Root`, `level`, `additivity`, `AppenderRef level`, `ThresholdFilter` | other filters |
//!
//! TorchServe's loggers are the server's streams: `org.pytorch.serve` the server, `ACCESS_LOG`,
//! `MODEL_LOG`, and with `metrics_mode=log` `TS_METRICS` and `MODEL_METRICS`. What is not read is said
//! when the server starts; it never keeps it from starting, as in TorchServe.

mod document;
mod text;

use std::path::Path;

use super::error::Note;
use super::source::Environment;
use crate::telemetry::{Destination, Layout, Levels, RollingSettings, Sink, Stream};
use document::{Appender, Configuration};

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Log4j {
    pub(super) sinks: Vec<Sink>,
    /// The file of `TS_METRICS`.
    pub(super) server_metrics: Option<RollingSettings>,
    /// The file of `MODEL_METRICS`.
    pub(super) model_metrics: Option<RollingSettings>,
}

/// Bytes of a configuration; TorchServe's own has three thousand.
const MAX_FILE: u64 = 1 << 20;
/// The logger whose lines are the server's.
const SERVER: &str = "org.pytorch.serve.ModelServer";

/// Reads the file. None when it cannot be used at all: then logging is as without it.
pub(super) fn read(
    path: &Path,
    environment: &dyn Environment,
    notes: &mut Vec<Note>,
) -> Option<Log4j> {
    let shown = path.display();
    let mut unread = Vec::new();
    let log4j = text::read(path, MAX_FILE)
        .and_then(|text| Log4j::parse(&text, environment, &mut unread))
        .map_err(|problem| {
            let text = format!("--log-config {shown}: {problem}; logging as without it");
            notes.push(Note::warning(text));
        });
    let warning = |text: &String| Note::warning(format!("--log-config {shown}: {text}"));
    unread.dedup();
    notes.extend(unread.iter().map(warning));
    log4j.ok()
}

// === impl Log4j ===

impl Log4j {
    /// Reads the text of a configuration; what is not read is added to `unread`.
    ///
    /// # Errors
    /// Why it is no log4j2 configuration.
    fn parse(
        text: &str,
        environment: &dyn Environment,
        unread: &mut Vec<String>,
    ) -> Result<Log4j, String> {
        let configuration = Configuration::parse(text, environment, unread)?;
        let mut sinks: Vec<(String, Sink)> = Vec::new();
        for stream in [Stream::Server, Stream::Access, Stream::Model] {
            let logger = stream.logger().unwrap_or(SERVER);
            for (name, appender, level) in configuration.appenders_of(logger, unread) {
                let at = sinks.iter().position(|(known, _)| *known == name);
                let at = at.unwrap_or_else(|| {
                    let Appender { to, layout, .. } = appender;
                    let (to, layout) = (to.clone(), layout.clone());
                    sinks.push((name.clone(), Sink { to, layout, levels: Levels::OFF }));
                    sinks.len() - 1
                });
                sinks[at].1.levels.raise(stream, level);
            }
        }
        let metrics = |logger: &str, unread: &mut Vec<String>| {
            let mut own = configuration.appenders_of(logger, unread).into_iter();
            own.find_map(|(_, appender, _)| match &appender.to {
                Destination::File(file) => Some(file.clone()),
                Destination::Stdout | Destination::Stderr => None,
            })
        };
        let server_metrics = metrics("TS_METRICS", unread);
        let model_metrics = metrics("MODEL_METRICS", unread);
        let sinks: Vec<Sink> = sinks.into_iter().map(|(_, sink)| sink).collect();
        if !sinks.iter().any(|sink| sink.levels != Levels::OFF) {
            unread.push("no logger of TorchServe has an appender: nothing is logged".to_owned());
        }
        Ok(Log4j { sinks, server_metrics, model_metrics })
    }
}

/// The layout of an appender that has none: log4j's.
fn plain() -> Layout {
    Layout::Pattern(crate::telemetry::Pattern::parse("%m%n", &mut Vec::new()))
}

#[cfg(test)]
mod tests;
