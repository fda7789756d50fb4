//! How far two results of a model are apart. PURE.
//!
//! Asked by `torch.rs`, which compares an optimised module with the one that was saved.

use super::{Elements, HostTensor, Value};

/// The largest absolute difference over the largest absolute value of `expected`, the worst of all
/// tensors and numbers in the two results.
///
/// Infinite where they differ in structure, in shape, in element type, in a value that has no
/// distance (a text, a flag) or in what is no finite number. Equal infinities, and two NaNs, are
/// equal.
pub(super) fn relative_difference(expected: &Value, got: &Value) -> f64 {
    let all = |expected: &[Value], got: &[Value]| {
        if expected.len() != got.len() {
            return f64::INFINITY;
        }
        let pairs = expected.iter().zip(got);
        pairs.map(|(expected, got)| relative_difference(expected, got)).fold(0.0, f64::max)
    };
    match (expected, got) {
        (Value::Tensor(expected), Value::Tensor(got)) => of_tensors(expected, got),
        (Value::Double(expected), Value::Double(got)) => of_numbers([(*expected, *got)]),
        (Value::List(expected), Value::List(got)) | (Value::Tuple(expected), Value::Tuple(got)) => {
            all(expected, got)
        }
        (Value::Dict(expected), Value::Dict(got)) if expected.len() == got.len() => {
            let pairs = expected.iter().zip(got).map(|((key, expected), (other, got))| {
                if key == other { relative_difference(expected, got) } else { f64::INFINITY }
            });
            pairs.fold(0.0, f64::max)
        }
        _ if expected == got => 0.0,
        _ => f64::INFINITY,
    }
}

fn of_tensors(expected: &HostTensor, got: &HostTensor) -> f64 {
    if expected.shape() != got.shape() {
        return f64::INFINITY;
    }
    let f32s = |a: &[f32], b: &[f32]| {
        of_numbers(a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b))))
    };
    match (expected.elements(), got.elements()) {
        (Elements::Float32(a), Elements::Float32(b)) => f32s(a, b),
        (Elements::Float64(a), Elements::Float64(b)) => {
            of_numbers(a.iter().copied().zip(b.iter().copied()))
        }
        (a, b) if a == b => 0.0,
        // Narrow floats, and floats of another width (a cast model widens to `float32`).
        (a, b) if a.dtype().is_float() && b.dtype().is_float() => {
            let (a, b) = (expected.clone().into_float32(), got.clone().into_float32());
            match (a.elements(), b.elements()) {
                (Elements::Float32(a), Elements::Float32(b)) => f32s(a, b),
                _ => f64::INFINITY,
            }
        }
        _ => f64::INFINITY,
    }
}

fn of_numbers(pairs: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    let (mut difference, mut scale) = (0.0_f64, 0.0_f64);
    for (expected, got) in pairs {
        if expected.is_finite() {
            scale = scale.max(expected.abs());
        }
        if expected == got || (expected.is_nan() && got.is_nan()) {
            continue;
        }
        let distance = (expected - got).abs();
        // `max` would drop a NaN.
        difference = if distance.is_nan() { f64::INFINITY } else { difference.max(distance) };
    }
    // Not zero over zero.
    if difference == 0.0 { 0.0 } else { difference / scale }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    fn tensor(elements: Elements) -> Value {
        Value::Tensor(HostTensor::new(vec![elements.len()], elements).unwrap())
    }

    fn floats(values: &[f32]) -> Value {
        tensor(Elements::Float32(values.to_vec()))
    }

    #[test]
    fn the_largest_difference_counts_against_the_largest_value() {
        let difference = relative_difference(&floats(&[-8.0, 1.0]), &floats(&[-8.0, 1.5]));
        assert_eq!(difference, 0.0625);
        assert_eq!(relative_difference(&floats(&[0.0, 0.0]), &floats(&[0.0, -0.0])), 0.0);
        assert_eq!(relative_difference(&floats(&[0.0]), &floats(&[1e-9])), f64::INFINITY);
        assert_eq!(relative_difference(&floats(&[]), &floats(&[])), 0.0);
    }

    #[test]
    fn what_is_no_number_is_equal_to_itself_only() {
        let (nan, infinite) = (f32::NAN, f32::INFINITY);
        assert_eq!(relative_difference(&floats(&[nan, infinite]), &floats(&[nan, infinite])), 0.0);
        for (a, b) in [(nan, 1.0), (1.0, nan), (infinite, 1.0), (1.0, infinite), (nan, infinite)] {
            let difference = relative_difference(&floats(&[a, 2.0]), &floats(&[b, 2.0]));
            assert_eq!(difference, f64::INFINITY, "{a} {b}");
        }
        let late = relative_difference(&floats(&[nan, 2.0]), &floats(&[1.0, 1.0]));
        assert_eq!(late, f64::INFINITY);
    }

    #[test]
    fn structures_types_and_integers_must_be_the_same() {
        let list = |values: &[&Value]| Value::List(values.iter().map(|v| (*v).clone()).collect());
        let (a, b) = (floats(&[1.0]), floats(&[1.5]));
        assert_eq!(relative_difference(&list(&[&a, &a]), &list(&[&a, &b])), 0.5);
        assert_eq!(relative_difference(&list(&[&a]), &list(&[&a, &a])), f64::INFINITY);
        assert_eq!(relative_difference(&list(&[&a]), &a), f64::INFINITY);
        let dict = |key: &str| Value::Dict(vec![(key.to_owned(), a.clone())]);
        assert_eq!(relative_difference(&dict("x"), &dict("x")), 0.0);
        assert_eq!(relative_difference(&dict("x"), &dict("y")), f64::INFINITY);
        let ints = |value| tensor(Elements::Int64(vec![1_000_000, value]));
        assert_eq!(relative_difference(&ints(3), &ints(3)), 0.0);
        assert_eq!(relative_difference(&ints(3), &ints(4)), f64::INFINITY);
        assert_eq!(relative_difference(&Value::Int(1), &Value::Int(2)), f64::INFINITY);
        assert_eq!(relative_difference(&floats(&[1.0, 2.0]), &a), f64::INFINITY);
    }

    #[test]
    fn floats_of_another_width_are_compared_by_value() {
        let narrow = tensor(Elements::Bfloat16(vec![bf16::from_f32(1.5)]));
        assert_eq!(relative_difference(&narrow, &floats(&[1.5])), 0.0);
        let wide = tensor(Elements::Float64(vec![2.0]));
        assert_eq!(relative_difference(&wide, &floats(&[1.5])), 0.25);
    }
}
