//! Host tensors: what handlers build and read, and what the engine borrows for a forward.
//!
//! Used by `handlers/` (which never see libtorch) and by `engine/torch.rs` (which wraps the
//! buffers without copying them). A tensor is always dense and row-major.

use std::fmt;

use bytemuck::cast_slice;
use bytes::Bytes;
use half::{bf16, f16};

use super::storage::Storage;

/// Element type of a tensor, named as in PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// `torch.bool`, one byte an element, 0 or 1.
    Bool,
    /// `torch.uint8`.
    Uint8,
    /// `torch.int8`.
    Int8,
    /// `torch.int16`.
    Int16,
    /// `torch.int32`.
    Int32,
    /// `torch.int64`.
    Int64,
    /// `torch.float16`.
    Float16,
    /// `torch.bfloat16`.
    Bfloat16,
    /// `torch.float32`.
    Float32,
    /// `torch.float64`.
    Float64,
}

/// The elements of a tensor, one typed vector per element type.
#[derive(Clone, PartialEq)]
pub enum Elements {
    /// 0 or 1 each.
    Bool(Vec<u8>),
    /// Unsigned bytes.
    Uint8(Vec<u8>),
    /// Signed bytes.
    Int8(Vec<i8>),
    /// 16-bit integers.
    Int16(Vec<i16>),
    /// 32-bit integers.
    Int32(Vec<i32>),
    /// 64-bit integers.
    Int64(Vec<i64>),
    /// IEEE half precision.
    Float16(Vec<f16>),
    /// Truncated single precision.
    Bfloat16(Vec<bf16>),
    /// IEEE single precision.
    Float32(Vec<f32>),
    /// IEEE double precision.
    Float64(Vec<f64>),
}

/// A dense, row-major tensor in host memory.
///
/// The number of elements always equals the product of the shape: [`HostTensor::new`] and
/// [`HostTensor::from_little_endian`] are the only ways to build one. A clone shares the elements.
#[derive(Clone)]
pub struct HostTensor {
    shape: Vec<usize>,
    storage: Storage,
}

/// The shape and the number of elements of a tensor disagree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("shape {shape:?} holds {expected} elements, got {got}")]
pub struct ShapeError {
    /// The declared shape.
    pub shape: Vec<usize>,
    /// Elements that the shape holds (saturated when the product overflows).
    pub expected: usize,
    /// Elements that were given.
    pub got: usize,
}

// === impl DType ===

impl DType {
    /// Every element type.
    pub const ALL: [DType; 10] = [
        DType::Bool,
        DType::Uint8,
        DType::Int8,
        DType::Int16,
        DType::Int32,
        DType::Int64,
        DType::Float16,
        DType::Bfloat16,
        DType::Float32,
        DType::Float64,
    ];

    /// Size of one element in bytes.
    pub fn size(self) -> usize {
        match self {
            DType::Bool | DType::Uint8 | DType::Int8 => 1,
            DType::Int16 | DType::Float16 | DType::Bfloat16 => 2,
            DType::Int32 | DType::Float32 => 4,
            DType::Int64 | DType::Float64 => 8,
        }
    }

    /// The Open Inference Protocol's name (`FP32`, `INT64`, ...).
    pub fn oip_name(self) -> &'static str {
        match self {
            DType::Bool => "BOOL",
            DType::Uint8 => "UINT8",
            DType::Int8 => "INT8",
            DType::Int16 => "INT16",
            DType::Int32 => "INT32",
            DType::Int64 => "INT64",
            DType::Float16 => "FP16",
            DType::Bfloat16 => "BF16",
            DType::Float32 => "FP32",
            DType::Float64 => "FP64",
        }
    }

    /// PyTorch's name without the module (`float32`, `int64`, ...).
    pub fn torch_name(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::Uint8 => "uint8",
            DType::Int8 => "int8",
            DType::Int16 => "int16",
            DType::Int32 => "int32",
            DType::Int64 => "int64",
            DType::Float16 => "float16",
            DType::Bfloat16 => "bfloat16",
            DType::Float32 => "float32",
            DType::Float64 => "float64",
        }
    }

    /// Reads either spelling: the Open Inference Protocol's or PyTorch's.
    pub fn parse(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|dtype| dtype.oip_name() == name || dtype.torch_name() == name)
    }

    /// True for the floating-point types.
    pub fn is_float(self) -> bool {
        matches!(self, DType::Float16 | DType::Bfloat16 | DType::Float32 | DType::Float64)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.torch_name())
    }
}

