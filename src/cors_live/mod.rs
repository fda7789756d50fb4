//! CORS while the server runs: the policies in force, what takes their place, and what is counted,
//! logged and shown of them.
//!
//! The room [`cors`](crate::cors) decides; this one holds the policies and everything that an
//! operator learns of them. A request is counted by the thread that serves it, in numbers of its own;
//! `/metrics` and `GET /cors/...` add them up. Labels come from the configuration alone.
//!
//! ```text
//!   live.rs           the policies in force; reload, rollback
//!   change.rs         what a change is made of, the 16 policies before
//!   difference.rs     what is different between two policies
//!   watch.rs          files that changed
//!   shown.rs          GET /cors/policy and /cors/origins
//!   beacon.rs rum.js  what browsers report
//!   self_test.rs      what listeners ask themselves
//!   telemetry.rs      all threads' numbers, added up for /metrics
//!   in_force.rs       gauges and counters of policies and their changes
//!   families.rs       the names of the metrics
//!   observer.rs       is told of each decision by one thread: counts, samples, traces
//!   thread_counts.rs  one thread's numbers
//!   exposure.rs       headers that a page is sent and cannot read
//!   denials.rs        the most frequent refused origins: a sketch of bounded size
//!   denial_log.rs     one line for the first refusal of a kind, then for every 2^n-th
//! ```

mod beacon;
mod change;
mod denial_log;
mod denials;
mod difference;
mod exposure;
mod families;
mod in_force;
mod live;
mod observer;
mod self_test;
mod shown;
mod telemetry;
mod thread_counts;
mod watch;

use std::time::{SystemTime, UNIX_EPOCH};

pub use beacon::{Beacon, MAX_REPORT_BYTES, Rejection};
pub use change::{ChangeReport, ChangeResult, HISTORY, PolicySource, Reread, Trigger};
pub use denials::{CAPACITY, Denial, Denials};
pub use difference::Difference;
pub use live::LiveCors;
pub use observer::ThreadObserver;
pub use self_test::SelfCheck;
pub use shown::{ShownOrigins, ShownPolicies};
pub use telemetry::Telemetry;
pub use watch::Watch;

/// How many threads count without meeting.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(64)
}

/// Seconds of Unix time.
fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}
