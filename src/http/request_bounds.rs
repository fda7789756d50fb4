//! What one request, and all of them together, may take: the length of a target, the pace of a body,
//! the memory of bodies.
//!
//! Asked by `body.rs` while it reads. The clock is an argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The bounds of a server's requests. Cheap to clone; all clones share the memory.
#[derive(Clone, Debug)]
pub struct RequestBounds {
    /// Bytes of a target (`url_max_length`).
    pub url_max_length: usize,
    /// A client that sends nothing of its body for this long is answered 408 (`body_timeout`).
    pub body_timeout: Duration,
    /// So is one that sends fewer bytes a second (`body_min_rate`).
    pub body_min_rate: u64,
    /// Parts of a multipart body, fields of a form, pairs of a query (`parts_max`).
    pub parts_max: usize,
    /// The memory of bodies.
    pub memory: BodyMemory,
}

/// Bytes of request bodies that are in memory.
#[derive(Clone, Debug)]
pub struct BodyMemory {
    taken: Arc<AtomicUsize>,
    max: usize,
}

/// The bytes of one request, until it is answered.
#[derive(Debug)]
pub(super) struct Reservation {
    memory: BodyMemory,
    bytes: usize,
}

/// As many bytes are in memory as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoMemory;

/// What came of a body in the ten seconds that run (less when `body_timeout` is shorter).
#[derive(Debug)]
pub(super) struct Pace {
    window: Duration,
    wanted: u64,
    ends: Instant,
    came: u64,
}

const WINDOW: Duration = Duration::from_secs(10);

// === impl RequestBounds ===

impl Default for RequestBounds {
    /// The defaults of the configuration, for a program that serves an application of its own.
    fn default() -> Self {
        RequestBounds {
            url_max_length: 16 << 10,
            body_timeout: Duration::from_secs(30),
            body_min_rate: 1 << 10,
            parts_max: 1024,
            memory: BodyMemory::new(1 << 30),
        }
    }
}

// === impl BodyMemory ===

impl BodyMemory {
    /// Room for so many bytes.
    pub fn new(max: usize) -> BodyMemory {
        BodyMemory { taken: Arc::default(), max }
    }

    /// Nothing yet.
    pub(super) fn reserve(&self) -> Reservation {
        Reservation { memory: self.clone(), bytes: 0 }
    }
}

// === impl Reservation ===

impl Reservation {
    /// So many bytes more.
    ///
    /// # Errors
    /// [`NoMemory`]; what was reserved stays reserved.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), NoMemory> {
        let max = self.memory.max;
        let more = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= max);
        let taken = &self.memory.taken;
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map_err(|_| NoMemory)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

// === impl Pace ===

impl Pace {
    /// At least `body_min_rate` bytes a second from `now` on.
    pub(super) fn new(bounds: &RequestBounds, now: Instant) -> Pace {
        let window = WINDOW.min(bounds.body_timeout);
        let wanted = bounds.body_min_rate.saturating_mul(window.as_secs());
        Pace { window, wanted, ends: now + window, came: 0 }
    }

    /// So many bytes came until `now`; false when that was too slow.
    pub(super) fn came(&mut self, bytes: usize, now: Instant) -> bool {
        self.came = self.came.saturating_add(bytes as u64);
        if now < self.ends {
            return true;
        }
        let is_enough = self.came >= self.wanted;
        (self.ends, self.came) = (now + self.window, 0);
        is_enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_their_memory_and_give_it_back() {
        let memory = BodyMemory::new(100);
        let mut one = memory.reserve();
        let mut other = memory.clone().reserve();
        assert_eq!((one.grow(60), other.grow(41)), (Ok(()), Err(NoMemory)));
        assert_eq!(other.grow(40), Ok(()));
        assert_eq!((one.grow(1), one.grow(usize::MAX)), (Err(NoMemory), Err(NoMemory)));
        drop(one);
        assert_eq!(other.grow(60), Ok(()));
        drop(other);
        assert_eq!(memory.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_body_that_trickles_is_too_slow_and_a_pause_is_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let bounds = |body_min_rate| RequestBounds { body_min_rate, ..RequestBounds::default() };
        let mut pace = Pace::new(&bounds(10), start);
        assert!(pace.came(1, at(9)) && pace.came(99, at(10)));
        assert!(pace.came(1, at(19)));
        assert!(!pace.came(1, at(20)));
        assert!(Pace::new(&bounds(0), start).came(0, at(100)));
    }
}
