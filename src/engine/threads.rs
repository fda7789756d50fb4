//! How many cores this process may really use.
//!
//! libtorch counts the host's cores and ignores the quota of a container; a server that believes it
//! is throttled for most of each period. Everything here that needs a number of cores asks this
//! file. PURE but for [`available_cores`], which reads the kernel's files.

use std::fs;
use std::num::NonZeroUsize;

/// The cores that the scheduler and the cgroup grant, at least 1.
///
/// The smaller of the affinity mask (`std::thread::available_parallelism`, which knows cgroup v2 and
/// v1 quotas where it can find them) and the quota of `/sys/fs/cgroup/cpu.max`.
pub fn available_cores() -> NonZeroUsize {
    let granted = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let quota = fs::read_to_string("/sys/fs/cgroup/cpu.max").ok().and_then(|text| quota(&text));
    quota.map_or(granted, |quota| quota.min(granted))
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
