//! Arguments to try a model with before its first request. PURE.
//!
//! Made by the handlers that know the shapes (`base.rs`, `image/classifier.rs`), used by the registry
//! to compare an optimised model with the saved one and to warm it up. Always the same noise: zeros
//! would let most mistakes of an optimisation pass, chance would let one pass on some starts.

use half::{bf16, f16};

use crate::engine::{DType, Elements, HostTensor, element_count};

/// A small generator (splitmix64); it need not be good, it must be the same everywhere.
#[derive(Clone, Debug)]
pub(super) struct Noise(u64);

/// The most elements of an example: 256 MiB of `float32`.
const MAX_ELEMENTS: usize = 1 << 26;

// === impl Noise ===

impl Noise {
    pub(super) fn new() -> Noise {
        Noise(1)
    }

    /// Any byte.
    pub(super) fn byte(&mut self) -> u8 {
        (self.next() >> 56) as u8
    }

    /// Between -2 and 2, as normalised inputs are.
    fn float(&mut self) -> f32 {
        // 24 bits are exact in `float32`.
        ((self.next() >> 40) as f32 / (1 << 22) as f32) - 2.0
    }

    /// 0 or 1: also an index or a mask that every model has.
    fn bit(&mut self) -> u8 {
        (self.next() >> 63) as u8
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A tensor of this type and shape; none when it would be too large.
    pub(super) fn tensor(&mut self, dtype: DType, shape: Vec<usize>) -> Option<HostTensor> {
        let len = element_count(&shape).filter(|len| *len <= MAX_ELEMENTS)?;
        let all = 0..len;
        let elements = match dtype {
            DType::Bool => Elements::Bool(all.map(|_| self.bit()).collect()),
            DType::Uint8 => Elements::Uint8(all.map(|_| self.byte()).collect()),
            DType::Int8 => Elements::Int8(all.map(|_| self.bit() as i8).collect()),
            DType::Int16 => Elements::Int16(all.map(|_| self.bit().into()).collect()),
            DType::Int32 => Elements::Int32(all.map(|_| self.bit().into()).collect()),
            DType::Int64 => Elements::Int64(all.map(|_| self.bit().into()).collect()),
            DType::Float16 => Elements::Float16(all.map(|_| f16::from_f32(self.float())).collect()),
            DType::Bfloat16 => {
                Elements::Bfloat16(all.map(|_| bf16::from_f32(self.float())).collect())
            }
            DType::Float32 => Elements::Float32(all.map(|_| self.float()).collect()),
            DType::Float64 => Elements::Float64(all.map(|_| self.float().into()).collect()),
        };
        HostTensor::new(shape, elements).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_always_the_same_and_never_all_zero() {
        for dtype in DType::ALL {
            let make = || Noise::new().tensor(dtype, vec![2, 40]).unwrap();
            assert_eq!(make(), make());
            assert_eq!((make().dtype(), make().shape()), (dtype, &[2, 40][..]));
            assert_ne!(*make().elements(), Elements::zeros(dtype, 80), "{dtype:?}");
        }
    }

    #[test]
    fn floats_lie_on_both_sides_of_zero_within_two() {
        let tensor = Noise::new().tensor(DType::Float32, vec![1000]).unwrap();
        let Elements::Float32(values) = tensor.elements() else { panic!("{tensor:?}") };
        let least = values.iter().copied().fold(f32::INFINITY, f32::min);
        let greatest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        assert!((-2.0..-1.9).contains(&least) && (1.9..2.0).contains(&greatest));
    }

    #[test]
    fn nothing_huge_is_made() {
        assert!(Noise::new().tensor(DType::Float32, vec![1 << 20, 1 << 20]).is_none());
        assert!(Noise::new().tensor(DType::Float32, vec![usize::MAX, 2]).is_none());
    }
}
