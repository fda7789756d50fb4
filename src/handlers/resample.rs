//! The arithmetic of `resize.rs` on sixteen bytes at a time.
//!
//! One kernel adds rows of bytes, each times its coefficient; columns are done by the same kernel
//! on the turned picture. Exact: a coefficient of 22 fractional bits is cut into two halves that fit
//! 16-bit products, so the sum is the whole number that Pillow's scalar loop has.

use std::ops::Range;

use wide::{i16x8, i32x4, i32x8, u8x16};

/// Fractional bits of a coefficient, as in Pillow.
pub(super) const PRECISION: u32 = 32 - 8 - 2;

/// Bits of a coefficient's lower half.
const LOW_BITS: u32 = 11;

/// Rows of bytes, each filled up to a multiple of sixteen.
pub(super) struct Matrix {
    /// The rows, one after the other.
    data: Vec<[u8; 16]>,
    /// Sixteens in a row.
    stride: usize,
}

/// How each output is made from inputs.
pub(super) struct Filter {
    /// For each output: its first input.
    starts: Vec<usize>,
    /// For each output: `taps / 2` pairs of coefficients; zero behind the last that counts.
    pairs: Vec<Pair>,
    /// Pairs of an output.
    per_output: usize,
}

/// The halves of two coefficients, `[a, b]` four times.
struct Pair {
    high: i16x8,
    low: i16x8,
}

// === impl Filter ===

impl Filter {
    /// Room for `outputs`, each from at most `taps` inputs.
    pub(super) fn with_capacity(outputs: usize, taps: usize) -> Filter {
        let per_output = taps.div_ceil(2);
        Filter {
            starts: Vec::with_capacity(outputs),
            pairs: Vec::with_capacity(outputs * per_output),
            per_output,
        }
    }

    /// The next output: its first input and the coefficients, in units of 2^-22 and of sum 1.
    pub(super) fn push(&mut self, start: usize, weights: &[u32]) {
        self.starts.push(start);
        for pair in weights.chunks(2) {
            let split = |weight: u32| {
                ((weight >> LOW_BITS) as i16, (weight & ((1 << LOW_BITS) - 1)) as i16)
            };
            let (a, b) = (split(pair[0]), split(pair.get(1).copied().unwrap_or(0)));
            self.pairs.push(Pair {
                high: i16x8::new([a.0, b.0, a.0, b.0, a.0, b.0, a.0, b.0]),
                low: i16x8::new([a.1, b.1, a.1, b.1, a.1, b.1, a.1, b.1]),
            });
        }
        let zero = || Pair { high: i16x8::ZERO, low: i16x8::ZERO };
        self.pairs.resize_with(self.starts.len() * self.per_output, zero);
    }

    /// Outputs.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// The inputs that are read, of `len`.
    pub(super) fn inputs(&self, len: usize) -> Range<usize> {
        match (self.starts.first(), self.starts.last()) {
            (Some(first), Some(last)) => *first..(last + 2 * self.per_output).min(len),
            _ => 0..0,
        }
    }

    /// Output rows from input rows. Input row `i` of channel `c` is `matrix`'s row
    /// `(i - first) * channels + c`; output `o` of channel `c` becomes row `c * len + o`.
    pub(super) fn apply(&self, matrix: &Matrix, first: usize, channels: usize) -> Matrix {
        let stride = matrix.stride;
        let last = matrix.rows().saturating_sub(channels);
        let mut data = Vec::with_capacity(self.len() * channels * stride);
        for channel in 0..channels {
            let outputs = self.starts.iter().zip(self.pairs.chunks_exact(self.per_output));
            for (start, pairs) in outputs {
                let start = (start - first) * channels;
                for column in 0..stride {
                    let row = |tap: usize| {
                        // Behind the last input the coefficient is zero: any row will do.
                        let row = (start + tap * channels).min(last) + channel;
                        u8x16::new(matrix.data[row * stride + column])
                    };
                    let mut sums = Sums::default();
                    for (index, pair) in pairs.iter().enumerate() {
                        sums.add(row(2 * index), row(2 * index + 1), pair);
                    }
                    data.push(sums.bytes().to_array());
                }
            }
        }
        Matrix { data, stride }
    }
}

/// Sixteen sums under way: of the upper and of the lower halves of the coefficients.
struct Sums {
    high: [i32x4; 4],
    low: [i32x4; 4],
}

impl Default for Sums {
    fn default() -> Sums {
        Sums { high: [i32x4::ZERO; 4], low: [i32x4::ZERO; 4] }
    }
}

// === impl Sums ===

impl Sums {
    #[inline(always)]
    fn add(&mut self, a: u8x16, b: u8x16, pair: &Pair) {
        let (front, back) = (u8x16::unpack_low(a, b), u8x16::unpack_high(a, b));
        let values = [
            i16x8::from_u8x16_low(front),
            i16x8::from_u8x16_high(front),
            i16x8::from_u8x16_low(back),
            i16x8::from_u8x16_high(back),
        ];
        for (index, values) in values.into_iter().enumerate() {
            self.high[index] += values.dot(pair.high);
            self.low[index] += values.dot(pair.low);
        }
    }

