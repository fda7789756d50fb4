//! The inputs that an operator declares in `model-config.yaml`, so that a request which does not
//! fit is refused before the model sees it.
//!
//! Read once by `base.rs` when a model is loaded. The key is optional and is a list:
//!
//! ```yaml
//! inputs:
//!   - name: x            # optional: the name clients use; else the order of forward's arguments
//!     datatype: FP32     # required: BOOL, UINT8, INT8..INT64, FP16, BF16, FP32, FP64,
//!                        # or PyTorch's name (float32, ...)
//!     shape: [-1, 4]     # optional: with the batch dimension first; -1 stands for any size, and so
//!                        # does a name, which stands for the same size in all inputs of a request
//! ```
//!
//! An input that is not declared takes any type and shape.

use std::fmt;

use bytes::Bytes;
use serde_json::Value as Json;

use super::HandlerError;
use super::json::MAX_DEPTH;
use super::raw_tensor::WireType;
use crate::engine::{DType, HostTensor};

/// One declared input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Declared {
    /// The name that clients use.
    pub(super) name: Option<String>,
    /// Its element type.
    pub(super) dtype: DType,
    /// Its sizes, the batch dimension first; `None` inside stands for any.
    pub(super) shape: Option<Vec<Option<usize>>>,
    /// The names of sizes, by their place: sizes of one name are equal in a request.
    pub(super) axes: Vec<(usize, String)>,
}

// === impl Declared ===

impl Declared {
    /// Reads the key `inputs` of a `model-config.yaml`.
    ///
    /// # Errors
    /// [`HandlerError::Model`] that names the entry and what it should be.
    pub(super) fn read_all(model_config: &Json) -> Result<Vec<Declared>, HandlerError> {
        let inputs = match model_config.get("inputs") {
            None | Some(Json::Null) => return Ok(Vec::new()),
            Some(Json::Array(inputs)) => inputs,
            Some(_) => return Err(wrong("", "must be a list of {name, datatype, shape}")),
        };
        inputs
            .iter()
            .enumerate()
            .map(|(index, input)| Declared::read_for(input, "inputs", &format!("[{index}]")))
            .collect()
    }

