//! When to close a batch. PURE: the clock is an argument.
//!
//! Called by `waiting.rs` whenever a worker has taken up a first job. A worker that asks is idle, so
//! waiting can only pay when the operator asked for full batches ([`Filling::Fill`]).

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

/// How many jobs make a batch, and whether the first may wait for company.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPolicy {
    /// `batchSize`: a batch never holds more jobs.
    pub batch_size: NonZeroUsize,
    /// `maxBatchDelay`: a job that was taken up never waits longer for others.
    pub max_batch_delay: Duration,
    /// What to do while the batch is not full.
    pub filling: Filling,
}

/// `batch_policy`: what an idle worker does with a batch that is not full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Filling {
    /// Runs it at once. Batches grow while all workers are busy, so nobody waits for a timer.
    #[default]
    WorkConserving,
    /// Waits up to `maxBatchDelay`, as TorchServe does.
    Fill,
}

/// What the worker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchStep {
    /// Run this many jobs now.
    Take(usize),
    /// Ask again after this time, or when a job arrives.
    Wait(Duration),
}

// === impl BatchPolicy ===

impl BatchPolicy {
    /// `pending` jobs (at least 1) fit together; the first was taken up at `taken_up`, and the first
    /// of their deadlines is `deadline`. Nobody is made to wait until it is too late.
    pub fn step(
        &self,
        pending: usize,
        taken_up: Instant,
        deadline: Instant,
        now: Instant,
    ) -> BatchStep {
        let size = self.batch_size.get();
        if pending >= size || self.filling == Filling::WorkConserving {
            return BatchStep::Take(pending.min(size));
        }
        let waited = now.saturating_duration_since(taken_up);
        match self.max_batch_delay.checked_sub(waited) {
            Some(left) if !left.is_zero() && left < deadline.saturating_duration_since(now) => {
                BatchStep::Wait(left)
            }
            _ => BatchStep::Take(pending),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(100);

    fn step(filling: Filling, batch_size: usize, pending: usize, waited_ms: u64) -> BatchStep {
        let batch_size = NonZeroUsize::new(batch_size).unwrap();
        let policy = BatchPolicy { batch_size, max_batch_delay: DELAY, filling };
        let taken_up = Instant::now();
        let deadline = taken_up + Duration::from_secs(60);
        policy.step(pending, taken_up, deadline, taken_up + Duration::from_millis(waited_ms))
    }

    #[test]
    fn decides_as_the_table_says() {
        use BatchStep::{Take, Wait};
        use Filling::{Fill, WorkConserving};
        let left = |ms| Wait(Duration::from_millis(ms));
        let table = [
            // filling, batch size, pending, waited ms -> step
            (WorkConserving, 1, 1, 0, Take(1)),
            (WorkConserving, 32, 1, 0, Take(1)), // one client never waits for company
            (WorkConserving, 8, 5, 0, Take(5)),
            (WorkConserving, 8, 8, 0, Take(8)),
            (WorkConserving, 8, 30, 0, Take(8)), // never more than the batch size
            (WorkConserving, 8, 3, 500, Take(3)),
            (Fill, 1, 1, 0, Take(1)), // a full batch never waits
            (Fill, 8, 1, 0, left(100)),
            (Fill, 8, 7, 60, left(40)),
            (Fill, 8, 8, 60, Take(8)),
            (Fill, 8, 9, 0, Take(8)),
            (Fill, 8, 1, 100, Take(1)), // the delay is over
            (Fill, 8, 2, 5000, Take(2)),
        ];
        for (filling, size, pending, waited, expected) in table {
            let got = step(filling, size, pending, waited);
            assert_eq!(got, expected, "{filling:?} batchSize={size} pending={pending} +{waited}ms");
        }
    }

    #[test]
    fn a_clock_that_goes_back_never_waits_longer_than_the_delay() {
        let policy = BatchPolicy {
            batch_size: NonZeroUsize::new(8).unwrap(),
            max_batch_delay: DELAY,
            filling: Filling::Fill,
        };
        let now = Instant::now();
        let (taken_up, deadline) = (now + Duration::from_secs(9), now + Duration::from_secs(60));
        assert_eq!(policy.step(1, taken_up, deadline, now), BatchStep::Wait(DELAY));
    }

    #[test]
    fn a_job_is_not_made_to_wait_until_its_deadline_has_passed() {
        let policy = BatchPolicy {
            batch_size: NonZeroUsize::new(8).unwrap(),
            max_batch_delay: DELAY,
            filling: Filling::Fill,
        };
        let now = Instant::now();
        let step = |millis| policy.step(1, now, now + Duration::from_millis(millis), now);
        assert_eq!(step(101), BatchStep::Wait(DELAY));
        assert_eq!([step(100), step(50)], [BatchStep::Take(1); 2]);
    }
}
