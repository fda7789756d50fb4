//! What the routes share: handles to the rooms, cheap to clone.

use std::sync::Arc;
use std::time::Duration;

use super::request_bounds::RequestBounds;
use crate::auth::TokenAuthorization;
use crate::metrics::Metrics;
use crate::registry::Registry;

/// The state of one server.
#[derive(Clone)]
pub struct State {
    /// The models.
    pub registry: Arc<Registry>,
    /// The metrics.
    pub metrics: Metrics,
    /// `max_request_size`, in bytes.
    pub max_request_size: usize,
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
