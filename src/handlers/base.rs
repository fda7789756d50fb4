//! `base_handler`: numbers in, numbers out, for any model.
//!
//! Made by `handlers::built_in`. A request is one sample as a JSON array (TorchServe's form with the
//! envelope `body`, here without any envelope), the Open Inference Protocol's `{"inputs": [...]}`, or
//! raw little-endian bytes where the operator declared one input (see `declared.rs`). Nothing of a
//! request is allocated before names, types and shapes are checked. Explanations are by occlusion
//! (`occlusion.rs`).
//!
//! Whole numbers in a plain array are `int64`, as in TorchServe, where most models then fail because
//! they want `float32`. Here such a sample has a second reading ([`Handler::reinterpret`]), and once
//! a model took it, it is the first reading for all that follow ([`Handler::learn`]).

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::accept::Offer;
use super::answer::answers;
use super::arguments::Arguments;
use super::declared::Declared;
use super::declared_outputs::{self, DeclaredOutput};
use super::json::{JsonError, Kind, Scanner};
use super::number_array::{ElementType, number_array};
use super::occlusion::{ExplanationSettings, attributions};
use super::open_inference;
use super::open_inference_answer::Served;
use super::open_inference_request::{Members, split};
use super::{
    Asked, Bucket, ExplainError, Form, Forward, Handler, HandlerError, HandlerSettings, Parameter,
    Prediction, RequestInput, Sample, TensorMetadata,
};
use crate::engine::{DType, HostTensor, Value};

/// Serves any model over JSON and raw tensors.
#[derive(Debug)]
pub(super) struct BaseHandler {
    served: Served,
    arguments: Arguments,
    /// Empty when everything is answered as it is.
    outputs: Vec<DeclaredOutput>,
    explanations: ExplanationSettings,
    /// The model once took whole numbers as `float32` after refusing them as `int64`.
    whole_numbers_are_floats: AtomicBool,
}

/// Bytes of a body that is read in less time than it takes to hand it to another thread and back.
const CHEAP_BODY: usize = 16 << 10;

/// What a body may look like; the end of every error about something else.
const FORMS: &str = "send one sample as a JSON array of numbers without its batch dimension (alone, \
or in an object under \"data\" or \"body\"), or tensors as {\"inputs\": [{\"name\": ..., \"shape\": \
[...], \"datatype\": ..., \"data\": [...]}]}";

// === impl BaseHandler ===

impl BaseHandler {
    /// # Errors
    /// [`HandlerError::Model`] when the declared inputs are wrong.
    pub(super) fn new(settings: &HandlerSettings<'_>) -> Result<BaseHandler, HandlerError> {
        let declared = Declared::read_all(settings.model_config)?;
        Ok(BaseHandler {
            served: Served::new(settings),
            arguments: Arguments::new(&settings.signature, declared)?,
            outputs: DeclaredOutput::read_all(settings)?,
            explanations: ExplanationSettings::read(settings.model_config)?,
            whole_numbers_are_floats: AtomicBool::new(false),
        })
    }

    fn raw(&self, declared: &Declared, payload: &Parameter) -> Result<Sample, HandlerError> {
        let tensor = declared.raw(&payload.value).map_err(HandlerError::BadInput)?;
        Ok(self.sample(vec![Value::Tensor(tensor)], Form::Plain, 0))
    }

    /// `raw` is what follows the JSON.
    fn json(&self, bytes: &[u8], raw: Option<Bytes>) -> Result<Sample, HandlerError> {
        let mut scanner = Scanner::new(bytes);
        if scanner.peek().is_none() {
            return Err(HandlerError::BadInput(format!("the body is empty; {FORMS}")));
        }
        let kind = scanner.kind().map_err(|error| {
            HandlerError::BadInput(format!("the body is not JSON: {error}; {FORMS}"))
        })?;
        match kind {
            Kind::Array | Kind::Number | Kind::Bool => {
                let sample = self.plain(&mut scanner)?;
                scanner.end().map_err(bad)?;
                Ok(sample)
            }
            Kind::Object => self.object(scanner, raw),
            Kind::String | Kind::Null => {
                Err(HandlerError::BadInput(format!("the body is {kind}; {FORMS}")))
            }
        }
    }

