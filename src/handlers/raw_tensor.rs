//! Tensors as bytes: the Open Inference Protocol's binary data, and raw bodies. PURE.
//!
//! Numbers are little-endian and row-major; a string is its length in four bytes and its bytes.
//! Called by `open_inference.rs`, `declared.rs` and `open_inference_answer.rs`. Nothing is allocated
//! before the number of bytes has been compared with the shape; numbers that lie aligned in a body
//! are not copied.

use bytes::Bytes;

use super::Prediction;
use crate::engine::{DType, Elements, HostTensor, element_count};

/// An element type of the protocol, and what it is here: PyTorch computes with no unsigned type but
/// `uint8`, so that wider ones are widened once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WireType {
    /// As it is.
    Same(DType),
    /// `UINT16`: `int32`.
    Uint16,
    /// `UINT32`: `int64`.
    Uint32,
    /// `UINT64`: `int64`; what does not fit is refused.
    Uint64,
}

/// Bytes before each string.
const LENGTH: usize = 4;

/// Most places of a tensor that has no element: the product of its sizes but the zeros.
const MAX_EMPTY: usize = 65_536;

/// The elements of a shape that a client declares; none when there are too many. A shape with a zero
/// needs no data, whatever else it says, and a model may answer each of its empty rows: they are
/// bounded by themselves.
pub(super) fn declared_count(shape: &[usize]) -> Option<usize> {
    let count = element_count(shape)?;
    let filled = shape.iter().try_fold(1usize, |all, size| all.checked_mul((*size).max(1)))?;
    (count > 0 || filled <= MAX_EMPTY).then_some(count)
}

// === impl WireType ===

impl WireType {
    /// The protocol's name, or PyTorch's.
    pub(super) fn parse(name: &str) -> Option<WireType> {
        match name {
            "UINT16" => Some(WireType::Uint16),
            "UINT32" => Some(WireType::Uint32),
            "UINT64" => Some(WireType::Uint64),
            other => DType::parse(other).map(WireType::Same),
        }
    }

    /// Every name, for errors.
    pub(super) fn names() -> String {
        format!("{}, UINT16, UINT32, UINT64", DType::ALL.map(DType::oip_name).join(", "))
    }

    /// The element type of the tensor.
    pub(super) fn dtype(self) -> DType {
        match self {
            WireType::Same(dtype) => dtype,
            WireType::Uint16 => DType::Int32,
            WireType::Uint32 | WireType::Uint64 => DType::Int64,
        }
    }

    /// Bytes of one element on the wire.
    fn size(self) -> usize {
        match self {
            WireType::Same(dtype) => dtype.size(),
            WireType::Uint16 => 2,
            WireType::Uint32 => 4,
            WireType::Uint64 => 8,
        }
    }

    /// Elements that were read from JSON: are they in the range of the type that was named?
    ///
    /// # Errors
    /// The first that is not.
    pub(super) fn check(self, elements: &Elements) -> Result<(), String> {
        let greatest = match self {
            WireType::Same(_) => return Ok(()),
            WireType::Uint16 => i64::from(u16::MAX),
            WireType::Uint32 => i64::from(u32::MAX),
            WireType::Uint64 => i64::MAX,
        };
        let odd = |value: i64| !(0..=greatest).contains(&value);
        let found = match elements {
            Elements::Int32(values) => values.iter().copied().map(i64::from).find(|v| odd(*v)),
            Elements::Int64(values) => values.iter().copied().find(|v| odd(*v)),
            _ => None,
        };
        found.map_or(Ok(()), |value| Err(format!("{value} is not from 0 to {greatest}")))
    }

    /// The tensor that `bytes` are.
    ///
    /// # Errors
    /// They do not fill the shape, or are no such numbers.
    pub(super) fn read(self, shape: Vec<usize>, bytes: Bytes) -> Result<HostTensor, String> {
        let expected = declared_count(&shape).and_then(|count| count.checked_mul(self.size()));
        if expected != Some(bytes.len()) {
            let size = self.size();
            return Err(format!(
                "{} bytes are not a tensor of shape {shape:?} with {size} bytes an element",
                bytes.len()
            ));
        }
        let elements = match self {
            WireType::Same(dtype) => {
                if dtype == DType::Bool && bytes.iter().any(|byte| *byte > 1) {
                    return Err("a raw BOOL is a byte of 0 or 1".to_owned());
                }
                return HostTensor::from_little_endian(shape, dtype, bytes)
                    .map_err(|error| error.to_string());
            }
            WireType::Uint16 => Elements::Int32(
                bytes.as_chunks().0.iter().map(|b| u16::from_le_bytes(*b).into()).collect(),
            ),
            WireType::Uint32 => Elements::Int64(
                bytes.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b).into()).collect(),
            ),
            WireType::Uint64 => {
                let values = bytes.as_chunks().0.iter().map(|b| {
                    let value = u64::from_le_bytes(*b);
                    i64::try_from(value).map_err(|_| format!("{value} does not fit int64"))
                });
                Elements::Int64(values.collect::<Result<_, _>>()?)
            }
        };
        HostTensor::new(shape, elements).map_err(|error| error.to_string())
    }
}

