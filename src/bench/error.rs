//! Why a load cannot be offered. Each text names the cause and what to do.

use std::path::PathBuf;

/// Why a benchmark does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The URL cannot be called.
    #[error("{url}: {reason}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting that makes no sense.
    #[error("{0}")]
    Setting(String),
    /// A body that cannot be read.
    #[error("{}: {source}", path.display())]
    Body {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The request before the load was not answered.
    #[error("{url} does not answer: {reason}. Is the server running?")]
    NoAnswer {
        /// Whom.
        url: String,
        /// What happened instead.
        reason: String,
    },
    /// The request before the load got another status than the load expects.
    #[error(
        "{url} answered {status}, expected {expected}: {body}\nFix the request, or say \
         --expect-status {status} to measure that answer"
    )]
    Status {
        /// Whom.
        url: String,
        /// The status that came.
        status: u16,
        /// What was expected, in words.
        expected: String,
        /// How the answer begins, printable.
        body: String,
    },
    /// The system refused something.
    #[error("the system refuses {what}: {source}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The chart could not be drawn.
    #[error("the chart cannot be drawn: {0}")]
    Chart(String),
}
