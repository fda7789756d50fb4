//! Models that are downloaded: how many at this moment, how many bytes, with what outcome.

use prometheus::{IntCounter, IntGauge, Opts};

use super::{Metrics, MetricsError};

/// Handles to the downloads' series.
#[derive(Clone)]
pub struct DownloadMetrics {
    active: IntGauge,
    bytes: IntCounter,
    succeeded: IntCounter,
    failed: IntCounter,
}

/// A download under way: failed, unless it says otherwise.
pub struct ActiveDownload<'a> {
    metrics: &'a DownloadMetrics,
    outcome: &'a IntCounter,
}

const OUTCOMES: &str = "ts_model_downloads_total";

// === impl Metrics ===

impl Metrics {
    /// The series of this server's downloads.
    pub fn downloads(&self) -> DownloadMetrics {
        self.downloads.clone()
    }
}

// === impl DownloadMetrics ===

impl DownloadMetrics {
    /// Registers the families.
    pub(super) fn register(families: &prometheus::Registry) -> Result<Self, MetricsError> {
        let active = IntGauge::with_opts(Opts::new(
            "ts_model_downloads_active",
            "Models that are being downloaded",
        ))?;
        let bytes = IntCounter::with_opts(Opts::new(
            "ts_model_download_bytes_total",
            "Bytes of models that were received",
        ))?;
        let outcomes = prometheus::IntCounterVec::new(
            Opts::new(OUTCOMES, "Downloads of models by outcome"),
            &["outcome"],
        )?;
        families.register(Box::new(active.clone()))?;
        families.register(Box::new(bytes.clone()))?;
        families.register(Box::new(outcomes.clone()))?;
        let outcome = |outcome| outcomes.with_label_values(&[outcome]);
        Ok(DownloadMetrics { active, bytes, succeeded: outcome("ok"), failed: outcome("error") })
    }

    /// A download begins.
    pub fn begin(&self) -> ActiveDownload<'_> {
        self.active.inc();
        ActiveDownload { metrics: self, outcome: &self.failed }
    }

    /// So many bytes came.
    pub fn received(&self, bytes: usize) {
        self.bytes.inc_by(bytes as u64);
    }
}

// === impl ActiveDownload ===

impl ActiveDownload<'_> {
    /// The file is in the store.
    pub fn succeeded(mut self) {
        self.outcome = &self.metrics.succeeded;
    }
}

impl Drop for ActiveDownload<'_> {
    fn drop(&mut self) {
        self.metrics.active.dec();
        self.outcome.inc();
    }
}
