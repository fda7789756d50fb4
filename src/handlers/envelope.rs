//! Service envelopes: the form around a handler's input and output (TorchServe's `service_envelope`).
//!
//! Made by `catalog.rs` around every handler, so that handlers know of none. Several instances of one
//! request become one sample with their rows together; the answer is taken apart and put together
//! again behind the handler. Explanations, which every handler may be asked for, are marked here too.
//!
//! | envelope | request | answer |
//! |---|---|---|
//! | none, `body` | the handler's own | the handler's own |
//! | `json` | `{"instances": [...]}` | `{"predictions": [...]}` on one line |
//! | `kserve` | the same | the same, indented; `{"explanations": [...]}` |
//! | `kservev2` | `{"inputs": [...]}` | `{"outputs": [...]}`, always with an `id` |
//!
//! Without an envelope `/v1/models/{model}:predict` takes `kserve`'s form too: a request that
//! TorchServe fails. Its envelope `kserve` answers the first request of a batch only; here all of them.

use std::sync::Arc;

use super::instances::{self, target};
use super::json_text::{Brackets, JsonText, Layout};
use super::{
    Asked, ExplainError, Form, Forward, Handler, HandlerError, Prediction, Protocol, RequestInput,
    Sample, Task, TensorMetadata,
};
use crate::engine::Value;

/// `service_envelope`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Envelope {
    /// No envelope.
    #[default]
    None,
    /// `body`: what a row has as `data` or `body`, which handlers here look for by themselves.
    Body,
    /// `json`.
    Json,
    /// `kserve`: KServe v1.
    KServe,
    /// `kservev2`: the Open Inference Protocol, as TorchServe has it.
    KServeV2,
}

/// The instances of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instances {
    parts: Vec<Asked>,
    layout: Layout,
    /// `predictions` or `explanations`.
    key: &'static str,
    max_response_size: usize,
}

/// A handler in its envelope.
pub(super) struct Enveloped {
    inner: Arc<dyn Handler>,
    envelope: Envelope,
    max_response_size: usize,
}

/// The most numbers of one request's instances together: 256 MiB of `float32`.
const MAX_ELEMENTS: usize = 1 << 26;
/// Bytes of instances that are read in less time than it takes to hand them to another thread.
const CHEAP_INSTANCES: usize = 512;

// === impl Enveloped ===

impl Enveloped {
    /// `max_response_size` in bytes.
    pub(super) fn new(
        inner: Arc<dyn Handler>,
        envelope: Envelope,
        max_response_size: usize,
    ) -> Enveloped {
        Enveloped { inner, envelope, max_response_size }
    }

    /// The instances of a request that has some: their rows, and the layout of the answer.
    fn instances(
        &self,
        input: &RequestInput,
    ) -> Result<Option<(Vec<RequestInput>, Layout)>, HandlerError> {
        let layout = match (self.envelope, input.protocol) {
            (_, Protocol::OpenInference { .. }) | (Envelope::KServeV2, _) => return Ok(None),
            (Envelope::Json, _) => Layout::Spaced,
            (Envelope::KServe, _) => Layout::Indented,
            (Envelope::None | Envelope::Body, Protocol::KServeV1) => {
                return Ok(instances::read(input)?.map(|rows| (rows, Layout::Indented)));
            }
            (Envelope::None | Envelope::Body, Protocol::TorchServe) => return Ok(None),
        };
        match instances::read(input)? {
            Some(rows) => Ok(Some((rows, layout))),
            None => Err(HandlerError::BadInput(
                "send a JSON object with a list `instances`, as service_envelope says".to_owned(),
            )),
        }
    }

