//! What a handler gives back: one prediction, ready to be written.

use std::borrow::Cow;

use bytes::Bytes;

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// The HTTP status, 200 to 599.
    pub status: u16,
    /// For example `application/json`.
    pub content_type: &'static str,
    /// Further headers. One that HTTP or CORS needs for itself is not the handler's to set.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body as it goes on the wire.
    pub body: Bytes,
}

impl Prediction {
    /// A body of this media type.
    pub fn new(content_type: &'static str, body: impl Into<Bytes>) -> Prediction {
        Prediction { status: 200, content_type, headers: Vec::new(), body: body.into() }
    }

    /// A JSON body.
    pub fn json(body: impl Into<Bytes>) -> Prediction {
        Prediction::new("application/json", body)
    }
}
