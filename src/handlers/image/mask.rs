//! The class of each pixel, from a segmentation model's scores, and its forms.
//!
//! Called by `segmenter.rs` on the worker. As in TorchServe: softmax over the classes in `float32`,
//! then the greatest, the first of equal ones; what is no number makes class 0 with probability NaN.

use bytes::Bytes;

use crate::engine::{Elements, HostTensor};
use crate::handlers::listing::Listing;
use crate::handlers::{HandlerError, Prediction};

/// One picture's classes and their probabilities.
pub(super) struct Mask {
    height: usize,
    width: usize,
    /// How many classes there are.
    classes: usize,
    /// Class and probability of each pixel, row by row.
    pub(super) pixels: Vec<f32>,
}

/// Pixels that are done together: their scores stay in the nearest cache.
const BLOCK: usize = 256;

/// About how many bytes a pixel takes in indented JSON.
const PIXEL_BYTES: usize = 72;

/// The masks of `[pictures, classes, height, width]` scores.
///
/// # Errors
/// [`HandlerError::Model`]: they are no such tensor.
pub(super) fn masks(scores: &HostTensor) -> Result<Vec<Mask>, HandlerError> {
    let ([_, classes, height, width], Elements::Float32(values)) =
        (scores.shape(), scores.elements())
    else {
        return Err(HandlerError::Model(format!("{scores:?} are no scores of pixels")));
    };
    let (classes, height, width) = (*classes, *height, *width);
    let size = (classes * height * width).max(1);
    let mask = |picture: &[f32]| Mask {
        height,
        width,
        classes,
        pixels: greatest(picture, classes, height * width),
    };
    if values.is_empty() {
        return Ok((0..scores.shape()[0]).map(|_| mask(&[])).collect());
    }
    Ok(values.chunks_exact(size).map(mask).collect())
}

/// Class and probability of each of `pixels`; `scores` has the planes of the classes.
fn greatest(scores: &[f32], classes: usize, pixels: usize) -> Vec<f32> {
    let mut found = Vec::with_capacity(pixels * 2);
    let mut powers = vec![[0f32; BLOCK]; classes];
    for start in (0..pixels).step_by(BLOCK) {
        let len = BLOCK.min(pixels - start);
        let plane = |class: usize| &scores[class * pixels + start..class * pixels + start + len];
        let mut greatest = [f32::NEG_INFINITY; BLOCK];
        for class in 0..classes {
            for (best, score) in greatest.iter_mut().zip(plane(class)) {
                // What is no number stays.
                *best = if *score > *best || score.is_nan() { *score } else { *best };
            }
        }
        let mut sums = [0f32; BLOCK];
        for (class, powers) in powers.iter_mut().enumerate() {
            let columns = powers.iter_mut().zip(&mut sums).zip(&greatest).zip(plane(class));
            for (((power, sum), greatest), score) in columns {
                *power = (score - greatest).exp();
                *sum += *power;
            }
        }
        // Compared after the division: scores that differ in the last bit may share a probability,
        // and then the first class has it.
        let mut best = [(0usize, f32::NEG_INFINITY); BLOCK];
        for (class, powers) in powers.iter().enumerate() {
            for ((best, power), sum) in best.iter_mut().zip(powers).zip(&sums).take(len) {
                let probability = power / sum;
                if probability > best.1 {
                    *best = (class, probability);
                }
            }
        }
        for ((class, probability), sum) in best.iter().zip(&sums).take(len) {
            let pair = if sum.is_nan() { [0.0, f32::NAN] } else { [*class as f32, *probability] };
            found.extend(pair);
        }
    }
    found
}

// === impl Mask ===

impl Mask {
    /// Height, width, and 2: class and probability.
    pub(super) fn shape(&self) -> Vec<usize> {
        vec![self.height, self.width, 2]
    }

    /// The rows as TorchServe lists them.
    pub(super) fn listing(self) -> Listing {
        let width = self.width;
        let elements = Elements::Float32(self.pixels);
        Listing::new(self.height, width * PIXEL_BYTES + 16, move |row, text| {
            text.elements(&elements, row * width * 2..(row + 1) * width * 2, &[width, 2]);
        })
    }

    /// A gray PNG whose values are the classes: 8 bits, or 16 for more than 256 classes. With
    /// `palette`, its 8 bits name colours instead (those of PASCAL VOC), and class 0 is transparent.
    pub(super) fn png(&self, palette: bool) -> Result<Prediction, HandlerError> {
        let failed = |error: &dyn std::fmt::Display| {
            HandlerError::Model(format!("the mask cannot be written as PNG: {error}"))
        };
        let side = |side: usize| u32::try_from(side).map_err(|error| failed(&error));
        let mut body = Vec::new();
        let mut encoder = png::Encoder::new(&mut body, side(self.width)?, side(self.height)?);
        let classes = self.pixels.iter().step_by(2);
        let data: Vec<u8> = if self.classes <= 256 {
            encoder.set_depth(png::BitDepth::Eight);
            encoder.set_color(png::ColorType::Grayscale);
            if palette {
                encoder.set_color(png::ColorType::Indexed);
                let used = 0..self.classes.max(1);
                encoder
                    .set_palette(used.flat_map(|class| colour(class as u8)).collect::<Vec<u8>>());
                encoder.set_trns(&[0][..]);
            }
            classes.map(|class| *class as u8).collect()
        } else {
            encoder.set_depth(png::BitDepth::Sixteen);
            encoder.set_color(png::ColorType::Grayscale);
            classes.flat_map(|class| (*class as u16).to_be_bytes()).collect()
        };
        let written = encoder.write_header().and_then(|mut writer| {
            writer.write_image_data(&data)?;
            writer.finish()
        });
        written.map_err(|error| failed(&error))?;
        Ok(Prediction::new("image/png", Bytes::from(body)))
    }
}

/// The colour of a class: its bits, lowest first, are the highest bits of red, green and blue in turn.
fn colour(class: u8) -> [u8; 3] {
    let mut colour = [0; 3];
    for bit in 0..8 {
        colour[bit % 3] |= (class >> bit & 1) << (7 - bit / 3);
    }
    colour
}
