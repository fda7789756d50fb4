//! TorchServe's metrics of one model version.
//!
//! TorchServe counts a request under the version that its URL names, and under `default` when it
//! names none; its gauges say what the last batch or request took.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::torchserve::{Series, TorchServe};

/// Handles to the series of one model version.
#[derive(Clone)]
pub(super) struct TorchServeModel {
    torchserve: TorchServe,
    name: String,
    version: String,
    by_version: Counted,
    unversioned: Counted,
    queue_time: Series,
    worker_thread_time: Series,
    handler_time: Series,
    prediction_time: Series,
}

/// The three counters of one `model_version`.
#[derive(Clone)]
struct Counted {
    requests: Series,
    latency: Series,
    queue_latency: Series,
}

/// The versions of each model that have series: what the versions share goes with the last one.
#[derive(Default)]
pub(super) struct RegisteredVersions(Mutex<BTreeMap<String, BTreeSet<String>>>);

/// `model_version` of a request that names none.
const DEFAULT: &str = "default";
const COUNTERS: [&str; 3] = [
    "ts_inference_requests_total",
    "ts_inference_latency_microseconds",
    "ts_queue_latency_microseconds",
];
const MODEL_GAUGES: [&str; 2] = ["HandlerTime", "PredictionTime"];

// === impl RegisteredVersions ===

impl RegisteredVersions {
    /// The series of a model version, from now on part of the text.
    pub(super) fn add(
        &self,
        torchserve: &TorchServe,
        name: &str,
        version: &str,
    ) -> TorchServeModel {
        let mut versions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        versions.entry(name.to_owned()).or_default().insert(version.to_owned());
        let counted = |version| {
            let [requests, latency, queue_latency] =
                COUNTERS.map(|counter| torchserve.series(counter, &[name, version]));
            Counted { requests, latency, queue_latency }
        };
        let [handler_time, prediction_time] =
            MODEL_GAUGES.map(|gauge| torchserve.series(gauge, &[name, "Model"]));
        TorchServeModel {
            by_version: counted(version),
            unversioned: counted(DEFAULT),
            queue_time: torchserve.series("QueueTime", &["Host"]),
            worker_thread_time: torchserve.series("WorkerThreadTime", &["Host"]),
            handler_time,
            prediction_time,
            torchserve: torchserve.clone(),
            name: name.to_owned(),
            version: version.to_owned(),
        }
    }

    /// Removes the series of a model version, and with the last version those of the model.
    pub(super) fn remove(&self, torchserve: &TorchServe, name: &str, version: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        COUNTERS.iter().for_each(|counter| torchserve.forget(counter, &[name, version]));
        let Some(versions) = all.get_mut(name) else { return };
        versions.remove(version);
        if versions.is_empty() {
            all.remove(name);
            COUNTERS.iter().for_each(|counter| torchserve.forget(counter, &[name, DEFAULT]));
            MODEL_GAUGES.iter().for_each(|gauge| torchserve.forget(gauge, &[name, "Model"]));
        }
    }
}

// === impl TorchServeModel ===

impl TorchServeModel {
    /// A request, before the queue is asked; `versioned` when its URL names the version.
    pub(super) fn requested(&self, versioned: bool) {
        self.counted(versioned).requests.update(1.0);
    }

    /// A prediction was answered: it waited for `queued` of `latency`.
    pub(super) fn succeeded(&self, versioned: bool, latency: Duration, queued: Duration) {
        let counted = self.counted(versioned);
        counted.latency.update(micros(latency));
        counted.queue_latency.update(micros(queued));
        // Whole milliseconds, as TorchServe has them.
        self.queue_time.update(queued.as_millis() as f64);
    }

    /// A worker had a batch in hand for `whole`, of which `handler` in the handler and the model.
    pub(super) fn worker_time(&self, whole: Duration, handler: Duration) {
        self.handler_time.update(millis(handler));
        self.prediction_time.update(millis(whole));
        self.worker_thread_time.update(whole.saturating_sub(handler).as_millis() as f64);
    }

    /// A worker serves; its model was loaded in this time.
    pub(super) fn worker_started(&self, id: usize, took: Duration) {
        let series = self.torchserve.series("WorkerLoadTime", &[&self.worker_name(id), "Host"]);
        series.update(took.as_millis() as f64);
    }

    /// A worker was told to end.
    pub(super) fn worker_ended(&self, id: usize) {
        self.torchserve.forget("WorkerLoadTime", &[&self.worker_name(id), "Host"]);
    }

    /// `W-9000-resnet18_1.0`, the name of TorchServe's thread.
    fn worker_name(&self, id: usize) -> String {
        format!("W-{id}-{}_{}", self.name, self.version)
    }

    fn counted(&self, versioned: bool) -> &Counted {
        if versioned { &self.by_version } else { &self.unversioned }
    }
}

fn micros(time: Duration) -> f64 {
    time.as_micros() as f64
}

/// Milliseconds with two decimals, as TorchServe's workers round them.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}
