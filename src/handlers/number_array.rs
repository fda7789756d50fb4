//! Reads nested JSON arrays of numbers straight into a typed vector.
//!
//! Called by `base.rs` (one sample), `open_inference.rs` (the `data` of a tensor) and
//! `image/classifier.rs` (a ready-made tensor). The shape is checked while reading: an array that
//! does not fit is refused at its first wrong item, with a JSON pointer to it. Memory is bounded by
//! the number of commas in the body, counted before anything is allocated.

use half::{bf16, f16};

use super::element::{Boolean, Element, Inferred, Sink};
use super::json::{JsonError, Kind, MAX_DEPTH, Scanner, TOO_DEEP};
use super::json_number::Number;
use super::raw_tensor::declared_count;
use crate::engine::{DType, Elements, HostTensor};

/// How the element type of an array is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElementType {
    /// As the operator or the request says.
    Declared(DType),
    /// By how the numbers are written: all whole numbers are `int64`, one with a fraction makes
    /// all of them `float32`, booleans are `bool`.
    Inferred,
    /// The same, but whole numbers are `float32` too.
    InferredFloat,
}

/// Sizes that an array must have, outermost first; `None` stands for any.
pub(super) type Expected<'a> = Option<&'a [Option<usize>]>;

/// Reads one number, or nested arrays of numbers, as a tensor.
pub(super) fn number_array(
    scanner: &mut Scanner<'_>,
    element_type: ElementType,
    expected: Expected<'_>,
) -> Result<HostTensor, JsonError> {
    let start = scanner.clone();
    let (shape, elements) = numbers(scanner, element_type, expected)?;
    if declared_count(&shape).is_none() {
        return Err(start.error(format!("the shape {shape:?} is too large")));
    }
    // `nested` counted what it pushed, so this cannot fail; refused all the same if it does.
    HostTensor::new(shape, elements).map_err(|error| start.error(error.to_string()))
}

/// The same, as shape and elements.
pub(super) fn numbers(
    scanner: &mut Scanner<'_>,
    element_type: ElementType,
    expected: Expected<'_>,
) -> Result<(Vec<usize>, Elements), JsonError> {
    let capacity = capacity(scanner, expected);
    Ok(match element_type {
        ElementType::Declared(dtype) => match dtype {
            DType::Bool => typed::<Boolean>(scanner, capacity, expected, Elements::from)?,
            DType::Uint8 => typed::<u8>(scanner, capacity, expected, Elements::Uint8)?,
            DType::Int8 => typed::<i8>(scanner, capacity, expected, Elements::Int8)?,
            DType::Int16 => typed::<i16>(scanner, capacity, expected, Elements::Int16)?,
            DType::Int32 => typed::<i32>(scanner, capacity, expected, Elements::Int32)?,
            DType::Int64 => typed::<i64>(scanner, capacity, expected, Elements::Int64)?,
            DType::Float16 => typed::<f16>(scanner, capacity, expected, Elements::Float16)?,
            DType::Bfloat16 => typed::<bf16>(scanner, capacity, expected, Elements::Bfloat16)?,
            DType::Float32 => typed::<f32>(scanner, capacity, expected, Elements::Float32)?,
            DType::Float64 => typed::<f64>(scanner, capacity, expected, Elements::Float64)?,
        },
        ElementType::Inferred | ElementType::InferredFloat => {
            let float = element_type == ElementType::InferredFloat;
            let mut sink = Inferred::new(capacity, float);
            let shape = nested(scanner, &mut sink, expected)?;
            (shape, sink.finish()?)
        }
    })
}

/// How many elements to make room for: what the shape says if it says so, else as many as there
/// are commas. Never more than the body can hold, whatever the shape claims.
fn capacity(scanner: &Scanner<'_>, expected: Expected<'_>) -> usize {
    let told = expected.and_then(|sizes| {
        sizes.iter().try_fold(1usize, |product, size| product.checked_mul((*size)?))
    });
    match told {
        // Each element takes at least a digit and a comma or bracket.
        Some(told) => told.min(scanner.rest().len() / 2 + 1),
        None => memchr::memchr_iter(b',', scanner.rest()).count() + 1,
    }
}

fn typed<T: Element>(
    scanner: &mut Scanner<'_>,
    capacity: usize,
    expected: Expected<'_>,
    elements: fn(Vec<T>) -> Elements,
) -> Result<(Vec<usize>, Elements), JsonError> {
    let mut values = Vec::with_capacity(capacity);
    let shape = nested(scanner, &mut values, expected)?;
    Ok((shape, elements(values)))
}

