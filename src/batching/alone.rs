//! Who is alone in his batch: a request of a sequence, and an explanation.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::decode_pool::unpanicked;
use super::job::{Answer, Job, PredictError};
use super::work::{Spent, Work};
use crate::handlers::{ExplainError, Prediction};
use crate::trace::{BatchTrace, Step};

impl Work {
    /// One request of a sequence, on the module that has the sequence's state.
    pub(super) fn serve_turn(&self, job: Job, started: Instant, trace: Option<BatchTrace>) {
        let spent = Spent { trace, ..Spent::default() };
        let module = match &job.turn {
            Some(turn) => turn.module(&self.module),
            None => Ok(Arc::clone(&self.module)),
        };
        let still = || !job.is_abandoned() && job.deadline > Instant::now();
        let none = || PredictError::Failed("the handler gave no prediction".to_owned());
        let result = module.map_err(PredictError::from).and_then(|module| {
            let samples = vec![job.sample.clone()];
            self.predict_on(&*module, samples, &spent, &still)?.pop().ok_or_else(none)
        });
        let took = started.elapsed();
        match &result {
            Ok(_) => self.metrics.served(job.sample.asked.rows, took),
            Err(error) => {
                job.span(&self.model).in_scope(|| tracing::warn!(%error, "prediction failed"))
            }
        }
        self.metrics.worker_time(took, spent.handler.get());
        answer(job, started, result, spent.forward.get(), spent.postprocess.get());
    }

    /// Many forwards for one sample, which was alone in its batch.
    pub(super) fn serve_explanation(&self, job: Job, started: Instant, trace: Option<&BatchTrace>) {
        let forward = Cell::default();
        let result = self.explain(&job, &forward);
        if let Err(error) = &result {
            job.span(&self.model).in_scope(|| tracing::warn!(%error, "explanation failed"));
        }
        if let Some(trace) = trace {
            trace.step(Step::Explain, started, Instant::now());
        }
        answer(job, started, result, forward.get(), Duration::ZERO);
    }

    /// As long as somebody waits. The time that the model took is added to `took`.
    fn explain(&self, job: &Job, took: &Cell<Duration>) -> Result<Prediction, PredictError> {
        let asked = std::slice::from_ref(&job.sample.asked);
        let mut forward = |arguments| {
            if job.is_abandoned() || job.deadline <= Instant::now() {
                return Err(ExplainError::TooLate);
            }
            let start = Instant::now();
            let output = self.module.forward(arguments);
            took.set(took.get() + start.elapsed());
            Ok(output?)
        };
        let attempt = unpanicked(|| self.handler.explain(job.sample.clone(), asked, &mut forward));
        let explanations = attempt.map_err(|panicked| {
            self.count_panic(&panicked);
            PredictError::Failed(format!("the handler {panicked}"))
        })??;
        let none = || PredictError::Failed("the handler gave no explanation".to_owned());
        explanations.into_iter().next().ok_or_else(none)
    }
}

/// Answers a job that was a batch from `started` on.
fn answer(
    job: Job,
    started: Instant,
    result: Result<Prediction, PredictError>,
    forward: Duration,
    postprocess: Duration,
) {
    let queued = started.saturating_duration_since(job.enqueued_at);
    let preprocess = Duration::ZERO;
    job.answer(result.map(|prediction| Answer {
        prediction,
        batch_size: 1,
        preprocess,
        queued,
        forward,
        postprocess,
    }));
}
