//! How pictures become tensors: TorchServe's numbers, and an operator's own.
//!
//! Read once by each of the image handlers when a model is loaded. The key in `model-config.yaml` has
//! the handler's name and is optional; what it leaves out has TorchServe's value:
//!
//! ```yaml
//! image_classifier:      # or image_segmenter
//!   resize: 256          # shorter side, or [height, width], or null: leave the size alone
//!   crop: 224            # square, or [height, width], from the centre; or null: keep all
//!   channels: 3          # 3 (RGB) or 1 (gray, ITU-R 601-2)
//!   mean: [0.485, 0.456, 0.406]   # one number per channel, of values 0 to 1
//!   std: [0.229, 0.224, 0.225]    # with `channels: 1`, mean and std must be given
//!   invert: false        # true: white becomes black, for models trained on white digits on black
//!   top_k: 5             # image_classifier: how many classes an answer holds; all if there are fewer
//!   palette: false       # image_segmenter: colours in the PNG, and nothing where class 0 is
//!
//! object_detector:       # pictures keep their size
//!   channels: 3
//!   mean: [0, 0, 0]
//!   std: [1, 1, 1]
//!   invert: false
//!   threshold: 0.5       # detections that score less are left out
//! ```

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::decode::Channels;
use super::resize::Axis;
use crate::handlers::HandlerError;

/// The largest side that pictures are resized or cropped to.
const MAX_SIDE: usize = 4096;

/// How a picture becomes a tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ImageSettings {
    /// The size before the crop.
    pub(super) resize: Resize,
    /// Height and width that are cut out of the centre; none keeps all.
    pub(super) crop: Option<(usize, usize)>,
    /// The channels that the model takes.
    pub(super) channels: Channels,
    /// Subtracted from each channel's values of 0 to 1.
    pub(super) mean: Vec<f32>,
    /// What is left is divided by this.
    pub(super) std: Vec<f32>,
    /// White becomes black.
    pub(super) invert: bool,
}

/// The keys of one handler, as they are written; what nobody took is an unknown one.
pub(super) struct Keys {
    handler: &'static str,
    map: serde_json::Map<String, Json>,
}

/// What becomes of a picture's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resize {
    /// It stays.
    Keep,
    /// The shorter side gets this size; the ratio stays.
    Shorter(usize),
    /// Height and width.
    Exactly(usize, usize),
}

/// The kept part of one axis and the zeros around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    /// What is made of the picture.
    pub(super) axis: Axis,
    /// Zeros in front of it.
    pub(super) before: usize,
    /// The size with the zeros.
    pub(super) total: usize,
}

/// What every image handler reads.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    resize: Json,
    crop: Json,
    channels: u64,
    mean: Option<Vec<f64>>,
    std: Option<Vec<f64>>,
    invert: bool,
}

impl Default for Written {
    fn default() -> Written {
        Written {
            resize: 256.into(),
            crop: 224.into(),
            channels: 3,
            mean: None,
            std: None,
            invert: false,
        }
    }
}

// === impl Keys ===

impl Keys {
    /// Reads the key `handler` of a `model-config.yaml`.
    ///
    /// # Errors
    /// [`HandlerError::Model`]: it is no map.
    pub(super) fn read(model_config: &Json, handler: &'static str) -> Result<Keys, HandlerError> {
        let map = match model_config.get(handler) {
            None | Some(Json::Null) => serde_json::Map::new(),
            Some(Json::Object(map)) => map.clone(),
            Some(_) => return Err(wrong(handler, "must be a map")),
        };
        Ok(Keys { handler, map })
    }

    /// Takes a key of the handler's own, if it is there.
    ///
    /// # Errors
    /// [`HandlerError::Model`] that names the key.
    pub(super) fn take<T: DeserializeOwned>(
        &mut self,
        key: &str,
    ) -> Result<Option<T>, HandlerError> {
        let Some(json) = self.map.remove(key).filter(|json| !json.is_null()) else {
            return Ok(None);
        };
        T::deserialize(&json).map(Some).map_err(|error| self.wrong(&format!("{key}: {error}")))
    }

    /// An error that names the handler's key.
    pub(super) fn wrong(&self, what: &str) -> HandlerError {
        wrong(self.handler, what)
    }

    /// What is left, for pictures that are resized and cropped.
    ///
    /// # Errors
    /// [`HandlerError::Model`] that names the key and what it should be.
    pub(super) fn images(self) -> Result<ImageSettings, HandlerError> {
        let written = self.written()?;
        let resize = match self.side_or_sides("resize", &written.resize)? {
            None => Resize::Keep,
            Some(Sides::One(side)) => Resize::Shorter(side),
            Some(Sides::Two(height, width)) => Resize::Exactly(height, width),
        };
        let crop = self.side_or_sides("crop", &written.crop)?.map(|sides| match sides {
            Sides::One(side) => (side, side),
            Sides::Two(height, width) => (height, width),
        });
        let usual = (vec![0.485, 0.456, 0.406], vec![0.229, 0.224, 0.225]);
        self.normalised(written, resize, crop, Some(usual))
    }

