//! Reads the machine now and then, off the reactor, for as long as the server runs.
//!
//! A thread of its own, not one of the blocking pool: a file system that hangs must not keep the
//! process from ending.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::metrics::SystemMetrics;

/// Dropping it ends the thread, which is not waited for.
pub(super) struct Collecting {
    _end: mpsc::Sender<()>,
}

/// Collects at once and then after every `every`.
pub(super) fn run(every: Duration, mut system: SystemMetrics) -> Collecting {
    let (end, ended) = mpsc::channel();
    let collect = move || {
        system.collect();
        while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
            system.collect();
        }
    };
    if let Err(error) = std::thread::Builder::new().name("system-metrics".into()).spawn(collect) {
        tracing::warn!(%error, "no system metrics: the system grants no thread");
    }
    Collecting { _end: end }
}
