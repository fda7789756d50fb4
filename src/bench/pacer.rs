//! Lets requests go when they are due, from a thread of its own.
//!
//! The timers of the asynchronous runtime are good to a millisecond, which is longer than many
//! answers take; a thread that sleeps is good to some microseconds and costs next to nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::arrivals::Schedule;

/// Due times that lie closer together are let go in one go: a thread that wakes up more often takes
/// the processor from the server that it measures.
const SHORTEST_SLEEP: Duration = Duration::from_micros(50);

/// After so many the workers are told even when the pacer is late itself.
const MOST_AT_ONCE: usize = 1000;

/// Adds a permit for each request of `schedule` when it is due, then `workers` more, with which they
/// learn that it is over. Returns how many were due from `measured_from` on.
///
/// Blocks until then.
pub(super) fn pace(
    schedule: Schedule,
    begin: Instant,
    measured_from: Duration,
    permits: &Arc<Semaphore>,
    workers: usize,
) -> u64 {
    sleep_precisely();
    let mut offered = 0;
    let mut due = 0;
    for offset in schedule {
        let left = (begin + offset).saturating_duration_since(Instant::now());
        if !left.is_zero() || due == MOST_AT_ONCE {
            permits.add_permits(due);
            due = 0;
        }
        if !left.is_zero() {
            std::thread::sleep(left.max(SHORTEST_SLEEP));
        }
        due += 1;
        offered += u64::from(offset >= measured_from);
    }
    permits.add_permits(due + workers);
    offered
}

/// Asks the kernel not to round this thread's sleeps up (by 50 us where nothing is said).
#[cfg(target_os = "linux")]
fn sleep_precisely() {
    let slack = std::num::NonZeroU64::new(1);
    // Without it the pacer is a little later, and the report says by how much.
    let _best_effort = rustix::thread::set_current_timer_slack(slack);
}

/// Only Linux rounds.
#[cfg(not(target_os = "linux"))]
fn sleep_precisely() {}
