//! TorchServe's default handlers: preprocess, collate, postprocess. PURE per request.
//!
//! A handler knows nothing of HTTP, queues or libtorch. `preprocess` runs off the reactor and
//! before the queue, so that a bad input fails alone; `collate` and `postprocess` run on the worker,
//! around the forward.

mod accept;
mod activation;
mod answer;
mod arguments;
mod audio;
mod base;
mod catalog;
mod declared;
mod declared_outputs;
mod element;
mod envelope;
mod example;
mod file_request;
mod files;
mod image;
mod input;
mod instances;
mod json;
mod json_layout;
mod json_number;
mod json_rows;
mod json_text;
mod kept;
mod labels;
mod listing;
mod metadata;
mod model_key;
mod number_array;
mod occlusion;
mod open_inference;
mod open_inference_answer;
mod open_inference_request;
mod output;
mod python_value;
mod raw_tensor;
mod tensor_source;
mod text;

use std::sync::Arc;

pub use accept::Accept;
pub use catalog::Catalog;
pub use envelope::{Envelope, Instances};
pub use files::{Files, NoFiles};
pub use input::{Parameter, Protocol, RequestInput, SequenceCall};
pub use kept::Kept;
pub use metadata::TensorMetadata;
pub use model_key::{Effect, ModelKey, handler_keys};
pub use open_inference_request::{Requested, Wanted};
pub use output::{Pieces, Prediction};

use crate::engine::{EngineError, Signature, Value};

/// The names of the handlers that [`built_in`] makes.
pub const BUILT_IN: &[&str] = &[
    "base_handler",
    "image_classifier",
    "image_segmenter",
    "object_detector",
    "text_classifier",
    "audio",
];

/// The handler called `name`, made for one model.
///
/// # Errors
/// [`HandlerError::Model`] when there is no such handler, or its settings are wrong.
pub fn built_in(
    name: &str,
    settings: HandlerSettings<'_>,
) -> Result<Arc<dyn Handler>, HandlerError> {
    match name {
        "audio" => Ok(Arc::new(audio::WaveformModel::new(&settings)?)),
        "base_handler" => Ok(Arc::new(base::BaseHandler::new(&settings)?)),
        "image_classifier" => Ok(Arc::new(image::ImageClassifier::new(&settings)?)),
        "image_segmenter" => Ok(Arc::new(image::ImageSegmenter::new(&settings)?)),
        "object_detector" => Ok(Arc::new(image::ObjectDetector::new(&settings)?)),
        "text_classifier" => text::text_classifier(&settings),
        _ => Err(HandlerError::Model(format!(
            "there is no built-in handler `{name}`; there are {}",
            BUILT_IN.join(", ")
        ))),
    }
}

/// Turns requests into model arguments and model results into answers.
pub trait Handler: Send + Sync + 'static {
    /// One request to one sample.
    ///
    /// # Errors
    /// [`HandlerError::BadInput`] when the caller is wrong (400, for this request alone).
    fn preprocess(&self, input: RequestInput) -> Result<Sample, HandlerError>;

    /// The samples of one batch, all with equal [`Sample::bucket`], to the arguments of `forward`.
    /// A batch of one moves its tensors.
    ///
    /// # Errors
    /// [`HandlerError::Model`] when the samples do not fit together; the batch is then tried one by
    /// one.
    fn collate(&self, samples: Vec<Sample>) -> Result<Vec<Value>, HandlerError>;

    /// The result of one forward to one prediction per sample, in the order of `asked`.
    ///
    /// # Errors
    /// [`HandlerError::Model`] when the result cannot be split over the samples or is not what this
    /// handler serves.
    fn postprocess(&self, output: Value, asked: &[Asked]) -> Result<Vec<Prediction>, HandlerError>;

    /// Which part of the input made the model say what it says: for each of `asked`, in order, the
    /// attributions in the form of its answer. `forward` runs the model; it may be called many
    /// times, and fails once nobody waits any more.
    ///
    /// # Errors
    /// [`ExplainError`]; without an implementation, that the caller cannot have one.
    fn explain(
        &self,
        sample: Sample,
        asked: &[Asked],
        forward: &mut Forward<'_>,
    ) -> Result<Vec<Prediction>, ExplainError> {
        let _ = (sample, asked, forward);
        let none = "this model's handler has no explanations; image_classifier and base_handler \
                    have";
        Err(ExplainError::Handler(HandlerError::BadInput(none.to_owned())))
    }

    /// What the model takes, for the Open Inference Protocol's metadata; empty when not known.
    fn inputs(&self) -> Vec<TensorMetadata> {
        Vec::new()
    }

    /// What the model gives, likewise.
    fn outputs(&self) -> Vec<TensorMetadata> {
        Vec::new()
    }

    /// Another reading of a sample that the model refused, if there is one (integers as
    /// `float32`). [`Handler::learn`] is called when the model took it.
    fn reinterpret(&self, sample: &Sample) -> Option<Sample> {
        let _ = sample;
        None
    }

    /// The model took the other reading: read later requests that way at once.
    fn learn(&self) {}

    /// True when `preprocess` of this input takes less time than the way to another thread and
    /// back (some tens of microseconds): it then runs where the request was read.
    fn preprocess_is_cheap(&self, input: &RequestInput) -> bool {
        let _ = input;
        false
    }

    /// Arguments of `rows` rows to try the model with before its first request, if their shape is
    /// known: the same ones each time, and not all zero.
    fn example(&self, rows: usize) -> Option<Vec<Value>> {
        let _ = rows;
        None
    }
}

