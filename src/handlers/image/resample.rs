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
#[derive(Default)]
pub(super) struct Filter {
    /// For each output: its first input, and where its pairs end.
    outputs: Vec<(usize, usize)>,
    /// The pairs of coefficients of all outputs, one output after the other.
    pairs: Vec<Pair>,
    /// The most inputs of an output, rounded up to pairs.
    most: usize,
    /// The last input that any output reads, and one.
    end: usize,
}

/// The halves of two coefficients, `[a, b]` four times.
struct Pair {
    high: i16x8,
    low: i16x8,
}

// === impl Filter ===

impl Filter {
    /// The next output: its first input and the coefficients, in units of 2^-22 and of sum 1.
    pub(super) fn push(&mut self, start: usize, weights: &[u32]) {
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
        self.outputs.push((start, self.pairs.len()));
        self.most = self.most.max(weights.len().next_multiple_of(2));
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
    fn outputs(&self) -> impl Iterator<Item = (usize, &[Pair])> {
        let mut begin = 0;
        self.outputs.iter().map(move |(start, end)| {
            let pairs = &self.pairs[begin..*end];
            begin = *end;
            (*start, pairs)
        })
    }

    /// Inputs that an output may name beyond the last, with a coefficient of zero.
    fn slack(&self) -> usize {
        self.most
    }

    /// Makes columns: of the rows `rows` of `data`, each of `width` pixels of `channels` bytes.
    /// In a row of the result each channel's bytes stand on their own.
    pub(super) fn across(
        &self,
        data: &[u8],
        width: usize,
        channels: usize,
        rows: Range<usize>,
        slack: usize,
    ) -> Matrix {
        let read = self.inputs();
        let columns = read.start * channels..read.end * channels;
        let made = self.len() * channels;
        let stride = made.div_ceil(16);
        let mut result = Vec::with_capacity((rows.len().next_multiple_of(16) + slack) * stride);
        // Sixteen rows at a time, turned, so that one kernel serves both passes and all of it
        // stays in the nearest cache.
        let mut band = vec![[0; 16]; columns.len() + self.slack() * channels];
        let mut turned = vec![[0; 16]; stride * 16];
        for top in rows.clone().step_by(16) {
            turn(data, width * channels, top..rows.end.min(top + 16), columns.clone(), &mut band);
            let mut outputs = turned.iter_mut();
            for channel in 0..channels {
                for ((start, pairs), to) in self.outputs().zip(outputs.by_ref()) {
                    *to =
                        weigh(&band[(start - read.start) * channels + channel..], channels, pairs);
                }
            }
            let start = result.len();
            result.resize(start + 16 * stride, [0; 16]);
            for (block, lanes) in turned.as_chunks::<16>().0.iter().enumerate() {
                let lanes = transpose(lanes.map(u8x16::new));
                let to = result[start + block..].iter_mut().step_by(stride);
                to.zip(lanes).for_each(|(to, lane)| *to = lane.to_array());
            }
        }
        result.resize((rows.len() + slack) * stride, [0; 16]);
        Matrix { data: result, stride }
    }

    /// Makes rows: row 0 of `matrix` is input `first`.
    pub(super) fn down(&self, matrix: &Matrix, first: usize) -> Matrix {
        let stride = matrix.stride;
        let mut data = Vec::with_capacity(self.len() * stride);
        for (start, pairs) in self.outputs() {
            let rows = &matrix.data[(start - first) * stride..];
            data.extend((0..stride).map(|column| weigh(&rows[column..], stride, pairs)));
        }
        Matrix { data, stride }
    }

    /// Rows that [`Filter::down`] may name behind the last.
    pub(super) fn slack_rows(filter: Option<&Filter>) -> usize {
        filter.map_or(0, Filter::slack)
    }
}

/// The sum of every `step`th sixteen of `inputs`, each times its coefficient.
#[inline(always)]
fn weigh(inputs: &[[u8; 16]], step: usize, pairs: &[Pair]) -> [u8; 16] {
    let mut sums = Sums::default();
    let mut at = 0;
    for pair in pairs {
        let (a, b) = (u8x16::new(inputs[at]), u8x16::new(inputs[at + step]));
        sums.add(a, b, pair);
        at += 2 * step;
    }
    sums.bytes().to_array()
}

/// Turns up to sixteen `rows` of `data`, each of `width` bytes: column `i` of `columns` becomes
/// `turned[i]`.
fn turn(
    data: &[u8],
    width: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    turned: &mut [[u8; 16]],
) {
    for left in columns.clone().step_by(16) {
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
        let used = left - columns.start..columns.end.min(left + 16) - columns.start;
        for (to, lane) in turned[used].iter_mut().zip(transpose(lanes)) {
            *to = lane.to_array();
        }
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
    /// The rows as bytes, with what fills them up.
    pub(super) fn bytes(&self) -> std::slice::ChunksExact<'_, u8> {
        self.data.as_flattened().chunks_exact(self.stride * 16)
    }

    /// A copy of `data`, whose rows have `width` bytes, and `slack` rows of zeros.
    pub(super) fn copied(data: &[u8], width: usize, slack: usize) -> Matrix {
        let stride = width.div_ceil(16);
        let rows = data.len().checked_div(width).unwrap_or(0);
        let mut copy = vec![[0; 16]; stride * (rows + slack)];
        let sources = data.chunks_exact(width.max(1));
        for (to, from) in copy.as_flattened_mut().chunks_exact_mut(stride * 16).zip(sources) {
            to[..width].copy_from_slice(from);
        }
        Matrix { data: copy, stride }
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

    /// The sum as Pillow's scalar loop has it.
    fn scalar(products: impl Iterator<Item = (u8, u32)>) -> u8 {
        let sum: u64 = products.map(|(byte, weight)| u64::from(byte) * u64::from(weight)).sum();
        ((sum + (1 << (PRECISION - 1))) >> PRECISION).min(255) as u8
    }

    fn filter(outputs: &[(usize, &[u32])]) -> Filter {
        let mut filter = Filter::default();
        outputs.iter().for_each(|(start, weights)| filter.push(*start, weights));
        filter
    }

    const WEIGHTS: [u32; 5] = [700_001, 3_000_000, 494_303, 0, 5];

    #[test]
    fn rows_are_sums_of_whole_numbers() {
        let (rows, width) = (9, 40);
        let data: Vec<u8> = (0..rows * width).map(|at| (at * 91 % 256) as u8).collect();
        let outputs = [(1, &WEIGHTS[..]), (6, &WEIGHTS[..3]), (8, &[4_194_304][..])];
        let filter = filter(&outputs);
        assert_eq!(filter.inputs(), 1..rows);
        let matrix = Matrix::copied(&data[width..], width, filter.slack());
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
    fn columns_are_sums_of_whole_numbers_and_channels_stand_on_their_own() {
        let outputs = [(1, &WEIGHTS[..]), (6, &WEIGHTS[..3]), (8, &[4_194_304][..])];
        let filter = filter(&outputs);
        for (channels, rows) in [(1, 0..5), (3, 2..35), (3, 1..17)] {
            let width = 9 * channels;
            let data: Vec<u8> = (0..40 * width).map(|at| (at * 91 % 256) as u8).collect();
            let made = filter.across(&data, 9, channels, rows.clone(), 1);
            assert_eq!(made.bytes().len(), rows.len() + 1);
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
