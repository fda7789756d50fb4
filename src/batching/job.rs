//! One accepted request on its way through the queue, and the answer it is owed.

use std::time::Instant;

use tokio::sync::oneshot;
use tracing::Span;

use crate::handlers::{Prediction, Sample};

/// A preprocessed request and everything that travels with it.
///
/// Dropping a job answers it too: its caller then reads [`PredictError::WorkerDied`], so that no
/// request is ever left without an answer.
pub struct Job {
    /// What the model is asked.
    pub sample: Sample,
    /// When it was accepted.
    pub enqueued_at: Instant,
    /// Later than this nobody waits for the answer: it is not run any more.
    pub deadline: Instant,
    /// The request's span, so that log lines of the worker carry its id.
    pub span: Span,
    reply: oneshot::Sender<Result<Answer, PredictError>>,
}

/// The caller's end of a job.
pub struct Reply(oneshot::Receiver<Result<Answer, PredictError>>);

/// A prediction and what it took.
#[derive(Debug)]
pub struct Answer {
    /// The handler's answer.
    pub prediction: Prediction,
    /// Jobs in the batch that it was part of.
    pub batch_size: usize,
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

// === impl Job ===

impl Job {
    /// A job and the caller's end of it.
    pub fn new(sample: Sample, enqueued_at: Instant, deadline: Instant) -> (Job, Reply) {
        let (reply, receiver) = oneshot::channel();
        (Job { sample, enqueued_at, deadline, span: Span::current(), reply }, Reply(receiver))
    }

    /// True when nobody waits for the answer any more.
    pub fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    /// Answers the job. A caller that has gone away is no error.
    pub fn answer(self, answer: Result<Answer, PredictError>) {
        let _gone = self.reply.send(answer);
    }
}

// === impl Reply ===

impl Reply {
    /// Waits for the answer. Dropping the future abandons the job.
    ///
    /// # Errors
    /// [`PredictError`], among them `WorkerDied` when the job was dropped.
    pub async fn wait(self) -> Result<Answer, PredictError> {
        self.0.await.unwrap_or(Err(PredictError::WorkerDied))
    }
}
