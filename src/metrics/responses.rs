//! How many responses of which class each listener gave.

use prometheus::{Counter, IntCounter};

use super::Metrics;

/// Handles to one listener's counters; counting takes no lock and no lookup.
#[derive(Clone)]
pub struct ResponseCounters {
    /// 2xx, 3xx, 4xx and 5xx of this listener.
    by_class: [IntCounter; 4],
    /// TorchServe's `Requests2XX`, `Requests4XX` and `Requests5XX` of all listeners.
    torchserve: [Counter; 3],
}

// === impl Metrics ===

impl Metrics {
    /// The counters of the listener of this name.
    pub fn responses(&self, listener: &'static str) -> ResponseCounters {
        let class = |class| self.http_requests.with_label_values(&[listener, class]);
        ResponseCounters {
            by_class: ["2xx", "3xx", "4xx", "5xx"].map(class),
            torchserve: self.responses.clone(),
        }
    }
}

// === impl ResponseCounters ===

impl ResponseCounters {
    /// Counts one response. (TorchServe counts 1xx and 3xx as 5XX; here they are what they are.)
    pub fn count(&self, status: u16) {
        let (class, torchserve) = match status {
            400..=499 => (2, Some(1)),
            500..=599 => (3, Some(2)),
            300..=399 => (1, None),
            _ => (0, Some(0)),
        };
        self.by_class[class].inc();
        if let Some(family) = torchserve {
            self.torchserve[family].inc();
        }
    }
}
