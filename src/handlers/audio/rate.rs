//! Another sampling rate, by the arithmetic of `torchaudio.functional.resample`. PURE.
//!
//! Called by `request.rs`. Band-limited interpolation with a Hann window, its two parameters as there:
//! six zero crossings on each side, cut at 0.99 of the lower rate's half. With `o` and `n` the rates
//! without their common factor, `b = 0.99 min(o, n)` and `t = b (i / o - j / n)`, sample `j` is the sum
//! over all `i` with `|t| < 6` of `x[i] sin(pi t) / (pi t) cos^2(pi t / 12) b / o`. There are
//! `ceil(n length / o)` samples.

use std::f64::consts::PI;

/// Zero crossings on each side of the kernel.
const CROSSINGS: f64 = 6.0;
/// The part of the band that is kept.
const ROLLOFF: f64 = 0.99;

/// The weights of one output sample among `n`: the first input's place, and one for each.
struct Kernel {
    first: i64,
    weights: Vec<f32>,
}

/// `samples` at another rate.
pub(super) fn resample(samples: Vec<f32>, from: u32, to: u32) -> Vec<f32> {
    if from == to || samples.is_empty() {
        return samples;
    }
    let common = gcd(u64::from(from), u64::from(to));
    let (old, new) = (u64::from(from) / common, u64::from(to) / common);
    let length = (new * samples.len() as u64).div_ceil(old);
    // Made when they are needed: odd rates have as many as the higher one is.
    let mut kernels: Vec<Option<Kernel>> = Vec::new();
    kernels.resize_with(new.min(length) as usize, || None);
    let mut result = Vec::with_capacity(length as usize);
    for output in 0..length {
        let (turn, phase) = (output / new, output % new);
        let kernel = kernels[phase as usize].get_or_insert_with(|| Kernel::new(old, new, phase));
        let start = kernel.first + (turn * old) as i64;
        let skip = usize::try_from(-start).unwrap_or(0).min(kernel.weights.len());
        let from = usize::try_from(start).unwrap_or(0).min(samples.len());
        let pairs = kernel.weights[skip..].iter().zip(&samples[from..]);
        result.push(pairs.map(|(weight, sample)| weight * sample).sum());
    }
    result
}

// === impl Kernel ===

impl Kernel {
    fn new(old: u64, new: u64, phase: u64) -> Kernel {
        let (old, new) = (old as f64, new as f64);
        let base = ROLLOFF * old.min(new);
        let centre = phase as f64 / new * old;
        let reach = CROSSINGS * old / base;
        let (first, last) = ((centre - reach).ceil() as i64, (centre + reach).floor() as i64);
        let weight = |place: i64| {
            let t = ((place as f64) / old - phase as f64 / new) * base;
            let t = t.clamp(-CROSSINGS, CROSSINGS);
            let window = (t * PI / CROSSINGS / 2.0).cos().powi(2);
            let sinc = if t == 0.0 { 1.0 } else { (t * PI).sin() / (t * PI) };
            (sinc * window * base / old) as f32
        };
        Kernel { first, weights: (first..=last).map(weight).collect() }
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(bytes: &[u8]) -> Vec<f32> {
        let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
        bytes.chunks_exact(4).map(number).collect()
    }

    // `goldens/make.py`: torchaudio 2.11's `resample` of the first file.
    #[test]
    fn samples_are_those_of_torchaudio() {
        let input = golden(include_bytes!("goldens/tone_44100_mono.f32"));
        for (to, expected) in [
            (16_000, &include_bytes!("goldens/tone_16000.f32")[..]),
            (8_000, include_bytes!("goldens/tone_8000.f32")),
            (48_000, include_bytes!("goldens/tone_48000.f32")),
        ] {
            let (got, expected) = (resample(input.clone(), 44_100, to), golden(expected));
            assert_eq!(got.len(), expected.len(), "{to}");
            let worst = got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // There, places are rounded to `float32` before the kernel is made.
            assert!(worst < 1e-5, "{to}: {worst}");
        }
    }

    #[test]
    fn the_same_rate_and_silence_stay_and_odd_rates_are_no_trouble() {
        assert_eq!(resample(vec![0.5, 0.25], 8000, 8000), [0.5, 0.25]);
        assert_eq!(resample(vec![], 8000, 16_000), [0.0f32; 0]);
        assert_eq!(resample(vec![1.0], 768_000, 101).len(), 1);
        assert_eq!(resample(vec![0.0; 100], 44_101, 44_100), vec![0.0; 100]);
        assert_eq!(resample(vec![0.0; 3], 8000, 16_000).len(), 6);
    }
}
