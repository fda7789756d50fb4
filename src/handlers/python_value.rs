//! Plain Python values as TorchScript takes them: read from JSON, fitted to an argument's type. PURE.
//!
//! Called by `open_inference.rs` for inputs that are no tensors.

use super::json::{JsonError, Kind, Scanner};
use super::json_number::Number;
use crate::engine::Value;

/// A value that is no array and no object.
pub(super) fn read_scalar(scanner: &mut Scanner<'_>) -> Result<Value, JsonError> {
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
pub(super) fn fit(kind: &str, mut value: Value) -> Result<Value, Value> {
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

/// A whole number as a float.
pub(super) fn widen(value: &mut Value) {
    if let Value::Int(int) = value {
        *value = Value::Double(*int as f64);
    }
}

/// The value's kind, for errors.
pub(super) fn named(value: &Value) -> &'static str {
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