/// The state of a walk through nested arrays.
struct Walk {
    /// Items seen so far of each open array, outermost first.
    counts: [usize; MAX_DEPTH],
    /// How many arrays are open.
    depth: usize,
    /// The size of each dimension, once an array of it was closed.
    sizes: [Option<usize>; MAX_DEPTH],
    /// The number of dimensions, once a number or an empty array was seen.
    rank: Option<usize>,
}

fn nested(
    scanner: &mut Scanner<'_>,
    sink: &mut impl Sink,
    expected: Expected<'_>,
) -> Result<Vec<usize>, JsonError> {
    let mut walk = Walk {
        counts: [0; MAX_DEPTH],
        depth: 0,
        sizes: [None; MAX_DEPTH],
        rank: expected.map(<[_]>::len),
    };
    if let Some(expected) = expected {
        for (size, expected) in walk.sizes.iter_mut().zip(expected) {
            *size = *expected;
        }
    }
    loop {
        match scanner.kind().map_err(|error| walk.point(error))? {
            Kind::Array => {
                walk.open(scanner)?;
                if scanner.open(b'[', b']')? {
                    continue;
                }
                walk.leaf_depth(scanner, Kind::Array)?;
                walk.close(scanner)?;
            }
            kind @ (Kind::Number | Kind::Bool) => {
                walk.leaf_depth(scanner, kind)?;
                let before = scanner.position();
                let pushed = match kind {
                    Kind::Bool => {
                        let value = scanner.bool().map_err(|error| walk.point(error))?;
                        sink.boolean(value)
                    }
                    _ => {
                        let number = scanner.number().map_err(|error| walk.point(error))?;
                        if let Number::WideInt(value) = number {
                            let reason = format!("{value:.0} does not fit int64");
                            sink.wide_int(|| walk.point_at(before, reason));
                        }
                        sink.number(number)
                    }
                };
                if let Err(reason) = pushed {
                    return Err(walk.point_at(before, reason));
                }
            }
            kind => {
                let what = match walk.rank {
                    Some(rank) if walk.depth < rank => "an array of numbers",
                    _ => "a number",
                };
                return Err(walk.point(scanner.error(format!("expected {what}, got {kind}"))));
            }
        }
        // One value is read: go on with the next, and close what ends here.
        loop {
            let Some(level) = walk.depth.checked_sub(1) else {
                let rank = walk.rank.unwrap_or(0);
                return Ok(walk.sizes[..rank].iter().map(|size| size.unwrap_or(0)).collect());
            };
            walk.counts[level] += 1;
            if scanner.more(b']').map_err(|error| walk.point(error))? {
                walk.room(scanner, level)?;
                break;
            }
            walk.close(scanner)?;
        }
    }
}

// === impl Walk ===

impl Walk {
    /// A `[` comes: is an array allowed here?
    fn open(&mut self, scanner: &Scanner<'_>) -> Result<(), JsonError> {
        if self.depth == MAX_DEPTH {
            return Err(self.point(scanner.error(TOO_DEEP)));
        }
        if self.rank.is_some_and(|rank| self.depth >= rank) {
            return Err(self.point(scanner.error("expected a number, got an array")));
        }
        self.counts[self.depth] = 0;
        self.depth += 1;
        Ok(())
    }

    /// A number, or an empty array, shows how deep the arrays are; all must be equally deep.
    fn leaf_depth(&mut self, scanner: &Scanner<'_>, kind: Kind) -> Result<(), JsonError> {
        match self.rank {
            None => self.rank = Some(self.depth),
            Some(rank) if rank == self.depth => {}
            Some(_) if kind == Kind::Array => {
                let size = self.size(self.depth - 1);
                let error = scanner.error(format!("expected {}, got an empty one", array(size)));
                self.depth -= 1;
                return Err(self.point(error));
            }
            Some(_) => {
                let expected = array(self.size(self.depth));
                let error = scanner.error(format!("expected {expected}, got {kind}"));
                return Err(self.point(error));
            }
        }
        Ok(())
    }

    fn size(&self, level: usize) -> Option<usize> {
        self.sizes.get(level).copied().flatten()
    }

    /// Another item comes behind a comma: may there be one more?
    fn room(&self, scanner: &Scanner<'_>, level: usize) -> Result<(), JsonError> {
        match self.sizes[level] {
            Some(size) if self.counts[level] >= size => {
                Err(self.point(scanner.error(format!("expected {}, got more", array(Some(size))))))
            }
            _ => Ok(()),
        }
    }

