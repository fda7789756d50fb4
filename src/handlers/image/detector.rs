//! `object_detector`: a picture in, what is on it and where out, as TorchServe answers.
//!
//! Made by `handlers::built_in`. Pictures keep their size and have values of 0 to 1. A model that takes
//! a `List[Tensor]` is given the pictures of a batch one by one, whatever their sizes; one that takes a
//! tensor, those of one size together. It returns, for each picture, a dict of `boxes`, `labels` and
//! `scores`, torchvision's form (a scripted torchvision detector's pair of losses and dicts is
//! understood, too). The answer lists what scores at least the threshold, in the model's order:
//! `{"person": [x1, y1, x2, y2], "score": 0.99}`. As raw bytes, or in the Open Inference Protocol,
//! each tensor of the dict comes by itself, and a list of names.

use std::borrow::Cow;

use super::picture::Preprocessor;
use super::request::{FORMS, Reader};
use super::settings::Keys;
use crate::engine::{DType, Elements, HostTensor, Value};
use crate::handlers::accept::Offer;
use crate::handlers::base::collate;
use crate::handlers::json_text::{Brackets, Layout};
use crate::handlers::labels::Labels;
use crate::handlers::listing::Listing;
use crate::handlers::open_inference_answer::{self, Output, OutputData, Served};
use crate::handlers::open_inference_request::Wanted;
use crate::handlers::raw_tensor::write_elements;
use crate::handlers::{
    Asked, Bucket, Envelope, Form, Handler, HandlerError, HandlerSettings, Prediction,
    RequestInput, Sample, TensorMetadata,
};

/// Finds things in pictures.
#[derive(Debug)]
pub(in crate::handlers) struct ObjectDetector {
    served: Served,
    pictures: Preprocessor,
    labels: Labels,
    /// What scores less is left out.
    threshold: f32,
    /// The model takes a list of pictures of any sizes.
    takes_list: bool,
    /// That of every sample of such a model.
    any_size: Bucket,
    /// Open Inference answers have TorchServe's form: the envelope `kservev2`.
    torchserves_outputs: bool,
}

/// What was found in one picture.
struct Found {
    /// The tensors that have one row for each thing: `boxes`, `labels`, `scores`, the model's own.
    tensors: Vec<(String, HostTensor)>,
    boxes: HostTensor,
    names: Vec<String>,
    scores: Vec<f64>,
}

/// TorchServe's threshold.
const THRESHOLD: f64 = 0.5;

/// About how many bytes a thing takes in indented JSON.
const THING_BYTES: usize = 160;

// === impl ObjectDetector ===

impl ObjectDetector {
    /// # Errors
    /// [`HandlerError::Model`] when `index_to_name.json` or the settings are wrong.
    pub(in crate::handlers) fn new(
        settings: &HandlerSettings<'_>,
    ) -> Result<ObjectDetector, HandlerError> {
        let mut keys = Keys::read(settings.model_config, "object_detector")?;
        let threshold = keys.take("threshold")?.unwrap_or(THRESHOLD);
        if !(0.0..=1.0).contains(&threshold) {
            return Err(keys.wrong("threshold must be from 0 to 1"));
        }
        let first = settings.signature.arguments.first();
        Ok(ObjectDetector {
            served: Served::new(settings),
            pictures: Preprocessor::new(keys.whole_images()?, settings.limit_max_image_pixels),
            labels: Labels::read(settings.index_to_name)?,
            threshold: threshold as f32,
            takes_list: first.is_some_and(|argument| argument.kind.starts_with("Tensor[]")),
            any_size: [(DType::Float32, Vec::new())].into(),
            torchserves_outputs: settings.envelope == Envelope::KServeV2,
        })
    }

