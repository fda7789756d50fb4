//! What the routes share: handles to the rooms, cheap to clone.

use std::sync::Arc;

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
    /// The keys; none when token authorization is off.
    pub authorization: Option<Arc<TokenAuthorization>>,
}
