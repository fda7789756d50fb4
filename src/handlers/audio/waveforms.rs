//! `audio`: one sound to one or more rows, the model's result to an answer.
//!
//! Made by `handlers::built_in`. Sound is decoded and brought to the model's rate where the request is
//! read; with `chunk` it is cut into rows, which a model that keeps a state for each sequence
//! (`sequenceBatching`) is given one after the other. The answer is the plain result, or labels and
//! numbers where `index_to_name.json` or `top_k` say so.

use super::request;
use super::settings::{AudioInput, AudioSettings};
use crate::engine::{DType, Elements, HostTensor, Value};
use crate::handlers::activation::{Activation, best, floats};
use crate::handlers::answer::answers;
use crate::handlers::json_rows;
use crate::handlers::json_text::{JsonText, Layout};
use crate::handlers::labels::Labels;
use crate::handlers::open_inference_answer::Served;
use crate::handlers::{
    Asked, Form, Handler, HandlerError, HandlerSettings, Prediction, RequestInput, Sample,
    TensorMetadata,
};

/// Serves a model of waveforms.
pub(in crate::handlers) struct WaveformModel {
    served: Served,
    settings: AudioSettings,
    labels: Labels,
    /// Answers are labels and numbers.
    is_classifier: bool,
    /// The model remembers what it has heard in a sequence.
    is_stateful: bool,
}

/// The most elements of a request's tensor.
const MAX_ELEMENTS: usize = 1 << 26;

// === impl WaveformModel ===

impl WaveformModel {
    /// # Errors
    /// [`HandlerError::Model`] when the settings are wrong.
    pub(in crate::handlers) fn new(
        handler: &HandlerSettings<'_>,
    ) -> Result<WaveformModel, HandlerError> {
        let settings = AudioSettings::read(handler.model_config, &handler.signature)?;
        let flag = handler.model_config.get("sequenceBatching");
        Ok(WaveformModel {
            served: Served::new(handler),
            labels: Labels::read(handler.index_to_name)?,
            is_classifier: settings.top_k.is_some() || handler.index_to_name.is_some(),
            is_stateful: flag.and_then(serde_json::Value::as_bool).unwrap_or(false),
            settings,
        })
    }

    fn sample(&self, sounds: Vec<Vec<f32>>, form: Form) -> Result<Sample, HandlerError> {
        let settings = &self.settings;
        let (length, rows) = match (settings.chunk, settings.samples) {
            (Some(chunk), _) => {
                (chunk, sounds.iter().map(|sound| sound.len().div_ceil(chunk)).sum())
            }
            (None, Some(samples)) => (samples, sounds.len()),
            (None, None) => (sounds.iter().map(Vec::len).max().unwrap_or(0), sounds.len()),
        };
        if rows * length > MAX_ELEMENTS {
            return Err(HandlerError::BadInput(format!(
                "the sound is too long: {rows} rows of {length} samples"
            )));
        }
        let mut samples = Vec::with_capacity(rows * length);
        let mut lengths = Vec::with_capacity(rows);
        for sound in &sounds {
            let parts = match settings.chunk {
                Some(chunk) => sound.chunks(chunk),
                None => sound.chunks(sound.len().max(1)),
            };
            for part in parts {
                let part = &part[..part.len().min(length)];
                let end = samples.len() + length;
                lengths.push(part.len() as i64);
                samples.extend_from_slice(part);
                samples.resize(end, 0.0);
            }
        }
        let is_stateful = self.is_stateful && settings.chunk.is_some();
        let arguments = self.arguments(samples, lengths, rows, length)?;
        // Rows of one length may share a batch, unless they are steps.
        let bucket = arguments.iter().filter_map(|argument| match argument {
            Value::Tensor(tensor) => Some((tensor.dtype(), tensor.shape()[1..].to_vec())),
            _ => None,
        });
        let bucket = (!is_stateful).then(|| bucket.collect::<Vec<_>>().into());
        let asked = Asked { in_steps: is_stateful, ..Asked::new(rows, form) };
        Ok(Sample { arguments, bucket, asked, inferred: 0 })
    }

    fn arguments(
        &self,
        samples: Vec<f32>,
        lengths: Vec<i64>,
        rows: usize,
        length: usize,
    ) -> Result<Vec<Value>, HandlerError> {
        let shape = match self.settings.channel_dimension {
            true => vec![rows, 1, length],
            false => vec![rows, length],
        };
        let wrong = |error: crate::engine::ShapeError| HandlerError::Model(error.to_string());
        let waveform = HostTensor::new(shape, Elements::Float32(samples)).map_err(wrong)?;
        let lengths = HostTensor::new(vec![rows], Elements::Int64(lengths)).map_err(wrong)?;
        let argument = |input: &AudioInput| match input {
            AudioInput::Waveform => Value::Tensor(waveform.clone()),
            AudioInput::Rate => Value::Int(i64::from(self.settings.rate)),
            AudioInput::Lengths => Value::Tensor(lengths.clone()),
        };
        Ok(self.settings.inputs.iter().map(argument).collect())
    }

