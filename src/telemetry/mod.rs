//! Where log lines go: standard output, as text or JSON. The lines of `metrics_mode=log` are written
//! in the same way, to their files.

mod lines;

use std::io::{self, IsTerminal, stdout};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

pub use lines::LogGuard;
pub(crate) use lines::{LineWriter, start as write_lines};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogForm {
    /// One readable line each.
    Text,
    /// One JSON object each.
    Json,
}

/// Starts logging for this process. What is still waiting is written when the guard is dropped.
///
/// A second call (an embedding program that logs already) changes nothing.
///
/// # Errors
/// The system's, when it has no thread to write with.
pub fn start(form: LogForm, level: LevelFilter) -> io::Result<LogGuard> {
    let (writer, guard) = lines::start(stdout())?;
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_targets([("torchfront", level), ("access_log", LevelFilter::INFO)]);
    let layer = match form {
        LogForm::Text => fmt::layer().with_writer(writer).with_ansi(stdout().is_terminal()).boxed(),
        LogForm::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_writer(writer)
            .boxed(),
    };
    let _already = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
    Ok(guard)
}
