//! What a handler keeps of a request for its answer, and what a request asks.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::{Asked, Form, Task};

/// A value of the handler's own type that travels from `preprocess` to `postprocess` (the words of a
/// text, the size of a picture); nobody else looks into it.
#[derive(Clone, Default)]
pub struct Kept(Option<Arc<dyn Any + Send + Sync>>);

// === impl Kept ===

impl Kept {
    /// Keeps a value.
    pub fn new<T: Send + Sync + 'static>(value: T) -> Kept {
        Kept(Some(Arc::new(value)))
    }

    /// The value, if it is one of this type.
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.0.as_ref()?.downcast_ref()
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Kept(..)" } else { "Kept" })
    }
}

/// Equal when it is the same value, not a similar one.
impl PartialEq for Kept {
    fn eq(&self, other: &Kept) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

impl Eq for Kept {}

// === impl Asked ===

impl Asked {
    /// A prediction for `rows` rows in one form, with nothing kept.
    pub fn new(rows: usize, form: Form) -> Asked {
        Asked { rows, form, task: Task::Predict, kept: Kept::default(), in_steps: false }
    }
}
