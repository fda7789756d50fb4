//! One registered model version: its handler, its queue, its workers, and the way of a request
//! through them.
//!
//! Made by `load.rs`, asked by `http/` (predict, describe). Predictions take no lock but the queue's;
//! changes of the workers are in `workers.rs`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use super::error::ModelError;
use super::settings::ModelSettings;
use super::weights::Weights;
use super::workers::{Unchanged, WorkerInfo, WorkerLimits, Workers};
use crate::batching::{
    Admission, Answer, DecodePool, Decoding, Direct, JobQueue, Landing, Panicked, PoolFull,
    PredictError, PushError, SequenceLimits, Sequences, SequencesFull, Turn, prediction_span,
    unpanicked,
};
use crate::handlers::{Handler, HandlerError, RequestInput, Sample, SequenceCall, TensorMetadata};
use crate::metrics::{Latencies, ModelMetrics, Outcomes, RawForward, Served};
use crate::trace::{self, Step};

/// A model version that is registered.
pub struct Model {
    /// The name it is served under.
    pub name: String,
    /// The version, from the manifest.
    pub version: String,
    /// The archive's name in the model store, as it was registered, or the URL that it comes from.
    pub url: String,
    /// The handler that it was registered with in place of the manifest's.
    pub handler_override: Option<String>,
    /// Its file, which goes when the model is unregistered; only if it was downloaded.
    pub(super) downloaded: Option<PathBuf>,
    /// The manifest's runtime (`python`): shown only, the model runs in this process.
    pub runtime: String,
    /// The settings that it was registered with.
    pub settings: ModelSettings,
    /// True when it was loaded at the start.
    pub loaded_at_startup: bool,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) queue: Arc<JobQueue>,
    pub(super) metrics: ModelMetrics,
    pub(super) workers: Arc<Workers>,
    pub(super) decode_pool: Arc<DecodePool>,
    pub(super) direct: Arc<Direct>,
    /// Where the model remembers what it was asked (`sequenceBatching`).
    pub(super) sequences: Option<Arc<Sequences>>,
}

/// The header that tells a client its sequence, so that one that the server has named can go on.
pub const SEQUENCE_ID: &str = "ts_request_sequence_id";

/// A model that accepts nothing more. Its files and weights go with it.
pub(super) struct Closing<'a> {
    model: &'a Model,
    _weights: Option<Weights>,
}

/// A request that is being read into a sample.
enum Preprocessing {
    /// It costs less than the way to another thread: done where the request is.
    Here(RequestInput),
    /// A thread of the pool does it.
    InPool(Decoding<Result<Sample, HandlerError>>),
}

/// Waits for a step that is not done on this thread. The deadline is kept here, whatever the workers
/// do: all of them may be stuck.
async fn by<T>(deadline: Instant, step: impl Future<Output = T>) -> Result<T, ModelError> {
    let done = tokio::time::timeout_at(deadline.into(), step).await;
    done.map_err(|_| PredictError::DeadlinePassed.into())
}

// === impl Model ===

impl Model {
    /// One prediction: preprocess, queue, wait. `version` is what the request named, for messages.
    /// Dropping the future takes the request out again.
    ///
    /// # Errors
    /// [`ModelError`]; exactly one answer or one error per call.
    pub async fn predict(
        &self,
        input: RequestInput,
        version: Option<&str>,
    ) -> Result<Answer, ModelError> {
        match self.admit() {
            Ok(admission) => self.answer(admission, input, version).await,
            Err(_) => Err(self.reject(version)),
        }
    }

