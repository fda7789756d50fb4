//! `image_classifier`: a picture in, the most probable classes out, with TorchServe's numbers.
//!
//! Made by `handlers::built_in`. A request is the bytes of a picture, its base64 text (as
//! `text/plain`, a JSON string, a `data:` URL, or in a JSON object under `data` or `body`), or a
//! JSON array that is the finished tensor without its batch dimension, which is passed on as it is.
//! Pictures go through Resize, CenterCrop, ToTensor and Normalize (`image_settings.rs`); the model's
//! result through softmax and top-k to a JSON object of labels and probabilities, best first.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::base::collate;
use super::example::Noise;
use super::image::{ImageError, decode, looks_like_image};
use super::image_settings::{ImageSettings, Resize};
use super::json::{JsonError, Kind, Scanner};
use super::json_text::{Brackets, JsonText, Layout};
use super::labels::Labels;
use super::number_array::{ElementType, number_array};
use super::resize::resize;
use super::{
    Asked, Form, Handler, HandlerError, HandlerSettings, Parameter, Prediction, RequestInput,
    Sample,
};
use crate::engine::{DType, Elements, HostTensor, Value, element_count};

/// Classifies pictures.
#[derive(Debug)]
pub(super) struct ImageClassifier {
    settings: ImageSettings,
    labels: Labels,
    limit_pixels: bool,
    /// For each channel, the normalised value of each byte, which is inverted first if need be.
    values: Vec<[f32; 256]>,
    /// For each channel, the normalised value of a zero that is not inverted.
    padding: Vec<f32>,
}

/// What a request may hold; the end of every error about something else.
const FORMS: &str = "send the bytes of an image (JPEG, PNG, GIF, WebP, BMP, TIFF), or its base64 \
text as text/plain or as a JSON string";

/// Clients differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

// === impl ImageClassifier ===

impl ImageClassifier {
    /// # Errors
    /// [`HandlerError::Model`] when `index_to_name.json` or the settings are wrong.
    pub(super) fn new(settings: &HandlerSettings<'_>) -> Result<ImageClassifier, HandlerError> {
        let images = ImageSettings::read(settings.model_config)?;
        let invert = if images.invert { 255 } else { 0 };
        // ToTensor's division and Normalize's two steps, each rounded to `float32`.
        let normalised = |(mean, std): (&f32, &f32)| {
            std::array::from_fn(|byte| ((byte ^ invert) as f32 / 255.0 - mean) / std)
        };
        let channels = || images.mean.iter().zip(&images.std);
        let values: Vec<[f32; 256]> = channels().map(normalised).collect();
        Ok(ImageClassifier {
            padding: values.iter().map(|values| values[invert]).collect(),
            values,
            settings: images,
            labels: Labels::read(settings.index_to_name)?,
            limit_pixels: settings.limit_max_image_pixels,
        })
    }

    /// The value of a parameter as TorchServe sees it: parsed if JSON, base64 if text, else bytes.
    fn read(&self, payload: &Parameter) -> Result<HostTensor, HandlerError> {
        let bytes = &*payload.value;
        if bytes.is_empty() {
            return Err(HandlerError::BadInput(format!("the body is empty; {FORMS}")));
        }
        match payload.content_type.as_deref() {
            _ if looks_like_image(bytes) => self.picture(bytes),
            Some("application/json") => self.json(bytes),
            Some(media) if media.starts_with("text") => self.base64(bytes),
            // An undeclared type, or the one that curl gives by itself: text only if it is text.
            None | Some("application/x-www-form-urlencoded") if bytes.is_ascii() => {
                if Scanner::looks_like_json(bytes) || bytes.starts_with(b"\"") {
                    self.json(bytes)
                } else {
                    self.base64(bytes)
                }
            }
            _ if Scanner::looks_like_json(bytes) => self.json(bytes),
            _ => self.picture(bytes),
        }
    }