    /// Labels and numbers for each row.
    fn classes(&self, output: &Value, asked: &[Asked]) -> Result<Vec<Prediction>, HandlerError> {
        let expected: usize = asked.iter().map(|asked| asked.rows).sum();
        let refuse = || {
            HandlerError::Model(format!(
                "labels are told of floats of shape [{expected}, classes], and the model returned \
                 something else"
            ))
        };
        let tensor = match output {
            Value::Tensor(tensor) => tensor,
            Value::Tuple(items) | Value::List(items) => match items.first() {
                Some(Value::Tensor(tensor)) => tensor,
                _ => return Err(refuse()),
            },
            Value::Dict(members) => match members.first() {
                Some((_, Value::Tensor(tensor))) => tensor,
                _ => return Err(refuse()),
            },
            _ => return Err(refuse()),
        };
        let count = match *tensor.shape() {
            [rows, count] if rows == expected && count > 0 => count,
            _ => return Err(refuse()),
        };
        let mut numbers = floats(tensor).ok_or_else(refuse)?.into_owned();
        let activation = self.settings.activation;
        numbers.chunks_exact_mut(count).for_each(|row| activation.apply(row));
        let mut rows = numbers.chunks_exact(count);
        let answer = |asked: &Asked| {
            let own: Vec<&[f32]> = rows.by_ref().take(asked.rows).collect();
            let is_list = own.len() > 1 || self.settings.chunk.is_some();
            json_rows::write(
                &self.served,
                &asked.form,
                is_list,
                own.len(),
                |text: &mut JsonText, index: usize| {
                    let order = best(own[index], self.settings.top_k.unwrap_or(count));
                    json_rows::classes(text, &self.labels, own[index], &order);
                },
            )
        };
        asked.iter().map(answer).collect()
    }
}

impl Handler for WaveformModel {
    fn preprocess(&self, input: RequestInput) -> Result<Sample, HandlerError> {
        let (sounds, form) = request::read(&input, &self.settings)?;
        self.sample(sounds, form)
    }

    fn collate(&self, samples: Vec<Sample>) -> Result<Vec<Value>, HandlerError> {
        let [first, ..] = samples.as_slice() else { return Ok(Vec::new()) };
        if samples.len() == 1 {
            return Ok(first.arguments.clone());
        }
        let column = |place: usize| {
            let mut parts = Vec::with_capacity(samples.len());
            for sample in &samples {
                match sample.arguments.get(place) {
                    Some(Value::Tensor(tensor)) => parts.push(tensor.clone()),
                    // The rate, which is the same for all.
                    Some(other) => return Ok(other.clone()),
                    None => return Err(HandlerError::Model("samples of other arguments".into())),
                }
            }
            HostTensor::concat(parts)
                .map(Value::Tensor)
                .map_err(|error| HandlerError::Model(format!("sounds of other lengths: {error}")))
        };
        (0..first.arguments.len()).map(column).collect()
    }

    fn postprocess(&self, output: Value, asked: &[Asked]) -> Result<Vec<Prediction>, HandlerError> {
        if self.is_classifier {
            return self.classes(&output, asked);
        }
        let output = match self.settings.activation {
            Activation::None => output,
            activation => activated(output, activation),
        };
        if let ([asked], Value::Tensor(tensor)) = (asked, &output)
            && asked.form == Form::Plain
            && self.settings.chunk.is_some()
        {
            // One row for each part, also when there is only one.
            let mut text = JsonText::with_capacity(Layout::Indented, 64 + 24 * tensor.len());
            text.elements(tensor.elements(), 0..tensor.len(), tensor.shape());
            return Ok(vec![Prediction::json(text.into_bytes())]);
        }
        answers(&self.served, &output, asked)
    }

    fn inputs(&self) -> Vec<TensorMetadata> {
        vec![TensorMetadata::bytes("data")]
    }

    fn outputs(&self) -> Vec<TensorMetadata> {
        match self.is_classifier {
            true => vec![TensorMetadata::bytes("output")],
            false => vec![TensorMetadata::tensor("output", DType::Float32, None)],
        }
    }

    fn example(&self, rows: usize) -> Option<Vec<Value>> {
        let length = self.settings.chunk.or(self.settings.samples)?;
        // A quiet tone: models of sound divide by its power.
        let tone = (0..length).map(|at| (at as f32 * 0.1).sin() * 0.1);
        let sounds = vec![tone.collect::<Vec<f32>>(); rows];
        Some(self.sample(sounds, Form::Plain).ok()?.arguments)
    }
}

/// The activation of every tensor of floats.
fn activated(output: Value, activation: Activation) -> Value {
    match output {
        Value::Tensor(tensor) => {
            let last = tensor.shape().last().copied().unwrap_or(1).max(1);
            let Some(numbers) = floats(&tensor) else { return Value::Tensor(tensor) };
            let mut numbers = numbers.into_owned();
            numbers.chunks_exact_mut(last).for_each(|row| activation.apply(row));
            let applied = HostTensor::new(tensor.shape().to_vec(), Elements::Float32(numbers));
            Value::Tensor(applied.unwrap_or(tensor))
        }
        Value::Tuple(items) => {
            Value::Tuple(items.into_iter().map(|item| activated(item, activation)).collect())
        }
        Value::List(items) => {
            Value::List(items.into_iter().map(|item| activated(item, activation)).collect())
        }
        Value::Dict(members) => Value::Dict(
            members.into_iter().map(|(key, item)| (key, activated(item, activation))).collect(),
        ),
        other => other,
    }
}
