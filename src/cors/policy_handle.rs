//! The policy in force on a listener, which a reload replaces while requests are served.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::listener::ListenerPolicy;

/// A policy that can be replaced while requests are served; requests under way keep theirs.
#[derive(Clone, Debug)]
pub struct PolicyHandle {
    current: Arc<ArcSwap<ListenerPolicy>>,
}

// === impl PolicyHandle ===

impl PolicyHandle {
    /// Starts with this policy.
    pub fn new(policy: Arc<ListenerPolicy>) -> Self {
        Self { current: Arc::new(ArcSwap::new(policy)) }
    }

    /// Later requests are decided under this policy.
    pub fn replace(&self, policy: Arc<ListenerPolicy>) {
        self.current.store(policy);
    }

    /// The policy now, for one decision: no count is touched.
    pub(super) fn load(&self) -> Guard<Arc<ListenerPolicy>> {
        self.current.load()
    }

    /// The policy now.
    pub fn current(&self) -> Arc<ListenerPolicy> {
        self.current.load_full()
    }
}

impl From<Arc<ListenerPolicy>> for PolicyHandle {
    fn from(policy: Arc<ListenerPolicy>) -> Self {
        Self::new(policy)
    }
}
