//! The metrics of one model version, looked up once when it is registered.

use std::time::Duration;

use prometheus::{Counter, Histogram, IntCounter, IntGauge};

use super::Metrics;

/// Handles to one model version's series; writing to one takes no lock and no lookup.
#[derive(Clone)]
pub struct ModelMetrics {
    requests: Counter,
    latency: Counter,
    queue_latency: Counter,
    batch_size: Histogram,
    queue_seconds: Histogram,
    forward_seconds: Histogram,
    request_seconds: Histogram,
    queue_depth: IntGauge,
    accepted: IntCounter,
    ok: IntCounter,
    failed: IntCounter,
    rejected: IntCounter,
    cancelled: IntCounter,
    expired: IntCounter,
}

/// An accepted prediction that has no outcome yet. Dropped without one, its client has gone away:
/// it counts as cancelled, so that accepted is always the sum of the outcomes.
pub struct Accepted<'a> {
    metrics: &'a ModelMetrics,
    outcome: &'a IntCounter,
}

// === impl Metrics ===

impl Metrics {
    /// The series of a model version, from now on part of the text.
    pub fn model(&self, name: &str, version: &str) -> ModelMetrics {
        let labels = [name, version];
        let hosted = [name, version, self.hostname.as_str()];
        let outcome = |outcome| self.outcomes.with_label_values(&[name, version, outcome]);
        ModelMetrics {
            requests: self.inference_requests.with_label_values(&hosted),
            latency: self.inference_latency.with_label_values(&hosted),
            queue_latency: self.queue_latency.with_label_values(&hosted),
            batch_size: self.batch_size.with_label_values(&labels),
            queue_seconds: self.queue_seconds.with_label_values(&labels),
            forward_seconds: self.forward_seconds.with_label_values(&labels),
            request_seconds: self.request_seconds.with_label_values(&labels),
            queue_depth: self.queue_depth.with_label_values(&labels),
            accepted: outcome("accepted"),
            ok: outcome("ok"),
            failed: outcome("error"),
            rejected: outcome("rejected"),
            cancelled: outcome("cancelled"),
            expired: outcome("expired"),
        }
    }

    /// Removes the series of a model version that was unregistered.
    pub fn forget_model(&self, name: &str, version: &str) {
        let labels = [name, version];
        let hosted = [name, version, self.hostname.as_str()];
        for family in [&self.inference_requests, &self.inference_latency, &self.queue_latency] {
            // A series that was never there needs no removal.
            let _absent = family.remove_label_values(&hosted);
        }
        let histograms =
            [&self.batch_size, &self.queue_seconds, &self.forward_seconds, &self.request_seconds];
        for family in histograms {
            let _absent = family.remove_label_values(&labels);
        }
        let _absent = self.queue_depth.remove_label_values(&labels);
        for outcome in ["accepted", "ok", "error", "rejected", "cancelled", "expired"] {
            let _absent = self.outcomes.remove_label_values(&[name, version, outcome]);
        }
    }
}

// === impl ModelMetrics ===

impl ModelMetrics {
    /// A request for this model, before the queue is asked.
    pub fn requested(&self) {
        self.requests.inc();
    }

    /// The queue refused the job, or there was no worker.
    pub fn rejected(&self) {
        self.rejected.inc();
    }

    /// The queue took the job: it ends in exactly one outcome.
    pub fn accepted(&self) -> Accepted<'_> {
        self.accepted.inc();
        Accepted { metrics: self, outcome: &self.cancelled }
    }

    /// A batch of this many jobs is about to run.
    pub fn batch(&self, jobs: usize) {
        self.batch_size.observe(jobs as f64);
    }

    /// A job waited this long in the queue.
    pub fn queued(&self, time: Duration) {
        self.queue_latency.inc_by(time.as_micros() as f64);
        self.queue_seconds.observe(time.as_secs_f64());
    }

    /// One forward took this long.
    pub fn forward(&self, time: Duration) {
        self.forward_seconds.observe(time.as_secs_f64());
    }

    /// Jobs that wait now.
    pub fn queue_depth(&self, jobs: usize) {
        self.queue_depth.set(i64::try_from(jobs).unwrap_or(i64::MAX));
    }
}

// === impl Accepted ===

impl Accepted<'_> {
    /// Answered with a prediction, this long after it was accepted.
    pub fn succeeded(mut self, latency: Duration) {
        self.outcome = &self.metrics.ok;
        self.metrics.latency.inc_by(latency.as_micros() as f64);
        self.metrics.request_seconds.observe(latency.as_secs_f64());
    }

    /// Answered with an error.
    pub fn failed(mut self) {
        self.outcome = &self.metrics.failed;
    }

    /// Its deadline passed.
    pub fn expired(mut self) {
        self.outcome = &self.metrics.expired;
    }
}

impl Drop for Accepted<'_> {
    fn drop(&mut self) {
        self.outcome.inc();
    }
}
