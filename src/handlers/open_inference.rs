//! Reads the `inputs` of the Open Inference Protocol's JSON (KServe v2) into model arguments.
//!
//! Called by `open_inference_request.rs`, and by the handlers for the values. Each input is
//! `{"name", "shape", "datatype", "data"}` with `data` flat or nested, or with
//! `"parameters": {"binary_data_size": n}` in its place: its bytes then follow the JSON
//! (`tensor_source.rs`). Besides the protocol, `{"name", "list": [...]}` is a list of strings, numbers
//! or tensors and `{"name", "scalar": v}` a plain Python value. Two passes: the first checks the
//! syntax and notes where the data are, the second reads them, so that names, types and shapes are
//! checked before anything is allocated.

use std::borrow::Cow;

use bytes::Bytes;

use super::arguments::{Arguments, MAX_INPUTS, Slot};
use super::json::{JsonError, Kind, MAX_DEPTH, Scanner};
use super::json_number::Number;
use super::python_value::{fit, named, read_scalar, widen};
use super::raw_tensor::WireType;
use super::tensor_source::{Data, Datatype, MAX_ITEMS, TensorSource};
use crate::engine::{HostTensor, Value};

/// One input as it was found by the first pass.
pub(super) struct Input<'a> {
    name: Option<Cow<'a, str>>,
    content: Content<'a>,
}

enum Content<'a> {
    Tensor(TensorSource<'a>),
    List(Scanner<'a>),
    Scalar(Scanner<'a>),
}

/// Reads the array `inputs`, without its data.
pub(super) fn read_inputs<'a>(scanner: &mut Scanner<'a>) -> Result<Vec<Input<'a>>, JsonError> {
    let mut inputs = Vec::new();
    let mut more = scanner.open(b'[', b']')?;
    while more {
        if inputs.len() == MAX_INPUTS {
            return Err(scanner.error(format!("at most {MAX_INPUTS} inputs are read")));
        }
        let input = read_input(scanner).map_err(|error| error.within(inputs.len()))?;
        inputs.push(input);
        more = scanner.more(b']')?;
    }
    Ok(inputs)
}

/// The arguments of `forward` that the inputs stand for.
///
/// # Errors
/// What is wrong, with a JSON pointer into the body where there is one.
pub(super) fn arguments(inputs: &[Input<'_>], arguments: &Arguments) -> Result<Vec<Value>, String> {
    let names: Vec<_> = inputs.iter().map(|input| input.name.as_deref()).collect();
    let places = arguments.place(&names)?;
    let mut values = Vec::with_capacity(inputs.len());
    for (index, (input, place)) in inputs.iter().zip(&places).enumerate() {
        let value = input.value(arguments.slot(*place));
        values.push(value.map_err(|error| error.within(index).within("inputs").to_string())?);
    }
    arguments.arrange(&places, values)
}

/// Gives each input with a `binary_data_size` its bytes of `raw`, in the order of the inputs.
///
/// # Errors
/// The sizes are not those of `raw`.
pub(super) fn deal_out(inputs: &mut [Input<'_>], mut raw: Bytes) -> Result<(), JsonError> {
    for (index, input) in inputs.iter_mut().enumerate() {
        let Content::Tensor(TensorSource { data: Data::Raw { at, size, bytes }, .. }) =
            &mut input.content
        else {
            continue;
        };
        if *size > raw.len() {
            let reason = format!("binary_data_size is {size}, and {} bytes are left", raw.len());
            return Err(at.error(reason).within("parameters").within(index).within("inputs"));
        }
        *bytes = raw.split_to(*size);
    }
    if raw.is_empty() {
        return Ok(());
    }
    let reason =
        format!("{} bytes follow the JSON that are no input's binary_data_size", raw.len());
    Err(Scanner::new(b"").error(reason))
}

fn read_input<'a>(scanner: &mut Scanner<'a>) -> Result<Input<'a>, JsonError> {
    let start = scanner.clone();
    let (mut name, mut datatype, mut shape) = (None, None, None);
    let (mut data, mut list, mut scalar, mut raw) = (None, None, None, None);
    let mut more = scanner.open(b'{', b'}')?;
    while more {
        let key = scanner.name()?;
        let here = scanner.clone();
        let read = match &*key {
            "name" => scanner.string().map(|text| name = Some(text)),
            "datatype" => read_datatype(scanner).map(|read| datatype = Some(read)),
            "shape" => read_shape(scanner).map(|sizes| shape = Some(sizes)),
            "data" => scanner.skip().map(|()| data = Some(here)),
            "list" => scanner.skip().map(|()| list = Some(here)),
            "scalar" => scanner.skip().map(|()| scalar = Some(here)),
            "parameters" => read_parameters(scanner).map(|size| {
                raw = size.map(|size| Data::Raw { at: here, size, bytes: Bytes::new() })
            }),
            _ => scanner.skip(),
        };
        read.map_err(|error| error.within(&key))?;
        more = scanner.more(b'}')?;
    }
    let content = match (data.map(Data::Json).or(raw), list, scalar) {
        (Some(data), None, None) => {
            let missing = |key| start.error(format!("a tensor needs `{key}`"));
            let datatype = datatype.ok_or_else(|| missing("datatype"))?;
            let shape = match shape.ok_or_else(|| missing("shape"))? {
                Shape::Sizes(sizes) => sizes,
                Shape::AsMany(error) => match (&datatype, &data) {
                    (Datatype::Bytes, Data::Json(list)) => vec![count(list.clone())?],
                    _ => return Err(error.within("shape")),
                },
            };
            Content::Tensor(TensorSource { datatype, shape, data })
        }
        (None, Some(list), None) => Content::List(list),
        (None, None, Some(scalar)) => Content::Scalar(scalar),
        _ => {
            let reason = "an input has one of `data`, `list` and `scalar`, or the parameter \
                          `binary_data_size`";
            return Err(start.error(reason));
        }
    };
    Ok(Input { name, content })
}