    /// What is worth telling of one picture's result.
    fn found(&self, members: Vec<(String, Value)>) -> Result<Found, HandlerError> {
        let got = members.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let refuse = move || {
            HandlerError::Model(format!(
                "object_detector serves a model that returns for each picture a dict of `boxes` \
                 [n, 4], `labels` [n] and `scores` [n], got one of {got}"
            ))
        };
        let of = |name: &str| {
            members.iter().find_map(|(key, value)| match value {
                Value::Tensor(tensor) if key == name => Some(tensor),
                _ => None,
            })
        };
        let (Some(boxes), Some(labels), Some(scores)) = (of("boxes"), of("labels"), of("scores"))
        else {
            return Err(refuse());
        };
        let count = scores.len();
        let fits = scores.shape().len() == 1
            && labels.shape() == [count]
            && boxes.shape().len() == 2
            && boxes.rows() == Some(count);
        let (Some(labels), true) = (whole_numbers(labels), fits) else { return Err(refuse()) };
        let Elements::Float32(scores) = scores.clone().into_float32().elements().clone() else {
            return Err(refuse());
        };
        let kept: Vec<usize> = (0..count).filter(|at| scores[*at] >= self.threshold).collect();
        let name = |at: &usize| match usize::try_from(labels[*at]) {
            Ok(class) => self.labels.name(class).into_owned(),
            Err(_) => labels[*at].to_string(),
        };
        Ok(Found {
            boxes: rows(boxes, &kept)?,
            names: kept.iter().map(name).collect(),
            scores: kept.iter().map(|at| f64::from(scores[*at])).collect(),
            tensors: members
                .iter()
                .filter_map(|(name, value)| match value {
                    Value::Tensor(tensor) if tensor.rows() == Some(count) => {
                        Some(rows(tensor, &kept).map(|tensor| (name.clone(), tensor)))
                    }
                    _ => None,
                })
                .collect::<Result<_, _>>()?,
        })
    }

    /// The answer for the pictures of one request.
    fn answer(&self, found: Vec<Found>, form: &Form) -> Result<Prediction, HandlerError> {
        let binary = Wanted { binary: true, ..Wanted::default() };
        let wanted = match form {
            Form::OpenInference(wanted) => wanted,
            Form::Raw => &binary,
            form => {
                let Ok([only]) = <[Found; 1]>::try_from(found) else {
                    return Err(HandlerError::Model("several pictures in a plain request".into()));
                };
                return Ok(only.listing().answer(*form == Form::Pieces));
            }
        };
        let mut outputs = Vec::new();
        match &wanted.named_after {
            Some(inputs) => {
                let mut texts =
                    found.into_iter().map(|found| found.listing().text(Layout::Compact));
                for (name, rows) in inputs {
                    let data = OutputData::Json(texts.by_ref().take(*rows).collect());
                    outputs.push(Output { name: name.clone(), shape: vec![*rows], data });
                }
            }
            None => {
                for (index, found) in found.into_iter().enumerate() {
                    for (key, tensor) in found.tensors {
                        let (shape, range) = (tensor.shape().to_vec(), 0..tensor.len());
                        let data = Cow::Owned(tensor.elements().clone());
                        outputs.push(Output {
                            name: format!("output.{index}.{key}"),
                            shape,
                            data: OutputData::Numbers(data, range),
                        });
                    }
                    outputs.push(Output {
                        name: format!("output.{index}.names"),
                        shape: vec![found.names.len()],
                        data: OutputData::Texts(found.names.into_iter().map(Cow::Owned).collect()),
                    });
                }
            }
        }
        open_inference_answer::write(&self.served, wanted, outputs)
    }
}

impl Handler for ObjectDetector {
    fn preprocess(&self, input: RequestInput) -> Result<Sample, HandlerError> {
        let Some(payload) = input.payload() else {
            return Err(HandlerError::BadInput(format!("{}; {FORMS}", input.no_payload())));
        };
        let picture = |bytes: &[u8]| self.pictures.tensor(bytes);
        let reader = Reader { picture: &picture, torchserves_outputs: self.torchserves_outputs };
        let pictures = reader.read(input.protocol, payload)?;
        let (argument, rows, bucket, mut form) = if self.takes_list {
            let form = pictures.form.clone();
            let list: Vec<Value> = pictures.one_by_one().into_iter().map(Value::Tensor).collect();
            let rows = list.len();
            (Value::List(list), rows, self.any_size.clone(), form)
        } else {
            let (tensor, form) = pictures.joined()?;
            let bucket = [(tensor.dtype(), tensor.shape()[1..].to_vec())];
            let rows = tensor.rows().unwrap_or(1);
            (Value::Tensor(tensor), rows, bucket.into(), form)
        };
        if form == Form::Plain {
            form = match input.accept.form(&[Offer::Raw]) {
                Form::Plain if input.accept.pieces => Form::Pieces,
                other => other,
            };
        }
        Ok(Sample {
            arguments: vec![argument],
            bucket: Some(bucket),
            asked: Asked::new(rows, form),
            inferred: 0,
        })
    }

