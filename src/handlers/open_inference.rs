//! Reads the `inputs` of the Open Inference Protocol's JSON (KServe v2) into model arguments.
//!
//! Called by `base.rs` for an object with the key `inputs`. Each input is
//! `{"name", "shape", "datatype", "data"}` with `data` flat or nested; besides the protocol,
//! `{"name", "list": [...]}` is a list of strings, numbers or tensors and `{"name", "scalar": v}` a
//! plain Python value. Two passes: the first checks the syntax and notes where the data are, the
//! second reads them, so that names, types and shapes are checked before anything is allocated.

use std::borrow::Cow;

use super::arguments::{Arguments, MAX_INPUTS, Slot};
use super::json::{JsonError, Kind, MAX_DEPTH, Scanner};
use super::json_number::Number;
use super::number_array::{ElementType, numbers};
use crate::engine::{DType, HostTensor, Value, element_count};

/// Most items of a `list`, and most strings of a BYTES tensor.
const MAX_ITEMS: usize = 65_536;

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

struct TensorSource<'a> {
    datatype: Datatype,
    shape: Vec<usize>,
    data: Scanner<'a>,
}

#[derive(Clone, Copy)]
enum Datatype {
    Numbers(DType),
    Bytes,
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

fn read_input<'a>(scanner: &mut Scanner<'a>) -> Result<Input<'a>, JsonError> {
    let start = scanner.clone();
    let (mut name, mut datatype, mut shape) = (None, None, None);
    let (mut data, mut list, mut scalar) = (None, None, None);
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
            _ => scanner.skip(),
        };
        read.map_err(|error| error.within(&key))?;
        more = scanner.more(b'}')?;
    }
    let content = match (data, list, scalar) {
        (Some(data), None, None) => {
            let missing = |key| start.error(format!("a tensor needs `{key}`"));
            Content::Tensor(TensorSource {
                datatype: datatype.ok_or_else(|| missing("datatype"))?,
                shape: shape.ok_or_else(|| missing("shape"))?,
                data,
            })
        }
        (None, Some(list), None) => Content::List(list),
        (None, None, Some(scalar)) => Content::Scalar(scalar),
        _ => return Err(start.error("an input has one of `data`, `list` and `scalar`")),
    };
    Ok(Input { name, content })
}

fn read_datatype(scanner: &mut Scanner<'_>) -> Result<Datatype, JsonError> {
    let start = scanner.clone();
    let name = scanner.string()?;
    if name == "BYTES" {
        return Ok(Datatype::Bytes);
    }
    DType::parse(&name).map(Datatype::Numbers).ok_or_else(|| {
        let names = DType::ALL.map(DType::oip_name).join(", ");
        start.expected(&format!("one of {names}, BYTES"))
    })
}

fn read_shape(scanner: &mut Scanner<'_>) -> Result<Vec<usize>, JsonError> {
    let mut shape = Vec::new();
    let mut more = scanner.open(b'[', b']')?;
    while more {
        if shape.len() == MAX_DEPTH {
            return Err(scanner.error(format!("a tensor has at most {MAX_DEPTH} dimensions")));
        }
        scanner.peek();
        let start = scanner.clone();
        let size = match scanner.number()? {
            Number::Int(size) => usize::try_from(size).ok(),
            _ => None,
        };
        // libtorch counts in `i64`.
        let size = size.filter(|size| i64::try_from(*size).is_ok());
        shape.push(size.ok_or_else(|| start.expected("a size (0 or more)").within(shape.len()))?);
        more = scanner.more(b']')?;
    }
    Ok(shape)
}

// === impl Input ===

