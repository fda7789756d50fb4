//! One thread's own copy of the header values of preflights.
//!
//! Values are reference counted; cores that share one counter wait for each other at every answer.

use std::sync::{Arc, Weak};

use super::{
    policy::CorsPolicy,
    wire::{HeaderName, HeaderValue},
};

/// The values of the policy that this thread saw last.
#[derive(Debug, Default)]
pub struct OwnValues(Option<Copied>);

#[derive(Debug)]
struct Copied {
    /// Keeps the place in memory, so that no other policy can be mistaken for it; and nothing of what
    /// it says, so that a policy that was replaced is gone.
    policy: Weak<CorsPolicy>,
    headers: Box<[(HeaderName, HeaderValue)]>,
}

impl OwnValues {
    /// The headers of a granted preflight under this policy.
    pub(super) fn of(&mut self, policy: &Arc<CorsPolicy>) -> &[(HeaderName, HeaderValue)] {
        let known = self.0.take().filter(|copied| copied.policy.as_ptr() == Arc::as_ptr(policy));
        &self.0.insert(known.unwrap_or_else(|| Copied::new(policy))).headers
    }
}

impl Copied {
    fn new(policy: &Arc<CorsPolicy>) -> Self {
        let own = |(name, value): &(HeaderName, HeaderValue)| {
            // The same bytes are a value again; were they not, the shared ones serve.
            let copy = HeaderValue::from_bytes(value.as_bytes());
            (name.clone(), copy.unwrap_or_else(|_| value.clone()))
        };
        let headers = policy.preflight_headers().iter().map(own).collect();
        Self { policy: Arc::downgrade(policy), headers }
    }
}
