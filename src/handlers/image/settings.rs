//! How pictures become tensors: the numbers of TorchServe's `image_classifier`, and an operator's
//! own.
//!
//! Read once by `classifier.rs` when a model is loaded. The key in `model-config.yaml` is
//! optional; what it leaves out has TorchServe's value:
//!
//! ```yaml
//! image_classifier:
//!   resize: 256          # shorter side, or [height, width], or null: leave the size alone
//!   crop: 224            # square, or [height, width], from the centre; or null: keep all
//!   channels: 3          # 3 (RGB) or 1 (gray, ITU-R 601-2)
//!   mean: [0.485, 0.456, 0.406]   # one number per channel, of values 0 to 1
//!   std: [0.229, 0.224, 0.225]    # with `channels: 1`, mean and std must be given
//!   invert: false        # true: white becomes black, for models trained on white digits on black
//!   top_k: 5             # how many classes an answer holds; all of them if there are fewer
//! ```

use serde::Deserialize;
use serde_json::Value as Json;

use super::decode::Channels;
use super::resize::Axis;
use crate::handlers::HandlerError;

/// The largest side that pictures are resized or cropped to.
const MAX_SIDE: usize = 4096;

/// How a picture becomes a tensor, and how much of the result is told.
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
    /// The most classes in an answer.
    pub(super) top_k: usize,
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

/// The key as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    resize: Json,
    crop: Json,
    channels: u64,
    mean: Option<Vec<f64>>,
    std: Option<Vec<f64>>,
    invert: bool,
    top_k: usize,
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
            top_k: 5,
        }
    }
}

// === impl ImageSettings ===

impl ImageSettings {
    /// Reads the key `image_classifier` of a `model-config.yaml`.
    ///
    /// # Errors
    /// [`HandlerError::Model`] that names the key and what it should be.
    pub(super) fn read(model_config: &Json) -> Result<ImageSettings, HandlerError> {
        let written = match model_config.get("image_classifier") {
            None | Some(Json::Null) => Written::default(),
            // A list would be read as the fields in their order.
            Some(json) if !json.is_object() => return Err(wrong("must be a map")),
            Some(json) => Written::deserialize(json).map_err(|error| wrong(&error.to_string()))?,
        };
        let channels = match written.channels {
            1 => Channels::Gray,
            3 => Channels::Rgb,
            other => return Err(wrong(&format!("channels must be 1 or 3, got {other}"))),
        };
        let resize = match side_or_sides("resize", &written.resize)? {
            None => Resize::Keep,
            Some(Sides::One(side)) => Resize::Shorter(side),
            Some(Sides::Two(height, width)) => Resize::Exactly(height, width),
        };
        let crop = side_or_sides("crop", &written.crop)?.map(|sides| match sides {
            Sides::One(side) => (side, side),
            Sides::Two(height, width) => (height, width),
        });
        let (mean, std) = match (channels, written.mean, written.std) {
            (Channels::Rgb, None, None) => (vec![0.485, 0.456, 0.406], vec![0.229, 0.224, 0.225]),
            (_, Some(mean), Some(std)) => {
                (per_channel("mean", channels, &mean)?, per_channel("std", channels, &std)?)
            }
            _ => return Err(wrong("mean and std must be given, both, for these channels")),
        };
        if std.iter().any(|std| *std <= 0.0) {
            return Err(wrong("std must be more than 0"));
        }
        if written.top_k == 0 {
            return Err(wrong("top_k must be 1 or more"));
        }
        let (invert, top_k) = (written.invert, written.top_k);
        Ok(ImageSettings { resize, crop, channels, mean, std, invert, top_k })
    }

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

fn side_or_sides(key: &str, value: &Json) -> Result<Option<Sides>, HandlerError> {
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
        wrong(&format!(
            "{key} must be a size of 1 to {MAX_SIDE}, [height, width], or null, got {value}"
        ))
    })
}

fn per_channel(key: &str, channels: Channels, values: &[f64]) -> Result<Vec<f32>, HandlerError> {
    let expected = match channels {
        Channels::Gray => 1,
        Channels::Rgb => 3,
    };
    let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
    if values.len() != expected || values.iter().any(|value| !value.is_finite()) {
        return Err(wrong(&format!("{key} must be {expected} numbers, one per channel")));
    }
    Ok(values)
}

fn wrong(what: &str) -> HandlerError {
    HandlerError::Model(format!("model-config.yaml: image_classifier: {what}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Json) -> Result<ImageSettings, String> {
        let config = json!({ "image_classifier": value });
        ImageSettings::read(&config).map_err(|error| error.to_string())
    }

    #[test]
    fn without_the_key_the_numbers_are_torchserves() {
        let settings = ImageSettings::read(&Json::Null).unwrap();
        assert_eq!(settings, read(json!({})).unwrap());
        assert_eq!(settings.resize, Resize::Shorter(256));
        assert_eq!(settings.crop, Some((224, 224)));
        assert_eq!((settings.top_k, settings.invert), (5, false));
        assert_eq!(settings.mean, [0.485, 0.456, 0.406]);
    }

    #[test]
    fn a_digit_model_can_be_described() {
        let settings = read(json!({
            "resize": [28, 28], "crop": 28, "channels": 1, "mean": [0.1307], "std": [0.3081],
            "invert": true, "top_k": 3,
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
            (json!({"top_k": 0}), "top_k must be 1 or more"),
        ] {
            let error = read(value).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    // torchvision 0.28: `Resize(256)` and `CenterCrop(224)` of these sizes.
    #[test]
    fn the_crop_lies_where_torchvision_puts_it() {
        let settings = ImageSettings::read(&Json::Null).unwrap();
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
