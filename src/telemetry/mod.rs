//! Where log lines go: standard output, as text or JSON, and files with TorchServe's names. The lines
//! of `metrics_mode=log` are written in the same way, to their files.
//!
//! ```text
//!   sinks.rs     what goes where                                  PURE
//!   pattern.rs   log4j's patterns                                 PURE
//!   layout.rs    an event in such a pattern
//!   text.rs      an event as one readable line
//!   lines.rs     a thread of its own writes, nobody waits for it
//!   rolling.rs   files that are put aside, compressed and removed
//! ```

mod layout;
mod lines;
mod pattern;
mod rolling;
mod sinks;
mod text;

use std::io::{self, IsTerminal, stderr, stdout};

use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

pub use lines::LogGuard;
pub(crate) use lines::{LineWriter, start as write_lines};
pub use pattern::{Line, Pattern};
pub(crate) use rolling::RollingFile;
pub use rolling::RollingSettings;
pub use sinks::{ACCESS_PATTERN, Destination, Layout, Levels, SERVER_PATTERN, Sink, Stream};

use layout::{PatternFormat, PlainFields};
use text::TextFormat;

/// Starts logging for this process. What is still waiting is written when the guards are dropped.
///
/// A file that cannot be opened is told to the other sinks: a server that runs is worth more than its
/// log. A second call (an embedding program that logs already) changes nothing.
///
/// # Errors
/// The system's, when it has no thread to write with.
pub fn start(sinks: &[Sink]) -> io::Result<Vec<LogGuard>> {
    let mut guards = Vec::new();
    let mut failures = Vec::new();
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = Vec::new();
    for sink in sinks {
        let (writer, guard) = match &sink.to {
            Destination::Stdout => lines::start(stdout())?,
            Destination::Stderr => lines::start(stderr())?,
            Destination::File(file) => match RollingFile::open(file.clone()) {
                Ok(opened) => lines::start(opened)?,
                Err(error) => {
                    failures.push((file.path.display().to_string(), error));
                    continue;
                }
            },
        };
        guards.push(guard);
        layers.push(layer(sink, writer));
    }
    let _already = tracing_subscriber::registry().with(layers).try_init();
    for (file, error) in failures {
        tracing::error!(%error, "the log file {file} cannot be written; going on without it");
    }
    Ok(guards)
}

fn layer(sink: &Sink, writer: LineWriter) -> Box<dyn Layer<Registry> + Send + Sync> {
    let levels = sink.levels;
    let most = levels.server.max(levels.access).max(levels.model);
    let filter = filter_fn(move |meta| {
        let level = levels.of(Stream::of(meta.target()));
        let of = |crates: &[&str]| crates.iter().any(|name| meta.target().starts_with(name));
        *meta.level()
            <= if of(&["torchfront", "access_log"]) {
                level
            } else if of(&["actix_http"]) && level < LevelFilter::DEBUG {
                // Its errors are what clients do, a line for every request that is none.
                LevelFilter::OFF
            } else {
                // Other crates speak up when something is wrong.
                level.min(LevelFilter::WARN)
            }
    })
    .with_max_level_hint(most);
    let layer = fmt::layer().with_writer(writer);
    match &sink.layout {
        Layout::Text => {
            let terminal = sink.to == Destination::Stdout && stdout().is_terminal();
            let layer = layer.event_format(TextFormat::default());
            layer.with_ansi(terminal).with_filter(filter).boxed()
        }
        Layout::Json => {
            layer.json().flatten_event(true).with_current_span(false).with_filter(filter).boxed()
        }
        Layout::Pattern(pattern) => layer
            .fmt_fields(PlainFields::default())
            .event_format(PatternFormat(pattern.clone()))
            .with_ansi(false)
            .with_filter(filter)
            .boxed(),
    }
}