    fn collate(&self, samples: Vec<Sample>) -> Result<Vec<Value>, HandlerError> {
        if !self.takes_list {
            return collate(samples);
        }
        let mut all = Vec::new();
        for argument in samples.into_iter().flat_map(|sample| sample.arguments) {
            let Value::List(pictures) = argument else {
                return Err(HandlerError::Model("the sample is no list of pictures".to_owned()));
            };
            all.extend(pictures);
        }
        Ok(vec![Value::List(all)])
    }

    fn postprocess(&self, output: Value, asked: &[Asked]) -> Result<Vec<Prediction>, HandlerError> {
        let expected = asked.iter().map(|asked| asked.rows).sum::<usize>();
        let refuse = |got: &str| {
            HandlerError::Model(format!(
                "object_detector serves a model that returns a list of one dict for each of \
                 {expected} pictures, got {got}"
            ))
        };
        let results = match output {
            Value::List(results) => results,
            Value::Dict(members) => vec![Value::Dict(members)],
            // What `torch.jit.script` makes of torchvision's detectors: losses, detections.
            Value::Tuple(mut parts) => match parts.pop() {
                Some(Value::List(results)) => results,
                _ => return Err(refuse("a tuple")),
            },
            _ => return Err(refuse("one value")),
        };
        if results.len() != expected {
            return Err(refuse(&format!("{} values", results.len())));
        }
        let mut results = results.into_iter();
        let mut next = || match results.next() {
            Some(Value::Dict(members)) => self.found(members),
            _ => Err(refuse("something else than a dict")),
        };
        let mut answers = Vec::with_capacity(asked.len());
        for asked in asked {
            let own = (0..asked.rows).map(|_| next()).collect::<Result<_, _>>()?;
            answers.push(self.answer(own, &asked.form)?);
        }
        Ok(answers)
    }

    fn inputs(&self) -> Vec<TensorMetadata> {
        vec![TensorMetadata::bytes("data")]
    }
}

// === impl Found ===

impl Found {
    /// The things as TorchServe lists them.
    fn listing(self) -> Listing {
        let Found { boxes, names, scores, .. } = self;
        let width = boxes.shape()[1];
        Listing::new(scores.len(), THING_BYTES, move |at, text| {
            text.open(Brackets::Object);
            // As in a Python dict, a thing that is called `score` makes room for the number.
            if names[at] != "score" {
                text.member(&names[at]);
                text.elements(boxes.elements(), at * width..(at + 1) * width, &[width]);
            }
            text.member("score");
            text.float(scores[at]);
            text.close(Brackets::Object);
        })
    }
}

/// Classes; none when they are no whole numbers.
fn whole_numbers(tensor: &HostTensor) -> Option<Vec<i64>> {
    Some(match tensor.elements() {
        Elements::Int64(v) => v.clone(),
        Elements::Int32(v) => v.iter().copied().map(i64::from).collect(),
        Elements::Int16(v) => v.iter().copied().map(i64::from).collect(),
        Elements::Int8(v) => v.iter().copied().map(i64::from).collect(),
        Elements::Uint8(v) => v.iter().copied().map(i64::from).collect(),
        _ => return None,
    })
}

/// Some rows of dimension 0.
fn rows(tensor: &HostTensor, kept: &[usize]) -> Result<HostTensor, HandlerError> {
    let mut shape = tensor.shape().to_vec();
    let stride: usize = shape.iter().skip(1).product();
    if shape.first() == Some(&kept.len()) {
        return Ok(tensor.clone());
    }
    shape[0] = kept.len();
    let mut bytes = Vec::with_capacity(kept.len() * stride * tensor.dtype().size());
    for row in kept {
        write_elements(&mut bytes, tensor.elements(), row * stride..(row + 1) * stride);
    }
    HostTensor::from_little_endian(shape, tensor.dtype(), bytes.into())
        .map_err(|error| HandlerError::Model(error.to_string()))
}

#[cfg(test)]
#[path = "detector_tests.rs"]
mod tests;
