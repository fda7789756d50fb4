//! When requests are due. PURE: times are offsets from the start of the load.
//!
//! The pacer and the workers walk through two copies of one [`Schedule`], so that nothing has to be
//! stored, however long the backlog is.

use std::time::Duration;

/// How the times between two requests are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// All the same: requests come like clockwork.
    Constant,
    /// Exponential: requests come independently of each other, as from many users.
    Poisson,
}

/// The due times of a load, in order.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    arrivals: Arrivals,
    /// Requests a second.
    rate: f64,
    /// Due times are below.
    end: f64,
    /// How many have been handed out.
    count: u64,
    /// The last Poisson time, in seconds.
    at: f64,
    random: fastrand::Rng,
}

/// Two runs of the same plan offer the same times.
const SEED: u64 = 0x746f_7263_6866_726f;

// === impl Arrivals ===

impl Arrivals {
    /// The word of the command line.
    pub fn name(self) -> &'static str {
        match self {
            Arrivals::Constant => "constant",
            Arrivals::Poisson => "poisson",
        }
    }
}

// === impl Schedule ===

impl Schedule {
    /// `rate` requests a second for `length`.
    pub(super) fn new(arrivals: Arrivals, rate: f64, length: Duration) -> Schedule {
        let random = fastrand::Rng::with_seed(SEED);
        Schedule { arrivals, rate, end: length.as_secs_f64(), count: 0, at: 0.0, random }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let at = match self.arrivals {
            // Multiplied, not summed: no rounding error grows over the run.
            Arrivals::Constant => self.count as f64 / self.rate,
            Arrivals::Poisson => {
                // f64() is below 1, so that the logarithm is finite.
                self.at -= (1.0 - self.random.f64()).ln() / self.rate;
                self.at
            }
        };
        if at >= self.end {
            return None;
        }
        self.count += 1;
        Some(Duration::from_secs_f64(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_arrivals_are_evenly_spaced_and_as_many_as_asked_for() {
        let times: Vec<Duration> =
            Schedule::new(Arrivals::Constant, 250.0, Duration::from_secs(2)).collect();
        assert_eq!(times.len(), 500);
        assert_eq!(times[0], Duration::ZERO);
        assert_eq!(times[1], Duration::from_millis(4));
        assert_eq!(times[499], Duration::from_millis(1996));
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread_of_a_poisson_process() {
        let schedule = Schedule::new(Arrivals::Poisson, 1000.0, Duration::from_secs(100));
        let times: Vec<f64> = schedule.map(|time| time.as_secs_f64()).collect();
        let count = times.len() as f64;
        // 100,000 expected, standard deviation 316.
        assert!((98_000.0..102_000.0).contains(&count), "{count}");
        assert!(times.is_sorted());
        let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / count;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
        // Exponential: the deviation is the mean.
        assert!((0.97..1.03).contains(&(variance.sqrt() / mean)), "{mean} {variance}");
    }

    #[test]
    fn two_copies_of_a_schedule_agree() {
        let schedule = Schedule::new(Arrivals::Poisson, 321.0, Duration::from_secs(3));
        assert!(schedule.clone().eq(schedule));
    }
}