    /// A `]` was read: is the array complete?
    fn close(&mut self, scanner: &Scanner<'_>) -> Result<(), JsonError> {
        let level = self.depth - 1;
        let count = self.counts[level];
        match self.sizes[level] {
            None => self.sizes[level] = Some(count),
            Some(size) if size == count => {}
            Some(size) => {
                let error = scanner.error(format!("expected {}, got {count}", array(Some(size))));
                self.depth = level;
                return Err(self.point(error));
            }
        }
        self.depth = level;
        Ok(())
    }

    fn point_at(&self, at: usize, reason: String) -> JsonError {
        self.point(JsonError { pointer: String::new(), at, reason })
    }

    /// Points `error` to the value that is being read.
    fn point(&self, error: JsonError) -> JsonError {
        self.counts[..self.depth].iter().rev().fold(error, |error, index| error.within(index))
    }
}

fn array(size: Option<usize>) -> String {
    match size {
        Some(size) => format!("an array of {size}"),
        None => "an array".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        text: &str,
        element_type: ElementType,
        expected: Expected<'_>,
    ) -> Result<HostTensor, String> {
        let mut scanner = Scanner::new(text.as_bytes());
        let tensor = number_array(&mut scanner, element_type, expected);
        let tensor = tensor.map_err(|error| error.to_string())?;
        scanner.end().map_err(|error| error.to_string())?;
        Ok(tensor)
    }

    fn inferred(text: &str) -> Result<(Vec<usize>, Elements), String> {
        let tensor = read(text, ElementType::Inferred, None)?;
        Ok((tensor.shape().to_vec(), tensor.elements().clone()))
    }

    fn declared(text: &str, dtype: DType) -> Result<Elements, String> {
        Ok(read(text, ElementType::Declared(dtype), None)?.elements().clone())
    }

    #[test]
    fn whole_numbers_are_int64_and_one_fraction_makes_all_float32() {
        let ints = Elements::Int64(vec![1, 9007199254740993]);
        assert_eq!(inferred("[1, 9007199254740993]"), Ok((vec![2], ints)));
        let floats = Elements::Float32(vec![1.0, 2.5, -3.0]);
        assert_eq!(inferred("[1,2.5,-3]"), Ok((vec![3], floats)));
        assert_eq!(inferred("[[1], [1e2]]"), Ok((vec![2, 1], Elements::Float32(vec![1.0, 100.0]))));
        assert!(matches!(inferred("[1, NaN]"), Ok((_, Elements::Float32(v))) if v[1].is_nan()));
        assert_eq!(inferred("5.0"), Ok((vec![], Elements::Float32(vec![5.0]))));
        assert_eq!(inferred("5"), Ok((vec![], Elements::Int64(vec![5]))));
        assert_eq!(inferred("[]"), Ok((vec![0], Elements::Float32(vec![]))));
        assert_eq!(inferred("[[],[]]"), Ok((vec![2, 0], Elements::Float32(vec![]))));
        let learned = read("[1, 2]", ElementType::InferredFloat, None).unwrap();
        assert_eq!(*learned.elements(), Elements::Float32(vec![1.0, 2.0]));
    }

    #[test]
    fn booleans_stay_booleans_and_do_not_mix() {
        assert_eq!(inferred("[[true,false]]"), Ok((vec![1, 2], Elements::Bool(vec![1, 0]))));
        for (text, error) in [
            ("[1, true]", "/1: expected a number as before, got true (byte 4)"),
            ("[1.5, false]", "/1: expected a number as before, got false (byte 6)"),
            ("[true, 1]", "/1: expected true or false as before, got 1 (byte 7)"),
            ("[true, 1.5]", "/1: expected true or false as before, got 1.5 (byte 7)"),
        ] {
            assert_eq!(inferred(text), Err(error.to_owned()));
        }
    }

    #[test]
    fn numbers_beyond_their_type_are_refused_with_their_place() {
        let error = "/1: 9223372036854775808 does not fit int64 (byte 4)";
        assert_eq!(inferred("[1, 9223372036854775808]"), Err(error.to_owned()));
        assert!(inferred("[true, 9223372036854775808]").is_err());
        let mixed = Elements::Float32(vec![9.223372e18, 0.5]);
        assert_eq!(inferred("[9223372036854775808, 0.5]"), Ok((vec![2], mixed)));
        let mixed = Elements::Float32(vec![0.5, 9.223372e18]);
        assert_eq!(inferred("[0.5, 9223372036854775808]"), Ok((vec![2], mixed)));
        let error = "/0/2: 1e400 is out of range of a 64-bit float (byte 6)";
        assert_eq!(inferred("[[1,2,1e400]]"), Err(error.to_owned()));
        let error = "/0: 1e39 is out of range of float32 (byte 1)";
        assert_eq!(inferred("[1e39]"), Err(error.to_owned()));
        assert_eq!(
            declared("[256]", DType::Uint8),
            Err("/0: 256 does not fit uint8 (byte 1)".into())
        );
        assert!(declared("[-129]", DType::Int8).is_err());
        assert!(declared("[65520.0]", DType::Float16).is_err());
        assert_eq!(declared("[-128,127]", DType::Int8), Ok(Elements::Int8(vec![-128, 127])));
    }

    #[test]
    fn a_declared_type_decides() {
        assert_eq!(declared("[1, 2.5]", DType::Float64), Ok(Elements::Float64(vec![1.0, 2.5])));
        assert_eq!(
            declared("[9223372036854775807,-9223372036854775808]", DType::Int64),
            Ok(Elements::Int64(vec![i64::MAX, i64::MIN]))
        );
        let half = Elements::Float16(vec![f16::from_f32(0.5), f16::MAX]);
        assert_eq!(declared("[0.5,65504]", DType::Float16), Ok(half));
        let error = "/0: expected a whole number (int32), got 1.0 (byte 1)";
        assert_eq!(declared("[1.0]", DType::Int32), Err(error.to_owned()));
        let error = "/0: expected true or false, got 1 (byte 1)";
        assert_eq!(declared("[1]", DType::Bool), Err(error.to_owned()));
        let error = "/0: expected a number, got true (byte 1)";
        assert_eq!(declared("[true]", DType::Float32), Err(error.to_owned()));
        let infinite = Elements::Float32(vec![f32::NEG_INFINITY]);
        assert_eq!(declared("[-Infinity]", DType::Float32), Ok(infinite));
    }

    #[test]
    fn ragged_arrays_are_refused_with_their_place() {
        for (text, error) in [
            ("[[1.0,2.0],[1.0]]", "/1: expected an array of 2, got 1 (byte 16)"),
            ("[[1],[1,2]]", "/1/1: expected an array of 1, got more (byte 8)"),
            ("[[1],2]", "/1: expected an array of 1, got a number (byte 5)"),
            ("[1,[2]]", "/1: expected a number, got an array (byte 3)"),
            ("[[],[1]]", "/1: expected an array of 0, got 1 (byte 7)"),
            ("[[],[[]]]", "/1/0: expected a number, got an array (byte 5)"),
            ("[[[1]],[]]", "/1: expected an array of 1, got an empty one (byte 9)"),
            ("[[1,2],[\"a\",2]]", "/1/0: expected a number, got a string (byte 8)"),
            ("[[1],null]", "/1: expected an array of numbers, got null (byte 5)"),
            ("[1,2", "/2: expected `,` or `]`, got the end of the body (byte 4)"),
            ("[1,]", "/1: expected a JSON value, got ] (byte 3)"),
        ] {
            assert_eq!(inferred(text).map(|_| ()), Err(error.to_owned()), "{text}");
        }
    }

    #[test]
    fn an_expected_shape_is_kept_to() {
        let expect = |text, sizes: &[Option<usize>]| {
            read(text, ElementType::Inferred, Some(sizes)).map(|tensor| tensor.shape().to_vec())
        };
        assert_eq!(expect("[[1,2],[3,4],[5,6]]", &[None, Some(2)]), Ok(vec![3, 2]));
        assert_eq!(expect("7", &[]), Ok(vec![]));
        for (text, sizes, error) in [
            ("[1,2,3]", &[Some(4)][..], "expected an array of 4, got 3 (byte 7)"),
            ("[1,2,3,4,5]", &[Some(4)], "/4: expected an array of 4, got more (byte 9)"),
            ("[[1,2,3,4]]", &[Some(4)], "/0: expected a number, got an array (byte 1)"),
            ("5", &[Some(4)], "expected an array of 4, got a number (byte 0)"),
            ("[5]", &[], "expected a number, got an array (byte 0)"),
            ("[1]", &[Some(1 << 40)], "expected an array of 1099511627776, got 1 (byte 3)"),
        ] {
            assert_eq!(expect(text, sizes), Err(error.to_owned()), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded_at_64() {
        let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(inferred(&deep(64)).map(|(shape, _)| shape.len()), Ok(64));
        assert!(inferred(&deep(65)).is_err_and(|error| error.contains(TOO_DEEP)));
        assert!(inferred(&"[".repeat(1 << 20)).is_err());
    }
}
