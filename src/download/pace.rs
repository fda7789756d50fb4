//! Whether a download is fast enough: so many bytes in every ten seconds. PURE: the clock is an
//! argument.

use std::time::{Duration, Instant};

/// What came in the ten seconds that run.
#[derive(Debug)]
pub(super) struct Pace {
    wanted: u64,
    ends: Instant,
    came: u64,
}

/// The download is slower than `download_min_rate`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooSlow;

const WINDOW: Duration = Duration::from_secs(10);

// === impl Pace ===

impl Pace {
    /// At least `min_rate` bytes a second from `now` on.
    pub(super) fn new(min_rate: u64, now: Instant) -> Pace {
        Pace { wanted: min_rate.saturating_mul(WINDOW.as_secs()), ends: now + WINDOW, came: 0 }
    }

    /// When to look again if nothing comes.
    pub(super) fn ends(&self) -> Instant {
        self.ends
    }

    /// So many bytes came until `now`.
    ///
    /// # Errors
    /// [`TooSlow`].
    pub(super) fn came(&mut self, bytes: u64, now: Instant) -> Result<(), TooSlow> {
        self.came = self.came.saturating_add(bytes);
        if now < self.ends {
            return Ok(());
        }
        // 0 asks for nothing.
        if self.came < self.wanted {
            return Err(TooSlow);
        }
        (self.ends, self.came) = (now + WINDOW, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ten_seconds_must_bring_their_share() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::new(10, start);
        assert_eq!(pace.came(99, at(9)), Ok(()));
        assert_eq!(pace.came(1, at(10)), Ok(()));
        assert_eq!(pace.ends(), at(20));
        // What came before does not count for now.
        assert_eq!(pace.came(1_000, at(19)), Ok(()));
        assert_eq!(pace.came(0, at(20)), Ok(()));
        assert_eq!(pace.came(99, at(30)), Err(TooSlow));
        assert_eq!(Pace::new(0, start).came(0, at(10)), Ok(()));
    }
}
