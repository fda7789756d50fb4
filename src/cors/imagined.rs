//! The answer to a request that is only written down: decided and answered by the code that serves.
//!
//! For `explain`, `vectors` and `diff`. Nothing is sent; of an answer that the router gives only what
//! CORS adds is known.

use super::{
    decision::Decision,
    facts::RequestSketch,
    listener::ListenerPolicy,
    wire::{HeaderMap, StatusCode},
};

/// What would go over the wire.
pub(super) struct Imagined {
    pub(super) decision: Decision,
    /// The router is not asked: status, headers and body are complete.
    pub(super) at_once: bool,
    /// 200 where the router answers.
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

// === impl Imagined ===

impl Imagined {
    /// The answer to `sketch` on this listener.
    pub(super) fn new(listener: &ListenerPolicy, sketch: &RequestSketch) -> Imagined {
        let (policy, decision) = listener.decide(&sketch.facts());
        let mut headers = HeaderMap::new();
        let answer = policy.answer(&decision, &mut headers);
        let at_once = answer.is_some();
        let (status, body) = match answer {
            Some(answered) => (answered.status, answered.body),
            None => {
                policy.finish(&decision, &mut headers);
                (StatusCode::OK, String::new())
            }
        };
        Imagined { decision, at_once, status, headers, body }
    }
}
