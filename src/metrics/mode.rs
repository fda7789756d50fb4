//! Where TorchServe's metrics go: `metrics_mode`. PURE.

/// TorchServe's modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricsMode {
    /// All of them stand in `/metrics`.
    #[default]
    Prometheus,
    /// Every update is a line in a file; `/metrics` is empty.
    Log,
    /// [`MetricsMode::Log`], but for the three counters that `/metrics` had before there were modes.
    Legacy,
}

/// What `legacy` keeps in `/metrics`.
const LEGACY: [&str; 3] = [
    "ts_inference_requests_total",
    "ts_inference_latency_microseconds",
    "ts_queue_latency_microseconds",
];

// === impl MetricsMode ===

impl MetricsMode {
    /// True when this metric of TorchServe's stands in `/metrics`.
    pub(super) fn exposes(self, name: &str) -> bool {
        match self {
            MetricsMode::Prometheus => true,
            MetricsMode::Log => false,
            MetricsMode::Legacy => LEGACY.contains(&name),
        }
    }

    /// True when the metrics that TorchServe does not have stand in `/metrics`.
    pub(super) fn exposes_own(self) -> bool {
        self == MetricsMode::Prometheus
    }

    /// True when some metrics are written to files.
    pub fn logs(self) -> bool {
        self != MetricsMode::Prometheus
    }
}
