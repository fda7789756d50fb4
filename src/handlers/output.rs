//! What a handler gives back: one prediction, ready to be written.

use bytes::Bytes;

/// The answer to one request: a body and its media type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// For example `application/json`.
    pub content_type: &'static str,
    /// The body as it goes on the wire.
    pub body: Bytes,
}

impl Prediction {
    /// A JSON body.
    pub fn json(body: impl Into<Bytes>) -> Prediction {
        Prediction { content_type: "application/json", body: body.into() }
    }
}
