//! `image_classifier`: a picture in, the most probable classes out, with TorchServe's numbers.
//!
//! Made by `handlers::built_in`. What a request may be is in `request.rs`. Pictures go through Resize, CenterCrop, ToTensor and Normalize (`settings.rs`); the model's
//! result through softmax and top-k to a JSON object of labels and probabilities, best first. In the
//! Open Inference Protocol each string of a BYTES input is a picture (its bytes, or base64 text in
//! JSON), and each string of the BYTES output is such an object.

use std::borrow::Cow;

use super::decode::{ImageError, decode};
use super::request::{FORMS, MAX_ELEMENTS, Pictures, Reader};
use super::resize::resize;
use super::settings::{ImageSettings, Resize};
use crate::engine::{Elements, HostTensor, Value, element_count};
use crate::handlers::answer::answers;
use crate::handlers::base::collate;
use crate::handlers::example::Noise;
use crate::handlers::json_text::{Brackets, JsonText, Layout};
use crate::handlers::labels::Labels;
use crate::handlers::occlusion::{ExplanationSettings, attributions};
use crate::handlers::open_inference_answer::{self, Output, OutputData, Served};
use crate::handlers::{
    Asked, Envelope, ExplainError, Form, Forward, Handler, HandlerError, HandlerSettings,
    Prediction, RequestInput, Sample, TensorMetadata,
};

/// Classifies pictures.
#[derive(Debug)]
pub(in crate::handlers) struct ImageClassifier {
    served: Served,
    settings: ImageSettings,
    explanations: ExplanationSettings,
    /// Open Inference answers have TorchServe's form: the envelope `kservev2`.
    torchserves_outputs: bool,
    labels: Labels,
    limit_pixels: bool,
    /// For each channel, the normalised value of each byte, which is inverted first if need be.
    values: Vec<[f32; 256]>,
    /// For each channel, the normalised value of a zero that is not inverted.
    padding: Vec<f32>,
}

// === impl ImageClassifier ===

impl ImageClassifier {
    /// # Errors
    /// [`HandlerError::Model`] when `index_to_name.json` or the settings are wrong.
    pub(in crate::handlers) fn new(
        settings: &HandlerSettings<'_>,
    ) -> Result<ImageClassifier, HandlerError> {
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
            served: Served::new(settings),
            explanations: ExplanationSettings::read(settings.model_config)?,
            torchserves_outputs: settings.envelope == Envelope::KServeV2,
            labels: Labels::read(settings.index_to_name)?,
            limit_pixels: settings.limit_max_image_pixels,
        })
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

    /// Labels and probabilities as JSON, best first.
    fn classes(&self, probabilities: &[f64], layout: Layout) -> Vec<u8> {
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
        let mut text = JsonText::with_capacity(layout, room);
        text.open(Brackets::Object);
        for (name, probability) in &members {
            text.member(name);
            text.float(*probability);
        }
        text.close(Brackets::Object);
        text.into_bytes()
    }

    /// The answer for the rows of one request.
    fn answer(&self, rows: &[Vec<f64>], form: &Form) -> Result<Prediction, HandlerError> {
        let wanted = match (form, rows) {
            (Form::OpenInference(wanted), _) => wanted,
            (_, [only]) => return Ok(Prediction::json(self.classes(only, Layout::Indented))),
            _ => return Err(HandlerError::Model("several pictures in a plain request".into())),
        };
        let texts = rows.iter().map(|row| self.classes(row, Layout::Compact));
        let outputs = match &wanted.named_after {
            None => {
                // Labels are text; so is the JSON around them.
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned().into();
                let texts = texts.map(text).collect();
                let (name, shape) = (OUTPUT.to_owned(), vec![rows.len()]);
                vec![Output { name, shape, data: OutputData::Texts(texts) }]
            }
            Some(inputs) => {
                let mut texts = texts;
                let output = |(name, rows): &(String, usize)| Output {
                    name: name.clone(),
                    shape: vec![*rows],
                    data: OutputData::Json(texts.by_ref().take(*rows).collect()),
                };
                inputs.iter().map(output).collect()
            }
        };
        open_inference_answer::write(&self.served, wanted, outputs)
    }
}

/// The name of the one output in the Open Inference Protocol.
const OUTPUT: &str = "output";

impl Handler for ImageClassifier {
    fn preprocess(&self, input: RequestInput) -> Result<Sample, HandlerError> {
        let Some(payload) = input.payload() else {
            return Err(HandlerError::BadInput(format!("{}; {FORMS}", input.no_payload())));
        };
        let picture = |bytes: &[u8]| self.picture(bytes);
        let reader = Reader { picture: &picture, torchserves_outputs: self.torchserves_outputs };
        let Pictures { tensor, form } = reader.read(input.protocol, payload)?;
        let rows = tensor.rows().unwrap_or(1);
        let bucket = [(tensor.dtype(), tensor.shape()[1..].to_vec())];
        Ok(Sample {
            arguments: vec![Value::Tensor(tensor)],
            bucket: Some(bucket.into()),
            asked: Asked::new(rows, form),
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
        let expected = asked.iter().map(|asked| asked.rows).sum::<usize>();
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
        let mut rest = rows.as_slice();
        let answers = asked.iter().map(|asked| {
            let (own, others) = rest.split_at_checked(asked.rows).ok_or_else(refuse)?;
            rest = others;
            self.answer(own, &asked.form)
        });
        answers.collect()
    }

    fn explain(
        &self,
        sample: Sample,
        asked: &[Asked],
        forward: &mut Forward<'_>,
    ) -> Result<Vec<Prediction>, ExplainError> {
        let found = attributions(&self.explanations, sample.arguments, asked, forward)?;
        Ok(answers(&self.served, &found, asked)?)
    }

    fn inputs(&self) -> Vec<TensorMetadata> {
        vec![TensorMetadata::bytes("data")]
    }

    fn outputs(&self) -> Vec<TensorMetadata> {
        vec![TensorMetadata::bytes(OUTPUT)]
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

#[cfg(test)]
#[path = "classifier_tests.rs"]
mod tests;
