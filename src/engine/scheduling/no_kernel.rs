//! Systems other than Linux: no thread is told anything.

use std::convert::Infallible;
use std::time::Duration;

/// As of Linux.
#[derive(Clone, Copy)]
pub(super) enum Policy {
    /// In slices of this length.
    Other {
        #[allow(dead_code)]
        slice: Duration,
    },
    /// Without interrupting.
    Batch,
}

/// There is none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Thread(Infallible);

pub(super) fn this_thread() -> Option<Thread> {
    None
}

pub(super) fn be_nice(_: i32) {}

// === impl Thread ===

impl Thread {
    pub(super) fn has_usual_policy(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn set(self, _: Policy) {
        match self.0 {}
    }
}
