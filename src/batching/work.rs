//! What a worker does with a batch: collate, forward, postprocess, and an answer to each job.
//!
//! Called by `worker.rs` on its thread, and by `direct.rs` on a reactor's. Who is alone in his batch has
//! `alone.rs`.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use super::bisect::{self, Again, Runner};
use super::decode_pool::{Panicked, unpanicked};
use super::direct::Direct;
use super::job::{Answer, Job, PredictError};
use super::policy::Filling;
use super::queue::JobQueue;
use super::steps;
use super::turn::Joined;
use crate::engine::{Engine, Module, Value};
use crate::handlers::{Handler, Prediction, Sample, Task};
use crate::metrics::ModelMetrics;
use crate::trace::{BatchTrace, RequestTrace, Step};

/// What a worker needs.
pub(crate) struct Work {
    /// The model's name, for log lines.
    pub(crate) model: String,
    /// A call changes the module, and this worker has a copy of its own.
    pub(crate) changes_itself: bool,
    pub(crate) queue: Arc<JobQueue>,
    pub(crate) direct: Arc<Direct>,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) module: Arc<dyn Module>,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) metrics: ModelMetrics,
    /// Threads of one forward. Shared by a model's workers: it falls when their number grows.
    pub(crate) intra_op_threads: Arc<AtomicUsize>,
}

/// What a batch has taken so far.
#[derive(Default)]
pub(super) struct Spent {
    /// In the engine.
    pub(super) forward: Cell<Duration>,
    /// In the handler and the engine.
    pub(super) handler: Cell<Duration>,
    /// In the handler, behind the engine.
    pub(super) postprocess: Cell<Duration>,
    /// Its trace, if one of its requests is recorded.
    pub(super) trace: Option<BatchTrace>,
}

/// A batch in hand.
struct Batch<'a> {
    work: &'a Arc<Work>,
    started: Instant,
    spent: Spent,
    /// Rows that were answered with a prediction.
    rows: Cell<usize>,
}

// === impl Work ===

impl Work {
    pub(super) fn count_panic(&self, panicked: &Panicked) {
        self.metrics.worker_panicked();
        tracing::error!(panic = panicked.0, "a worker panicked; it goes on");
    }

    /// Runs the jobs as one batch and answers each of them.
    ///
    /// Answers are written here, not on another thread. There are as many workers as cores, so that
    /// no core is idle which could take that over: measured with optimisation on two cores, all that
    /// is neither queue nor forward takes 8 us for three numbers, as much as a hop, and 6 ms for the
    /// JSON of 100,000, wherever it is written. A model with fewer workers whose answers are large
    /// gets the overlap from one more worker, which shares the weights.
    pub(super) fn serve(self: &Arc<Self>, jobs: Vec<Job>) {
        let started = Instant::now();
        self.metrics.batch(jobs.len());
        for job in &jobs {
            self.metrics.queued(started.saturating_duration_since(job.enqueued_at));
        }
        let trace = trace_of(&jobs, started);
        if let [job] = jobs.as_slice()
            && let Task::Explain { .. } = job.sample.asked.task
        {
            return jobs
                .into_iter()
                .for_each(|job| self.serve_explanation(job, started, trace.as_ref()));
        }
        if jobs.iter().any(|job| job.turn.is_some()) {
            // A request of a sequence is alone in its batch.
            let mut trace = trace;
            return jobs.into_iter().for_each(|job| self.serve_turn(job, started, trace.take()));
        }
        let spent = Spent { trace, ..Spent::default() };
        let batch = Batch { work: self, started, spent, rows: Cell::new(0) };
        bisect::serve(&batch, jobs);
        let took = started.elapsed();
        self.metrics.served(batch.rows.get(), took);
        self.metrics.worker_time(took, batch.spent.handler.get());
    }

    /// True when any thread may make a call, and its time is known from its shapes. A queue that is
    /// to be filled is not passed by.
    pub(super) fn may_run_anywhere(&self) -> bool {
        self.module.time_follows_shapes()
            && !self.changes_itself
            && self.queue.policy().filling == Filling::WorkConserving
    }

    /// A batch on the calling thread, an answer for each sample; none when it failed. `joined` says
    /// since when each waits.
    pub(super) fn answer_here(
        &self,
        samples: Vec<Sample>,
        joined: &[Joined],
    ) -> Option<Vec<Answer>> {
        let started = Instant::now();
        let trace =
            BatchTrace::begin(samples.len(), joined.iter().filter_map(Joined::recorded), started);
        let spent = Spent { trace, ..Spent::default() };
        let (batch_size, rows) = (samples.len(), samples.iter().map(|it| it.asked.rows).sum());
        let predictions = self.predict(samples, &spent).ok()?;
        self.metrics.batch(batch_size);
        let took = started.elapsed();
        self.metrics.served(rows, took);
        self.metrics.worker_time(took, spent.handler.get());
        let (forward, postprocess) = (spent.forward.get(), spent.postprocess.get());
        let answer = |(prediction, joined): (_, &Joined)| {
            let queued = started.saturating_duration_since(joined.at);
            self.metrics.queued(queued);
            let preprocess = Duration::ZERO;
            Answer { prediction, batch_size, preprocess, queued, forward, postprocess }
        };
        Some(predictions.into_iter().zip(joined).map(answer).collect())
    }

    /// What the model says to the handler's other reading of a sample that it refused, if there is
    /// one and the model takes it.
    fn second_reading(&self, sample: &Sample, spent: &Spent) -> Option<Prediction> {
        if self.changes_itself {
            return None;
        }
        let other = self.handler.reinterpret(sample)?;
        let prediction = self.predict(vec![other], spent).ok()?.into_iter().next()?;
        self.handler.learn();
        Some(prediction)
    }