    /// What is left, for pictures that keep their size and their values of 0 to 1.
    ///
    /// # Errors
    /// As of [`Keys::images`].
    pub(super) fn whole_images(self) -> Result<ImageSettings, HandlerError> {
        if let Some(key) = ["resize", "crop"].iter().find(|key| self.map.contains_key(**key)) {
            return Err(self.wrong(&format!("unknown field `{key}`: pictures keep their size")));
        }
        let written = self.written()?;
        self.normalised(written, Resize::Keep, None, None)
    }

    fn written(&self) -> Result<Written, HandlerError> {
        Written::deserialize(&Json::Object(self.map.clone()))
            .map_err(|error| self.wrong(&error.to_string()))
    }

    /// `usual` are mean and std of RGB where none are given; without it nothing is normalised then.
    fn normalised(
        &self,
        written: Written,
        resize: Resize,
        crop: Option<(usize, usize)>,
        usual: Option<(Vec<f32>, Vec<f32>)>,
    ) -> Result<ImageSettings, HandlerError> {
        let (channels, count) = match written.channels {
            1 => (Channels::Gray, 1),
            3 => (Channels::Rgb, 3),
            other => return Err(self.wrong(&format!("channels must be 1 or 3, got {other}"))),
        };
        let (mean, std) = match (written.mean, written.std, usual) {
            (Some(mean), Some(std), _) => {
                (self.per_channel("mean", count, &mean)?, self.per_channel("std", count, &std)?)
            }
            (None, None, None) => (vec![0.0; count], vec![1.0; count]),
            (None, None, Some(usual)) if channels == Channels::Rgb => usual,
            _ => return Err(self.wrong("mean and std must be given, both, for these channels")),
        };
        if std.iter().any(|std| *std <= 0.0) {
            return Err(self.wrong("std must be more than 0"));
        }
        Ok(ImageSettings { resize, crop, channels, mean, std, invert: written.invert })
    }

    fn side_or_sides(&self, key: &str, value: &Json) -> Result<Option<Sides>, HandlerError> {
        let side = |value: &Json| {
            let side = value.as_u64().and_then(|side| usize::try_from(side).ok());
            side.filter(|side| (1..=MAX_SIDE).contains(side))
        };
        let read = match value {
            Json::Null => return Ok(None),
            Json::Array(sides) => match sides.as_slice() {
                [height, width] => side(height).zip(side(width)).map(|(h, w)| Sides::Two(h, w)),
                _ => None,
            },
            one => side(one).map(Sides::One),
        };
        read.map(Some).ok_or_else(|| {
            self.wrong(&format!(
                "{key} must be a size of 1 to {MAX_SIDE}, [height, width], or null, got {value}"
            ))
        })
    }

    fn per_channel(
        &self,
        key: &str,
        count: usize,
        values: &[f64],
    ) -> Result<Vec<f32>, HandlerError> {
        let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
        if values.len() != count || values.iter().any(|value| !value.is_finite()) {
            return Err(self.wrong(&format!("{key} must be {count} numbers, one per channel")));
        }
        Ok(values)
    }
}

// === impl ImageSettings ===

impl ImageSettings {
    /// What becomes of a picture of `height` and `width`: rows, then columns.
    pub(super) fn place(&self, height: usize, width: usize) -> (Placed, Placed) {
        let (resized_height, resized_width) = match self.resize {
            Resize::Keep => (height, width),
            Resize::Exactly(height, width) => (height, width),
            // torchvision: `int(size * long / short)`; both sides are 1 or more.
            Resize::Shorter(side) if width <= height => (side * height / width.max(1), side),
            Resize::Shorter(side) => (side, side * width / height.max(1)),
        };
        let (crop_height, crop_width) = self.crop.unwrap_or((resized_height, resized_width));
        (center(resized_height, crop_height), center(resized_width, crop_width))
    }
}

/// torchvision's `CenterCrop`: pads what is too small with zeros, the larger half behind; of what
/// is too large, the offset is Python's `round((size - crop) / 2)`, halves to the even number.
fn center(size: usize, crop: usize) -> Placed {
    if size < crop {
        return Placed {
            axis: Axis { size, keep: 0..size },
            before: (crop - size) / 2,
            total: crop,
        };
    }
    let twice = size - crop;
    let half = twice / 2;
    let start = if twice % 2 == 1 && half % 2 == 1 { half + 1 } else { half };
    Placed { axis: Axis { size, keep: start..start + crop }, before: 0, total: crop }
}

