//! One thread's look at its connections.
//!
//! A timer for each connection would be set and cancelled with each request; one task that looks at
//! all of them four times a second costs a request nothing. It ends when there is no connection.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use super::progress::{TICKS_A_SECOND, Watched};

struct Watch {
    /// When this thread's clock was 0.
    started: Instant,
    now: Cell<u32>,
    is_running: Cell<bool>,
    connections: RefCell<Vec<Watched>>,
}

thread_local! {
    static WATCH: Watch = Watch {
        started: Instant::now(),
        now: Cell::new(0),
        is_running: Cell::new(false),
        connections: RefCell::default(),
    };
}

const TICK: Duration = Duration::from_millis(1000 / TICKS_A_SECOND as u64);

/// The clock, in ticks. It stands still while there is no connection.
pub(super) fn now() -> u32 {
    WATCH.with(|watch| watch.now.get())
}

/// Looks at this connection, too, from now on.
pub(super) fn add(connection: Watched) {
    WATCH.with(|watch| {
        watch.connections.borrow_mut().push(connection);
        if !watch.is_running.replace(true) {
            watch.read_clock();
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
            let now = watch.read_clock();
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
    fn read_clock(&self) -> u32 {
        let ticks = self.started.elapsed().as_millis() / TICK.as_millis();
        self.now.set(u32::try_from(ticks).unwrap_or(u32::MAX));
        self.now.get()
    }
}
