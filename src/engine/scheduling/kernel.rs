//! How Linux schedules a thread: sched_setattr(2), sched(7).

use std::time::Duration;

use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::{Pid, gettid};

/// Of a thread; its nice value stays.
#[derive(Clone, Copy)]
pub(super) enum Policy {
    /// The usual one, in slices of this length. A kernel that knows no slices of a thread ignores it.
    Other { slice: Duration },
    /// As the usual one, but it never interrupts.
    Batch,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Thread(Pid);

/// None on systems whose threads are not told anything.
pub(super) fn this_thread() -> Option<Thread> {
    Some(Thread(gettid()))
}

/// Sets the nice value of the calling thread, which Linux keeps per thread.
pub(super) fn be_nice(nice: i32) {
    // Lowering one's own priority is always allowed; if it is not, the server is only slower.
    let _kept = setpriority_process(None, nice);
}

// === impl Thread ===

impl Thread {
    /// `SCHED_OTHER`; false when it cannot be told.
    pub(super) fn has_usual_policy(&self) -> bool {
        self.policy() == libc::SCHED_OTHER
    }

    /// `SCHED_*`, or a negative number.
    #[allow(unsafe_code)]
    pub(super) fn policy(&self) -> libc::c_int {
        // SAFETY: takes a number and gives one.
        unsafe { libc::sched_getscheduler(self.0.as_raw_pid()) }
    }

    /// A kernel that refuses changes nothing.
    #[allow(unsafe_code)]
    pub(super) fn set(self, policy: Policy) {
        let Ok(nice) = getpriority_process(Some(self.0)) else { return };
        let (policy, slice) = match policy {
            Policy::Other { slice } => (libc::SCHED_OTHER, slice),
            Policy::Batch => (libc::SCHED_BATCH, Duration::ZERO),
        };
        let attributes = libc::sched_attr {
            size: size_of::<libc::sched_attr>() as u32,
            sched_policy: policy.cast_unsigned(),
            sched_flags: 0,
            sched_nice: nice,
            sched_priority: 0,
            sched_runtime: u64::try_from(slice.as_nanos()).unwrap_or(0),
            sched_deadline: 0,
            sched_period: 0,
        };
        let thread = self.0.as_raw_pid();
        // SAFETY: the kernel reads `size` bytes of a struct of that size and writes nothing.
        let _kept =
            unsafe { libc::syscall(libc::SYS_sched_setattr, thread, &raw const attributes, 0) };
    }
}
