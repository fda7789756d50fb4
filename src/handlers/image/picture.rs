//! From the bytes of a picture to the tensor that a model is given: decode, resize, crop, normalise.
//!
//! Made by each of the image handlers, run in the decode pool. Bounds are checked before a pixel is
//! decoded.

use super::decode::{ImageError, Limits, decode};
use super::request::{FORMS, MAX_ELEMENTS};
use super::resize::resize;
use super::settings::{ImageSettings, Placed, Resize};
use crate::engine::{Elements, HostTensor, element_count};
use crate::handlers::HandlerError;
use crate::handlers::example::Noise;

/// Makes tensors of pictures for one model.
#[derive(Debug)]
pub(super) struct Preprocessor {
    settings: ImageSettings,
    limit_pixels: bool,
    /// For each channel, the normalised value of each byte, which is inverted first if need be.
    values: Vec<[f32; 256]>,
    /// For each channel, the normalised value of a zero that is not inverted.
    padding: Vec<f32>,
}

// === impl Preprocessor ===

impl Preprocessor {
    /// `limit_pixels`: refuse what Pillow takes for a bomb.
    pub(super) fn new(settings: ImageSettings, limit_pixels: bool) -> Preprocessor {
        let invert = if settings.invert { 255 } else { 0 };
        // ToTensor's division and Normalize's two steps, each rounded to `float32`.
        let normalised = |(mean, std): (&f32, &f32)| {
            std::array::from_fn(|byte| ((byte ^ invert) as f32 / 255.0 - mean) / std)
        };
        let channels = settings.mean.iter().zip(&settings.std);
        let values: Vec<[f32; 256]> = channels.map(normalised).collect();
        let padding = values.iter().map(|values| values[invert]).collect();
        Preprocessor { settings, limit_pixels, values, padding }
    }

    /// Resize, CenterCrop, ToTensor, Normalize: `[channels, height, width]`.
    ///
    /// # Errors
    /// [`HandlerError::BadInput`]: no image, a broken one, or too large a one.
    pub(super) fn tensor(&self, bytes: &[u8]) -> Result<HostTensor, HandlerError> {
        let fits = |width: usize, height: usize| {
            let (rows, columns) = self.settings.place(height, width);
            if self.area(&rows, &columns) > MAX_ELEMENTS {
                return Err(format!(
                    "it would be {}x{} for the model, which is too large",
                    columns.total, rows.total
                ));
            }
            Ok(())
        };
        let limits = Limits { bombs: self.limit_pixels, fits: &fits };
        let pixels = decode(bytes, self.settings.channels, &limits).map_err(|error| {
            HandlerError::BadInput(match error {
                ImageError::Unknown => format!("{error}; {FORMS}"),
                error => error.to_string(),
            })
        })?;
        let (rows, columns) = self.settings.place(pixels.height, pixels.width);
        let kept = resize(&pixels, &columns.axis, &rows.axis);
        drop(pixels);
        let mut elements = Vec::with_capacity(self.area(&rows, &columns));
        for (channel, values) in self.values.iter().enumerate() {
            // Padding is zero bytes, put there before Normalize.
            let zero = self.padding[channel];
            let plane = elements.len();
            elements.resize(plane + rows.before * columns.total, zero);
            for bytes in kept.rows(channel) {
                let row = elements.len();
                elements.resize(row + columns.before, zero);
                elements.extend(bytes.iter().map(|byte| values[usize::from(*byte)]));
                elements.resize(row + columns.total, zero);
            }
            elements.resize(plane + rows.total * columns.total, zero);
        }
        let shape = vec![self.values.len(), rows.total, columns.total];
        HostTensor::new(shape, Elements::Float32(elements))
            .map_err(|error| HandlerError::BadInput(format!("the image cannot be placed: {error}")))
    }

    fn area(&self, rows: &Placed, columns: &Placed) -> usize {
        rows.total.saturating_mul(columns.total).saturating_mul(self.values.len())
    }

    /// A picture of noise for each row, the same one, normalised; none when pictures keep a size of
    /// their own.
    pub(super) fn example(&self, rows: usize) -> Option<HostTensor> {
        let (height, width) = match (self.settings.crop, self.settings.resize) {
            (Some(size), _) => size,
            (None, Resize::Exactly(height, width)) => (height, width),
            (None, Resize::Shorter(side)) => (side, side),
            (None, Resize::Keep) => return None,
        };
        let shape = vec![rows, self.values.len(), height, width];
        element_count(&shape).filter(|count| *count <= MAX_ELEMENTS)?;
        let mut noise = Noise::new();
        let mut row = Vec::with_capacity(self.values.len() * height * width);
        for values in &self.values {
            row.extend((0..height * width).map(|_| values[usize::from(noise.byte())]));
        }
        HostTensor::new(shape, Elements::Float32(row.repeat(rows))).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::super::settings::Keys;
    use super::*;

    // torchvision 0.28: `Normalize(...)(ToTensor()(image))` of bytes 0, 128 and 255.
    #[test]
    fn values_are_normalised_as_torchvision_normalises_them() {
        let settings = Keys::read(&Json::Null, "image_classifier").unwrap().images().unwrap();
        let preprocessor = Preprocessor::new(settings, true);
        let values: Vec<_> = preprocessor
            .values
            .iter()
            .map(|values| [values[0], values[128], values[255]])
            .collect();
        assert_eq!(
            values,
            [
                [-2.117_904, 0.074_064_63, 2.248_908_3],
                [-2.035_714_1, 0.205_182_2, 2.428_571_5],
                [-1.804_444_4, 0.426_492_57, 2.64],
            ]
        );
    }
}
