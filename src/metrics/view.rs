//! What has been counted of one model version, for who shows it: the console.

use super::histogram::Histogram;
use super::{ModelMetrics, SECONDS};

/// A histogram of durations.
#[derive(Clone, Debug, PartialEq)]
pub struct Durations {
    /// Observations up to each bound of [`Durations::bounds`] and above the one before; the last
    /// number is of those above all bounds.
    pub counts: Vec<u64>,
    /// All observations, in seconds.
    pub sum: f64,
}

/// The durations of one model version.
#[derive(Clone, Debug, PartialEq)]
pub struct Latencies {
    /// From acceptance to the answer.
    pub request: Durations,
    /// In the job queue.
    pub queue: Durations,
    /// To the handler's sample.
    pub preprocess: Durations,
    /// In the engine.
    pub forward: Durations,
    /// From the outputs to the answers.
    pub postprocess: Durations,
}

/// How the requests of one model version have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcomes {
    /// With a prediction.
    pub ok: u64,
    /// With an error of the model or the server.
    pub error: u64,
    /// Refused as wrong.
    pub bad_input: u64,
    /// Refused at the door.
    pub rejected: u64,
    /// The client went away.
    pub cancelled: u64,
    /// The deadline passed.
    pub expired: u64,
}

// === impl ModelMetrics ===

impl ModelMetrics {
    /// The durations until now.
    pub fn latencies(&self) -> Latencies {
        Latencies {
            request: Durations::of(&self.request_seconds),
            queue: Durations::of(&self.queue_seconds),
            preprocess: Durations::of(&self.preprocess_seconds),
            forward: Durations::of(&self.forward_seconds),
            postprocess: Durations::of(&self.postprocess_seconds),
        }
    }

    /// The outcomes until now.
    pub fn outcomes(&self) -> Outcomes {
        Outcomes {
            ok: self.ok.get(),
            error: self.failed.get(),
            bad_input: self.bad_input.get(),
            rejected: self.rejected.get(),
            cancelled: self.cancelled.get(),
            expired: self.expired.get(),
        }
    }
}

// === impl Durations ===

impl Durations {
    /// The upper bounds, in seconds, of all histograms of durations.
    pub fn bounds() -> &'static [f64] {
        &SECONDS
    }

    fn of(histogram: &Histogram) -> Durations {
        Durations { counts: histogram.counts(), sum: histogram.sum() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn each_observation_is_in_one_bucket() {
        let model = Metrics::new("host").unwrap().model("a", "1");
        for micros in [50, 100, 200, 120_000_000] {
            model.forward(Duration::from_micros(micros));
        }
        let Latencies { forward, queue, .. } = model.latencies();
        assert_eq!(forward.counts.len(), Durations::bounds().len() + 1);
        assert_eq!(forward.counts[..3], [2, 1, 0]);
        assert_eq!(*forward.counts.last().unwrap(), 1);
        assert!((forward.sum - 120.000_35).abs() < 1e-9);
        assert!(queue.counts.iter().all(|count| *count == 0));
        model.rejected(false);
        drop(model.accepted(false));
        let Outcomes { ok, rejected, cancelled, .. } = model.outcomes();
        assert_eq!((ok, rejected, cancelled), (0, 1, 1));
    }
}