    /// One sample as an array of numbers, or a number.
    fn plain(&self, scanner: &mut Scanner<'_>) -> Result<Sample, HandlerError> {
        let missing = self.arguments.missing_after_first();
        if !missing.is_empty() {
            return Err(HandlerError::BadInput(format!(
                "one array is one input, and the model needs {} too: send {{\"inputs\": [...]}}",
                missing.join(", ")
            )));
        }
        let slot = self.arguments.slot(0);
        let kind = slot.map_or("Tensor", |slot| slot.kind.as_str());
        if !matches!(kind, "" | "Tensor" | "Tensor?") {
            return Err(HandlerError::BadInput(format!(
                "the model's argument is `{kind}`, no tensor: send {{\"inputs\": [{{\"name\": ..., \
                 \"list\": [...]}}]}} or with \"scalar\" for \"list\""
            )));
        }
        let declared = slot.and_then(|slot| slot.declared.as_ref());
        let element_type = match declared {
            Some(declared) => ElementType::Declared(declared.dtype),
            None if self.whole_numbers_are_floats.load(Ordering::Relaxed) => {
                ElementType::InferredFloat
            }
            None => ElementType::Inferred,
        };
        let shape = match declared {
            Some(declared) => declared.sample_shape().map_err(HandlerError::BadInput)?,
            None => None,
        };
        let tensor = number_array(scanner, element_type, shape).map_err(|error| match declared {
            Some(declared) => HandlerError::BadInput(format!(
                "{error}; the model takes {declared}, and one sample comes without the first size"
            )),
            None => bad(error),
        })?;
        let inferred = element_type == ElementType::Inferred && tensor.dtype() == DType::Int64;
        let arguments = vec![Value::Tensor(tensor.unsqueeze())];
        Ok(self.sample(arguments, Form::Plain, u64::from(inferred)))
    }

    /// An object with `inputs`, or with one sample under `data` or `body`.
    fn object(&self, mut scanner: Scanner<'_>, raw: Option<Bytes>) -> Result<Sample, HandlerError> {
        let mut request = Members::default();
        let (mut data, mut body, mut other) = (None, None, Vec::new());
        let mut more = scanner.open(b'{', b'}').map_err(bad)?;
        while more {
            let key = scanner.name().map_err(bad)?;
            scanner.peek();
            let here = scanner.clone();
            let read = match &*key {
                "data" => scanner.skip().map(|()| data = Some(here)),
                "body" => scanner.skip().map(|()| body = Some(here)),
                _ => request.take(&key, &mut scanner).and_then(|taken| {
                    if taken { Ok(()) } else { scanner.skip().map(|()| other.push(key.clone())) }
                }),
            };
            read.map_err(|error| bad(error.within(&key)))?;
            more = scanner.more(b'}').map_err(bad)?;
        }
        scanner.end().map_err(bad)?;
        if let Some(request) = request.finish(raw).map_err(bad)? {
            let arguments = open_inference::arguments(&request.inputs, &self.arguments);
            let arguments = arguments.map_err(HandlerError::BadInput)?;
            return Ok(self.sample(arguments, Form::OpenInference(Box::new(request.wanted)), 0));
        }
        // Python's `row.get("data") or row.get("body")`.
        if body.is_some() && data.as_ref().is_some_and(is_falsy) {
            data = None;
        }
        match data.or(body) {
            Some(mut start) => self.plain(&mut start),
            None if other.iter().any(|key| key == "instances") => {
                Err(HandlerError::BadInput(format!(
                    "`instances` is the form of an envelope: set service_envelope, or send it to \
                     /v1/models/{{model}}:predict; {FORMS}"
                )))
            }
            None => Err(HandlerError::BadInput(format!(
                "the object has none of `inputs`, `data` and `body`; {FORMS}"
            ))),
        }
    }

    fn sample(&self, arguments: Vec<Value>, form: Form, inferred: u64) -> Sample {
        let bucket = self.bucket(&arguments, &form);
        let rows = arguments.iter().find_map(|argument| match argument {
            Value::Tensor(tensor) => tensor.rows(),
            _ => None,
        });
        let asked = Asked::new(rows.unwrap_or(1), form);
        Sample { arguments, bucket, asked, inferred }
    }

    /// What the sample may share a batch with; none when it must run alone.
    fn bucket(&self, arguments: &[Value], form: &Form) -> Option<Bucket> {
        let mut rows = None;
        let mut batched = matches!(form, Form::Plain | Form::Raw);
        let mut bucket = Vec::with_capacity(arguments.len());
        for (place, argument) in arguments.iter().enumerate() {
            let Value::Tensor(tensor) = argument else { return None };
            let (first, others) = tensor.shape().split_first()?;
            if *first == 0 || *rows.get_or_insert(*first) != *first {
                return None;
            }
            // Tensors of one dimension, sent with their own shape, may be a vector or a batch of
            // numbers; joining vectors would mix two clients' values. Another tensor with more
            // dimensions, or the operator's declaration, says that dimension 0 is the batch.
            let slot = self.arguments.slot(place);
            let declared = slot.and_then(|slot| slot.declared.as_ref()?.shape.as_ref());
            batched |= !others.is_empty() || declared.is_some();
            bucket.push((tensor.dtype(), others.to_vec()));
        }
        (batched && !bucket.is_empty()).then(|| bucket.into())
    }
}