// === impl Elements ===

/// Runs one expression with the typed vector of any variant.
macro_rules! with_elements {
    ($elements:expr, $values:ident => $body:expr) => {
        match $elements {
            Elements::Bool($values) => $body,
            Elements::Uint8($values) => $body,
            Elements::Int8($values) => $body,
            Elements::Int16($values) => $body,
            Elements::Int32($values) => $body,
            Elements::Int64($values) => $body,
            Elements::Float16($values) => $body,
            Elements::Bfloat16($values) => $body,
            Elements::Float32($values) => $body,
            Elements::Float64($values) => $body,
        }
    };
}

impl Elements {
    /// Room for `capacity` elements of `dtype`, none of them there yet.
    pub fn with_capacity(dtype: DType, capacity: usize) -> Elements {
        match dtype {
            DType::Bool => Elements::Bool(Vec::with_capacity(capacity)),
            DType::Uint8 => Elements::Uint8(Vec::with_capacity(capacity)),
            DType::Int8 => Elements::Int8(Vec::with_capacity(capacity)),
            DType::Int16 => Elements::Int16(Vec::with_capacity(capacity)),
            DType::Int32 => Elements::Int32(Vec::with_capacity(capacity)),
            DType::Int64 => Elements::Int64(Vec::with_capacity(capacity)),
            DType::Float16 => Elements::Float16(Vec::with_capacity(capacity)),
            DType::Bfloat16 => Elements::Bfloat16(Vec::with_capacity(capacity)),
            DType::Float32 => Elements::Float32(Vec::with_capacity(capacity)),
            DType::Float64 => Elements::Float64(Vec::with_capacity(capacity)),
        }
    }

    /// `len` zeros of `dtype`.
    pub fn zeros(dtype: DType, len: usize) -> Elements {
        let mut elements = Elements::with_capacity(dtype, len);
        with_elements!(&mut elements, values => values.resize(len, Default::default()));
        elements
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        match self {
            Elements::Bool(_) => DType::Bool,
            Elements::Uint8(_) => DType::Uint8,
            Elements::Int8(_) => DType::Int8,
            Elements::Int16(_) => DType::Int16,
            Elements::Int32(_) => DType::Int32,
            Elements::Int64(_) => DType::Int64,
            Elements::Float16(_) => DType::Float16,
            Elements::Bfloat16(_) => DType::Bfloat16,
            Elements::Float32(_) => DType::Float32,
            Elements::Float64(_) => DType::Float64,
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        with_elements!(self, values => values.len())
    }

    /// True when there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements as native-endian bytes, without a copy.
    pub fn as_bytes(&self) -> &[u8] {
        with_elements!(self, values => cast_slice(values))
    }

    /// The elements as mutable native-endian bytes, without a copy.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        with_elements!(self, values => bytemuck::cast_slice_mut(values))
    }

    /// Appends the elements that native-endian `bytes` are; they must be whole ones, aligned for
    /// their type.
    pub(super) fn extend_from_bytes(&mut self, bytes: &[u8]) {
        with_elements!(self, values => values.extend_from_slice(cast_slice(bytes)));
    }

    /// A copy of the elements in `range`.
    fn slice(&self, range: std::ops::Range<usize>) -> Elements {
        match self {
            Elements::Bool(v) => Elements::Bool(v[range].to_vec()),
            Elements::Uint8(v) => Elements::Uint8(v[range].to_vec()),
            Elements::Int8(v) => Elements::Int8(v[range].to_vec()),
            Elements::Int16(v) => Elements::Int16(v[range].to_vec()),
            Elements::Int32(v) => Elements::Int32(v[range].to_vec()),
            Elements::Int64(v) => Elements::Int64(v[range].to_vec()),
            Elements::Float16(v) => Elements::Float16(v[range].to_vec()),
            Elements::Bfloat16(v) => Elements::Bfloat16(v[range].to_vec()),
            Elements::Float32(v) => Elements::Float32(v[range].to_vec()),
            Elements::Float64(v) => Elements::Float64(v[range].to_vec()),
        }
    }
}

