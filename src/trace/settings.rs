//! What the environment says about traces, each value checked (`config/tracing.rs` does that).

use std::path::PathBuf;
use std::time::Duration;

/// How requests are recorded, and where that goes.
#[derive(Clone, PartialEq)]
pub struct TraceSettings {
    /// `http://` or `https://`, with the whole path (`/v1/traces`).
    pub endpoint: String,
    /// Headers of each export. Their values are secrets.
    pub headers: Vec<(String, String)>,
    /// One attempt to export may take this long.
    pub timeout: Duration,
    /// How exports are packed.
    pub compression: Compression,
    /// Certificates in place of the system's, PEM.
    pub certificate: Option<PathBuf>,
    /// `service.name` and other attributes of this server.
    pub resource: Vec<(String, String)>,
    /// Which requests are recorded.
    pub sampling: Sampling,
    /// Spans that may wait to be exported; one more is dropped and counted.
    pub max_queue: usize,
    /// Spans of one export.
    pub max_batch: usize,
    /// A span waits this long for company.
    pub delay: Duration,
    /// The callers' `traceparent` is read.
    pub read_context: bool,
}

/// How an export is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    None,
    /// `Content-Encoding: gzip`.
    Gzip,
}

/// Which requests are recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// A caller that has decided is followed.
    pub follow_parent: bool,
    /// Of the others, this part; 0 to 1.
    pub ratio: f64,
}

// === impl TraceSettings ===

impl TraceSettings {
    /// OpenTelemetry's defaults.
    pub fn new(endpoint: String) -> TraceSettings {
        TraceSettings {
            endpoint,
            headers: Vec::new(),
            timeout: Duration::from_secs(10),
            compression: Compression::None,
            certificate: None,
            resource: vec![("service.name".to_owned(), "torchfront".to_owned())],
            sampling: Sampling { follow_parent: true, ratio: 1.0 },
            max_queue: 2048,
            max_batch: 512,
            delay: Duration::from_secs(5),
            read_context: true,
        }
    }
}

/// Without the values of headers.
impl std::fmt::Debug for TraceSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("TraceSettings")
            .field("endpoint", &self.endpoint)
            .field("headers", &names)
            .field("sampling", &self.sampling)
            .finish_non_exhaustive()
    }
}
