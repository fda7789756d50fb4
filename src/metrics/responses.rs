//! Responses by listener and status class, counted by the outermost layer.
//!
//! Every thread that answers counts in numbers of its own, which are added up when the metrics are
//! read: cores that share one number wait for each other at every response.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Metrics;
use super::torchserve::Series;

/// One thread's numbers for one listener. Counting takes no lock and no lookup.
#[derive(Clone)]
pub struct ResponseCounters {
    classes: Arc<Classes>,
    /// Where `metrics_mode` wants a line for each response; none otherwise.
    lines: Option<Arc<[Series; 3]>>,
}

/// 2xx, 3xx, 4xx and 5xx since they were last read, on cache lines of their own.
#[derive(Default)]
#[repr(align(128))]
struct Classes([AtomicU64; 4]);

/// The numbers of all threads.
#[derive(Clone, Default)]
pub(super) struct ResponseThreads(Arc<Mutex<Vec<ResponseThread>>>);

struct ResponseThread {
    listener: &'static str,
    classes: Arc<Classes>,
}

const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
/// The place of each class among TorchServe's `Requests2XX`, `Requests4XX` and `Requests5XX`.
/// (TorchServe counts 1xx and 3xx as 5XX; here they are what they are.)
const TORCHSERVE: [Option<usize>; 4] = [Some(0), None, Some(1), Some(2)];

// === impl Metrics ===

impl Metrics {
    /// Numbers for the calling thread and the listener of this name.
    pub fn responses(&self, listener: &'static str) -> ResponseCounters {
        let classes = Arc::<Classes>::default();
        let mut threads = self.response_threads.0.lock().unwrap_or_else(PoisonError::into_inner);
        threads.push(ResponseThread { listener, classes: Arc::clone(&classes) });
        // The families are there from the first scrape on.
        for class in CLASSES {
            self.http_requests.with_label_values(&[listener, class]);
        }
        let lines = self.responses.iter().any(Series::is_line);
        ResponseCounters { classes, lines: lines.then(|| Arc::new(self.responses.clone())) }
    }

    /// Adds what the threads have counted since the last time.
    pub(super) fn gather_responses(&self) {
        let mut threads = self.response_threads.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A thread that has ended counts no more: what it has counted is added for the last time.
        threads.retain(|ResponseThread { listener, classes }| {
            let alive = Arc::strong_count(classes) > 1;
            for ((class, torchserve), count) in CLASSES.iter().zip(TORCHSERVE).zip(&classes.0) {
                let count = count.swap(0, Ordering::Relaxed);
                self.http_requests.with_label_values(&[listener, class]).inc_by(count);
                // A line was written when it was counted.
                if let Some(series) = torchserve.map(|at| &self.responses[at])
                    && !series.is_line()
                {
                    series.update(count as f64);
                }
            }
            alive
        });
    }
}

// === impl ResponseCounters ===

impl ResponseCounters {
    /// Counts one response.
    pub fn count(&self, status: u16) {
        let class = match status {
            300..=399 => 1,
            400..=499 => 2,
            500..=599 => 3,
            _ => 0,
        };
        self.classes.0[class].fetch_add(1, Ordering::Relaxed);
        if let (Some(lines), Some(at)) = (&self.lines, TORCHSERVE[class]) {
            lines[at].update(1.0);
        }
    }
}