impl fmt::Debug for Elements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.dtype(), self.len())
    }
}

// === impl HostTensor ===

impl HostTensor {
    /// A tensor of `shape` over `elements`.
    ///
    /// # Errors
    /// [`ShapeError`] when the product of the shape is not the number of elements, or overflows.
    pub fn new(shape: Vec<usize>, elements: Elements) -> Result<HostTensor, ShapeError> {
        HostTensor::over(shape, Storage::new(elements))
    }

    /// A tensor of `shape` over little-endian `bytes`; not copied where they are aligned. For
    /// `bool` each byte must be 0 or 1.
    ///
    /// # Errors
    /// [`ShapeError`] as of [`HostTensor::new`].
    pub fn from_little_endian(
        shape: Vec<usize>,
        dtype: DType,
        bytes: Bytes,
    ) -> Result<HostTensor, ShapeError> {
        HostTensor::over(shape, Storage::from_little_endian(dtype, bytes))
    }

    fn over(shape: Vec<usize>, storage: Storage) -> Result<HostTensor, ShapeError> {
        let got = storage.len();
        match element_count(&shape) {
            Some(expected) if expected == got => Ok(HostTensor { shape, storage }),
            expected => Err(ShapeError { shape, expected: expected.unwrap_or(usize::MAX), got }),
        }
    }

    /// The sizes of the dimensions, outermost first; empty for a 0-dimensional tensor.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.storage.dtype()
    }

    /// The elements.
    pub fn elements(&self) -> &Elements {
        self.storage.elements()
    }

    /// The elements as native-endian bytes, without a copy.
    pub fn as_bytes(&self) -> &[u8] {
        self.storage.bytes()
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.storage.len()
    }

    /// True when there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The size of the first dimension; none for a 0-dimensional tensor.
    pub fn rows(&self) -> Option<usize> {
        self.shape.first().copied()
    }

    /// The same elements with a leading dimension of 1.
    pub fn unsqueeze(mut self) -> HostTensor {
        self.shape.insert(0, 1);
        self
    }

    /// The same elements without the leading dimension, which must be 1.
    ///
    /// # Errors
    /// The tensor itself, when its first dimension is not 1.
    pub fn squeeze(mut self) -> Result<HostTensor, HostTensor> {
        if self.rows() != Some(1) {
            return Err(self);
        }
        self.shape.remove(0);
        Ok(self)
    }

    /// A copy of the rows `start..start + len` of the first dimension.
    ///
    /// # Errors
    /// [`ShapeError`] when the tensor has no such rows.
    pub fn narrow(&self, start: usize, len: usize) -> Result<HostTensor, ShapeError> {
        let rows = self.rows().unwrap_or(0);
        let end = start.checked_add(len).filter(|end| *end <= rows).ok_or_else(|| ShapeError {
            shape: self.shape.clone(),
            expected: start.saturating_add(len),
            got: rows,
        })?;
        let stride: usize = self.shape[1..].iter().product();
        let mut shape = self.shape.clone();
        shape[0] = len;
        let elements = self.elements().slice(start * stride..end * stride);
        Ok(HostTensor { shape, storage: Storage::new(elements) })
    }

    /// The rows of `parts`, one after the other, in one tensor. A single part is moved, not copied.
    ///
    /// # Errors
    /// [`ShapeError`] when there is no part, a part has no dimension, or the parts differ in
    /// element type or in any dimension but the first.
    pub fn concat(mut parts: Vec<HostTensor>) -> Result<HostTensor, ShapeError> {
        if parts.len() == 1
            && let Some(only) = parts.pop()
        {
            return Ok(only);
        }
        let refuse = |part: Option<&HostTensor>| ShapeError {
            shape: part.map(|p| p.shape.clone()).unwrap_or_default(),
            expected: 0,
            got: part.map_or(0, HostTensor::len),
        };
        let Some(first) = parts.first() else { return Err(refuse(None)) };
        let odd = parts.iter().find(|part| {
            part.dtype() != first.dtype()
                || part.shape.is_empty()
                || part.shape[1..] != first.shape[1..]
        });
        if odd.is_some() || first.shape.is_empty() {
            return Err(refuse(odd.or(Some(first))));
        }
        let mut shape = first.shape.clone();
        shape[0] = parts.iter().map(|part| part.shape[0]).sum();
        let total = parts.iter().map(HostTensor::len).sum();
        let mut elements = Elements::with_capacity(first.dtype(), total);
        for part in &parts {
            elements.extend_from_bytes(part.as_bytes());
        }
        HostTensor::new(shape, elements)
    }

    /// The same values as `float32`; a no-op for a tensor that is `float32` already.
    pub fn into_float32(self) -> HostTensor {
        let values: Vec<f32> = match self.storage.into_elements() {
            Elements::Float32(values) => values,
            Elements::Bool(v) | Elements::Uint8(v) => v.into_iter().map(f32::from).collect(),
            Elements::Int8(v) => v.into_iter().map(f32::from).collect(),
            Elements::Int16(v) => v.into_iter().map(f32::from).collect(),
            Elements::Int32(v) => v.into_iter().map(|x| x as f32).collect(),
            Elements::Int64(v) => v.into_iter().map(|x| x as f32).collect(),
            Elements::Float16(v) => v.into_iter().map(f32::from).collect(),
            Elements::Bfloat16(v) => v.into_iter().map(f32::from).collect(),
            Elements::Float64(v) => v.into_iter().map(|x| x as f32).collect(),
        };
        HostTensor { shape: self.shape, storage: Storage::new(Elements::Float32(values)) }
    }
}