    /// One sample for all instances.
    fn join(
        &self,
        rows: Vec<RequestInput>,
        explain: bool,
        layout: Layout,
    ) -> Result<Sample, HandlerError> {
        let mut samples = Vec::with_capacity(rows.len());
        let mut elements = 0;
        for (index, row) in rows.into_iter().enumerate() {
            let within = |error| match error {
                HandlerError::BadInput(reason) => {
                    HandlerError::BadInput(format!("/instances/{index}: {reason}"))
                }
                error => error,
            };
            let task = task(&row, explain).map_err(within)?;
            let mut sample = self.inner.preprocess(row).map_err(within)?;
            sample.asked.task = task;
            elements += sample.arguments.iter().map(size).sum::<usize>();
            if elements > MAX_ELEMENTS {
                return Err(within(HandlerError::BadInput(format!(
                    "the instances have more than {MAX_ELEMENTS} numbers together; send fewer"
                ))));
            }
            samples.push(sample);
        }
        if samples.iter().any(|sample| sample.bucket != samples[0].bucket) {
            // Whole numbers beside numbers with a fraction.
            for sample in &mut samples {
                if let Some(other) = self.inner.reinterpret(sample) {
                    *sample = other;
                }
            }
        }
        let Some(first) = samples.first() else {
            return Err(HandlerError::BadInput("`instances` is empty".to_owned()));
        };
        let (bucket, inferred) = (first.bucket.clone(), first.inferred);
        if samples.len() > 1 {
            let odd = samples.iter().position(|sample| sample.bucket != bucket);
            if let Some(index) = odd.or(bucket.is_none().then_some(1)) {
                return Err(HandlerError::BadInput(format!(
                    "/instances/{index} does not fit with the first: all must have one type and shape"
                )));
            }
        }
        let parts: Vec<Asked> = samples.iter().map(|sample| sample.asked.clone()).collect();
        let rows = parts.iter().map(|part| part.rows).sum();
        let key =
            if explain && layout == Layout::Indented { "explanations" } else { "predictions" };
        let task = parts[0].task;
        let form = Form::Instances(Box::new(Instances {
            parts,
            layout,
            key,
            max_response_size: self.max_response_size,
        }));
        let arguments = self.inner.collate(samples)?;
        let asked = Asked { task, ..Asked::new(rows, form) };
        Ok(Sample { arguments, bucket, asked, inferred })
    }
}

impl Handler for Enveloped {
    fn preprocess(&self, mut input: RequestInput) -> Result<Sample, HandlerError> {
        let explain = input.explain;
        let mut sample = match self.instances(&input)? {
            Some((rows, layout)) => self.join(rows, explain, layout)?,
            None => {
                let task = task(&input, explain)?;
                let id = (self.envelope == Envelope::KServeV2).then(|| {
                    if input.protocol == Protocol::KServeV1 {
                        input.protocol = Protocol::TorchServe;
                    }
                    input.request_id.to_string()
                });
                let mut sample = self.inner.preprocess(input)?;
                if let (Form::OpenInference(wanted), Some(id)) = (&mut sample.asked.form, id) {
                    wanted.id.get_or_insert(id);
                }
                sample.asked.task = task;
                sample
            }
        };
        if explain {
            // It takes many forwards of its own.
            sample.bucket = None;
        }
        Ok(sample)
    }

    fn collate(&self, samples: Vec<Sample>) -> Result<Vec<Value>, HandlerError> {
        self.inner.collate(samples)
    }

    fn postprocess(&self, output: Value, asked: &[Asked]) -> Result<Vec<Prediction>, HandlerError> {
        if !asked.iter().any(has_instances) {
            return self.inner.postprocess(output, asked);
        }
        let predictions = self.inner.postprocess(output, &opened(asked))?;
        closed(predictions, asked)
    }

    fn explain(
        &self,
        sample: Sample,
        asked: &[Asked],
        forward: &mut Forward<'_>,
    ) -> Result<Vec<Prediction>, ExplainError> {
        if !asked.iter().any(has_instances) {
            return self.inner.explain(sample, asked, forward);
        }
        let explanations = self.inner.explain(as_inner(&sample), &opened(asked), forward)?;
        Ok(closed(explanations, asked)?)
    }

