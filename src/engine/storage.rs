//! Where a host tensor's elements are: in a typed vector, or in the bytes of the request that they
//! came with.
//!
//! Owned by `tensor.rs`. Bytes are borrowed only if they are the machine's own numbers, aligned for
//! their type; what looks at them as numbers one by one gets a typed copy then, made once.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::tensor::{DType, Elements};

/// The elements of a tensor. A clone shares them.
#[derive(Clone)]
pub(super) enum Storage {
    /// A typed vector.
    Owned(Arc<Elements>),
    /// Bytes of a request.
    Borrowed(Arc<Borrowed>),
}

/// Native-endian bytes, aligned for `dtype` and a whole number of elements long.
pub(super) struct Borrowed {
    dtype: DType,
    bytes: Bytes,
    elements: OnceLock<Elements>,
}

// === impl Storage ===

impl Storage {
    pub(super) fn new(elements: Elements) -> Storage {
        Storage::Owned(Arc::new(elements))
    }

    /// Little-endian `bytes`; a part of an element at the end is left out. Not copied where they are
    /// aligned.
    pub(super) fn from_little_endian(dtype: DType, bytes: Bytes) -> Storage {
        let whole = bytes.len() - bytes.len() % dtype.size();
        let bytes = bytes.slice(..whole);
        let aligned = bytes.as_ptr().align_offset(dtype.size()) == 0;
        if cfg!(target_endian = "little") && aligned {
            let elements = OnceLock::new();
            return Storage::Borrowed(Arc::new(Borrowed { dtype, bytes, elements }));
        }
        let mut elements = Elements::zeros(dtype, whole / dtype.size());
        elements.as_bytes_mut().copy_from_slice(&bytes);
        if cfg!(target_endian = "big") {
            elements.as_bytes_mut().chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
        }
        Storage::new(elements)
    }

    pub(super) fn dtype(&self) -> DType {
        match self {
            Storage::Owned(elements) => elements.dtype(),
            Storage::Borrowed(borrowed) => borrowed.dtype,
        }
    }

    /// The number of elements.
    pub(super) fn len(&self) -> usize {
        self.bytes().len() / self.dtype().size()
    }

    /// The elements as native-endian bytes, never copied.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Storage::Owned(elements) => elements.as_bytes(),
            Storage::Borrowed(borrowed) => &borrowed.bytes,
        }
    }

    /// The elements, copied once if they are bytes yet.
    pub(super) fn elements(&self) -> &Elements {
        match self {
            Storage::Owned(elements) => elements,
            Storage::Borrowed(borrowed) => borrowed.elements(),
        }
    }

    /// The elements, copied if another tensor shares them.
    pub(super) fn into_elements(self) -> Elements {
        match self {
            Storage::Owned(elements) => Arc::unwrap_or_clone(elements),
            Storage::Borrowed(_) => self.elements().clone(),
        }
    }
}

// === impl Borrowed ===

impl Borrowed {
    fn elements(&self) -> &Elements {
        self.elements.get_or_init(|| {
            let count = self.bytes.len() / self.dtype.size();
            let mut elements = Elements::with_capacity(self.dtype, count);
            elements.extend_from_bytes(&self.bytes);
            elements
        })
    }
}
