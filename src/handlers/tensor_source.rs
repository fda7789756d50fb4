//! A tensor of an Open Inference request, before its data are read: in the JSON, or as bytes behind
//! it.
//!
//! Made by `open_inference.rs` once the syntax is checked; read when the argument that it stands for
//! is known. Nothing is allocated for a shape that the data do not fill.

use std::borrow::Cow;

use bytes::Bytes;

use super::json::{JsonError, Scanner};
use super::number_array::{ElementType, numbers};
use super::raw_tensor::{self, WireType, declared_count};
use crate::engine::{HostTensor, Value};

/// Most items of a `list`, and most strings of a BYTES tensor.
pub(super) const MAX_ITEMS: usize = 65_536;

/// A tensor whose data are still to be read.
pub(super) struct TensorSource<'a> {
    pub(super) datatype: Datatype,
    pub(super) shape: Vec<usize>,
    pub(super) data: Data<'a>,
}

/// Where the data of a tensor are.
pub(super) enum Data<'a> {
    /// In the JSON, here.
    Json(Scanner<'a>),
    /// Behind the JSON.
    Raw {
        /// Where the JSON says so.
        at: Scanner<'a>,
        /// `binary_data_size`.
        size: usize,
        /// The bytes, once they are dealt out.
        bytes: Bytes,
    },
}

/// The type of the elements.
#[derive(Clone, Copy)]
pub(super) enum Datatype {
    Numbers(WireType),
    Bytes,
}

// === impl Data ===

impl<'a> Data<'a> {
    /// A place in the JSON for errors.
    pub(super) fn at(&self) -> &Scanner<'a> {
        match self {
            Data::Json(scanner) | Data::Raw { at: scanner, .. } => scanner,
        }
    }
}

// === impl TensorSource ===

impl TensorSource<'_> {
    fn count(&self) -> Result<usize, JsonError> {
        declared_count(&self.shape).filter(|count| i64::try_from(*count).is_ok()).ok_or_else(|| {
            let shape = &self.shape;
            self.data.at().error(format!("the shape {shape:?} is too large"))
        })
    }

    /// The value for an argument of this kind.
    pub(super) fn value(&self, kind: &str) -> Result<Value, JsonError> {
        let Datatype::Numbers(wire) = self.datatype else {
            let texts = self.strings()?.into_iter().enumerate().map(|(index, bytes)| {
                String::from_utf8(bytes.into_owned()).map(Value::Str).map_err(|_| {
                    self.data.at().error("the model takes text, and this is no UTF-8").within(index)
                })
            });
            let mut texts = texts.collect::<Result<Vec<Value>, JsonError>>()?;
            let is_one = kind.starts_with("str") && !kind.ends_with(']') && texts.len() == 1;
            return Ok(match texts.pop() {
                Some(only) if is_one => only,
                last => {
                    texts.extend(last);
                    Value::List(texts)
                }
            });
        };
        let count = self.count()?;
        let error = |reason: String| self.data.at().error(reason);
        let mut scanner = match &self.data {
            Data::Json(scanner) => scanner.clone(),
            Data::Raw { bytes, .. } => {
                let tensor = wire.read(self.shape.clone(), bytes.clone());
                return tensor.map(Value::Tensor).map_err(error);
            }
        };
        let nested: Vec<_> = self.shape.iter().copied().map(Some).collect();
        let expected =
            if is_flat(&mut scanner.clone(), &self.shape) { &[Some(count)][..] } else { &nested };
        let element_type = ElementType::Declared(wire.dtype());
        let (_, elements) = numbers(&mut scanner, element_type, Some(expected))?;
        wire.check(&elements).map_err(error)?;
        HostTensor::new(self.shape.clone(), elements)
            .map(Value::Tensor)
            .map_err(|wrong| error(wrong.to_string()))
    }

    /// The strings of a BYTES tensor.
    pub(super) fn strings(&self) -> Result<Vec<Cow<'_, [u8]>>, JsonError> {
        let count = self.count()?;
        if count > MAX_ITEMS {
            return Err(self.data.at().error(format!("at most {MAX_ITEMS} strings are read")));
        }
        match &self.data {
            Data::Raw { at, bytes, .. } => {
                let strings =
                    raw_tensor::strings(bytes, count).map_err(|reason| at.error(reason))?;
                Ok(strings.into_iter().map(Cow::Borrowed).collect())
            }
            Data::Json(scanner) => {
                let mut scanner = scanner.clone();
                let flat = [count];
                let shape = if is_flat(&mut scanner.clone(), &self.shape) {
                    &flat[..]
                } else {
                    &self.shape
                };
                let mut strings = Vec::new();
                read_strings(&mut scanner, shape, &mut strings)?;
                Ok(strings)
            }
        }
    }
}

/// Are the data written as one list? They are unless a list comes first in the list, or a number
/// alone stands for a tensor without dimensions.
fn is_flat(scanner: &mut Scanner<'_>, shape: &[usize]) -> bool {
    match scanner.open(b'[', b']') {
        Ok(true) => shape.len() < 2 || scanner.peek() != Some(b'['),
        Ok(false) => true,
        Err(_) => !shape.is_empty(),
    }
}

/// Strings in lists of these sizes, outermost first; at most 64 deep, as the shape was read.
fn read_strings<'a>(
    scanner: &mut Scanner<'a>,
    shape: &[usize],
    strings: &mut Vec<Cow<'a, [u8]>>,
) -> Result<(), JsonError> {
    let Some((&size, inner)) = shape.split_first() else {
        strings.push(match scanner.string()? {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        });
        return Ok(());
    };
    let what = if inner.is_empty() { "strings" } else { "lists" };
    let mut read = 0;
    let mut more = scanner.open(b'[', b']')?;
    while more {
        if read == size {
            return Err(scanner.error(format!("expected {size} {what}, got more")));
        }
        read_strings(scanner, inner, strings).map_err(|error| error.within(read))?;
        read += 1;
        more = scanner.more(b']')?;
    }
    if read < size {
        return Err(scanner.error(format!("expected {size} {what}, got {read}")));
    }
    Ok(())
}