    /// Reads an entry of the list `key`.
    ///
    /// # Errors
    /// As [`Declared::read_all`].
    pub(super) fn read_for(input: &Json, key: &str, place: &str) -> Result<Declared, HandlerError> {
        let wrong = |place: &str, what: &str| {
            HandlerError::Model(format!("model-config.yaml: {key}{place} {what}"))
        };
        let Some(members) = input.as_object() else {
            return Err(wrong(place, "must be a map of name, datatype and shape"));
        };
        let known = ["name", "datatype", "shape"];
        if let Some(odd) = members.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(wrong(place, &format!("has an unknown key `{odd}`; known: {known:?}")));
        }
        let name = match members.get("name") {
            None | Some(Json::Null) => None,
            Some(Json::String(name)) => Some(name.clone()),
            Some(_) => return Err(wrong(place, "name must be a string")),
        };
        let dtype = members.get("datatype").and_then(Json::as_str).and_then(DType::parse);
        let Some(dtype) = dtype else {
            let names = DType::ALL.map(DType::oip_name).join(", ");
            return Err(wrong(place, &format!("datatype must be one of {names}")));
        };
        let shape = match members.get("shape") {
            None | Some(Json::Null) => None,
            Some(Json::Array(sizes)) if sizes.len() <= MAX_DEPTH => {
                let sizes = sizes.iter().map(|size| match size.as_i64() {
                    Some(-1) => Ok(None),
                    None if size.is_string() => Ok(None),
                    size => size
                        .and_then(|size| usize::try_from(size).ok())
                        .map(Some)
                        .ok_or_else(|| wrong(place, "shape must hold sizes, names, or -1 for any")),
                });
                Some(sizes.collect::<Result<_, _>>()?)
            }
            Some(_) => return Err(wrong(place, "shape must be a list of at most 64 sizes")),
        };
        let written = members.get("shape").and_then(Json::as_array);
        let named = written.into_iter().flatten().enumerate();
        let axes = named.filter_map(|(place, size)| Some((place, size.as_str()?.to_owned())));
        Ok(Declared { name, dtype, shape, axes: axes.collect() })
    }

    /// Does a tensor of this type and shape fit?
    ///
    /// # Errors
    /// What was expected and what came.
    pub(super) fn check(&self, dtype: DType, shape: &[usize]) -> Result<(), String> {
        let fits = self.shape.as_ref().is_none_or(|sizes| {
            sizes.len() == shape.len()
                && sizes.iter().zip(shape).all(|(size, got)| size.is_none_or(|size| size == *got))
        });
        if dtype != self.dtype || !fits {
            return Err(format!("expected {self}, got {}{shape:?}", dtype.oip_name()));
        }
        Ok(())
    }

    /// The shape of one sample: without the batch dimension, which must be able to be 1.
    ///
    /// # Errors
    /// The model takes no single sample.
    pub(super) fn sample_shape(&self) -> Result<Option<&[Option<usize>]>, String> {
        match self.shape.as_deref() {
            None => Ok(None),
            Some([None | Some(1), sample @ ..]) => Ok(Some(sample)),
            Some(_) => Err(format!("the model takes {self}, which is no batch of one sample")),
        }
    }

    /// Little-endian `bytes` as a tensor of the declared type and shape; one size of -1 is found
    /// from the number of bytes.
    ///
    /// # Errors
    /// The bytes do not fill the shape.
    pub(super) fn raw(&self, bytes: &Bytes) -> Result<HostTensor, String> {
        let no_fit = || {
            let size = self.dtype.size();
            format!("{} bytes do not make {self} ({size} bytes an element)", bytes.len())
        };
        let count = bytes.len() / self.dtype.size();
        if !bytes.len().is_multiple_of(self.dtype.size()) {
            return Err(no_fit());
        }
        let sizes = self.shape.as_deref().unwrap_or(&[None]);
        if sizes.iter().filter(|size| size.is_none()).count() > 1 {
            return Err(format!("raw bytes do not tell the shape of {self}: send JSON"));
        }
        let known = sizes
            .iter()
            .flatten()
            .try_fold(1usize, |product, size| product.checked_mul(*size))
            .ok_or_else(no_fit)?;
        let any = count.checked_div(known).unwrap_or(0);
        let shape: Vec<usize> = sizes.iter().map(|size| size.unwrap_or(any)).collect();
        if crate::engine::element_count(&shape) != Some(count) {
            return Err(no_fit());
        }
        WireType::Same(self.dtype).read(shape, bytes.clone())
    }
}

impl fmt::Display for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.dtype.oip_name())?;
        let Some(shape) = &self.shape else { return f.write_str(" of any shape") };
        let sizes = shape.iter().map(|size| size.map_or("-1".to_owned(), |size| size.to_string()));
        write!(f, "[{}]", sizes.collect::<Vec<_>>().join(", "))
    }
}