/// One preprocessed request, waiting to be batched.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The positional arguments of `forward`; tensors have their batch dimension already.
    pub arguments: Vec<Value>,
    /// What may share a batch with what: samples of one bucket differ at most in dimension 0.
    /// `None`: this sample is always run alone.
    pub bucket: Option<Bucket>,
    /// What `postprocess` needs to know of the request.
    pub asked: Asked,
    /// Bit n is set when the element type of argument n was guessed from the way its numbers are
    /// written, so that [`Handler::reinterpret`] may guess again.
    pub inferred: u64,
}

/// Element types and shapes without dimension 0, of every argument.
pub type Bucket = Arc<[(crate::engine::DType, Vec<usize>)]>;

/// What a sample's answer must look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Rows of dimension 0 that belong to this sample.
    pub rows: usize,
    /// The form of the answer.
    pub form: Form,
    /// What is to be answered.
    pub task: Task,
    /// What the handler keeps of the request until it answers it.
    pub kept: Kept,
    /// The rows are run one after the other, each alone: the parts of a signal, for a model that
    /// remembers what it has heard.
    pub in_steps: bool,
}

/// What a request asks of the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Task {
    /// What the model says.
    #[default]
    Predict,
    /// Why: [`Handler::explain`].
    Explain {
        /// The output to explain, counted from 0; none for the greatest.
        target: Option<usize>,
    },
}

/// The form in which a request was written and is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// One sample without a batch dimension; the answer has none either.
    Plain,
    /// As [`Form::Plain`]; a long answer may come piece by piece ([`Prediction::rest`]).
    Pieces,
    /// As [`Form::Plain`], answered by the bytes of its tensor.
    Raw,
    /// As [`Form::Plain`], answered by a PNG.
    Png,
    /// The Open Inference Protocol, and what the request wants of the answer.
    OpenInference(Box<Wanted>),
    /// Several samples in an envelope, answered together. Handlers never see it: the envelope opens
    /// it around them.
    Instances(Box<Instances>),
}

/// Runs the model once; given to [`Handler::explain`].
pub type Forward<'a> = dyn FnMut(Vec<Value>) -> Result<Value, ExplainError> + 'a;

/// Why there is no explanation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// The handler's reason.
    #[error(transparent)]
    Handler(#[from] HandlerError),
    /// The engine's reason.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Nobody waits any more.
    #[error("nobody waits for the explanation any more")]
    TooLate,
}

/// Why a handler could not do its part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    /// The caller's input is wrong: answered 400 with this text.
    #[error("{0}")]
    BadInput(String),
    /// The model's result or settings are not what the handler serves: answered 503; the text is
    /// for the log.
    #[error("{0}")]
    Model(String),
}

/// What a handler is made from.
pub struct HandlerSettings<'a> {
    /// The model's name, for answers and log lines.
    pub model: &'a str,
    /// The model's version.
    pub version: &'a str,
    /// `index_to_name.json` as it is in the archive, if it is there.
    pub index_to_name: Option<&'a [u8]>,
    /// The whole `model-config.yaml` as JSON (`null` when there is none).
    pub model_config: &'a serde_json::Value,
    /// The arguments of the model's `forward`.
    pub signature: Signature,
    /// `limit_max_image_pixels`: refuse images above Pillow's bomb limit.
    pub limit_max_image_pixels: bool,
    /// `max_response_size`: an answer that is longer is refused, so that no more of it need be made.
    pub max_response_size: usize,
    /// `service_envelope`.
    pub envelope: Envelope,
    /// The other files at the top of the archive.
    pub files: &'a dyn Files,
}
