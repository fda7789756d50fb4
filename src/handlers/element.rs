//! How a JSON number or boolean becomes an element of a tensor, or is refused.
//!
//! Used by `number_array.rs` alone, which reads the arrays around them.

use half::{bf16, f16};

use super::json::JsonError;
use super::json_number::Number;
use crate::engine::Elements;

/// Takes the items of an array as they are read.
pub(super) trait Sink {
    /// Takes a number, or says why not.
    fn number(&mut self, number: Number) -> Result<(), String>;
    /// Takes a boolean, or says why not.
    fn boolean(&mut self, value: bool) -> Result<(), String>;
    /// A whole number beyond `int64` is about to come; `error` points to it.
    fn wide_int(&mut self, error: impl FnOnce() -> JsonError) {
        drop(error);
    }
}

/// A type that a JSON number can be stored as.
pub(super) trait Element: Sized {
    /// The element of a number.
    fn of(number: Number) -> Result<Self, String>;
    /// The element of a boolean.
    fn of_bool(value: bool) -> Result<Self, String> {
        Err(format!("expected a number, got {value}"))
    }
}

/// A byte that holds a JSON boolean.
pub(super) struct Boolean(u8);

impl From<Vec<Boolean>> for Elements {
    fn from(values: Vec<Boolean>) -> Elements {
        Elements::Bool(values.into_iter().map(|value| value.0).collect())
    }
}

impl Element for Boolean {
    fn of(number: Number) -> Result<Self, String> {
        Err(format!("expected true or false, got {}", show(number)))
    }
    fn of_bool(value: bool) -> Result<Self, String> {
        Ok(Boolean(u8::from(value)))
    }
}

macro_rules! whole_element {
    ($($type:ty => $name:literal),*) => {$(
        impl Element for $type {
            #[inline]
            fn of(number: Number) -> Result<Self, String> {
                match number {
                    Number::Int(value) => <$type>::try_from(value)
                        .map_err(|_| format!(concat!("{} does not fit ", $name), value)),
                    Number::WideInt(value) => Err(format!(concat!("{:.0} does not fit ", $name), value)),
                    Number::Float(value) => {
                        Err(format!(concat!("expected a whole number (", $name, "), got {:?}"), value))
                    }
                }
            }
        }
    )*};
}

whole_element!(u8 => "uint8", i8 => "int8", i16 => "int16", i32 => "int32", i64 => "int64");

macro_rules! float_element {
    ($($type:ty => $name:literal, $narrow:expr);*) => {$(
        impl Element for $type {
            #[inline]
            fn of(number: Number) -> Result<Self, String> {
                let wide = wide(number);
                let narrow: $type = $narrow(wide);
                if wide.is_finite() && !narrow.is_finite() {
                    return Err(format!(concat!("{:?} is out of range of ", $name), wide));
                }
                Ok(narrow)
            }
        }
    )*};
}

// PyTorch narrows Python's float to `float` first and from there to the 16-bit types.
float_element!(
    f64 => "float64", |wide: f64| wide;
    f32 => "float32", |wide: f64| wide as f32;
    f16 => "float16", |wide: f64| f16::from_f32(wide as f32);
    bf16 => "bfloat16", |wide: f64| bf16::from_f32(wide as f32)
);

fn wide(number: Number) -> f64 {
    match number {
        Number::Int(value) => value as f64,
        Number::WideInt(value) | Number::Float(value) => value,
    }
}

fn show(number: Number) -> String {
    match number {
        Number::Int(value) => value.to_string(),
        Number::WideInt(value) | Number::Float(value) => format!("{value:?}"),
    }
}

impl<T: Element> Sink for Vec<T> {
    #[inline]
    fn number(&mut self, number: Number) -> Result<(), String> {
        self.push(T::of(number)?);
        Ok(())
    }
    fn boolean(&mut self, value: bool) -> Result<(), String> {
        self.push(T::of_bool(value)?);
        Ok(())
    }
}

/// Finds the element type while reading.
pub(super) struct Inferred {
    capacity: usize,
    float: bool,
    numbers: Numbers,
    /// The first whole number beyond `int64`: wrong unless a later one has a fraction.
    too_wide: Option<JsonError>,
}

enum Numbers {
    None,
    Bool(Vec<u8>),
    Int(Vec<i64>),
    Float(Vec<f32>),
}

// === impl Inferred ===

impl Inferred {
    /// Room for `capacity` items; `float` reads whole numbers as `float32`.
    pub(super) fn new(capacity: usize, float: bool) -> Inferred {
        Inferred { capacity, float, numbers: Numbers::None, too_wide: None }
    }

    /// What was read.
    pub(super) fn finish(self) -> Result<Elements, JsonError> {
        if let Some(error) = self.too_wide {
            return Err(error);
        }
        Ok(match self.numbers {
            // Python's `torch.tensor([])` is float32.
            Numbers::None => Elements::Float32(Vec::new()),
            Numbers::Bool(values) => Elements::Bool(values),
            Numbers::Int(values) => Elements::Int64(values),
            Numbers::Float(values) => Elements::Float32(values),
        })
    }

    fn push_float(&mut self, number: Number) -> Result<(), String> {
        if let Numbers::Int(values) = &self.numbers {
            let mut floats = Vec::with_capacity(values.capacity());
            floats.extend(values.iter().map(|value| *value as f64 as f32));
            self.numbers = Numbers::Float(floats);
        }
        if let Numbers::None = self.numbers {
            self.numbers = Numbers::Float(Vec::with_capacity(self.capacity));
        }
        match &mut self.numbers {
            Numbers::Float(values) => values.number(number),
            _ => Err(format!("expected true or false as before, got {}", show(number))),
        }
    }
}

impl Sink for Inferred {
    fn number(&mut self, number: Number) -> Result<(), String> {
        match number {
            Number::Int(value) => match &mut self.numbers {
                Numbers::Int(values) => {
                    values.push(value);
                    Ok(())
                }
                Numbers::None if !self.float => {
                    let mut values = Vec::with_capacity(self.capacity);
                    values.push(value);
                    self.numbers = Numbers::Int(values);
                    Ok(())
                }
                _ => self.push_float(number),
            },
            Number::WideInt(_) => self.push_float(number),
            Number::Float(_) => {
                self.float = true;
                self.too_wide = None;
                self.push_float(number)
            }
        }
    }

    fn wide_int(&mut self, error: impl FnOnce() -> JsonError) {
        if !self.float && self.too_wide.is_none() {
            self.too_wide = Some(error());
        }
    }

    fn boolean(&mut self, value: bool) -> Result<(), String> {
        match &mut self.numbers {
            Numbers::Bool(values) => values.push(u8::from(value)),
            Numbers::None => {
                let mut values = Vec::with_capacity(self.capacity);
                values.push(u8::from(value));
                self.numbers = Numbers::Bool(values);
            }
            _ => return Err(format!("expected a number as before, got {value}")),
        }
        Ok(())
    }
}
