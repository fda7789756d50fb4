//! One input or output in the words of the Open Inference Protocol's metadata.

use serde::Serialize;

use crate::engine::DType;

/// A tensor that a model takes or gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TensorMetadata {
    /// The name that clients use.
    pub name: String,
    /// The protocol's name of the element type; `ANY` when the model does not tell: TorchScript's
    /// `Tensor` has no element type, `inputs` in `model-config.yaml` gives it one.
    pub datatype: &'static str,
    /// The sizes, the batch dimension first; -1 stands for any. `[-1]` when nothing is known.
    pub shape: Vec<i64>,
}

// === impl TensorMetadata ===

impl TensorMetadata {
    /// Strings, as many as the caller likes.
    pub(super) fn bytes(name: &str) -> TensorMetadata {
        TensorMetadata { name: name.to_owned(), datatype: "BYTES", shape: vec![-1] }
    }

    /// A tensor of a known type; sizes that are none may be any.
    pub(super) fn tensor(name: &str, dtype: DType, sizes: Option<&[Option<usize>]>) -> Self {
        let size =
            |size: &Option<usize>| size.and_then(|size| i64::try_from(size).ok()).unwrap_or(-1);
        let shape = sizes.map_or(vec![-1], |sizes| sizes.iter().map(size).collect());
        TensorMetadata { name: name.to_owned(), datatype: dtype.oip_name(), shape }
    }

    /// A tensor of a type that nobody told.
    pub(super) fn unknown(name: &str) -> TensorMetadata {
        TensorMetadata { name: name.to_owned(), datatype: "ANY", shape: vec![-1] }
    }
}
