//! One accepted request on its way through the queue, and the answer it is owed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::Span;

use super::queue::JobQueue;
use super::sequences::Turn;
use super::waiting::Ticket;
use crate::engine::EngineError;
use crate::handlers::{ExplainError, HandlerError, Prediction, Sample};
use crate::trace::{self, RequestTrace};

/// A preprocessed request and everything that travels with it.
///
/// Dropping a job answers it too: its caller then reads [`PredictError::WorkerDied`], so that no
/// request is ever left without an answer.
pub struct Job {
    /// What the model is asked.
    pub sample: Sample,
    /// When it was queued.
    pub enqueued_at: Instant,
    /// Later than this nobody waits for the answer: it is not run any more.
    pub deadline: Instant,
    /// The request's id, for log lines of the worker.
    pub request_id: Arc<str>,
    /// The request's trace, if it is recorded.
    pub trace: Option<RequestTrace>,
    /// The turn in its sequence, which it holds until it is answered.
    pub(super) turn: Option<Turn>,
    reply: oneshot::Sender<Result<Answer, PredictError>>,
}

/// The caller's end of a job. Dropped before the answer has come, it takes the job out of the queue.
pub struct Reply<'a> {
    queue: &'a JobQueue,
    /// None once it is answered.
    ticket: Option<Ticket>,
    receiver: Receiver,
}

/// Where the answer comes out.
pub(super) type Receiver = oneshot::Receiver<Result<Answer, PredictError>>;

/// A prediction and what it took.
#[derive(Debug)]
pub struct Answer {
    /// The handler's answer.
    pub prediction: Prediction,
    /// Jobs in the batch that it was part of.
    pub batch_size: usize,
    /// From the request to the handler's sample.
    pub preprocess: Duration,
    /// From the queue's door to the start of the batch.
    pub queued: Duration,
    /// In the engine; every forward that this job had to wait for once its batch had started.
    pub forward: Duration,
    /// From the outputs of its batch to the predictions, likewise.
    pub postprocess: Duration,
}

/// Why an accepted request got no prediction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PredictError {
    /// The model's operators refused the input: 400.
    #[error("the model refused this input: {0}")]
    BadInput(String),
    /// The model raised, or gave a result that its handler does not serve: 503. The text is for the
    /// log; the caller reads TorchServe's `Prediction failed`.
    #[error("prediction failed: {0}")]
    Failed(String),
    /// No memory for this batch: 507.
    #[error("out of resources: {0}")]
    OutOfMemory(String),
    /// The deadline passed before the model could answer: 504.
    #[error("no answer within the response timeout")]
    DeadlinePassed,
    /// The worker or its model went away with the job in hand: 500.
    #[error("the worker died")]
    WorkerDied,
}

/// For log lines about a prediction: they carry its model, its request's id and its trace's. To be made
/// only where something is said: it costs as much as a small model's forward.
pub fn prediction_span(model: &str, request_id: &str, trace: Option<&RequestTrace>) -> Span {
    let trace_id = trace.map(RequestTrace::trace_id);
    tracing::info_span!("prediction", model, request_id, trace_id)
}

// === impl Job ===

impl Job {
    /// A job that is queued now, and where its answer comes out.
    pub(super) fn new(
        sample: Sample,
        request_id: Arc<str>,
        deadline: Instant,
        turn: Option<Turn>,
    ) -> (Job, Receiver) {
        let (reply, receiver) = oneshot::channel();
        let (enqueued_at, trace) = (Instant::now(), trace::current());
        (Job { sample, enqueued_at, deadline, request_id, trace, turn, reply }, receiver)
    }

    /// [`prediction_span`] of this job.
    pub(super) fn span(&self, model: &str) -> Span {
        prediction_span(model, &self.request_id, self.trace.as_ref())
    }

    /// True when nobody waits for the answer any more.
    pub fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    /// Answers the job. A caller that has gone away is no error. Its turn ends before: who reads that a
    /// sequence has ended may begin another one.
    pub fn answer(self, answer: Result<Answer, PredictError>) {
        drop(self.turn);
        let _gone = self.reply.send(answer);
    }
}

// === impl Reply ===

impl<'a> Reply<'a> {
    pub(super) fn new(queue: &'a JobQueue, ticket: Ticket, receiver: Receiver) -> Reply<'a> {
        Reply { queue, ticket: Some(ticket), receiver }
    }

    /// Waits for the answer. Dropping the future takes the job out of the queue.
    ///
    /// # Errors
    /// [`PredictError`], among them `WorkerDied` when the job was dropped.
    pub async fn wait(mut self) -> Result<Answer, PredictError> {
        let answer = (&mut self.receiver).await;
        self.ticket = None;
        answer.unwrap_or(Err(PredictError::WorkerDied))
    }
}

impl Drop for Reply<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            // Closed first: a worker that has just cut it sees that nobody waits.
            self.receiver.close();
            self.queue.withdraw(ticket);
        }
    }
}

// === impl PredictError ===

impl From<EngineError> for PredictError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::InputRefused(text) => PredictError::BadInput(text),
            EngineError::Failed(text) => PredictError::Failed(text),
            EngineError::OutOfMemory(text) => PredictError::OutOfMemory(text),
        }
    }
}

impl From<ExplainError> for PredictError {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::Handler(error) => error.into(),
            ExplainError::Engine(error) => error.into(),
            ExplainError::TooLate => PredictError::DeadlinePassed,
        }
    }
}

impl From<HandlerError> for PredictError {
    fn from(error: HandlerError) -> Self {
        match error {
            HandlerError::BadInput(text) => PredictError::BadInput(text),
            HandlerError::Model(text) => PredictError::Failed(text),
        }
    }
}