/// The strings that `bytes` are: exactly `count`, which the caller has bounded.
///
/// # Errors
/// They are fewer or more, or one is longer than what is left.
pub(super) fn strings(bytes: &[u8], count: usize) -> Result<Vec<&[u8]>, String> {
    // Each takes four bytes at least: no room is made for more than there can be.
    let mut strings = Vec::with_capacity(count.min(bytes.len() / LENGTH));
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first_chunk::<LENGTH>() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((text, after)) = after.split_at_checked(length) else {
            let (index, left) = (strings.len(), after.len());
            return Err(format!("string {index} is {length} bytes long, and {left} are left"));
        };
        if strings.len() == count {
            return Err(format!("expected {count} strings, got more"));
        }
        strings.push(text);
        rest = after;
    }
    if !rest.is_empty() || strings.len() < count {
        let got = strings.len();
        return Err(format!("expected {count} strings, got {got} and {} bytes", rest.len()));
    }
    Ok(strings)
}

/// Appends a string as [`strings`] reads it. One of 4 GiB or more is cut; no answer is that long.
pub(super) fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&text[..length as usize]);
}

/// Appends some elements as [`WireType::read`] reads them.
pub(super) fn write_elements(
    out: &mut Vec<u8>,
    elements: &Elements,
    range: std::ops::Range<usize>,
) {
    let size = elements.dtype().size();
    let start = out.len();
    out.extend_from_slice(&elements.as_bytes()[range.start * size..range.end * size]);
    if cfg!(target_endian = "big") {
        out[start..].chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
}

/// An answer that is the bytes of some elements of a tensor. `Tensor-Datatype` and `Tensor-Shape`
/// (`224,224,2`) say what they are.
pub(super) fn answer(
    shape: &[usize],
    elements: &Elements,
    range: std::ops::Range<usize>,
) -> Prediction {
    let mut body = Vec::with_capacity(range.len() * elements.dtype().size());
    write_elements(&mut body, elements, range);
    let mut prediction = Prediction::new("application/octet-stream", body);
    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
    prediction.headers.push(("tensor-datatype", elements.dtype().oip_name().into()));
    prediction.headers.push(("tensor-shape", shape.join(",").into()));
    prediction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, shape: &[usize], bytes: &[u8]) -> Result<Elements, String> {
        let tensor = WireType::parse(name).unwrap().read(shape.to_vec(), bytes.to_vec().into())?;
        assert_eq!(tensor.shape(), shape);
        Ok(tensor.elements().clone())
    }

    #[test]
    fn what_is_written_is_read_again_in_every_type_and_at_every_alignment() {
        for dtype in DType::ALL {
            let mut bytes: Vec<u8> = (0..6 * dtype.size()).map(|i| i as u8).collect();
            if dtype == DType::Bool {
                bytes.iter_mut().for_each(|byte| *byte &= 1);
            }
            for offset in 0..8 {
                let body = Bytes::from([&vec![7; offset][..], &bytes].concat()).slice(offset..);
                let wire = WireType::Same(dtype);
                let tensor = wire.read(vec![2, 3], body).unwrap();
                assert_eq!((tensor.dtype(), tensor.shape()), (dtype, &[2, 3][..]));
                let mut out = vec![1];
                write_elements(&mut out, tensor.elements(), 3..6);
                assert_eq!(out[1..], bytes[3 * dtype.size()..], "{dtype:?} {offset}");
            }
        }
    }

    #[test]
    fn wide_unsigned_numbers_are_widened_and_kept_in_range() {
        let ints = Elements::Int32(vec![1, 65535]);
        assert_eq!(read("UINT16", &[2], &[1, 0, 255, 255]), Ok(ints));
        let longs = Elements::Int64(vec![4294967295]);
        assert_eq!(read("UINT32", &[1], &[255; 4]), Ok(longs));
        assert_eq!(read("UINT64", &[1], &[1, 0, 0, 0, 0, 0, 0, 0]), Ok(Elements::Int64(vec![1])));
        assert!(read("UINT64", &[1], &[255; 8]).unwrap_err().ends_with("does not fit int64"));
        let wrong = WireType::Uint16.check(&Elements::Int32(vec![0, 65535, 65536]));
        assert_eq!(wrong, Err("65536 is not from 0 to 65535".to_owned()));
        assert!(WireType::Uint32.check(&Elements::Int64(vec![-1])).is_err());
        assert_eq!(WireType::Uint64.check(&Elements::Int64(vec![i64::MAX])), Ok(()));
    }

    #[test]
    fn bytes_that_do_not_fill_the_shape_are_refused_before_anything_is_made() {
        for shape in [&[3][..], &[1], &[], &[usize::MAX, 2], &[1 << 62, 4], &[2, 0]] {
            assert!(read("FP32", shape, &[0; 8]).is_err(), "{shape:?}");
        }
        assert!(read("BOOL", &[2], &[1, 2]).is_err());
    }

    #[test]
    fn strings_have_their_length_before_them_and_none_may_be_longer_than_the_rest() {
        let mut bytes = Vec::new();
        for text in [&b"abc"[..], b"", b"\xff"] {
            write_string(&mut bytes, text);
        }
        assert_eq!(strings(&bytes, 3), Ok(vec![&b"abc"[..], b"", b"\xff"]));
        for (bytes, count) in [
            (&bytes[..], 2),
            (&bytes[..], 4),
            (&bytes[..bytes.len() - 1], 3),
            (&[255, 255, 255, 255, 0][..], 1),
            (&[1, 0][..], 1),
            (&[][..], usize::MAX),
        ] {
            assert!(strings(bytes, count).is_err(), "{bytes:?} {count}");
        }
        assert_eq!(strings(&[], 0), Ok(vec![]));
    }
}
