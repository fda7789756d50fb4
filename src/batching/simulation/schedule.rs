//! One schedule: who comes when, how long the model takes, when workers come and go.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::batching::policy::{BatchPolicy, Filling};

/// Everything that happens from outside, in milliseconds from the start.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) capacity: usize,
    pub(super) policy: BatchPolicy,
    pub(super) model: Model,
    /// Workers at the start.
    pub(super) workers: usize,
    pub(super) arrivals: Vec<Arrival>,
    /// When the number of workers changes, and to what.
    pub(super) scalings: Vec<(u64, usize)>,
    /// When the model is unloaded.
    pub(super) closed_at: u64,
    /// How long after that nobody is waited for any more.
    pub(super) patience: Option<u64>,
    /// Breaks ties between what happens at the same moment.
    pub(super) ties: u64,
}

/// What the model does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Model {
    /// It keeps something from call to call.
    pub(super) changes_itself: bool,
    /// Larger batches do not fit in memory.
    pub(super) fits: usize,
    /// What one forward takes at most.
    pub(super) slowest: u64,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) at: u64,
    /// What preprocessing takes.
    pub(super) preprocess: u64,
    pub(super) bucket: Option<u8>,
    /// How long its caller waits.
    pub(super) timeout: u64,
    /// How late the caller's clock rings.
    pub(super) late_by: u64,
    /// When its client hangs up, from its arrival.
    pub(super) hangs_up: Option<u64>,
    /// The model refuses it.
    pub(super) offends: bool,
}

/// splitmix64.
pub(super) struct Random(u64);

// === impl Random ===

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `greatest`.
    pub(super) fn to(&mut self, greatest: u64) -> u64 {
        self.next() % (greatest + 1)
    }

    /// True once in `times`.
    pub(super) fn once_in(&mut self, times: u64) -> bool {
        self.to(times - 1) == 0
    }

    fn size(&mut self, least: u64, greatest: u64) -> usize {
        usize::try_from(least + self.to(greatest - least)).unwrap()
    }
}

// === impl Schedule ===

impl Schedule {
    pub(super) fn random(random: &mut Random) -> Schedule {
        let filling = if random.once_in(3) { Filling::Fill } else { Filling::WorkConserving };
        let policy = BatchPolicy {
            batch_size: NonZeroUsize::new(random.size(1, 5)).unwrap(),
            max_batch_delay: Duration::from_millis(random.to(12)),
            filling,
        };
        // Short and dense, or long and sparse.
        let horizon = 5 << random.to(4);
        let buckets = random.to(3);
        let [offenders, leavers] = [2 + random.to(10), 2 + random.to(10)];
        let timeout = 1 + random.to(40);
        let arrivals = (0..1 + random.to(7)).map(|_| Arrival {
            at: random.to(horizon),
            preprocess: if random.once_in(2) { 0 } else { random.to(6) },
            // Mostly the popular one.
            bucket: match random.to(buckets + 3) {
                0 => None,
                other => Some(u8::try_from(other.saturating_sub(3)).unwrap()),
            },
            timeout,
            late_by: random.to(2),
            hangs_up: random.once_in(leavers).then(|| random.to(20)),
            offends: random.once_in(offenders),
        });
        let arrivals = arrivals.collect();
        let workers = random.size(1, 3);
        let scalings = (0..random.to(2)).map(|_| (random.to(horizon), random.size(0, 3)));
        let scalings = scalings.collect();
        Schedule {
            capacity: random.size(1, 8),
            policy,
            model: Model {
                changes_itself: random.once_in(4),
                fits: if random.once_in(6) { random.size(1, 4) } else { usize::MAX },
                slowest: random.to(15),
            },
            workers,
            arrivals,
            scalings,
            closed_at: random.to(horizon * 2),
            patience: random.once_in(4).then(|| random.to(10)),
            ties: random.next(),
        }
    }
}
