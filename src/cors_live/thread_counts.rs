//! One thread's numbers, by listener; nobody else writes them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::denials::{Refused, Sketch};
use super::exposure::WATCHED;
use crate::cors::{Listener, Verdict};

/// Upper bounds of the durations of preflights, in nanoseconds: 10 µs to 1 s.
pub(super) const BOUNDS: [u64; 16] = [
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
];
/// 2xx, 3xx, 4xx and 5xx.
pub(super) const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
/// What a shadow policy would do otherwise.
pub(super) const DIRECTIONS: [&str; 2] = ["would_deny", "would_allow"];

/// The numbers of a thread.
#[derive(Default)]
pub(super) struct ThreadCounts {
    listeners: [ListenerCounts; 3],
    denials: Mutex<Option<Sketch>>,
}

/// Those of one listener, on cache lines of their own.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct ListenerCounts {
    /// By verdict and class.
    pub(super) responses: [[AtomicU64; CLASSES.len()]; Verdict::ALL.len()],
    /// The same, of requests with a cookie or an authorization.
    pub(super) credentialed: [[AtomicU64; CLASSES.len()]; Verdict::ALL.len()],
    /// By duration, the last is longer than all bounds.
    pub(super) preflights: [AtomicU64; BOUNDS.len() + 1],
    /// Of all preflights together.
    pub(super) nanoseconds: AtomicU64,
    pub(super) unexposed: [AtomicU64; WATCHED.len()],
    pub(super) stripped: AtomicU64,
    pub(super) shadow: [AtomicU64; DIRECTIONS.len()],
}

// === impl ThreadCounts ===

impl ThreadCounts {
    pub(super) fn of(&self, listener: Listener) -> &ListenerCounts {
        &self.listeners[listener as usize]
    }

    /// Keeps a refusal, unless the sketch is being read this moment: nobody waits here.
    pub(super) fn refused(&self, refused: &Refused<'_>) {
        if let Ok(mut sketch) = self.denials.try_lock() {
            sketch.get_or_insert_with(Sketch::new).add(refused);
        }
    }

    /// Looks at the refusals.
    pub(super) fn with_denials<T>(&self, look: impl FnOnce(Option<&Sketch>) -> T) -> T {
        look(self.denials.lock().unwrap_or_else(PoisonError::into_inner).as_ref())
    }
}

// === impl ListenerCounts ===

impl ListenerCounts {
    /// The answer to a request that is no preflight.
    pub(super) fn answered(&self, verdict: Verdict, status: u16, credentialed: bool) {
        let class = match status {
            300..=399 => 1,
            400..=499 => 2,
            500..=599 => 3,
            _ => 0,
        };
        add(&self.responses[verdict as usize][class], 1);
        if credentialed {
            add(&self.credentialed[verdict as usize][class], 1);
        }
    }

    /// The answer to a preflight.
    pub(super) fn preflight(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let at = BOUNDS.iter().position(|bound| nanoseconds <= *bound).unwrap_or(BOUNDS.len());
        add(&self.preflights[at], 1);
        add(&self.nanoseconds, nanoseconds);
    }
}

pub(super) fn add(count: &AtomicU64, n: u64) {
    count.fetch_add(n, Relaxed);
}

/// Takes what was counted since the last time.
pub(super) fn take(count: &AtomicU64) -> u64 {
    if count.load(Relaxed) == 0 { 0 } else { count.swap(0, Relaxed) }
}