    /// The sums, rounded, as bytes.
    #[inline(always)]
    fn bytes(&self) -> u8x16 {
        let half = i32x4::splat(1 << (PRECISION - 1));
        let whole: [i32x4; 4] = std::array::from_fn(|index| {
            ((self.high[index] << LOW_BITS) + self.low[index] + half) >> PRECISION
        });
        let narrow = |a: i32x4, b: i32x4| {
            let [[a, b, c, d], [e, f, g, h]] = [a.to_array(), b.to_array()];
            i16x8::from_i32x8_saturate(i32x8::new([a, b, c, d, e, f, g, h]))
        };
        u8x16::narrow_i16x8(narrow(whole[0], whole[1]), narrow(whole[2], whole[3]))
    }
}

// === impl Matrix ===

impl Matrix {
    fn rows(&self) -> usize {
        self.data.len().checked_div(self.stride).unwrap_or(0)
    }

    /// The rows as bytes, with what fills them up.
    pub(super) fn bytes(&self) -> std::slice::ChunksExact<'_, u8> {
        self.data.as_flattened().chunks_exact(self.stride * 16)
    }

    /// A copy of the bytes `columns` of the rows `rows` of `data`, whose rows have `width` bytes.
    pub(super) fn copied(
        data: &[u8],
        width: usize,
        rows: Range<usize>,
        columns: Range<usize>,
    ) -> Matrix {
        let stride = columns.len().div_ceil(16);
        let mut copy = vec![[0; 16]; stride * rows.len()];
        let sources = data.chunks_exact(width).take(rows.end).skip(rows.start);
        for (to, from) in copy.as_flattened_mut().chunks_exact_mut(stride * 16).zip(sources) {
            to[..columns.len()].copy_from_slice(&from[columns.clone()]);
        }
        Matrix { data: copy, stride }
    }

    /// The same, turned: column `i` of `columns` becomes row `i`.
    pub(super) fn turned(
        data: &[u8],
        width: usize,
        rows: Range<usize>,
        columns: Range<usize>,
    ) -> Matrix {
        let stride = rows.len().div_ceil(16);
        let mut turned = vec![[0; 16]; stride * columns.len()];
        for (block, top) in rows.clone().step_by(16).enumerate() {
            let height = (rows.end - top).min(16);
            for left in columns.clone().step_by(16) {
                let mut lanes = [u8x16::ZERO; 16];
                for (row, lane) in lanes.iter_mut().enumerate().take(height) {
                    let rest = &data[(top + row) * width + left..];
                    *lane = match rest.first_chunk::<16>() {
                        Some(bytes) => u8x16::new(*bytes),
                        None => {
                            let mut bytes = [0; 16];
                            bytes[..rest.len()].copy_from_slice(rest);
                            u8x16::new(bytes)
                        }
                    };
                }
                let used = (columns.end - left).min(16);
                let to = turned[(left - columns.start) * stride + block..].iter_mut();
                for (to, lane) in to.step_by(stride).zip(transpose(lanes)).take(used) {
                    *to = lane.to_array();
                }
            }
        }
        Matrix { data: turned, stride }
    }

    /// Turned again: row `i` becomes column `i`, for the first `columns` columns.
    pub(super) fn turn(&self, columns: usize) -> Matrix {
        let width = self.stride * 16;
        Matrix::turned(self.data.as_flattened(), width, 0..self.rows(), 0..columns)
    }
}

/// Four rounds of interleaving the upper with the lower half of the rows.
#[inline(always)]
fn transpose(mut lanes: [u8x16; 16]) -> [u8x16; 16] {
    for _ in 0..4 {
        lanes = std::array::from_fn(|index| {
            let (a, b) = (lanes[index / 2], lanes[index / 2 + 8]);
            if index % 2 == 0 { u8x16::unpack_low(a, b) } else { u8x16::unpack_high(a, b) }
        });
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turning_swaps_rows_and_columns() {
        let (width, height) = (37, 21);
        let data: Vec<u8> = (0..width * height).map(|at| (at * 7 % 251) as u8).collect();
        let turned = Matrix::turned(&data, width, 2..height, 3..width);
        assert_eq!(turned.rows(), width - 3);
        for (x, row) in turned.bytes().enumerate() {
            let expected: Vec<u8> = (2..height).map(|y| data[y * width + x + 3]).collect();
            assert_eq!(row[..height - 2], expected);
        }
        let back = turned.turn(height - 2);
        let copied = Matrix::copied(&data, width, 2..height, 3..width);
        for (back, copied) in back.bytes().zip(copied.bytes()) {
            assert_eq!(back[..width - 3], copied[..width - 3]);
        }
    }

    #[test]
    fn sums_are_those_of_whole_numbers() {
        let (rows, width) = (9, 40);
        let data: Vec<u8> = (0..rows * width).map(|at| (at * 91 % 256) as u8).collect();
        let weights: Vec<u32> = vec![700_001, 3_000_000, 494_303, 0, 5];
        let mut filter = Filter::with_capacity(2, 5);
        filter.push(1, &weights);
        filter.push(6, &weights[..3]);
        assert_eq!(filter.inputs(rows), 1..rows);
        let made = filter.apply(&Matrix::copied(&data, width, 1..rows, 0..width), 1, 1);
        for (row, (start, weights)) in made.bytes().zip([(1, &weights[..]), (6, &weights[..3])]) {
            for (x, byte) in row[..width].iter().enumerate() {
                let products = weights.iter().enumerate().map(|(k, weight)| {
                    u64::from(data[(start + k) * width + x]) * u64::from(*weight)
                });
                let sum = products.sum::<u64>() + (1 << (PRECISION - 1));
                assert_eq!(u64::from(*byte), (sum >> PRECISION).min(255));
            }
        }
    }
}