impl Input<'_> {
    fn value(&self, slot: Option<&Slot>) -> Result<Value, JsonError> {
        let kind = slot.map_or("", |slot| slot.kind.as_str());
        let declared = slot.and_then(|slot| slot.declared.as_ref());
        let (value, start, key) = match &self.content {
            Content::Tensor(source) => {
                if let (Some(declared), Datatype::Numbers(dtype)) = (declared, source.datatype) {
                    let checked = declared.check(dtype, &source.shape);
                    checked.map_err(|reason| source.data.error(reason))?;
                }
                let value = source.value(kind).map_err(|error| error.within("data"))?;
                (value, &source.data, "data")
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
}

// === impl TensorSource ===

impl TensorSource<'_> {
    fn value(&self, kind: &str) -> Result<Value, JsonError> {
        let Some(count) = element_count(&self.shape).filter(|count| i64::try_from(*count).is_ok())
        else {
            let shape = &self.shape;
            return Err(self.data.error(format!("the shape {shape:?} holds too many elements")));
        };
        let mut scanner = self.data.clone();
        let Datatype::Numbers(dtype) = self.datatype else {
            let mut strings = read_strings(&mut scanner, count)?;
            return Ok(match strings.pop() {
                Some(only)
                    if strings.is_empty() && kind.starts_with("str") && !kind.ends_with(']') =>
                {
                    only
                }
                Some(last) => {
                    strings.push(last);
                    Value::List(strings)
                }
                None => Value::List(strings),
            });
        };
        let element_type = ElementType::Declared(dtype);
        let nested: Vec<_> = self.shape.iter().copied().map(Some).collect();
        let expected =
            if is_flat(&mut scanner.clone(), &self.shape) { &[Some(count)][..] } else { &nested };
        let (_, elements) = numbers(&mut scanner, element_type, Some(expected))?;
        HostTensor::new(self.shape.clone(), elements)
            .map(Value::Tensor)
            .map_err(|error| self.data.error(error.to_string()))
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

fn read_strings(scanner: &mut Scanner<'_>, count: usize) -> Result<Vec<Value>, JsonError> {
    if count > MAX_ITEMS {
        return Err(scanner.error(format!("at most {MAX_ITEMS} strings are read")));
    }
    let mut strings = Vec::new();
    let mut more = scanner.open(b'[', b']')?;
    while more {
        if strings.len() == count {
            return Err(scanner.error(format!("expected {count} strings, got more")));
        }
        let text = scanner.string().map_err(|error| error.within(strings.len()))?;
        strings.push(Value::Str(text.into_owned()));
        more = scanner.more(b']')?;
    }
    if strings.len() < count {
        let got = strings.len();
        return Err(scanner.error(format!("expected {count} strings, got {got}")));
    }
    Ok(strings)
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

fn read_scalar(scanner: &mut Scanner<'_>) -> Result<Value, JsonError> {
    match scanner.kind()? {
        Kind::String => Ok(Value::Str(scanner.string()?.into_owned())),
        Kind::Bool => Ok(Value::Bool(scanner.bool()?)),
        Kind::Null => scanner.null().map(|()| Value::None),
        Kind::Number => match scanner.number()? {
            Number::Int(value) => Ok(Value::Int(value)),
            Number::Float(value) => Ok(Value::Double(value)),
            Number::WideInt(value) => Err(scanner.error(format!("{value:.0} does not fit int64"))),
        },
        kind @ (Kind::Array | Kind::Object) => {
            Err(scanner.error(format!("expected a plain value, got {kind}")))
        }
    }
}

/// The value as TorchScript's type `kind` takes it; the value itself when it does not. Types that
/// are not known here are left to the model.
fn fit(kind: &str, mut value: Value) -> Result<Value, Value> {
    let (base, optional) = match kind.strip_suffix('?') {
        Some(base) => (base, true),
        None => (kind, false),
    };
    match (base, &mut value) {
        ("float", number @ Value::Int(_)) => widen(number),
        ("float[]", Value::List(values)) => values.iter_mut().for_each(widen),
        _ => {}
    }
    let list_of = |items: &[Value], is: fn(&Value) -> bool| items.iter().all(is);
    let fits = match (base, &value) {
        (_, Value::None) if optional => true,
        ("Tensor", value) => matches!(value, Value::Tensor(_)),
        ("int", value) => matches!(value, Value::Int(_)),
        ("float", value) => matches!(value, Value::Double(_)),
        ("bool", value) => matches!(value, Value::Bool(_)),
        ("str", value) => matches!(value, Value::Str(_)),
        ("str[]", Value::List(items)) => list_of(items, |item| matches!(item, Value::Str(_))),
        ("Tensor[]", Value::List(items)) => list_of(items, |item| matches!(item, Value::Tensor(_))),
        ("int[]", Value::List(items)) => list_of(items, |item| matches!(item, Value::Int(_))),
        ("float[]", Value::List(items)) => list_of(items, |item| matches!(item, Value::Double(_))),
        ("bool[]", Value::List(items)) => list_of(items, |item| matches!(item, Value::Bool(_))),
        ("str[]" | "Tensor[]" | "int[]" | "float[]" | "bool[]", _) => false,
        _ => true,
    };
    if fits { Ok(value) } else { Err(value) }
}

fn widen(value: &mut Value) {
    if let Value::Int(int) = value {
        *value = Value::Double(*int as f64);
    }
}

fn named(value: &Value) -> &'static str {
    match value {
        Value::Tensor(_) => "a tensor",
        Value::Int(_) => "a whole number",
        Value::Double(_) => "a number with a fraction",
        Value::Bool(_) => "a boolean",
        Value::Str(_) => "a string",
        Value::None => "null",
        Value::List(_) => "a list",
        Value::Tuple(_) => "a tuple",
        Value::Dict(_) => "a dict",
    }
}
