//! What the routes share: handles to the rooms, cheap to clone.

use std::sync::Arc;
use std::time::Duration;

use super::body::BodyLimits;
use super::compression::Compression;
use super::request_bounds::RequestBounds;
use super::sequence_headers::SequenceHeaders;
use crate::auth::TokenAuthorization;
use crate::cors_live::LiveCors;
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::trace::Tracer;

/// The state of one server.
#[derive(Clone)]
pub struct State {
    /// The models.
    pub registry: Arc<Registry>,
    /// The metrics.
    pub metrics: Metrics,
    /// Records requests; none when OpenTelemetry is off.
    pub tracer: Option<Tracer>,
    /// `server_timing`: predictions tell where their time went.
    pub server_timing: bool,
    /// `ts_header_key_sequence_*`.
    pub sequence_headers: SequenceHeaders,
    /// What the body of a request may be at most.
    pub body_limits: BodyLimits,
    /// Which answers are compressed.
    pub compression: Compression,
    /// The CORS policies in force, and what is counted of them.
    pub cors: Arc<LiveCors>,
    /// The other bounds of a request.
    pub bounds: RequestBounds,
    /// `max_response_size`, in bytes of a prediction.
    pub max_response_size: usize,
    /// The keys; none when token authorization is off.
    pub authorization: Option<Arc<TokenAuthorization>>,
    /// `enable_model_api`: models may be registered and unregistered over HTTP.
    pub enable_model_api: bool,
    /// `unregister_model_timeout`: how long a worker's last batch is waited for.
    pub unregister_model_timeout: Duration,
}
