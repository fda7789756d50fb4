//! What a handler gives back: one prediction, ready to be written.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

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
    /// The body as it goes on the wire; with a `rest`, its first piece.
    pub body: Bytes,
    /// What follows the body. Only for a request whose [`super::Accept::pieces`] says so; `None`
    /// otherwise.
    pub rest: Option<Pieces>,
}

/// The pieces of a body that are made when they are sent, not before: a mask of a million pixels is
/// 60 MB of JSON, and no more of it than a piece is ever in memory.
#[derive(Clone)]
pub struct Pieces(Arc<dyn Fn(usize) -> Option<Bytes> + Send + Sync>);

// === impl Prediction ===

impl Prediction {
    /// A body of this media type.
    pub fn new(content_type: &'static str, body: impl Into<Bytes>) -> Prediction {
        Prediction { status: 200, content_type, headers: Vec::new(), body: body.into(), rest: None }
    }

    /// A JSON body.
    pub fn json(body: impl Into<Bytes>) -> Prediction {
        Prediction::new("application/json", body)
    }
}

// === impl Pieces ===

impl Pieces {
    /// `piece` gives the pieces by their number, from 0, each within a fraction of a millisecond, and
    /// `None` after the last. It is called on a thread that serves other clients too.
    pub fn new(piece: impl Fn(usize) -> Option<Bytes> + Send + Sync + 'static) -> Pieces {
        Pieces(Arc::new(piece))
    }

    /// The piece `index`, or `None` after the last.
    pub fn get(&self, index: usize) -> Option<Bytes> {
        (self.0)(index)
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pieces")
    }
}

/// The same pieces, not equal ones.
impl PartialEq for Pieces {
    fn eq(&self, other: &Pieces) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Pieces {}
