//! How many cores this process may really use.
//!
//! libtorch counts the host's cores and ignores the quota of a container; a server that believes it
//! is throttled for most of each period. Everything here that needs a number of cores asks this
//! file. PURE but for [`available_cores`], which reads the kernel's files.

use std::fs;
use std::num::NonZeroUsize;

/// The least weight that a thread can have without being starved, a sixty-eighth of one with nice 0: it
/// is set aside at once. (The slowest of a hundred preflights beside workers on both cores waited 3.1 ms
/// with 10, 1.7 with 15, 1.3 with 19, medians of 12 runs; the workers got as much done with each.)
const WORKER_NICE: i32 = 19;

/// The slice of a reactor: the smallest that Linux grants.
#[cfg(target_os = "linux")]
const REACTOR_SLICE: std::time::Duration = std::time::Duration::from_micros(100);
/// The slice of a worker: longer than what Linux gives a thread that asks for nothing, so that whoever
/// wakes is let in before it is used up, a client on the same machine included.
#[cfg(target_os = "linux")]
const WORKER_SLICE: std::time::Duration = std::time::Duration::from_millis(3);

/// The cores that the scheduler and the cgroup grant, at least 1.
///
/// The smaller of the affinity mask (`std::thread::available_parallelism`, which knows cgroup v2 and
/// v1 quotas where it can find them) and the quota of `/sys/fs/cgroup/cpu.max`.
pub fn available_cores() -> NonZeroUsize {
    let granted = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let quota = fs::read_to_string("/sys/fs/cgroup/cpu.max").ok().and_then(|text| quota(&text));
    quota.map_or(granted, |quota| quota.min(granted))
}

/// Makes the calling thread give way to the reactors: a preflight, a `/ping` or the head of a request
/// must never wait for a forward when all cores are busy with them. Linux keeps the nice value per
/// thread; elsewhere it is left as it is.
pub fn give_way_to_reactors() {
    #[cfg(target_os = "linux")]
    {
        // Lowering one's own priority is always allowed; if it is not, the server is only slower.
        let _kept = rustix::process::setpriority_process(None, WORKER_NICE);
        slice::request(WORKER_SLICE);
    }
}

/// Makes the calling thread one that is let in soon: on Linux 6.12 and later a reactor that wakes does
/// not wait until the forward on its core has used up its time slice (about 3 ms). It gets no more
/// time than before, only smaller pieces of it. Elsewhere nothing changes.
pub fn run_in_short_slices() {
    #[cfg(target_os = "linux")]
    slice::request(REACTOR_SLICE);
}

/// Gives libtorch as many heaps as there are cores. glibc makes up to eight a core, and what is freed in
/// one is of no use to the threads of the others: at rest each keeps some megabytes. Called once, before
/// the first thread; a `MALLOC_ARENA_MAX` of the environment wins. Elsewhere nothing changes.
pub fn share_heaps() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        if std::env::var_os("MALLOC_ARENA_MAX").is_some() {
            return;
        }
        let heaps = libc::c_int::try_from(available_cores().get()).unwrap_or(libc::c_int::MAX);
        // SAFETY: sets a number that glibc guards by a lock of its own; refused, it changes nothing.
        #[allow(unsafe_code)]
        let _set = unsafe { libc::mallopt(libc::M_ARENA_MAX, heaps) };
    }
}

/// `sched_setattr` with a slice of our own, which neither `libc` nor the standard library wraps.
#[cfg(target_os = "linux")]
mod slice {
    use std::time::Duration;

    /// The first version of the kernel's `struct sched_attr` (sched_setattr(2)).
    #[repr(C)]
    struct SchedAttr {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }

    /// Keeps the policy (SCHED_OTHER) and asks for this slice; a kernel that knows no slices of a
    /// thread ignores it, one that refuses changes nothing.
    #[allow(unsafe_code)]
    pub(super) fn request(slice: Duration) {
        let Ok(nice) = rustix::process::getpriority_process(None) else { return };
        let attributes = SchedAttr {
            size: size_of::<SchedAttr>() as u32,
            policy: 0,
            flags: 0,
            nice,
            priority: 0,
            runtime: u64::try_from(slice.as_nanos()).unwrap_or(0),
            deadline: 0,
            period: 0,
        };
        // SAFETY: the kernel reads `size` bytes of a struct of that size and writes nothing; 0 is the
        // calling thread.
        let _kept = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    }
}

/// The whole cores of a cgroup v2 `cpu.max` (`<quota> <period>` in microseconds, or `max`), rounded
/// up, at least 1; none without a quota.
fn quota(text: &str) -> Option<NonZeroUsize> {
    let mut fields = text.split_whitespace();
    let quota: usize = fields.next()?.parse().ok()?;
    let period: usize = fields.next().map_or(Ok(100_000), str::parse).ok()?;
    if period == 0 {
        return None;
    }
    NonZeroUsize::new(quota.div_ceil(period)).or(Some(NonZeroUsize::MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_quota_of_a_container() {
        let cores = |text| quota(text).map(NonZeroUsize::get);
        assert_eq!(cores("max 100000\n"), None);
        assert_eq!(cores("400000 100000\n"), Some(4));
        assert_eq!(cores("150000 100000"), Some(2));
        assert_eq!(cores("50000 100000"), Some(1));
        assert_eq!(cores("0 100000"), Some(1));
        assert_eq!(cores("100000 0"), None);
        assert_eq!(cores("garbage"), None);
        assert!(available_cores().get() >= 1);
    }
}