    /// A place in the queue, before any work is done for a request that would be refused.
    ///
    /// # Errors
    /// [`PushError`]; nothing is counted yet.
    pub(super) fn admit(&self) -> Result<Admission<'_>, PushError> {
        // The queue is open before the first worker is there.
        if self.workers.count() == 0 {
            return Err(PushError::Closed);
        }
        self.queue.admit()
    }

    /// The way of a request that has its place.
    ///
    /// # Errors
    /// [`ModelError`].
    pub(super) async fn answer(
        &self,
        admission: Admission<'_>,
        input: RequestInput,
        version: Option<&str>,
    ) -> Result<Answer, ModelError> {
        let accepted_at = Instant::now();
        let call = self.sequences.is_some().then(|| input.sequence.clone());
        if call.is_some() && input.explain {
            let text = "there are no explanations of a model with sequences";
            return Err(ModelError::BadInput(text.to_owned()));
        }
        let request_id = Arc::clone(&input.request_id);
        let Ok(preprocessing) = self.begin_preprocess(input) else {
            return Err(self.reject(version));
        };
        let outcome = self.metrics.accepted(version.is_some());
        let deadline = accepted_at + self.settings.deadline();
        let walk = async {
            let turn = self.turn(call, deadline, version).await?;
            self.walk(admission, preprocessing, request_id, deadline, turn).await
        };
        match walk.await {
            Ok(answer) => {
                outcome.succeeded(accepted_at.elapsed(), answer.queued, answer.forward);
                Ok(answer)
            }
            Err(error) => {
                match &error {
                    ModelError::Predict(PredictError::DeadlinePassed) => {
                        outcome.expired();
                        self.workers.deadline_passed();
                    }
                    ModelError::BadInput(_) | ModelError::Predict(PredictError::BadInput(_)) => {
                        outcome.bad_input();
                    }
                    _ => outcome.failed(),
                }
                Err(error)
            }
        }
    }

    /// The turn of a request in its sequence; none for a model without sequences.
    async fn turn(
        &self,
        call: Option<SequenceCall>,
        deadline: Instant,
        version: Option<&str>,
    ) -> Result<Option<Turn>, ModelError> {
        let (Some(sequences), Some(call)) = (&self.sequences, call) else { return Ok(None) };
        let turn = by(deadline, sequences.turn(&call)).await?;
        turn.map(Some).map_err(|SequencesFull| self.unavailable(version))
    }

    async fn walk(
        &self,
        admission: Admission<'_>,
        preprocessing: Preprocessing,
        request_id: Arc<str>,
        deadline: Instant,
        turn: Option<Turn>,
    ) -> Result<Answer, ModelError> {
        let flight = self.direct.enter();
        let began = Instant::now();
        let preprocessed = match preprocessing {
            Preprocessing::Here(input) => unpanicked(|| self.handler.preprocess(input)),
            Preprocessing::InPool(decoding) => by(deadline, decoding.wait()).await?,
        };
        let ready = Instant::now();
        let preprocess = ready.saturating_duration_since(began);
        if let Some(trace) = trace::current() {
            trace.step(Step::Decode, began, ready);
        }
        let sample = preprocessed.map_err(|Panicked(text)| {
            let span = self.span(&request_id);
            span.in_scope(|| tracing::error!(panic = text, "preprocessing panicked"));
            ModelError::Preprocess
        })?;
        let sample = sample.map_err(|error| match error {
            HandlerError::BadInput(text) => ModelError::BadInput(text),
            HandlerError::Model(text) => ModelError::Predict(PredictError::Failed(text)),
        })?;
        self.metrics.preprocess(preprocess);
        let Some(turn) = turn else {
            let sample = match flight.run(sample, ready).await {
                Landing::Answer(answer) => return Ok(Answer { preprocess, ..answer? }),
                Landing::Queue(sample) => sample,
            };
            let answer = self.queued(admission, sample, request_id, deadline, None).await?;
            return Ok(Answer { preprocess, ..answer });
        };
        let id = turn.id().to_owned();
        let answer = self.queued(admission, sample, request_id, deadline, Some(turn)).await;
        let mut answer = Answer { preprocess, ..answer? };
        answer.prediction.headers.push((SEQUENCE_ID, id.into()));
        Ok(answer)
    }

    async fn queued(
        &self,
        admission: Admission<'_>,
        sample: Sample,
        request_id: Arc<str>,
        deadline: Instant,
        turn: Option<Turn>,
    ) -> Result<Answer, ModelError> {
        // Refused only when the model was dropped with requests in hand.
        let pushed = admission.push(sample, request_id, deadline, turn);
        let reply = pushed.map_err(|_| PredictError::WorkerDied)?;
        Ok(by(deadline, reply.wait()).await??)
    }

    fn span(&self, request_id: &str) -> tracing::Span {
        prediction_span(&self.name, request_id, trace::current().as_ref())
    }

    /// Refuses a request that no worker would serve, before its body is read or judged.
    ///
    /// # Errors
    /// [`ModelError::Unavailable`] without workers.
    pub fn expect_workers(&self, version: Option<&str>) -> Result<(), ModelError> {
        if self.workers.count() > 0 {
            return Ok(());
        }
        Err(self.reject(version))
    }

    /// Off the reactor unless the handler says that it costs less than the way there.
    fn begin_preprocess(&self, input: RequestInput) -> Result<Preprocessing, PoolFull> {
        if self.handler.preprocess_is_cheap(&input) {
            return Ok(Preprocessing::Here(input));
        }
        let handler = Arc::clone(&self.handler);
        let span = self.span(&input.request_id);
        let submitted =
            span.in_scope(|| self.decode_pool.submit(move || handler.preprocess(input)));
        submitted.map(Preprocessing::InPool)
    }

    /// Counts a request that gets no place, and says so.
    pub(super) fn reject(&self, version: Option<&str>) -> ModelError {
        self.metrics.rejected(version.is_some());
        self.unavailable(version)
    }

    fn unavailable(&self, version: Option<&str>) -> ModelError {
        ModelError::Unavailable { name: self.name.clone(), version: version.map(str::to_owned) }
    }

    /// Starts or ends workers; ended ones finish the batch in hand. Blocks.
    pub(super) fn scale(
        &self,
        limits: WorkerLimits,
        next_id: &AtomicUsize,
    ) -> Result<usize, Unchanged> {
        self.workers.scale(limits, next_id)
    }

    /// Accepts nothing more and does not wait; what was accepted is run.
    pub(super) fn begin_close(&self) -> Closing<'_> {
        Closing { model: self, _weights: self.workers.close() }
    }

    /// The state of each worker.
    pub fn workers(&self) -> Vec<WorkerInfo> {
        self.workers.info()
    }

    /// The number of workers.
    pub fn worker_count(&self) -> usize {
        self.workers.count()
    }

    /// `minWorkers` and `maxWorkers` in force.
    pub fn worker_limits(&self) -> WorkerLimits {
        self.workers.limits()
    }

    /// True when as many workers serve as were asked for.
    pub fn is_healthy(&self) -> bool {
        self.workers.are_healthy()
    }

    /// What it takes, in the Open Inference Protocol's words; empty when it does not tell.
    pub fn inputs(&self) -> Vec<TensorMetadata> {
        self.handler.inputs()
    }

    /// What it gives, likewise.
    pub fn outputs(&self) -> Vec<TensorMetadata> {
        self.handler.outputs()
    }

    /// Jobs that wait, and jobs that may still come.
    pub fn queue_status(&self) -> (usize, usize) {
        let pending = self.queue.pending();
        self.metrics.queue_depth(pending);
        (pending, self.queue.room())
    }

    /// One forward of each batch size, alone, as measured at load; empty when the model's shapes are
    /// not known.
    pub fn raw_forward(&self) -> &[RawForward] {
        self.workers.raw_forward()
    }

    /// What the workers have done since the model was loaded.
    pub fn work_done(&self) -> Served {
        self.metrics.work_done()
    }

    /// How long its requests took, step by step.
    pub fn latencies(&self) -> Latencies {
        self.metrics.latencies()
    }

    /// How its requests have ended.
    pub fn outcomes(&self) -> Outcomes {
        self.metrics.outcomes()
    }

    /// The limits of its sequences, if it has any.
    pub fn sequence_limits(&self) -> Option<SequenceLimits> {
        self.sequences.as_ref().map(|sequences| sequences.limits())
    }

    /// `cpu` or `gpu`.
    pub fn device_type(&self) -> &'static str {
        self.workers.device_type()
    }

    /// The directory that holds the unpacked archive; none once the model is unregistered. May wait
    /// for a worker that is being started.
    pub fn directory(&self) -> Option<PathBuf> {
        self.workers.directory()
    }
}

// === impl Closing ===

impl Closing<'_> {
    /// Waits for the workers until `end`, then drops what still waits; every dropped job is
    /// answered. True when nothing had to be dropped. Blocks.
    pub(super) fn finish(self, end: Instant) -> bool {
        let finished = self.model.workers.wait_for_ending(end);
        self.model.workers.abandon();
        finished
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.workers.abandon();
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("name", &self.name).field("version", &self.version).finish()
    }
}
