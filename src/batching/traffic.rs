//! How requests come to a thread: whether one that is alone at its model is one of many.
//!
//! A reactor goes through what has arrived request by request, each from its read to its answer, so
//! that every one of a burst is alone at its model while it is there. What gives the burst away: since
//! the thread last slept, another one was run. Asked and told by `direct.rs`; tokio counts the sleeps.

use std::cell::Cell;

use tokio::runtime::Handle;

/// What a thread has seen lately.
#[derive(Clone, Copy)]
pub(super) struct Traffic {
    /// How often the thread had slept when it last ran a request; none before the first.
    ran_after: Option<u64>,
    /// The last burst had more than one request.
    together: bool,
}

thread_local! {
    static TRAFFIC: Cell<Traffic> = const { Cell::new(Traffic { ran_after: None, together: false }) };
}

// === impl Traffic ===

impl Traffic {
    /// Whether a request that comes to this thread now should let others join it.
    pub(super) fn promises_company() -> bool {
        let traffic = TRAFFIC.get();
        traffic.together || traffic.has_run_after(sleeps())
    }

    /// A turn of this thread had so many requests.
    pub(super) fn turned(requests: usize) {
        let traffic = TRAFFIC.get();
        let together = requests > 1 || traffic.has_run_after(sleeps());
        TRAFFIC.set(Traffic { together, ..traffic });
    }

    /// A run of this thread has ended.
    pub(super) fn ran() {
        TRAFFIC.set(Traffic { ran_after: sleeps(), ..TRAFFIC.get() });
    }

    fn has_run_after(self, sleeps: Option<u64>) -> bool {
        sleeps.is_some() && self.ran_after == sleeps
    }
}

/// How often the thread has slept, if its runtime is its own, as a reactor's is.
fn sleeps() -> Option<u64> {
    let runtime = Handle::try_current().ok()?.metrics();
    (runtime.num_workers() == 1).then(|| runtime.worker_park_count(0))
}
