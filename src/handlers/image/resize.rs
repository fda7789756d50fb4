//! Pillow's bilinear resize, exactly, for the part of the result that is kept.
//!
//! Called by `picture.rs`. TorchServe's `Resize` works on a Pillow image, whose filter
//! widens with the scale (antialiasing) and whose arithmetic is whole numbers: coefficients of 22
//! fractional bits, rounded to bytes between the two passes, columns first; from Pillow 13 on rows
//! first where the height shrinks by more than twice what the width does ([`rows_first`]). Done the
//! same way here, so that pixels are equal, not close. Only what the crop keeps is
//! computed; rows and columns do not influence each other, so that changes no value and bounds the
//! memory of an image that is 60,000 pixels wide and one high.

use std::ops::Range;

use super::resample::{Filter, Matrix, PRECISION};

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

/// A resized image, as rows; each row holds its channels one after the other.
pub(super) struct Planes {
    matrix: Matrix,
    width: usize,
}

/// The part of `pixels`, resized, that the axes keep.
pub(super) fn resize(pixels: &Pixels, horizontal: &Axis, vertical: &Axis) -> Planes {
    let Pixels { width, height, channels, .. } = *pixels;
    let rows = filter(height, vertical);
    if let Some(rows) = &rows
        && rows_first((height, vertical.size), (width, horizontal.size))
    {
        return down_then_across(pixels, horizontal, rows);
    }
    let used = rows.as_ref().map_or(vertical.keep.clone(), |rows| rows.inputs());
    // Pillow leaves an axis alone that keeps its size.
    let narrow = match filter(width, horizontal) {
        Some(columns) => columns.across(&pixels.data, width, channels, used.clone()),
        None => {
            let kept = planar(pixels, used.clone(), &horizontal.keep);
            Matrix::copied(&kept, horizontal.keep.len() * channels)
        }
    };
    let matrix = match rows {
        Some(rows) => rows.down(&narrow, used.start),
        None => narrow,
    };
    Planes { matrix, width: horizontal.keep.len() }
}

/// The order that Pillow 13 takes, found by trying it: heights and widths before and after. Pillow 12
/// always does the columns first, which moves some pixels of such pictures by one.
fn rows_first(heights: (usize, usize), widths: (usize, usize)) -> bool {
    match (heights.0.checked_sub(heights.1), widths.0.checked_sub(widths.1)) {
        (None | Some(0), _) => false,
        (Some(_), None) => true,
        (Some(less_height), Some(less_width)) => less_height > 2 * less_width,
    }
}

fn down_then_across(pixels: &Pixels, horizontal: &Axis, rows: &Filter) -> Planes {
    let Pixels { width, height, channels, .. } = *pixels;
    let inputs = rows.inputs();
    let used = &pixels.data[inputs.start * width * channels..inputs.end * width * channels];
    let low = rows.down(&Matrix::copied(used, width * channels), inputs.start);
    debug_assert!(inputs.end <= height);
    let made = low.bytes().len();
    let mut data = Vec::with_capacity(made * width * channels);
    low.bytes().for_each(|row| data.extend_from_slice(&row[..width * channels]));
    let matrix = match filter(width, horizontal) {
        Some(columns) => columns.across(&data, width, channels, 0..made),
        None => {
            let low = Pixels { width, height: made, channels, data };
            let kept = planar(&low, 0..made, &horizontal.keep);
            Matrix::copied(&kept, horizontal.keep.len() * channels)
        }
    };
    Planes { matrix, width: horizontal.keep.len() }
}

/// The kept columns of the used rows, each channel's on their own.
fn planar(pixels: &Pixels, rows: Range<usize>, columns: &Range<usize>) -> Vec<u8> {
    let Pixels { width, channels, .. } = *pixels;
    let mut data = Vec::with_capacity(rows.len() * columns.len() * channels);
    for row in pixels.data.chunks_exact(width * channels).take(rows.end).skip(rows.start) {
        let kept = &row[columns.start * channels..columns.end * channels];
        for channel in 0..channels {
            data.extend(kept.iter().skip(channel).step_by(channels));
        }
    }
    data
}

/// Pillow's coefficients to resize `input` samples to `axis`; none when the size stays.
fn filter(input: usize, axis: &Axis) -> Option<Filter> {
    if input == axis.size {
        return None;
    }
    let scale = input as f64 / axis.size as f64;
    let support = scale.max(1.0);
    let mut filter = Filter::default();
    let (mut exact, mut whole) = (Vec::new(), Vec::new());
    for output in axis.keep.clone() {
        let center = (output as f64 + 0.5) * scale;
        let start = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(input);
        exact.clear();
        exact.extend((start..end).map(|at| {
            let distance = (at as f64 - center + 0.5) * (1.0 / support);
            (1.0 - distance.abs()).max(0.0)
        }));
        let sum: f64 = exact.iter().sum();
        let unit = f64::from(1 << PRECISION);
        whole.clear();
        whole.extend(exact.iter().map(|weight| {
            let share = if sum == 0.0 { *weight } else { weight / sum };
            (0.5 + share * unit) as i32
        }));
        filter.push(start, &whole);
    }
    Some(filter)
}

// === impl Planes ===

impl Planes {
    /// The rows of one channel, top to bottom.
    pub(super) fn rows(&self, channel: usize) -> impl Iterator<Item = &[u8]> {
        let columns = channel * self.width..(channel + 1) * self.width;
        self.matrix.bytes().map(move |row| &row[columns.clone()])
    }
}
