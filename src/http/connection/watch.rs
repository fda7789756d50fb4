//! One thread's look at its connections.
//!
//! A timer for each connection would be set and cancelled with each request; one task that looks at
//! all of them four times a second costs a request nothing. It ends when there is no connection.
//!
//! A process that was stopped, or a machine that had no core for it, is no client's fault: a look that
//! comes far too late counts as one that came in time.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use super::progress::{TICKS_A_SECOND, Watched};

struct Watch {
    /// Until when the clock was read.
    read: Cell<Instant>,
    now: Cell<u32>,
    /// Time in which this thread did not run, and that counts for nobody.
    lost: Cell<Duration>,
    is_running: Cell<bool>,
    connections: RefCell<Vec<Watched>>,
}

thread_local! {
    static WATCH: Watch = Watch {
        read: Cell::new(Instant::now()),
        now: Cell::new(0),
        lost: Cell::new(Duration::ZERO),
        is_running: Cell::new(false),
        connections: RefCell::default(),
    };
}

const TICK: Duration = Duration::from_millis(1000 / TICKS_A_SECOND as u64);
/// A look that comes later than this says that the thread did not run.
const STALL: Duration = Duration::from_secs(1);

/// The clock, in ticks. It stands still while there is no connection.
pub(super) fn now() -> u32 {
    WATCH.with(|watch| watch.now.get())
}

/// The time by which clients are judged: it stands still while this thread does not run, if there are
/// connections.
pub fn patient_now() -> Instant {
    let now = Instant::now();
    WATCH.with(|watch| {
        if watch.is_running.get() {
            watch.read_clock(now);
        }
        // Never before the first instant that was read: only time since then was lost.
        now.checked_sub(watch.lost.get()).unwrap_or(now)
    })
}

/// Looks at this connection, too, from now on.
pub(super) fn add(connection: Watched) {
    WATCH.with(|watch| {
        watch.connections.borrow_mut().push(connection);
        if !watch.is_running.replace(true) {
            watch.read.set(Instant::now());
            tokio::task::spawn_local(run());
        }
    });
}

async fn run() {
    /// A task that is dropped with its runtime leaves room for the next one.
    struct Running;
    impl Drop for Running {
        fn drop(&mut self) {
            let _ended = WATCH.try_with(|watch| watch.is_running.set(false));
        }
    }
    let _running = Running;
    loop {
        tokio::time::sleep(TICK).await;
        let is_empty = WATCH.with(|watch| {
            let now = watch.read_clock(Instant::now());
            // Waking calls nobody: it only marks a task.
            let mut connections = watch.connections.borrow_mut();
            connections.retain(|connection| connection.look(now));
            connections.is_empty()
        });
        if is_empty {
            return;
        }
    }
}

// === impl Watch ===

impl Watch {
    fn read_clock(&self, now: Instant) -> u32 {
        let (ticks, lost) = passed(now.saturating_duration_since(self.read.get()));
        self.read.set(self.read.get() + TICK * ticks + lost);
        self.lost.set(self.lost.get() + lost);
        self.now.set(self.now.get().saturating_add(ticks));
        self.now.get()
    }
}

/// The ticks between two looks, and the time that counts for nobody.
fn passed(since: Duration) -> (u32, Duration) {
    if since > TICK + STALL {
        return (1, since - TICK);
    }
    // Five at most.
    let ticks = since.as_millis() / TICK.as_millis();
    (u32::try_from(ticks).unwrap_or(u32::MAX), Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_comes_late_counts_and_one_that_comes_far_too_late_counts_as_one() {
        let millis = Duration::from_millis;
        for (since, ticks, lost) in [
            (0, 0, 0),
            (249, 0, 0),
            (260, 1, 0),
            (1250, 5, 0),
            (1251, 1, 1001),
            (60_250, 1, 60_000),
        ] {
            assert_eq!(passed(millis(since)), (ticks, millis(lost)), "{since} ms");
        }
    }
}