    fn json(&self, bytes: &[u8]) -> Result<HostTensor, HandlerError> {
        let mut scanner = Scanner::new(bytes);
        let kind = scanner.kind().map_err(bad)?;
        if kind != Kind::Object {
            let tensor = self.json_value(&mut scanner)?;
            scanner.end().map_err(bad)?;
            return Ok(tensor);
        }
        let (mut data, mut body) = (None, None);
        let mut more = scanner.open(b'{', b'}').map_err(bad)?;
        while more {
            let name = scanner.name().map_err(bad)?;
            scanner.peek();
            let here = scanner.clone();
            scanner.skip().map_err(|error| bad(error.within(&name)))?;
            match &*name {
                "data" => data = Some(here),
                "body" => body = Some(here),
                _ => {}
            }
            more = scanner.more(b'}').map_err(bad)?;
        }
        scanner.end().map_err(bad)?;
        match data.or(body) {
            Some(mut start) => self.json_value(&mut start),
            None => Err(HandlerError::BadInput(format!(
                "the JSON object has neither `data` nor `body`; {FORMS}"
            ))),
        }
    }

    fn json_value(&self, scanner: &mut Scanner<'_>) -> Result<HostTensor, HandlerError> {
        match scanner.kind().map_err(bad)? {
            Kind::String => self.base64(scanner.string().map_err(bad)?.as_bytes()),
            Kind::Array => {
                let element_type = ElementType::Declared(DType::Float32);
                number_array(scanner, element_type, None).map_err(bad)
            }
            kind => Err(HandlerError::BadInput(format!("the JSON is {kind}; {FORMS}"))),
        }
    }

    fn base64(&self, text: &[u8]) -> Result<HostTensor, HandlerError> {
        // `canvas.toDataURL()` in a page.
        let text = match text.strip_prefix(b"data:") {
            Some(url) => match memchr::memmem::find(url, b";base64,") {
                Some(at) => &url[at + b";base64,".len()..],
                None => text,
            },
            None => text,
        };
        let text = match text.iter().any(u8::is_ascii_whitespace) {
            true => Cow::Owned(text.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect()),
            false => Cow::Borrowed(text),
        };
        let bytes = BASE64.decode(&*text).map_err(|error| {
            HandlerError::BadInput(format!("the text is not base64: {error}; {FORMS}"))
        })?;
        self.picture(&bytes)
    }

