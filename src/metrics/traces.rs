//! Spans that were exported, and those that were not. There are no such families while traces are
//! off.

use prometheus::{IntCounter, IntCounterVec, Opts};

use super::{Metrics, MetricsError};

/// Handles to the series.
#[derive(Clone)]
pub struct TraceMetrics {
    exported: IntCounter,
    failed: IntCounter,
    dropped: IntCounter,
}

// === impl Metrics ===

impl Metrics {
    /// Registers the families; once a server.
    ///
    /// # Errors
    /// [`MetricsError::Family`] the second time.
    pub fn traces(&self) -> Result<TraceMetrics, MetricsError> {
        let spans = IntCounterVec::new(
            Opts::new(
                "ts_trace_spans_total",
                "OpenTelemetry spans by outcome: exported, failed (the collector did not take them) \
                 or dropped (too many waited)",
            ),
            &["outcome"],
        )?;
        self.families.register(Box::new(spans.clone()))?;
        let outcome = |outcome| spans.with_label_values(&[outcome]);
        Ok(TraceMetrics {
            exported: outcome("exported"),
            failed: outcome("failed"),
            dropped: outcome("dropped"),
        })
    }
}

// === impl TraceMetrics ===

impl TraceMetrics {
    /// The collector has these.
    pub fn exported(&self, spans: usize) {
        self.exported.inc_by(count(spans));
    }

    /// The collector could not be reached, or did not take these.
    pub fn failed(&self, spans: usize) {
        self.failed.inc_by(count(spans));
    }

    /// Too many waited already.
    pub fn dropped(&self, spans: usize) {
        self.dropped.inc_by(count(spans));
    }
}

fn count(spans: usize) -> u64 {
    u64::try_from(spans).unwrap_or(u64::MAX)
}
