//! How near serving comes to the bare model: the forward alone, measured at load, and what of it the
//! workers reach. Written by the registry (once a load) and by workers (once a batch), read by
//! `/metrics` and the describe API.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Counter, Gauge, IntCounter};

use super::{Metrics, ModelMetrics};

/// What one forward of a batch takes, with nothing around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RawForward {
    /// Rows of the batch.
    pub batch_size: usize,
    /// The median of the repetitions.
    pub time: Duration,
}

/// What the workers of a model have done since it was loaded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Served {
    /// Rows that were answered with a prediction.
    pub rows: u64,
    /// How long workers had a batch in hand, all workers together, in seconds.
    pub busy_seconds: f64,
    /// Rows in a busy second, by those in a second of the best raw forward; none where that is not
    /// known, or nothing was served yet.
    pub efficiency: Option<f64>,
    /// What a prediction took beside queue and forward, on average, in seconds; none before any.
    pub overhead_seconds: Option<f64>,
}

/// One model version's series.
#[derive(Clone)]
pub(super) struct Efficiency {
    rows: IntCounter,
    busy_seconds: Counter,
    gauge: Gauge,
    /// Rows in a second of the best raw forward, as the bits of an `f64`; 0 while it is not known.
    best: Arc<AtomicU64>,
}

// === impl RawForward ===

impl RawForward {
    /// Rows in a second.
    pub fn rows_per_second(&self) -> f64 {
        // No clock tells less than a nanosecond.
        self.batch_size as f64 / self.time.as_secs_f64().max(1e-9)
    }
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn efficiency(&self, name: &str, version: &str) -> Efficiency {
        let labels = [name, version];
        Efficiency {
            rows: self.served_rows.with_label_values(&labels),
            busy_seconds: self.busy_seconds.with_label_values(&labels),
            gauge: self.efficiency.with_label_values(&labels),
            best: Arc::default(),
        }
    }

    /// Publishes what was measured for a model version. The label is one of the few sizes that are
    /// measured.
    pub fn raw_forward(&self, name: &str, version: &str, measured: &[RawForward]) {
        for each in measured {
            let size = each.batch_size.to_string();
            let gauge = self.raw_forward_seconds.with_label_values(&[name, version, &size]);
            gauge.set(each.time.as_secs_f64());
        }
    }

    pub(super) fn forget_efficiency(&self, name: &str, version: &str) {
        let labels = [name, version];
        let _absent = self.served_rows.remove_label_values(&labels);
        let _absent = self.busy_seconds.remove_label_values(&labels);
        let _absent = self.efficiency.remove_label_values(&labels);
        for family in self.raw_forward_seconds.collect() {
            for series in family.get_metric() {
                let label = |wanted: &str| {
                    let found = series.get_label().iter().find(|label| label.name() == wanted);
                    found.map_or("", |label| label.value())
                };
                if (label("model_name"), label("model_version")) == (name, version) {
                    let labels = [name, version, label("batch_size")];
                    let _absent = self.raw_forward_seconds.remove_label_values(&labels);
                }
            }
        }
    }
}

// === impl ModelMetrics ===

impl ModelMetrics {
    /// From now on the served rate is compared with the best of these.
    pub fn compare_with(&self, measured: &[RawForward]) {
        let best = measured.iter().map(RawForward::rows_per_second).fold(0.0, f64::max);
        self.efficiency.best.store(best.to_bits(), Ordering::Relaxed);
    }

    /// A batch was answered: so many rows with a prediction, in so much time of a worker.
    pub fn served(&self, rows: usize, busy: Duration) {
        let Efficiency { rows: served, busy_seconds, gauge, .. } = &self.efficiency;
        served.inc_by(u64::try_from(rows).unwrap_or(u64::MAX));
        busy_seconds.inc_by(busy.as_secs_f64());
        if let Some(efficiency) = self.work_done().efficiency {
            gauge.set(efficiency);
        }
    }

    /// What was served until now.
    pub fn work_done(&self) -> Served {
        let Efficiency { rows, busy_seconds, best, .. } = &self.efficiency;
        let (rows, busy_seconds) = (rows.get(), busy_seconds.get());
        let best = f64::from_bits(best.load(Ordering::Relaxed));
        let efficiency =
            (best > 0.0 && busy_seconds > 0.0).then(|| rows as f64 / busy_seconds / best);
        let overhead = &self.overhead_seconds;
        let answered = overhead.count();
        let overhead_seconds = (answered > 0).then(|| overhead.sum() / answered as f64);
        Served { rows, busy_seconds, efficiency, overhead_seconds }
    }
}
