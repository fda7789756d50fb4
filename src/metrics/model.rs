//! The metrics of one model version, looked up once when it is registered.

use std::time::Duration;

use prometheus::{IntCounter, IntGauge};

use super::Metrics;
use super::devices::DeviceMetrics;
use super::histogram::Histogram;
use super::raw_forward::Efficiency;
use super::torchserve_model::TorchServeModel;

/// Handles to one model version's series; writing to one takes no lock and no lookup.
#[derive(Clone)]
pub struct ModelMetrics {
    torchserve: TorchServeModel,
    batch_size: Histogram,
    pub(super) queue_seconds: Histogram,
    pub(super) preprocess_seconds: Histogram,
    pub(super) forward_seconds: Histogram,
    pub(super) postprocess_seconds: Histogram,
    pub(super) request_seconds: Histogram,
    pub(super) overhead_seconds: Histogram,
    queue_depth: IntGauge,
    pub(super) devices: DeviceMetrics,
    pub(super) efficiency: Efficiency,
    accepted: IntCounter,
    pub(super) ok: IntCounter,
    pub(super) failed: IntCounter,
    pub(super) bad_input: IntCounter,
    pub(super) rejected: IntCounter,
    pub(super) cancelled: IntCounter,
    pub(super) expired: IntCounter,
    panicked: IntCounter,
    stuck: IntCounter,
}

/// An accepted prediction that has no outcome yet. Dropped without one, its client has gone away:
/// it counts as cancelled, so that accepted is always the sum of the outcomes.
pub struct Accepted<'a> {
    metrics: &'a ModelMetrics,
    outcome: &'a IntCounter,
    versioned: bool,
}

/// The label `reason` of a worker's faults.
const FAULTS: [&str; 2] = ["panicked", "stuck"];
/// The label `outcome`.
const OUTCOMES: [&str; 7] =
    ["accepted", "ok", "error", "bad_input", "rejected", "cancelled", "expired"];

// === impl Metrics ===

impl Metrics {
    /// The series of a model version, from now on part of the text.
    pub fn model(&self, name: &str, version: &str) -> ModelMetrics {
        let labels = [name, version];
        let outcome = |outcome| self.outcomes.with_label_values(&[name, version, outcome]);
        let fault = |reason| self.worker_faults.with_label_values(&[name, version, reason]);
        ModelMetrics {
            torchserve: self.versions.add(&self.torchserve, name, version),
            batch_size: self.batch_size.with_label_values(&labels),
            queue_seconds: self.queue_seconds.with_label_values(&labels),
            preprocess_seconds: self.preprocess_seconds.with_label_values(&labels),
            postprocess_seconds: self.postprocess_seconds.with_label_values(&labels),
            forward_seconds: self.forward_seconds.with_label_values(&labels),
            request_seconds: self.request_seconds.with_label_values(&labels),
            overhead_seconds: self.overhead_seconds.with_label_values(&labels),
            queue_depth: self.queue_depth.with_label_values(&labels),
            devices: self.devices.clone(),
            efficiency: self.efficiency(name, version),
            accepted: outcome("accepted"),
            ok: outcome("ok"),
            failed: outcome("error"),
            bad_input: outcome("bad_input"),
            rejected: outcome("rejected"),
            cancelled: outcome("cancelled"),
            expired: outcome("expired"),
            panicked: fault("panicked"),
            stuck: fault("stuck"),
        }
    }

    /// Removes the series of a model version that was unregistered.
    pub fn forget_model(&self, name: &str, version: &str) {
        let labels = [name, version];
        self.versions.remove(&self.torchserve, name, version);
        for family in [
            &self.batch_size,
            &self.queue_seconds,
            &self.preprocess_seconds,
            &self.forward_seconds,
            &self.postprocess_seconds,
            &self.request_seconds,
            &self.overhead_seconds,
        ] {
            family.remove_label_values(&labels);
        }
        // A series that was never there needs no removal.
        let _absent = self.queue_depth.remove_label_values(&labels);
        for outcome in OUTCOMES {
            let _absent = self.outcomes.remove_label_values(&[name, version, outcome]);
        }
        for reason in FAULTS {
            let _absent = self.worker_faults.remove_label_values(&[name, version, reason]);
        }
        self.forget_efficiency(name, version);
    }
}

// === impl ModelMetrics ===

impl ModelMetrics {
    /// A request that was refused at the door: the queue is full, or there is no worker. `versioned`
    /// when it names the version.
    pub fn rejected(&self, versioned: bool) {
        self.torchserve.requested(versioned);
        self.rejected.inc();
    }

    /// A request that has its place in the queue: it ends in exactly one outcome. `versioned` when
    /// it names the version.
    pub fn accepted(&self, versioned: bool) -> Accepted<'_> {
        self.torchserve.requested(versioned);
        self.accepted.inc();
        Accepted { metrics: self, outcome: &self.cancelled, versioned }
    }

    /// A batch of this many jobs is about to run.
    pub fn batch(&self, jobs: usize) {
        self.batch_size.number(jobs);
    }

    /// A job waited this long in the queue.
    pub fn queued(&self, time: Duration) {
        self.queue_seconds.time(time);
    }

    /// One forward took this long.
    pub fn forward(&self, time: Duration) {
        self.forward_seconds.time(time);
    }

    /// One request was made into a sample in this time.
    pub fn preprocess(&self, time: Duration) {
        self.preprocess_seconds.time(time);
    }

    /// The outputs of one batch were made into predictions in this time.
    pub fn postprocess(&self, time: Duration) {
        self.postprocess_seconds.time(time);
    }

    /// A worker had a batch in hand for `whole`, of which `handler` in the handler and the model.
    pub fn worker_time(&self, whole: Duration, handler: Duration) {
        self.torchserve.worker_time(whole, handler);
    }

    /// A worker serves; its model was loaded in this time.
    pub fn worker_started(&self, id: usize, took: Duration) {
        self.torchserve.worker_started(id, took);
    }

    /// A worker was told to end.
    pub fn worker_ended(&self, id: usize) {
        self.torchserve.worker_ended(id);
    }

    /// A handler or an engine panicked in a worker, which goes on.
    pub fn worker_panicked(&self) {
        self.panicked.inc();
    }

    /// A worker was replaced because its forward does not end.
    pub fn worker_stuck(&self) {
        self.stuck.inc();
    }

    /// Jobs that wait now.
    pub fn queue_depth(&self, jobs: usize) {
        self.queue_depth.set(i64::try_from(jobs).unwrap_or(i64::MAX));
    }
}

// === impl Accepted ===

impl Accepted<'_> {
    /// Answered with a prediction, this long after it was accepted. Of that it waited in the queue and
    /// for the engine; the rest is what serving costs.
    pub fn succeeded(mut self, latency: Duration, queued: Duration, forward: Duration) {
        let served = queued + forward;
        self.outcome = &self.metrics.ok;
        self.metrics.torchserve.succeeded(self.versioned, latency, queued);
        self.metrics.request_seconds.time(latency);
        self.metrics.overhead_seconds.time(latency.saturating_sub(served));
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
