//! What one client may hold: connections, time, memory of the network.
//!
//! actix reads and writes; this room stands between it and the socket. Nothing here costs a request
//! more than a few stores: a connection notes what it does, and a task of its thread looks at all of
//! them four times a second.
//!
//! | file | what it does |
//! |---|---|
//! | `admission.rs` | how many connections there may be, in total and for one address |
//! | `guarded.rs` | the socket: notes what is read and written, ends what is judged |
//! | `progress.rs` | what one connection is doing, and when that has taken too long; PURE |
//! | `watch.rs` | the clock of a thread, which stands still when the thread does, and its look at its connections |
//! | `stopping.rs` | tells the connections of a thread that the server stops |
//! | `early_answers.rs` | what a client is told before it has asked |
//! | `head_lines.rs` | refuses a line that ends without a carriage return |

mod admission;
mod early_answers;
mod guarded;
mod head_lines;
mod progress;
mod stopping;
mod watch;

use std::time::Duration;

pub use admission::{Admission, Full, Place};
pub use early_answers::{head_too_slow, no_place};
pub use guarded::Guarded;
pub use head_lines::HeadLines;
pub use progress::{Answer, Entered, Limits, Progress};
pub use stopping::Stopping;
pub use watch::patient_now;

/// What every listener keeps its clients to.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionBounds {
    /// Connections of one listener at a time.
    pub total: usize,
    /// Connections of one address at a time; none: as many as there may be in total.
    pub per_address: Option<usize>,
    /// A client has this long for each request head.
    pub head_timeout: Duration,
    /// A client that takes an answer is looked at this often ...
    pub write_timeout: Duration,
    /// ... and must have taken so many bytes a second meanwhile.
    pub write_min_rate: u64,
    /// A connection without a request is kept this long.
    pub keep_alive: Duration,
    /// Requests of one HTTP/2 connection at a time.
    pub streams: usize,
}
