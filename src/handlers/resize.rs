//! Pillow's bilinear resize, exactly, for the part of the result that is kept.
//!
//! Called by `image_classifier.rs`. TorchServe's `Resize` works on a Pillow image, whose filter
//! widens with the scale (antialiasing) and whose arithmetic is whole numbers: coefficients of 22
//! fractional bits, columns first, rounded to bytes between the two passes (Pillow's `Resample.c`).
//! Done the same way here, so that pixels are equal, not close. Only what the crop keeps is
//! computed; rows and columns do not influence each other, so that changes no value and bounds the
//! memory of an image that is 65,000 pixels wide and one high.

use std::ops::Range;

/// An image in memory: rows of pixels, `channels` bytes each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pixels {
    /// Pixels in a row.
    pub(super) width: usize,
    /// Rows.
    pub(super) height: usize,
    /// 1 (gray) or 3 (red, green, blue).
    pub(super) channels: usize,
    /// `width * height * channels` bytes.
    pub(super) data: Vec<u8>,
}

/// What of one axis of a resized image is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    /// The size of the whole resized image.
    pub(super) size: usize,
    /// The part that is kept.
    pub(super) keep: Range<usize>,
}

/// Fractional bits of a coefficient, as in Pillow.
const PRECISION: u32 = 32 - 8 - 2;

/// The coefficients of one axis.
struct Filter {
    /// For each kept output: its first input.
    starts: Vec<usize>,
    /// For each kept output: `taps` coefficients, zero behind the last that counts.
    weights: Vec<u32>,
    taps: usize,
}

/// The part `keep` of `pixels` resized to `size`, for both axes.
pub(super) fn resize(pixels: &Pixels, horizontal: &Axis, vertical: &Axis) -> Pixels {
    let rows = Filter::new(pixels.height, vertical);
    // Pillow leaves an axis alone that keeps its size.
    let used = rows.as_ref().map_or(vertical.keep.clone(), |rows| rows.inputs(pixels.height));
    let narrow = match Filter::new(pixels.width, horizontal) {
        Some(columns) => match pixels.channels {
            1 => across::<1>(pixels, &columns, used.clone()),
            _ => across::<3>(pixels, &columns, used.clone()),
        },
        None => crop(pixels, horizontal.keep.clone(), used.clone()),
    };
    match rows {
        Some(rows) => down(&narrow, &rows, used.start),
        None => narrow,
    }
}

fn crop(pixels: &Pixels, columns: Range<usize>, rows: Range<usize>) -> Pixels {
    let Pixels { width, channels, .. } = *pixels;
    let mut data = Vec::with_capacity(columns.len() * rows.len() * channels);
    for row in pixels.data.chunks_exact(width * channels).take(rows.end).skip(rows.start) {
        data.extend_from_slice(&row[columns.start * channels..columns.end * channels]);
    }
    Pixels { width: columns.len(), height: rows.len(), channels, data }
}

/// Resizes each of `rows` to the columns that `filter` makes.
fn across<const C: usize>(pixels: &Pixels, filter: &Filter, rows: Range<usize>) -> Pixels {
    let width = filter.starts.len();
    let mut data = Vec::with_capacity(width * rows.len() * C);
    for row in pixels.data.chunks_exact(pixels.width * C).take(rows.end).skip(rows.start) {
        let (row, _) = row.as_chunks::<C>();
        for (start, weights) in filter.starts.iter().zip(filter.weights.chunks_exact(filter.taps)) {
            let mut sums = [1u32 << (PRECISION - 1); C];
            for (pixel, weight) in row[*start..].iter().zip(weights) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += u32::from(*value) * weight;
                }
            }
            data.extend_from_slice(&sums.map(byte));
        }
    }
    Pixels { width, height: rows.len(), channels: C, data }
}

/// Resizes to the rows that `filter` makes; row 0 of `pixels` is input `first`.
fn down(pixels: &Pixels, filter: &Filter, first: usize) -> Pixels {
    let height = filter.starts.len();
    let stride = pixels.width * pixels.channels;
    let mut data = Vec::with_capacity(height * stride);
    let mut sums = vec![0u32; stride];
    for (start, weights) in filter.starts.iter().zip(filter.weights.chunks_exact(filter.taps)) {
        sums.fill(1 << (PRECISION - 1));
        let inputs = pixels.data[(start - first) * stride..].chunks_exact(stride);
        for (row, weight) in inputs.zip(weights) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += u32::from(*value) * weight;
            }
        }
        data.extend(sums.iter().copied().map(byte));
    }
    Pixels { width: pixels.width, height, channels: pixels.channels, data }
}

/// The byte of a sum. Bilinear coefficients are never negative, so only the top can be passed.
fn byte(sum: u32) -> u8 {
    (sum >> PRECISION).min(255) as u8
}

// === impl Filter ===

impl Filter {
    /// The coefficients that resize `input` samples to `axis`; none when the size stays.
    fn new(input: usize, axis: &Axis) -> Option<Filter> {
        if input == axis.size {
            return None;
        }
        let scale = input as f64 / axis.size as f64;
        let support = scale.max(1.0);
        let taps = (support.ceil() as usize * 2 + 1).min(input);
        let mut starts = Vec::with_capacity(axis.keep.len());
        let mut weights = Vec::with_capacity(axis.keep.len() * taps);
        let mut exact = Vec::with_capacity(taps);
        for output in axis.keep.clone() {
            let center = (output as f64 + 0.5) * scale;
            let start = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(input);
            exact.clear();
            exact.extend((start..end).take(taps).map(|at| {
                let distance = (at as f64 - center + 0.5) * (1.0 / support);
                (1.0 - distance.abs()).max(0.0)
            }));
            let sum: f64 = exact.iter().sum();
            let unit = f64::from(1u32 << PRECISION);
            starts.push(start);
            weights.extend(exact.iter().map(|weight| {
                let share = if sum == 0.0 { *weight } else { weight / sum };
                (0.5 + share * unit) as u32
            }));
            weights.resize(starts.len() * taps, 0);
        }
        Some(Filter { starts, weights, taps })
    }

    /// The inputs that are read.
    fn inputs(&self, input: usize) -> Range<usize> {
        match (self.starts.first(), self.starts.last()) {
            (Some(first), Some(last)) => *first..(last + self.taps).min(input),
            _ => 0..0,
        }
    }
}
