//! Softmax and sigmoid of a model's numbers, as PyTorch computes them, and the best of them. PURE.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::engine::{Elements, HostTensor};

/// What is made of the last dimension of a model's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Activation {
    /// Nothing: the numbers are probabilities, or are wanted as they are.
    #[default]
    None,
    /// One class is right.
    Softmax,
    /// Each class is right or not.
    Sigmoid,
}

// === impl Activation ===

impl Activation {
    /// Names as `model-config.yaml` has them.
    pub(super) const NAMES: [(&'static str, Activation); 3] = [
        ("none", Activation::None),
        ("softmax", Activation::Softmax),
        ("sigmoid", Activation::Sigmoid),
    ];

    /// Of one row, in `float32`.
    pub(super) fn apply(self, row: &mut [f32]) {
        match self {
            Activation::None => {}
            Activation::Softmax => softmax(row),
            Activation::Sigmoid => {
                row.iter_mut().for_each(|number| *number = 1.0 / (1.0 + (-*number).exp()));
            }
        }
    }
}

/// `torch.softmax` of one row.
fn softmax(row: &mut [f32]) {
    let greatest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|number| *number = (*number - greatest).exp());
    let sum = row.iter().map(|power| f64::from(*power)).sum::<f64>() as f32;
    row.iter_mut().for_each(|power| *power /= sum);
}

/// The places of the `count` greatest, best first; equal ones in their order, and what is no number is
/// the greatest, as in PyTorch.
pub(super) fn best(row: &[f32], count: usize) -> Vec<usize> {
    let order = |a: &usize, b: &usize| {
        let (x, y) = (row[*a], row[*b]);
        let by_value = y.partial_cmp(&x).unwrap_or(Ordering::Equal);
        y.is_nan().cmp(&x.is_nan()).then(by_value).then(a.cmp(b))
    };
    let mut places: Vec<usize> = (0..row.len()).collect();
    if count < places.len() {
        places.select_nth_unstable_by(count, order);
        places.truncate(count);
    }
    places.sort_unstable_by(order);
    places
}

/// The elements of a tensor of floats as `float32`; none of whole numbers.
pub(super) fn floats(tensor: &HostTensor) -> Option<Cow<'_, [f32]>> {
    Some(match tensor.elements() {
        Elements::Float32(numbers) => Cow::Borrowed(numbers.as_slice()),
        Elements::Float16(numbers) => numbers.iter().map(|number| number.to_f32()).collect(),
        Elements::Bfloat16(numbers) => numbers.iter().map(|number| number.to_f32()).collect(),
        Elements::Float64(numbers) => numbers.iter().map(|number| *number as f32).collect(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Python: `torch.tensor([1.0, 2.0, -1.0]).softmax(0)`, `.sigmoid()`.
    #[test]
    fn numbers_become_probabilities_as_in_pytorch() {
        let applied = |activation: Activation| {
            let mut row = [1.0, 2.0, -1.0];
            activation.apply(&mut row);
            row
        };
        let close = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-7);
        assert!(close(applied(Activation::Softmax), [0.259_496_45, 0.705_384_5, 0.035_119_03]));
        assert!(close(applied(Activation::Sigmoid), [0.731_058_6, 0.880_797_1, 0.268_941_43]));
        assert_eq!(applied(Activation::None), [1.0, 2.0, -1.0]);
        let mut huge = [1e30, f32::NEG_INFINITY];
        Activation::Softmax.apply(&mut huge);
        assert_eq!(huge, [1.0, 0.0]);
    }

    #[test]
    fn the_best_come_first_and_equal_ones_in_order() {
        let row = [0.1, 0.5, f32::NAN, 0.5, 0.2];
        assert_eq!(best(&row, 3), [2, 1, 3]);
        assert_eq!(best(&row, 9), [2, 1, 3, 4, 0]);
        assert_eq!(best(&[], 1), [0usize; 0]);
    }
}