    /// One forward for all samples: one prediction each, in order. The time that it took is
    /// added to `spent`.
    fn predict(
        &self,
        samples: Vec<Sample>,
        spent: &Spent,
    ) -> Result<Vec<Prediction>, PredictError> {
        self.predict_on(&*self.module, samples, spent, &|| true)
    }

    /// The same on a module. `still` is asked between the steps of a sample whether somebody waits.
    pub(super) fn predict_on(
        &self,
        module: &dyn Module,
        samples: Vec<Sample>,
        spent: &Spent,
        still: &dyn Fn() -> bool,
    ) -> Result<Vec<Prediction>, PredictError> {
        let asked: Vec<_> = samples.iter().map(|sample| sample.asked.clone()).collect();
        let began = Instant::now();
        let attempt = unpanicked(|| {
            let arguments = self.handler.collate(samples)?;
            let start = Instant::now();
            let output = match asked.as_slice() {
                [only] if only.in_steps => in_steps(module, &arguments, only.rows, still),
                _ => module.forward(arguments).map_err(PredictError::from),
            };
            let took = start.elapsed();
            spent.forward.set(spent.forward.get() + took);
            spent.step(Step::Forward, start, took);
            let output = output?;
            self.metrics.forward(took);
            let start = Instant::now();
            let predictions = self.handler.postprocess(output, &asked);
            let took = start.elapsed();
            spent.postprocess.set(spent.postprocess.get() + took);
            spent.step(Step::Encode, start, took);
            let predictions = predictions?;
            self.metrics.postprocess(took);
            Ok(predictions)
        });
        spent.handler.set(spent.handler.get() + began.elapsed());
        let predictions = attempt.unwrap_or_else(|panicked| {
            self.count_panic(&panicked);
            Err(PredictError::Failed(format!("the handler {panicked}")))
        })?;
        if predictions.len() != asked.len() {
            let (got, expected) = (predictions.len(), asked.len());
            let text = format!("the handler gave {got} predictions for {expected} samples");
            return Err(PredictError::Failed(text));
        }
        Ok(predictions)
    }
}

/// One forward for each row, in order.
fn in_steps(
    module: &dyn Module,
    arguments: &[Value],
    rows: usize,
    still: &dyn Fn() -> bool,
) -> Result<Value, PredictError> {
    let mut results = Vec::with_capacity(rows);
    for number in 0..rows {
        if !still() {
            return Err(PredictError::DeadlinePassed);
        }
        let row = steps::row(arguments, rows, number).map_err(PredictError::Failed)?;
        results.push(module.forward(row)?);
    }
    steps::join(results).map_err(PredictError::Failed)
}

/// The trace of a batch that begins.
fn trace_of(jobs: &[Job], started: Instant) -> Option<BatchTrace> {
    fn recorded(job: &Job) -> Option<(&RequestTrace, Option<Instant>)> {
        job.trace.as_ref().map(|trace| (trace, Some(job.enqueued_at)))
    }
    BatchTrace::begin(jobs.len(), jobs.iter().filter_map(recorded), started)
}

// === impl Spent ===

impl Spent {
    fn step(&self, step: Step, started: Instant, took: Duration) {
        if let Some(trace) = &self.trace {
            trace.step(step, started, started + took);
        }
    }
}

// === impl Batch ===

impl Runner for Batch<'_> {
    type Job = Job;
    type Prediction = Prediction;
    type Error = PredictError;

    fn run(&self, jobs: &[Job]) -> Result<Vec<Prediction>, PredictError> {
        // Samples share their tensors with the jobs: this copies no numbers.
        let samples = jobs.iter().map(|job| job.sample.clone()).collect();
        let before = self.spent.forward.get();
        let result = self.work.predict(samples, &self.spent);
        if let ([job, others @ ..], Ok(_)) = (jobs, &result)
            && others.iter().all(|other| other.sample.asked.rows == 1)
        {
            let took = self.spent.forward.get().saturating_sub(before);
            self.work.direct.timed(self.work, &job.sample, took);
        }
        if let (Err(error), 2..) = (&result, jobs.len()) {
            tracing::debug!(batch_size = jobs.len(), %error, "a batch failed");
        }
        result
    }

    /// A module that changes itself has done so by the time it fails, perhaps half: nobody can say
    /// what another run of the same rows would mean, so that the batch fails as a whole, as in
    /// TorchServe. No memory for the half of a batch is no memory for its quarters either.
    fn again(&self, error: &PredictError) -> Again {
        match error {
            _ if self.work.changes_itself => Again::Never,
            PredictError::OutOfMemory(_) => Again::Once,
            _ => Again::UntilFound,
        }
    }

    fn still_awaited(&self, job: Job) -> Option<Job> {
        if job.is_abandoned() {
            return None;
        }
        if job.deadline <= Instant::now() {
            job.answer(Err(PredictError::DeadlinePassed));
            return None;
        }
        Some(job)
    }

    fn answer(&self, job: Job, batch_size: usize, result: Result<Prediction, PredictError>) {
        let result = match result {
            Err(error) if batch_size == 1 => {
                self.work.second_reading(&job.sample, &self.spent).ok_or(error)
            }
            other => other,
        };
        match &result {
            Ok(_) => self.rows.set(self.rows.get() + job.sample.asked.rows),
            Err(error) => {
                let span = job.span(&self.work.model);
                span.in_scope(|| tracing::warn!(%error, "prediction failed"));
            }
        }
        let queued = self.started.saturating_duration_since(job.enqueued_at);
        job.answer(result.map(|prediction| Answer {
            prediction,
            batch_size,
            preprocess: Duration::ZERO,
            queued,
            forward: self.spent.forward.get(),
            postprocess: self.spent.postprocess.get(),
        }));
    }
}
