//! TorchServe's metrics of one model version.
//!
//! TorchServe counts a request under the version that its URL names, and under `default` when it
//! names none; its gauges say what the last batch or request took.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::stripe::Striped;
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
    requests: Tally,
    latency: Tally,
    queue_latency: Tally,
}

/// A counter that every thread adds to in a place of its own, until it is read. Lines are written at
/// once.
#[derive(Clone)]
struct Tally {
    series: Series,
    added: Arc<Striped<AtomicU64>>,
}

/// The versions of each model that have series, and what they count: what the versions share goes with
/// the last one.
#[derive(Default)]
pub(super) struct RegisteredVersions(Mutex<BTreeMap<String, BTreeMap<String, [Counted; 2]>>>);

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
        let counted = |version| {
            let [requests, latency, queue_latency] =
                COUNTERS.map(|counter| Tally::new(torchserve.series(counter, &[name, version])));
            Counted { requests, latency, queue_latency }
        };
        let (by_version, unversioned) = (counted(version), counted(DEFAULT));
        let mut versions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = [by_version.clone(), unversioned.clone()];
        versions.entry(name.to_owned()).or_default().insert(version.to_owned(), counts);
        drop(versions);
        let [handler_time, prediction_time] =
            MODEL_GAUGES.map(|gauge| torchserve.series(gauge, &[name, "Model"]));
        TorchServeModel {
            by_version,
            unversioned,
            queue_time: torchserve.series("QueueTime", &["Host"]),
            worker_thread_time: torchserve.series("WorkerThreadTime", &["Host"]),
            handler_time,
            prediction_time,
            torchserve: torchserve.clone(),
            name: name.to_owned(),
            version: version.to_owned(),
        }
    }

    /// Adds what the threads have counted since the last time.
    pub(super) fn gather(&self) {
        let versions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for counted in versions.values().flat_map(BTreeMap::values).flatten() {
            let Counted { requests, latency, queue_latency } = counted;
            [requests, latency, queue_latency].iter().for_each(|tally| tally.gather());
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
        self.counted(versioned).requests.add(1);
    }

    /// A prediction was answered: it waited for `queued` of `latency`.
    pub(super) fn succeeded(&self, versioned: bool, latency: Duration, queued: Duration) {
        let counted = self.counted(versioned);
        counted.latency.add(micros(latency));
        counted.queue_latency.add(micros(queued));
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

// === impl Tally ===

impl Tally {
    fn new(series: Series) -> Self {
        Tally { series, added: Arc::default() }
    }

    fn add(&self, value: u64) {
        if self.series.is_line() {
            self.series.update(value as f64);
        } else {
            self.added.own().fetch_add(value, Ordering::Relaxed);
        }
    }

    fn gather(&self) {
        let added: u64 = self.added.iter().map(|added| added.swap(0, Ordering::Relaxed)).sum();
        if added > 0 {
            self.series.update(added as f64);
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Milliseconds with two decimals, as TorchServe's workers round them.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}
