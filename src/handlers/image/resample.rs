//! The arithmetic of `resize.rs` on sixteen bytes at a time.
//!
//! One kernel adds rows of bytes, each times its coefficient; columns are done by the same kernel
//! on the turned picture. The sums are the whole numbers of Pillow's scalar loop. The kernel is plain
//! loops over sixteen, which the compiler makes vectors of, those of the processor that it runs on.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use wide::u8x16;

/// Fractional bits of a coefficient, as in Pillow.
pub(super) const PRECISION: u32 = 32 - 8 - 2;

/// Rows of bytes, each filled up to a multiple of sixteen.
pub(super) struct Matrix {
    /// The rows, one after the other.
    data: Vec<[u8; 16]>,
    /// Sixteens in a row.
    stride: usize,
}

/// How each output is made from inputs.
#[derive(Default)]
pub(super) struct Filter {
    /// For each output: its first input, and where its coefficients end.
    outputs: Vec<(usize, usize)>,
    /// The coefficients of all outputs, one output after the other.
    weights: Vec<i32>,
    /// The last input that any output reads, and one.
    end: usize,
}

// === impl Filter ===

impl Filter {
    /// The next output: its first input and the coefficients, in units of 2^-22 and of sum 1.
    pub(super) fn push(&mut self, start: usize, weights: &[i32]) {
        self.weights.extend_from_slice(weights);
        self.outputs.push((start, self.weights.len()));
        self.end = self.end.max(start + weights.len());
    }

    /// Outputs.
    pub(super) fn len(&self) -> usize {
        self.outputs.len()
    }

    /// The inputs that are read; outputs are in the order of their inputs.
    pub(super) fn inputs(&self) -> Range<usize> {
        self.outputs.first().map_or(0, |first| first.0)..self.end
    }

    /// The first input and the coefficients of each output.
    fn outputs(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let mut begin = 0;
        self.outputs.iter().map(move |(start, end)| {
            let weights = &self.weights[begin..*end];
            begin = *end;
            (*start, weights)
        })
    }

    /// Makes columns: of the rows `rows` of `data`, each of `width` pixels of `channels` bytes.
    /// In a row of the result each channel's bytes stand on their own.
    pub(super) fn across(
        &self,
        data: &[u8],
        width: usize,
        channels: usize,
        rows: Range<usize>,
    ) -> Matrix {
        let read = self.inputs();
        let columns = read.start * channels..read.end * channels;
        let stride = (self.len() * channels).div_ceil(16);
        let mut result = vec![[0; 16]; rows.len().next_multiple_of(16) * stride];
        // Sixteen rows at a time, turned, so that one kernel serves both passes and all of it
        // stays in the nearest cache.
        let mut band = vec![[0; 16]; columns.len().next_multiple_of(16)];
        let mut turned = vec![[0; 16]; stride * 16];
        let bands = rows.clone().step_by(16);
        for (top, made) in bands.zip(result.chunks_exact_mut(16 * stride)) {
            turn(data, width * channels, top..rows.end.min(top + 16), &columns, &mut band);
            for (channel, made) in turned.chunks_exact_mut(self.len()).take(channels).enumerate() {
                let (first, inputs) = (read.start, &band[channel..]);
                Sums { filter: self, first, inputs, step: channels, columns: 1, made }.add();
            }
            for (block, lanes) in turned.as_chunks::<16>().0.iter().enumerate() {
                let mut lanes = lanes.map(u8x16::new);
                transpose(&mut lanes);
                let to = made[block..].iter_mut().step_by(stride);
                to.zip(&lanes).for_each(|(to, lane)| *to = lane.to_array());
            }
        }
        result.truncate(rows.len() * stride);
        Matrix { data: result, stride }
    }

    /// Makes rows: row 0 of `matrix` is input `first`.
    pub(super) fn down(&self, matrix: &Matrix, first: usize) -> Matrix {
        let stride = matrix.stride;
        let mut data = vec![[0; 16]; self.len() * stride];
        let (inputs, made) = (matrix.data.as_slice(), data.as_mut_slice());
        Sums { filter: self, first, inputs, step: stride, columns: stride, made }.add();
        Matrix { data, stride }
    }
}

/// The sums of one pass, or of one channel of one band of it.
struct Sums<'a> {
    filter: &'a Filter,
    /// The input that `inputs` begins with.
    first: usize,
    inputs: &'a [[u8; 16]],
    /// Sixteens from an input to the next one.
    step: usize,
    /// Sixteens of an output, which begin as many inputs.
    columns: usize,
    /// The outputs, `columns` each.
    made: &'a mut [[u8; 16]],
}

/// Turns up to sixteen `rows` of `data`, each of `width` bytes: column `i` of `columns` becomes
/// `turned[i]`.
fn turn(
    data: &[u8],
    width: usize,
    rows: Range<usize>,
    columns: &Range<usize>,
    turned: &mut [[u8; 16]],
) {
    let (blocks, _) = turned.as_chunks_mut::<16>();
    for (left, block) in columns.clone().step_by(16).zip(blocks) {
        let mut lanes = [u8x16::ZERO; 16];
        for (row, lane) in rows.clone().zip(&mut lanes) {
            let rest = &data[row * width + left..];
            *lane = match rest.first_chunk::<16>() {
                Some(bytes) => u8x16::new(*bytes),
                None => {
                    let mut bytes = [0; 16];
                    bytes[..rest.len()].copy_from_slice(rest);
                    u8x16::new(bytes)
                }
            };
        }
        transpose(&mut lanes);
        block.iter_mut().zip(&lanes).for_each(|(to, lane)| *to = lane.to_array());
    }
}