/// What an input says of its shape.
enum Shape {
    Sizes(Vec<usize>),
    /// `[-1]`, which TorchServe's clients write for texts and pictures: as many as there are. With
    /// what is wrong about it elsewhere.
    AsMany(JsonError),
}

/// How many items a list has.
fn count(mut scanner: Scanner<'_>) -> Result<usize, JsonError> {
    let mut items = 0;
    let mut more = scanner.open(b'[', b']')?;
    while more {
        scanner.skip()?;
        items += 1;
        more = scanner.more(b']')?;
    }
    Ok(items)
}

/// An input's parameters; those that do not matter here are passed over.
fn read_parameters(scanner: &mut Scanner<'_>) -> Result<Option<usize>, JsonError> {
    let mut size = None;
    let mut more = scanner.open(b'{', b'}')?;
    while more {
        let key = scanner.name()?;
        let start = scanner.clone();
        match &*key {
            "binary_data_size" => match scanner.number().map_err(|error| error.within(&key))? {
                Number::Int(bytes) if bytes >= 0 => size = usize::try_from(bytes).ok(),
                _ => return Err(start.expected("a number of bytes").within(&key)),
            },
            "shared_memory_region" => {
                return Err(start.error("shared memory is not supported").within(&key));
            }
            _ => scanner.skip()?,
        }
        more = scanner.more(b'}')?;
    }
    Ok(size)
}

fn read_datatype(scanner: &mut Scanner<'_>) -> Result<Datatype, JsonError> {
    let start = scanner.clone();
    let name = scanner.string()?;
    if name == "BYTES" {
        return Ok(Datatype::Bytes);
    }
    WireType::parse(&name)
        .map(Datatype::Numbers)
        .ok_or_else(|| start.expected(&format!("one of {}, BYTES", WireType::names())))
}

fn read_shape(scanner: &mut Scanner<'_>) -> Result<Shape, JsonError> {
    let mut shape = Vec::new();
    let mut as_many = None;
    let mut more = scanner.open(b'[', b']')?;
    while more {
        if shape.len() == MAX_DEPTH {
            return Err(scanner.error(format!("a tensor has at most {MAX_DEPTH} dimensions")));
        }
        scanner.peek();
        let start = scanner.clone();
        let number = scanner.number()?;
        let size = match number {
            Number::Int(size) => usize::try_from(size).ok(),
            _ => None,
        };
        // libtorch counts in `i64`.
        let size = size.filter(|size| i64::try_from(*size).is_ok());
        let wrong = || start.expected("a size (0 or more)").within(shape.len());
        match size {
            Some(size) => shape.push(size),
            None if matches!(number, Number::Int(-1)) && shape.is_empty() => {
                as_many = Some(wrong());
                shape.push(0);
            }
            None => return Err(wrong()),
        }
        more = scanner.more(b']')?;
    }
    match as_many {
        Some(error) if shape.len() > 1 => Err(error),
        Some(error) => Ok(Shape::AsMany(error)),
        None => Ok(Shape::Sizes(shape)),
    }
}