    /// Resize, CenterCrop, ToTensor, Normalize.
    fn picture(&self, bytes: &[u8]) -> Result<HostTensor, HandlerError> {
        let settings = &self.settings;
        let pixels = decode(bytes, settings.channels, self.limit_pixels).map_err(|error| {
            HandlerError::BadInput(match error {
                ImageError::Unknown => format!("{error}; {FORMS}"),
                error => error.to_string(),
            })
        })?;
        let (rows, columns) = settings.place(pixels.height, pixels.width);
        let area = rows.total.saturating_mul(columns.total).saturating_mul(self.values.len());
        if area > MAX_ELEMENTS {
            return Err(HandlerError::BadInput(format!(
                "the image would be {}x{} for the model, which is too large",
                columns.total, rows.total
            )));
        }
        let kept = resize(&pixels, &columns.axis, &rows.axis);
        let mut elements = Vec::with_capacity(area);
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

    fn answer(&self, probabilities: &[f64]) -> Prediction {
        // The best, in order; equal ones in the order of their classes.
        let mut order: Vec<usize> = (0..probabilities.len()).collect();
        let by_probability = |a: &usize, b: &usize| {
            let (a, b) = (probabilities[*a], probabilities[*b]);
            // As in PyTorch, what is no number is the greatest.
            b.is_nan().cmp(&a.is_nan()).then(b.partial_cmp(&a).unwrap_or(std::cmp::Ordering::Equal))
        };
        let full = |a: &usize, b: &usize| by_probability(a, b).then(a.cmp(b));
        let top = self.settings.top_k.min(order.len());
        if top < order.len() {
            order.select_nth_unstable_by(top, full);
            order.truncate(top);
        }
        order.sort_unstable_by(full);
        // As in a Python dict, a label that comes again keeps its place and takes the later value.
        let mut members: Vec<(Cow<'_, str>, f64)> = Vec::with_capacity(top);
        for class in order {
            let name = self.labels.name(class);
            match members.iter_mut().find(|member| member.0 == name) {
                Some(member) => member.1 = probabilities[class],
                None => members.push((name, probabilities[class])),
            }
        }
        let room = members.iter().map(|(name, _)| name.len() + 40).sum::<usize>() + 4;
        let mut text = JsonText::with_capacity(Layout::Indented, room);
        text.open(Brackets::Object);
        for (name, probability) in &members {
            text.member(name);
            text.float(*probability);
        }
        text.close(Brackets::Object);
        Prediction::json(text.into_bytes())
    }
}

/// The most elements of a picture's tensor; 4096 x 4096 in three channels fit.
const MAX_ELEMENTS: usize = 1 << 26;

impl Handler for ImageClassifier {
    fn preprocess(&self, input: RequestInput) -> Result<Sample, HandlerError> {
        let Some(payload) = input.payload() else {
            return Err(HandlerError::BadInput(format!("{}; {FORMS}", input.no_payload())));
        };
        let tensor = self.read(payload)?.unsqueeze();
        let bucket = [(tensor.dtype(), tensor.shape()[1..].to_vec())];
        Ok(Sample {
            arguments: vec![Value::Tensor(tensor)],
            bucket: Some(bucket.into()),
            asked: Asked { rows: 1, form: Form::Plain },
            inferred: 0,
        })
    }

    fn collate(&self, samples: Vec<Sample>) -> Result<Vec<Value>, HandlerError> {
        collate(samples)
    }

    fn postprocess(&self, output: Value, asked: &[Asked]) -> Result<Vec<Prediction>, HandlerError> {
        let Value::Tensor(tensor) = output else {
            return Err(HandlerError::Model(
                "image_classifier serves a model that returns one tensor, not several".to_owned(),
            ));
        };
        let expected = asked.len();
        let refuse = || {
            HandlerError::Model(format!(
                "image_classifier serves a model that returns floats of shape [{expected}, classes], \
                 got {tensor:?}"
            ))
        };
        let [rows, classes] = *tensor.shape() else { return Err(refuse()) };
        if rows != expected || classes == 0 {
            return Err(refuse());
        }
        let rows: Vec<Vec<f64>> = match tensor.elements() {
            Elements::Float32(v) => v.chunks_exact(classes).map(softmax).collect(),
            Elements::Float16(v) => narrow(v.iter().map(|x| x.to_f32()), classes),
            Elements::Bfloat16(v) => narrow(v.iter().map(|x| x.to_f32()), classes),
            Elements::Float64(v) => v.chunks_exact(classes).map(softmax_wide).collect(),
            _ => return Err(refuse()),
        };
        Ok(rows.iter().map(|probabilities| self.answer(probabilities)).collect())
    }

    /// Pictures of noise, normalised; none when pictures keep a size of their own.
    fn example(&self, rows: usize) -> Option<Vec<Value>> {
        let (height, width) = match (self.settings.crop, self.settings.resize) {
            (Some(size), _) => size,
            (None, Resize::Exactly(height, width)) => (height, width),
            (None, Resize::Shorter(side)) => (side, side),
            (None, Resize::Keep) => return None,
        };
        let shape = vec![rows, self.values.len(), height, width];
        element_count(&shape).filter(|count| *count <= MAX_ELEMENTS)?;
        let mut noise = Noise::new();
        let planes = self.values.iter().cycle().take(rows * self.values.len());
        let elements = planes.flat_map(|values| {
            let pixels = (0..height * width).map(|_| values[usize::from(noise.byte())]);
            pixels.collect::<Vec<f32>>()
        });
        let elements = Elements::Float32(elements.collect());
        Some(vec![Value::Tensor(HostTensor::new(shape, elements).ok()?)])
    }
}

fn narrow(values: impl Iterator<Item = f32>, classes: usize) -> Vec<Vec<f64>> {
    let values: Vec<f32> = values.collect();
    values.chunks_exact(classes).map(softmax).collect()
}

/// Softmax in `float32`, as `torch.softmax`; the results are widened to be written.
fn softmax(logits: &[f32]) -> Vec<f64> {
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - greatest).exp()).collect();
    let sum = powers.iter().map(|power| f64::from(*power)).sum::<f64>() as f32;
    powers.iter().map(|power| f64::from(power / sum)).collect()
}

fn softmax_wide(logits: &[f64]) -> Vec<f64> {
    let greatest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|logit| (logit - greatest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

fn bad(error: JsonError) -> HandlerError {
    HandlerError::BadInput(error.to_string())
}

#[cfg(test)]
#[path = "image_classifier_tests.rs"]
mod tests;