impl PartialEq for HostTensor {
    fn eq(&self, other: &HostTensor) -> bool {
        self.shape == other.shape && self.elements() == other.elements()
    }
}

impl fmt::Debug for HostTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype(), self.shape)
    }
}

/// The product of a shape, or none when it overflows.
pub fn element_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float32(shape: &[usize], values: &[f32]) -> HostTensor {
        HostTensor::new(shape.to_vec(), Elements::Float32(values.to_vec())).unwrap()
    }

    #[test]
    fn shape_and_elements_must_agree() {
        assert!(HostTensor::new(vec![2, 3], Elements::Float32(vec![0.0; 6])).is_ok());
        assert!(HostTensor::new(vec![], Elements::Float32(vec![1.0])).is_ok());
        assert!(HostTensor::new(vec![0, 4], Elements::Float32(vec![])).is_ok());
        let error = HostTensor::new(vec![2, 3], Elements::Float32(vec![0.0; 5])).unwrap_err();
        assert_eq!(error.to_string(), "shape [2, 3] holds 6 elements, got 5");
        assert!(HostTensor::new(vec![usize::MAX, 2], Elements::Float32(vec![])).is_err());
    }

    #[test]
    fn concat_then_narrow_gives_each_part_back() {
        let a = float32(&[1, 2], &[1.0, 2.0]);
        let b = float32(&[2, 2], &[3.0, 4.0, 5.0, 6.0]);
        let both = HostTensor::concat(vec![a.clone(), b.clone()]).unwrap();
        assert_eq!(both.shape(), [3, 2]);
        assert_eq!(both.narrow(0, 1).unwrap(), a);
        assert_eq!(both.narrow(1, 2).unwrap(), b);
        assert!(both.narrow(2, 2).is_err());
    }

    #[test]
    fn concat_refuses_parts_that_do_not_fit() {
        assert!(HostTensor::concat(vec![]).is_err());
        let a = float32(&[1, 2], &[1.0, 2.0]);
        assert!(HostTensor::concat(vec![a.clone(), float32(&[1, 1], &[1.0])]).is_err());
        let ints = HostTensor::new(vec![1, 2], Elements::Int64(vec![1, 2])).unwrap();
        assert!(HostTensor::concat(vec![a, ints]).is_err());
        let scalar = float32(&[], &[1.0]);
        assert!(HostTensor::concat(vec![scalar.clone(), scalar]).is_err());
    }

    #[test]
    fn both_spellings_of_an_element_type_are_read() {
        for dtype in DType::ALL {
            assert_eq!(DType::parse(dtype.oip_name()), Some(dtype));
            assert_eq!(DType::parse(dtype.torch_name()), Some(dtype));
        }
        assert_eq!(DType::parse("BYTES"), None);
    }
}