    fn inputs(&self) -> Vec<TensorMetadata> {
        self.inner.inputs()
    }

    fn outputs(&self) -> Vec<TensorMetadata> {
        self.inner.outputs()
    }

    fn reinterpret(&self, sample: &Sample) -> Option<Sample> {
        if !has_instances(&sample.asked) {
            return self.inner.reinterpret(sample);
        }
        let other = self.inner.reinterpret(&as_inner(sample))?;
        Some(Sample { asked: sample.asked.clone(), ..other })
    }

    fn learn(&self) {
        self.inner.learn();
    }

    fn preprocess_is_cheap(&self, input: &RequestInput) -> bool {
        // An instance of two bytes costs as much as a body of its own.
        let may_have_instances = matches!(self.envelope, Envelope::Json | Envelope::KServe)
            || input.protocol == Protocol::KServeV1;
        let length = input.payload().map_or(0, |payload| payload.value.len());
        (!may_have_instances || length <= CHEAP_INSTANCES) && self.inner.preprocess_is_cheap(input)
    }

    fn example(&self, rows: usize) -> Option<Vec<Value>> {
        self.inner.example(rows)
    }
}

fn task(input: &RequestInput, explain: bool) -> Result<Task, HandlerError> {
    if !explain {
        return Ok(Task::Predict);
    }
    Ok(Task::Explain { target: target(input)? })
}

fn size(value: &Value) -> usize {
    match value {
        Value::Tensor(tensor) => tensor.len(),
        Value::List(items) => items.len(),
        _ => 1,
    }
}

fn has_instances(asked: &Asked) -> bool {
    matches!(asked.form, Form::Instances(_))
}

/// The joined sample as the handler knows samples.
fn as_inner(sample: &Sample) -> Sample {
    let asked = Asked { form: Form::Plain, ..sample.asked.clone() };
    Sample { asked, ..sample.clone() }
}

/// What is asked, instance by instance.
fn opened(asked: &[Asked]) -> Vec<Asked> {
    let each = |asked: &Asked| match &asked.form {
        Form::Instances(instances) => instances.parts.clone(),
        _ => vec![asked.clone()],
    };
    asked.iter().flat_map(each).collect()
}

/// One answer a request from one answer an instance.
fn closed(answers: Vec<Prediction>, asked: &[Asked]) -> Result<Vec<Prediction>, HandlerError> {
    let missing = || HandlerError::Model("the handler gave too few predictions".to_owned());
    let mut answers = answers.into_iter();
    let each = |asked: &Asked| match &asked.form {
        Form::Instances(instances) => instances.answer(&mut answers),
        _ => answers.next().ok_or_else(missing),
    };
    asked.iter().map(each).collect()
}

// === impl Instances ===

impl Instances {
    /// The next answers in one.
    fn answer(
        &self,
        answers: &mut impl Iterator<Item = Prediction>,
    ) -> Result<Prediction, HandlerError> {
        let own: Vec<Prediction> = answers.by_ref().take(self.parts.len()).collect();
        if own.len() < self.parts.len() {
            return Err(HandlerError::Model("the handler gave too few predictions".to_owned()));
        }
        if own.iter().any(|answer| answer.content_type != "application/json") {
            return Err(HandlerError::Model(
                "an envelope can hold JSON only, and the handler answers something else".to_owned(),
            ));
        }
        // It is refused whole, and it may have been cut.
        if let Some(long) = own.iter().find(|answer| answer.body.len() > self.max_response_size) {
            return Ok(long.clone());
        }
        let room = own.iter().map(|answer| answer.body.len() + 2).sum::<usize>() + 32;
        let mut text = JsonText::with_capacity(self.layout, room);
        text.open(Brackets::Object);
        text.member(self.key);
        text.open(Brackets::Array);
        for answer in &own {
            text.item();
            text.json(&answer.body);
        }
        text.close(Brackets::Array);
        text.close(Brackets::Object);
        Ok(Prediction::json(text.into_bytes()))
    }
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