impl Handler for BaseHandler {
    fn preprocess(&self, input: RequestInput) -> Result<Sample, HandlerError> {
        let Some(payload) = input.payload() else {
            return Err(HandlerError::BadInput(format!("{}; {FORMS}", input.no_payload())));
        };
        let (json, raw) = split(input.protocol, payload).map_err(HandlerError::BadInput)?;
        let mut sample = match (payload.content_type.as_deref(), self.arguments.only_declared()) {
            _ if raw.is_some() => self.json(json, raw),
            (Some("application/octet-stream"), Some(declared)) => self.raw(declared, payload),
            (Some("application/octet-stream"), None)
                if !Scanner::looks_like_json(&payload.value) =>
            {
                Err(HandlerError::BadInput(format!(
                    "raw bytes are taken only where model-config.yaml declares the one input of the \
                     model under `inputs`; {FORMS}"
                )))
            }
            _ => self.json(json, None),
        }?;
        if sample.asked.form == Form::Plain {
            sample.asked.form = input.accept.form(&[Offer::Raw]);
        }
        Ok(sample)
    }

    fn collate(&self, samples: Vec<Sample>) -> Result<Vec<Value>, HandlerError> {
        collate(samples)
    }

    fn postprocess(&self, output: Value, asked: &[Asked]) -> Result<Vec<Prediction>, HandlerError> {
        if !self.outputs.is_empty() {
            return declared_outputs::answers(&self.outputs, &self.served, &output, asked);
        }
        answers(&self.served, &output, asked)
    }

    fn explain(
        &self,
        sample: Sample,
        asked: &[Asked],
        forward: &mut Forward<'_>,
    ) -> Result<Vec<Prediction>, ExplainError> {
        // What was guessed to be whole numbers has no parts that could be taken away by degrees.
        let sample = self.reinterpret(&sample).unwrap_or(sample);
        let found = attributions(&self.explanations, sample.arguments, asked, forward)?;
        Ok(answers(&self.served, &found, asked)?)
    }

    fn inputs(&self) -> Vec<TensorMetadata> {
        self.arguments.metadata()
    }

    fn outputs(&self) -> Vec<TensorMetadata> {
        self.outputs.iter().map(DeclaredOutput::metadata).collect()
    }

    fn reinterpret(&self, sample: &Sample) -> Option<Sample> {
        if sample.inferred == 0 {
            return None;
        }
        let arguments =
            sample.arguments.iter().enumerate().map(|(place, argument)| match argument {
                Value::Tensor(tensor) if is_marked(sample.inferred, place) => {
                    Value::Tensor(tensor.clone().into_float32())
                }
                other => other.clone(),
            });
        Some(self.sample(arguments.collect(), sample.asked.form.clone(), 0))
    }

    fn example(&self, rows: usize) -> Option<Vec<Value>> {
        self.arguments.example(rows)
    }

    fn preprocess_is_cheap(&self, input: &RequestInput) -> bool {
        input.payload().is_none_or(|payload| payload.value.len() <= CHEAP_BODY)
    }

    fn learn(&self) {
        if !self.whole_numbers_are_floats.swap(true, Ordering::Relaxed) {
            tracing::info!(
                model = %self.served.name,
                "the model takes whole numbers as float32; declare `inputs` in model-config.yaml to \
                 say so from the start"
            );
        }
    }
}

/// Joins the samples of a batch along dimension 0; a sample alone is moved.
///
/// # Errors
/// [`HandlerError::Model`] when the samples differ in more than dimension 0.
pub(super) fn collate(mut samples: Vec<Sample>) -> Result<Vec<Value>, HandlerError> {
    if samples.len() == 1
        && let Some(only) = samples.pop()
    {
        return Ok(only.arguments);
    }
    let count = samples.first().map_or(0, |first| first.arguments.len());
    let mut columns: Vec<Vec<HostTensor>> = Vec::new();
    columns.resize_with(count, || Vec::with_capacity(samples.len()));
    for sample in samples {
        if sample.arguments.len() != count {
            return Err(HandlerError::Model(
                "samples with different arguments in one batch".into(),
            ));
        }
        for (column, argument) in columns.iter_mut().zip(sample.arguments) {
            let Value::Tensor(tensor) = argument else {
                return Err(HandlerError::Model("only tensors can be joined to a batch".into()));
            };
            column.push(tensor);
        }
    }
    columns
        .into_iter()
        .map(|column| HostTensor::concat(column).map(Value::Tensor))
        .collect::<Result<_, _>>()
        .map_err(|error| HandlerError::Model(format!("the samples do not fit together: {error}")))
}

fn is_marked(marks: u64, place: usize) -> bool {
    u32::try_from(place).ok().and_then(|place| marks.checked_shr(place)).is_some_and(|m| m & 1 == 1)
}

/// Python's `not value` for the JSON value at `start`.
fn is_falsy(start: &Scanner<'_>) -> bool {
    let rest = start.rest();
    [&b"null"[..], b"\"\"", b"[]", b"{}", b"false"].iter().any(|word| rest.starts_with(word))
}

fn bad(error: JsonError) -> HandlerError {
    HandlerError::BadInput(error.to_string())
}

#[cfg(test)]
#[path = "base_tests.rs"]
mod tests;
