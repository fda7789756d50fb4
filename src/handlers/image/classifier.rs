//! `image_classifier`: a picture in, the most probable classes out, with TorchServe's numbers.
//!
//! Made by `handlers::built_in`. What a request may be is in `request.rs`. Pictures go through Resize,
//! CenterCrop, ToTensor and Normalize (`picture.rs`); the model's result through softmax and top-k to
//! a JSON object of labels and probabilities, best first; or, as raw bytes, to the probabilities of all
//! classes. In the
//! Open Inference Protocol each string of a BYTES input is a picture (its bytes, or base64 text in
//! JSON), and each string of the BYTES output is such an object.

use std::borrow::Cow;

use super::picture::Preprocessor;
use super::request::{FORMS, Reader};
use super::settings::Keys;
use crate::engine::{Elements, Value};
use crate::handlers::accept::Offer;
use crate::handlers::activation::{Activation, floats};
use crate::handlers::answer::answers;
use crate::handlers::base::collate;
use crate::handlers::json_text::{Brackets, JsonText, Layout};
use crate::handlers::labels::Labels;
use crate::handlers::occlusion::{ExplanationSettings, attributions};
use crate::handlers::open_inference_answer::{self, Output, OutputData, Served};
use crate::handlers::{
    Asked, Envelope, ExplainError, Form, Forward, Handler, HandlerError, HandlerSettings,
    Prediction, RequestInput, Sample, TensorMetadata, raw_tensor,
};

/// Classifies pictures.
#[derive(Debug)]
pub(in crate::handlers) struct ImageClassifier {
    served: Served,
    pictures: Preprocessor,
    /// The most classes in an answer.
    top_k: usize,
    explanations: ExplanationSettings,
    /// Open Inference answers have TorchServe's form: the envelope `kservev2`.
    torchserves_outputs: bool,
    labels: Labels,
}

// === impl ImageClassifier ===

impl ImageClassifier {
    /// # Errors
    /// [`HandlerError::Model`] when `index_to_name.json` or the settings are wrong.
    pub(in crate::handlers) fn new(
        settings: &HandlerSettings<'_>,
    ) -> Result<ImageClassifier, HandlerError> {
        let mut keys = Keys::read(settings.model_config, "image_classifier")?;
        let top_k = keys.take("top_k")?.unwrap_or(5);
        if top_k == 0 {
            return Err(keys.wrong("top_k must be 1 or more"));
        }
        Ok(ImageClassifier {
            pictures: Preprocessor::new(keys.images()?, settings.limit_max_image_pixels),
            top_k,
            served: Served::new(settings),
            explanations: ExplanationSettings::read(settings.model_config)?,
            torchserves_outputs: settings.envelope == Envelope::KServeV2,
            labels: Labels::read(settings.index_to_name)?,
        })
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
        let top = self.top_k.min(order.len());
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
            (Form::Raw, [only]) => {
                let all: Vec<f32> = only.iter().map(|probability| *probability as f32).collect();
                return Ok(raw_tensor::answer(
                    &[all.len()],
                    &Elements::Float32(all),
                    0..only.len(),
                ));
            }
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
        let picture = |bytes: &[u8]| self.pictures.tensor(bytes);
        let reader = Reader { picture: &picture, torchserves_outputs: self.torchserves_outputs };
        let (tensor, mut form) = reader.read(input.protocol, payload)?.joined()?;
        if form == Form::Plain {
            form = input.accept.form(&[Offer::Raw]);
        }
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
        let rows = match tensor.elements() {
            Elements::Float64(v) => v.chunks_exact(classes).map(softmax_wide).collect(),
            _ => probabilities(&floats(&tensor).ok_or_else(refuse)?, classes),
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

    fn example(&self, rows: usize) -> Option<Vec<Value>> {
        Some(vec![Value::Tensor(self.pictures.example(rows)?)])
    }
}

/// The probabilities of each row of `classes` logits, in `float32` as `torch.softmax` of such a tensor;
/// they are widened to be written.
fn probabilities(logits: &[f32], classes: usize) -> Vec<Vec<f64>> {
    let row = |logits: &[f32]| {
        let mut row = logits.to_vec();
        Activation::Softmax.apply(&mut row);
        row.into_iter().map(f64::from).collect()
    };
    logits.chunks_exact(classes).map(row).collect()
}

/// Of a model that answers in `float64`.
fn softmax_wide(logits: &[f64]) -> Vec<f64> {
    let greatest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|logit| (logit - greatest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

#[cfg(test)]
#[path = "classifier_tests.rs"]
mod tests;
