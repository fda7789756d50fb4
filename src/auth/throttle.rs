//! How many wrong tokens a second are answered one by one.
//!
//! One counter for everybody: 128 bits cannot be guessed, whoever guesses; what is bounded is the
//! work and the noise that guessing makes. It takes no memory per client, and right tokens never
//! meet it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Wrong tokens of one second that are answered as such; further ones are told to wait.
const WRONG_A_SECOND: u32 = 10;

/// Counts wrong tokens by the second of the clock.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// The second (upper half) and the wrong tokens in it (lower half), replaced together.
    count: AtomicU64,
}

// === impl Throttle ===

impl Throttle {
    /// Counts a wrong token; true when there were too many in this second.
    pub(super) fn exceeded(&self, now: SystemTime) -> bool {
        // Only equality counts: neither a clock before 1970 nor one that wraps in 2106 can hurt.
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) as u32;
        let counted = |count| Some(add(count, second));
        let before = self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
        let now = add(before.unwrap_or_else(|unchanged| unchanged), second);
        now as u32 > WRONG_A_SECOND
    }
}

/// The count after one more wrong token in `second`.
fn add(count: u64, second: u32) -> u64 {
    let same_second = (count >> 32) as u32 == second;
    let wrong = if same_second { (count as u32).saturating_add(1) } else { 1 };
    u64::from(second) << 32 | u64::from(wrong)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn exceeded(throttle: &Throttle, times: usize, now: SystemTime) -> usize {
        (0..times).filter(|_| throttle.exceeded(now)).count()
    }

    #[test]
    fn ten_wrong_tokens_a_second_are_answered() {
        let throttle = Throttle::default();
        let start = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(exceeded(&throttle, 10, start), 0);
        assert_eq!(exceeded(&throttle, 5, start + Duration::from_millis(999)), 5);
        assert_eq!(exceeded(&throttle, 10, start + Duration::from_secs(1)), 0);
        assert_eq!(exceeded(&throttle, 1, start + Duration::from_secs(1)), 1);
    }

    #[test]
    fn a_clock_that_was_set_back_starts_a_new_second() {
        let throttle = Throttle::default();
        let start = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(exceeded(&throttle, 11, start), 1);
        assert_eq!(exceeded(&throttle, 10, start - Duration::from_secs(3600)), 0);
        let before_1970 = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(exceeded(&throttle, 11, before_1970), 1);
    }

    #[test]
    fn the_count_does_not_run_over_into_the_second() {
        let full = 7 << 32 | u64::from(u32::MAX);
        assert_eq!(add(full, 7), full);
    }

    #[test]
    fn threads_together_get_no_more_than_one() {
        let throttle = Throttle::default();
        let now = UNIX_EPOCH + Duration::from_secs(1);
        let refused: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| exceeded(&throttle, 25, now))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(refused, 90);
    }
}