enum Sides {
    One(usize),
    Two(usize, usize),
}

fn wrong(handler: &str, what: &str) -> HandlerError {
    HandlerError::Model(format!("model-config.yaml: {handler}: {what}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Json) -> Result<ImageSettings, String> {
        let config = json!({ "image_classifier": value });
        Keys::read(&config, "image_classifier")
            .and_then(Keys::images)
            .map_err(|error| error.to_string())
    }

    fn usual() -> ImageSettings {
        Keys::read(&Json::Null, "image_classifier").unwrap().images().unwrap()
    }

    #[test]
    fn a_detectors_pictures_are_left_as_they_are() {
        let read = |value: Json| {
            let config = json!({ "object_detector": value });
            let mut keys = Keys::read(&config, "object_detector").unwrap();
            let threshold: Option<f64> = keys.take("threshold").map_err(|e| e.to_string())?;
            keys.whole_images().map(|images| (threshold, images)).map_err(|e| e.to_string())
        };
        let (threshold, images) = read(json!({"threshold": 0.25, "channels": 1})).unwrap();
        assert_eq!((threshold, images.resize, images.crop), (Some(0.25), Resize::Keep, None));
        assert_eq!((images.mean, images.std), (vec![0.0], vec![1.0]));
        for (value, part) in [
            (json!({"resize": 3}), "object_detector: unknown field `resize`"),
            (json!({"threshold": "x"}), "object_detector: threshold: invalid type"),
            (json!({"top_k": 3}), "unknown field `top_k`"),
            (json!({"mean": [0, 0, 0]}), "mean and std must be given"),
        ] {
            let error = read(value).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn without_the_key_the_numbers_are_torchserves() {
        let settings = usual();
        assert_eq!(settings, read(json!({})).unwrap());
        assert_eq!(settings.resize, Resize::Shorter(256));
        assert_eq!(settings.crop, Some((224, 224)));
        assert!(!settings.invert);
        assert_eq!(settings.mean, [0.485, 0.456, 0.406]);
    }

    #[test]
    fn a_digit_model_can_be_described() {
        let settings = read(json!({
            "resize": [28, 28], "crop": 28, "channels": 1, "mean": [0.1307], "std": [0.3081],
            "invert": true,
        }))
        .unwrap();
        assert_eq!(settings.resize, Resize::Exactly(28, 28));
        assert_eq!(settings.channels, Channels::Gray);
        assert_eq!((settings.mean, settings.std), (vec![0.1307], vec![0.3081]));
        assert!(settings.invert);
        let keep = read(json!({"resize": null, "crop": null})).unwrap();
        assert_eq!((keep.resize, keep.crop), (Resize::Keep, None));
    }

    #[test]
    fn mistakes_are_named() {
        for (value, part) in [
            (json!({"size": 3}), "unknown field `size`"),
            (json!([256]), "image_classifier: must be a map"),
            (json!({"channels": 2}), "channels must be 1 or 3, got 2"),
            (json!({"channels": 1}), "mean and std must be given"),
            (json!({"mean": [0, 0, 0]}), "mean and std must be given"),
            (json!({"mean": [0], "std": [1]}), "mean must be 3 numbers"),
            (json!({"mean": [0, 0, 0], "std": [1, 1, 0]}), "std must be more than 0"),
            (json!({"resize": 0}), "resize must be a size of 1 to 4096"),
            (json!({"resize": [28]}), "resize must be"),
            (json!({"crop": 5000}), "crop must be"),
            (json!({"crop": -1}), "crop must be"),
        ] {
            let error = read(value).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    // torchvision 0.28: `Resize(256)` and `CenterCrop(224)` of these sizes.
    #[test]
    fn the_crop_lies_where_torchvision_puts_it() {
        let settings = usual();
        for (height, width, rows, columns) in [
            (720, 720, (256, 16), (256, 16)),
            (480, 640, (256, 16), (341, 58)),
            (427, 640, (256, 16), (383, 80)),
            (664, 450, (377, 76), (256, 16)),
            (256, 343, (256, 16), (343, 60)),
            (1, 1, (256, 16), (256, 16)),
        ] {
            let placed = settings.place(height, width);
            let at = |(size, start)| Placed {
                axis: Axis { size, keep: start..start + 224 },
                before: 0,
                total: 224,
            };
            assert_eq!(placed, (at(rows), at(columns)), "{height}x{width}");
        }
    }

    #[test]
    fn what_is_smaller_than_the_crop_is_padded() {
        assert_eq!(
            center(5, 10),
            Placed { axis: Axis { size: 5, keep: 0..5 }, before: 2, total: 10 }
        );
        assert_eq!(center(10, 10).before, 0);
    }
}