// === impl Sums ===

impl Sums<'_> {
    /// Adds, with the widest vectors of this processor.
    fn add(self) {
        Arch::new().dispatch(self);
    }
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _vectors: S) {
        let Sums { filter, first, inputs, step, columns, made } = self;
        for ((start, weights), made) in filter.outputs().zip(made.chunks_exact_mut(columns)) {
            let inputs = &inputs[(start - first) * step..];
            for (column, made) in made.iter_mut().enumerate() {
                let mut sums = [1 << (PRECISION - 1); 16];
                let mut at = column;
                for weight in weights {
                    for (sum, byte) in sums.iter_mut().zip(&inputs[at]) {
                        *sum += i32::from(*byte) * weight;
                    }
                    at += step;
                }
                for (byte, sum) in made.iter_mut().zip(sums) {
                    // Thousands of coefficients that were rounded up are more than 1.
                    *byte = (sum >> PRECISION).min(255) as u8;
                }
            }
        }
    }
}

// === impl Matrix ===

impl Matrix {
    /// The rows as bytes, with what fills them up.
    pub(super) fn bytes(&self) -> std::slice::ChunksExact<'_, u8> {
        self.data.as_flattened().chunks_exact(self.stride * 16)
    }

    /// A copy of `data`, whose rows have `width` bytes.
    pub(super) fn copied(data: &[u8], width: usize) -> Matrix {
        let stride = width.div_ceil(16);
        let rows = data.len().checked_div(width).unwrap_or(0);
        let mut copy = vec![[0; 16]; stride * rows];
        let sources = data.chunks_exact(width.max(1));
        for (to, from) in copy.as_flattened_mut().chunks_exact_mut(stride * 16).zip(sources) {
            to[..width].copy_from_slice(from);
        }
        Matrix { data: copy, stride }
    }
}

/// Four rounds of interleaving the upper with the lower half of the rows.
#[inline(always)]
fn transpose(lanes: &mut [u8x16; 16]) {
    let mut other = [u8x16::ZERO; 16];
    for _ in 0..2 {
        interleave(lanes, &mut other);
        interleave(&other, lanes);
    }
}

/// One round: the rows of the upper half, each followed by its counterpart of the lower one.
#[inline(always)]
fn interleave(from: &[u8x16; 16], to: &mut [u8x16; 16]) {
    let (upper, lower) = from.split_at(8);
    let (pairs, _) = to.as_chunks_mut::<2>();
    for ((pair, a), b) in pairs.iter_mut().zip(upper).zip(lower) {
        *pair = [u8x16::unpack_low(*a, *b), u8x16::unpack_high(*a, *b)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum as Pillow's scalar loop has it.
    fn scalar(products: impl Iterator<Item = (u8, i32)>) -> u8 {
        let sum: i64 = products.map(|(byte, weight)| i64::from(byte) * i64::from(weight)).sum();
        ((sum + (1 << (PRECISION - 1))) >> PRECISION).min(255) as u8
    }

    fn filter(outputs: &[(usize, &[i32])]) -> Filter {
        let mut filter = Filter::default();
        outputs.iter().for_each(|(start, weights)| filter.push(*start, weights));
        filter
    }

    const WEIGHTS: [i32; 5] = [700_001, 3_000_000, 494_303, 0, 5];

    #[test]
    fn rows_are_sums_of_whole_numbers() {
        let (rows, width) = (9, 40);
        let data: Vec<u8> = (0..rows * width).map(|at| (at * 91 % 256) as u8).collect();
        let outputs = [(1, &WEIGHTS[..]), (6, &WEIGHTS[..3]), (8, &[4_194_304][..])];
        let filter = filter(&outputs);
        assert_eq!(filter.inputs(), 1..rows);
        let matrix = Matrix::copied(&data[width..], width);
        let made = filter.down(&matrix, 1);
        for (row, (start, weights)) in made.bytes().zip(outputs) {
            for (x, byte) in row[..width].iter().enumerate() {
                let column = weights.iter().enumerate();
                let column = column.map(|(k, weight)| (data[(start + k) * width + x], *weight));
                assert_eq!(*byte, scalar(column));
            }
        }
    }

    #[test]
    fn coefficients_that_are_more_than_one_leave_white_white() {
        let filter = filter(&[(0, &[1 << PRECISION, 40_000])]);
        let made = filter.down(&Matrix::copied(&[255; 32], 16), 0);
        assert_eq!(made.bytes().next(), Some(&[255; 16][..]));
    }

    #[test]
    fn columns_are_sums_of_whole_numbers_and_channels_stand_on_their_own() {
        let outputs = [(1, &WEIGHTS[..]), (6, &WEIGHTS[..3]), (8, &[4_194_304][..])];
        let filter = filter(&outputs);
        for (channels, rows) in [(1, 0..5), (3, 2..35), (3, 1..17)] {
            let width = 9 * channels;
            let data: Vec<u8> = (0..40 * width).map(|at| (at * 91 % 256) as u8).collect();
            let made = filter.across(&data, 9, channels, rows.clone());
            assert_eq!(made.bytes().len(), rows.len());
            for (y, row) in rows.zip(made.bytes()) {
                for channel in 0..channels {
                    for (x, (start, weights)) in outputs.iter().enumerate() {
                        let inputs = weights.iter().enumerate().map(|(k, weight)| {
                            (data[y * width + (start + k) * channels + channel], *weight)
                        });
                        assert_eq!(row[channel * outputs.len() + x], scalar(inputs));
                    }
                }
            }
        }
    }
}