// === impl Input ===

impl Input<'_> {
    /// The name in the request.
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// The value for an argument of this kind.
    fn value(&self, slot: Option<&Slot>) -> Result<Value, JsonError> {
        let kind = slot.map_or("", |slot| slot.kind.as_str());
        let declared = slot.and_then(|slot| slot.declared.as_ref());
        let (value, start, key) = match &self.content {
            Content::Tensor(source) => {
                if let (Some(declared), Datatype::Numbers(wire)) = (declared, source.datatype) {
                    let checked = declared.check(wire.dtype(), &source.shape);
                    checked.map_err(|reason| source.data.at().error(reason))?;
                }
                let value = source.value(kind).map_err(|error| error.within("data"))?;
                (value, source.data.at(), "data")
            }
            Content::List(start) => {
                let value = read_list(&mut start.clone()).map_err(|error| error.within("list"))?;
                (value, start, "list")
            }
            Content::Scalar(start) => {
                let scalar = read_scalar(&mut start.clone());
                (scalar.map_err(|error| error.within("scalar"))?, start, "scalar")
            }
        };
        if let (Some(declared), false) = (declared, matches!(value, Value::Tensor(_))) {
            return Err(start.error(format!("expected {declared}, got {}", named(&value))));
        }
        fit(kind, value).map_err(|value| {
            let got = named(&value);
            start.error(format!("the model's argument is `{kind}`, got {got}")).within(key)
        })
    }

    /// The strings of a BYTES tensor, as they were sent; none when it is no such tensor.
    pub(super) fn strings(&self) -> Result<Option<Vec<Cow<'_, [u8]>>>, JsonError> {
        match &self.content {
            Content::Tensor(source) if matches!(source.datatype, Datatype::Bytes) => {
                source.strings().map(Some).map_err(|error| error.within("data"))
            }
            _ => Ok(None),
        }
    }

    /// The numbers of a tensor.
    pub(super) fn tensor(&self) -> Result<HostTensor, JsonError> {
        match &self.content {
            Content::Tensor(source) => match source.value("Tensor")? {
                Value::Tensor(tensor) => Ok(tensor),
                other => {
                    let got = named(&other);
                    Err(source.data.at().error(format!("expected a tensor, got {got}")))
                }
            },
            Content::List(start) | Content::Scalar(start) => {
                Err(start.error("expected a tensor with `datatype`, `shape` and `data`"))
            }
        }
    }
}

fn read_list(scanner: &mut Scanner<'_>) -> Result<Value, JsonError> {
    let mut values: Vec<Value> = Vec::new();
    let mut more = scanner.open(b'[', b']')?;
    while more {
        let index = values.len();
        if index == MAX_ITEMS {
            return Err(scanner.error(format!("at most {MAX_ITEMS} items are read")));
        }
        let item = match scanner.kind() {
            Ok(Kind::Object) => read_input(scanner).and_then(|item| match &item.content {
                Content::Tensor(source) => source.value("Tensor"),
                Content::List(start) | Content::Scalar(start) => {
                    Err(start.error("expected a tensor"))
                }
            }),
            _ => read_scalar(scanner),
        };
        values.push(item.map_err(|error| error.within(index))?);
        more = scanner.more(b']')?;
    }
    let mixed = values.iter().any(|value| matches!(value, Value::Double(_)))
        && values.iter().all(|value| matches!(value, Value::Double(_) | Value::Int(_)));
    if mixed {
        values.iter_mut().for_each(widen);
    }
    let of = |value: &Value| std::mem::discriminant(value);
    let odd = values.iter().position(|value| of(value) != of(&values[0]));
    match odd {
        Some(index) => {
            let (first, odd) = (named(&values[0]), named(&values[index]));
            Err(scanner.error(format!("expected {first} as before, got {odd}")).within(index))
        }
        None => Ok(Value::List(values)),
    }
}
