//! The metrics of one model version, looked up once when it is registered.

use std::time::Duration;

use prometheus::{Counter, Histogram, IntCounter, IntGauge};

use super::raw_forward::Efficiency;

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
    pub(super) overhead_seconds: Histogram,
    queue_depth: IntGauge,
    pub(super) efficiency: Efficiency,
    accepted: IntCounter,
    ok: IntCounter,
    failed: IntCounter,
    bad_input: IntCounter,
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

/// The label `outcome`.
const OUTCOMES: [&str; 7] =
    ["accepted", "ok", "error", "bad_input", "rejected", "cancelled", "expired"];

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
            overhead_seconds: self.overhead_seconds.with_label_values(&labels),
            queue_depth: self.queue_depth.with_label_values(&labels),
            efficiency: self.efficiency(name, version),
            accepted: outcome("accepted"),
            ok: outcome("ok"),
            failed: outcome("error"),
            bad_input: outcome("bad_input"),
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
        for family in [
            &self.batch_size,
            &self.queue_seconds,
            &self.forward_seconds,
            &self.request_seconds,
            &self.overhead_seconds,
        ] {
            let _absent = family.remove_label_values(&labels);
        }
        let _absent = self.queue_depth.remove_label_values(&labels);
        for outcome in OUTCOMES {
            let _absent = self.outcomes.remove_label_values(&[name, version, outcome]);
        }
        self.forget_efficiency(name, version);
    }
}

// === impl ModelMetrics ===

impl ModelMetrics {
    /// A request that was refused at the door: the queue is full, or there is no worker.
    pub fn rejected(&self) {
        self.requests.inc();
        self.rejected.inc();
    }

    /// A request that has its place in the queue: it ends in exactly one outcome.
    pub fn accepted(&self) -> Accepted<'_> {
        self.requests.inc();
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
    /// Answered with a prediction, this long after it was accepted. `served` of that it waited in
    /// the queue and for the engine; the rest is what serving costs.
    pub fn succeeded(mut self, latency: Duration, served: Duration) {
        self.outcome = &self.metrics.ok;
        self.metrics.latency.inc_by(latency.as_micros() as f64);
        self.metrics.request_seconds.observe(latency.as_secs_f64());
        self.metrics.overhead_seconds.observe(latency.saturating_sub(served).as_secs_f64());
    }

    /// Answered with an error of the model or the server.
    pub fn failed(mut self) {
        self.outcome = &self.metrics.failed;
    }

    /// Answered that the request itself is wrong.
    pub fn bad_input(mut self) {
        self.outcome = &self.metrics.bad_input;
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