fn wrong(place: &str, what: &str) -> HandlerError {
    HandlerError::Model(format!("model-config.yaml: inputs{place} {what}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::Elements;

    fn declared(input: Json) -> Declared {
        Declared::read_all(&json!({ "inputs": [input] })).unwrap().remove(0)
    }

    #[test]
    fn inputs_are_read_from_the_model_config() {
        let x = declared(json!({"name": "x", "datatype": "FP32", "shape": [-1, 4]}));
        let shape = Some(vec![None, Some(4)]);
        assert_eq!(
            x,
            Declared { name: Some("x".into()), dtype: DType::Float32, shape, axes: vec![] }
        );
        assert_eq!(x.to_string(), "FP32[-1, 4]");
        let any = declared(json!({"datatype": "int64"}));
        assert_eq!(any.to_string(), "INT64 of any shape");
        assert_eq!(Declared::read_all(&Json::Null), Ok(vec![]));
        assert_eq!(Declared::read_all(&json!({"minWorkers": 1})), Ok(vec![]));
    }

    #[test]
    fn mistakes_in_the_model_config_are_named() {
        for (inputs, part) in [
            (json!({"x": 1}), "inputs must be a list"),
            (json!(["FP32"]), "inputs[0] must be a map"),
            (
                json!([{"datatype": "FP32"}, {"datatype": "FLOAT"}]),
                "inputs[1] datatype must be one",
            ),
            (json!([{"shape": [1]}]), "datatype must be one of BOOL"),
            (json!([{"datatype": "FP32", "shape": [-2]}]), "shape must hold sizes"),
            (json!([{"datatype": "FP32", "shape": [1.5]}]), "shape must hold sizes"),
            (json!([{"datatype": "FP32", "shape": vec![1; 65]}]), "at most 64"),
            (json!([{"datatype": "FP32", "shape": 4}]), "shape must be a list"),
            (json!([{"datatype": "FP32", "dtype": 4}]), "unknown key `dtype`"),
            (json!([{"datatype": "FP32", "name": 4}]), "name must be a string"),
        ] {
            let error = Declared::read_all(&json!({ "inputs": inputs })).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn types_and_sizes_are_checked() {
        let x = declared(json!({"datatype": "FP32", "shape": [-1, 4]}));
        assert_eq!(x.check(DType::Float32, &[7, 4]), Ok(()));
        let error = Err("expected FP32[-1, 4], got FP64[7, 4]".to_owned());
        assert_eq!(x.check(DType::Float64, &[7, 4]), error);
        let error = Err("expected FP32[-1, 4], got FP32[4]".to_owned());
        assert_eq!(x.check(DType::Float32, &[4]), error);
        assert!(x.check(DType::Float32, &[7, 5]).is_err());
        assert_eq!(x.sample_shape(), Ok(Some(&[Some(4)][..])));
        assert!(declared(json!({"datatype": "FP32", "shape": [8, 4]})).sample_shape().is_err());
        assert!(declared(json!({"datatype": "FP32", "shape": []})).sample_shape().is_err());
    }

    #[test]
    fn raw_bytes_are_little_endian_and_must_fill_the_shape() {
        let x = declared(json!({"datatype": "FP32", "shape": [-1, 2]}));
        let bytes: Bytes = [1.0f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let tensor = x.raw(&bytes).unwrap();
        assert_eq!(tensor.shape(), [2, 2]);
        assert_eq!(*tensor.elements(), Elements::Float32(vec![1.0, 2.0, 3.0, 4.0]));
        let error = "12 bytes do not make FP32[-1, 2] (4 bytes an element)";
        assert_eq!(x.raw(&bytes.slice(..12)), Err(error.to_owned()));
        assert!(x.raw(&bytes.slice(..3)).is_err());
        assert_eq!(x.raw(&Bytes::new()).unwrap().shape(), [0, 2]);
        let two = declared(json!({"datatype": "INT64", "shape": [-1, -1]}));
        assert!(two.raw(&bytes).unwrap_err().contains("send JSON"));
        let none = declared(json!({"datatype": "UINT8", "shape": [-1, 0]}));
        assert_eq!(none.raw(&Bytes::new()).unwrap().shape(), [0, 0]);
        assert!(none.raw(&Bytes::from_static(&[1])).is_err());
        let flags = declared(json!({"datatype": "BOOL"}));
        assert_eq!(
            *flags.raw(&Bytes::from_static(&[1, 0])).unwrap().elements(),
            Elements::Bool(vec![1, 0])
        );
        assert!(flags.raw(&Bytes::from_static(&[2])).is_err());
        let huge = declared(json!({"datatype": "FP32", "shape": [-1, i64::MAX, i64::MAX]}));
        assert!(huge.raw(&bytes).is_err());
    }
}
