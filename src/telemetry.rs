//! Where log lines go: standard output, as text or JSON, written by a thread of its own so that a
//! slow reader of the log never holds up a request.

use std::io::{BufWriter, IsTerminal, stdout};

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogForm {
    /// One readable line each.
    Text,
    /// One JSON object each.
    Json,
}

/// Bytes that are written at once under load.
const WRITE_SIZE: usize = 64 << 10;
/// Lines that may wait for the writing thread; more are dropped, requests are not.
const WAITING_LINES: usize = 65_536;

/// Starts logging for this process. What is still waiting is written when the guard is dropped.
///
/// A second call (an embedding program that logs already) changes nothing.
pub fn start(form: LogForm, level: LevelFilter) -> WorkerGuard {
    let builder = NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES);
    // The writing thread flushes when no line is waiting: one write for many lines under load.
    let lines = BufWriter::with_capacity(WRITE_SIZE, stdout());
    let (writer, guard) = builder.lossy(true).finish(lines);
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
    guard
}
