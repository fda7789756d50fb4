//! A worker: a thread that takes batches from its model's queue and answers them.
//!
//! Started by the registry. It owns nothing but its copy of the module's handle; the weights are
//! shared by all workers of a model. A panic in a handler fails that batch; one around it fails the jobs
//! in hand, which are answered. The worker goes on in both cases, and it is counted.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use super::bisect::{self, Again, Runner};
use super::decode_pool::{Panicked, unpanicked};
use super::direct::Direct;
use super::job::{Answer, Job, PredictError};
use super::policy::Filling;
use super::queue::{JobQueue, Next};
use super::steps;
use super::turn::Joined;
use crate::engine::{Device, Engine, EngineError, Module, Value, give_way_to_reactors};
use crate::handlers::{ExplainError, Handler, HandlerError, Prediction, Sample, Task};
use crate::metrics::{DeviceQueue, ModelMetrics};
use crate::trace::{BatchTrace, RequestTrace, Step};

/// A running worker. Dropping it does not stop the thread: the registry does, with its queue.
pub struct Worker {
    /// Unique in the server; TorchServe's workers are named by their port, from 9000 on.
    pub id: usize,
    /// The device that it runs on.
    pub device: Device,
    /// When it was started.
    pub started_at: SystemTime,
    state: Arc<State>,
    thread: JoinHandle<()>,
}

/// What the thread shares with those who look after it.
struct State {
    /// It is to end after the batch in hand.
    stop: AtomicBool,
    born: Instant,
    /// Milliseconds from `born` to the start of the batch in hand, and one more; 0 without a batch.
    busy_since: AtomicU64,
}

/// The state of a worker as the describe API shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerStatus {
    /// Serves.
    Ready,
    /// Has ended, or was told to.
    Unloading,
}

/// What a worker needs.
pub(crate) struct Work {
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
struct Spent {
    /// In the engine.
    forward: Cell<Duration>,
    /// In the handler and the engine.
    handler: Cell<Duration>,
    /// In the handler, behind the engine.
    postprocess: Cell<Duration>,
    /// Its trace, if one of its requests is recorded.
    trace: Option<BatchTrace>,
}

/// A batch in hand.
struct Batch<'a> {
    work: &'a Arc<Work>,
    started: Instant,
    spent: Spent,
    /// Rows that were answered with a prediction.
    rows: Cell<usize>,
}

/// After a panic around a batch: whatever the reason, the log is not to be flooded.
const PAUSE_AFTER_PANIC: Duration = Duration::from_millis(100);

// === impl State ===

impl State {
    fn new() -> State {
        let (stop, busy_since) = (AtomicBool::new(false), AtomicU64::new(0));
        State { stop, born: Instant::now(), busy_since }
    }

    fn should_stop(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn begin_batch(&self) {
        let millis = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.busy_since.store(millis + 1, Ordering::Relaxed);
    }

    fn end_batch(&self) {
        self.busy_since.store(0, Ordering::Relaxed);
    }
}

// === impl Worker ===

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system's, when it grants no more threads.
    pub(crate) fn start(id: usize, device: Device, work: Work) -> std::io::Result<Worker> {
        let state = Arc::new(State::new());
        let shared = Arc::clone(&state);
        let work = Arc::new(work);
        let thread = std::thread::Builder::new()
            .name(format!("worker-{id}"))
            .spawn(move || work.run(device, &shared))?;
        Ok(Worker { id, device, started_at: SystemTime::now(), state, thread })
    }

    /// Tells the worker to end after the batch in hand. The caller wakes the queue.
    pub(crate) fn stop(&self) {
        self.state.stop.store(true, Ordering::Release);
    }

    /// How long it has had its batch in hand; none while it waits for one.
    pub fn busy_for(&self) -> Option<Duration> {
        let since = self.state.busy_since.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.state.born.elapsed().saturating_sub(Duration::from_millis(since)))
    }

    /// What the describe API shows.
    pub fn status(&self) -> WorkerStatus {
        if self.thread.is_finished() || self.state.should_stop() {
            return WorkerStatus::Unloading;
        }
        WorkerStatus::Ready
    }

    /// True once the thread has nothing more to do.
    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until the thread is gone.
    pub(crate) fn join(self) {
        // Its panics were caught where they could answer jobs; one outside of a batch is in the log.
        let _panicked = self.thread.join();
    }
}

// === impl Work ===

impl Work {
    fn run(self: Arc<Self>, device: Device, state: &State) {
        give_way_to_reactors();
        if let Err(error) = self.engine.enter_device(device) {
            tracing::error!(%error, %device, "the worker's device is not ready");
        }
        let device = self.metrics.device(&device.to_string());
        while let Err(panicked) = unpanicked(|| self.serve_all(state, &device)) {
            // Jobs that it had in hand were dropped, and answered by that.
            state.end_batch();
            self.count_panic(&panicked);
            std::thread::sleep(PAUSE_AFTER_PANIC);
        }
    }

    /// Serves until the worker is to end.
    fn serve_all(self: &Arc<Self>, state: &State, device: &DeviceQueue) {
        let mut threads = self.intra_op_threads.load(Ordering::Relaxed);
        self.engine.enter_worker_thread(threads);
        while let Next::Batch(jobs) = self.queue.next(|| state.should_stop()) {
            state.begin_batch();
            let _handed = device.hand(jobs.len());
            let granted = self.intra_op_threads.load(Ordering::Relaxed);
            if granted != threads {
                threads = granted;
                self.engine.enter_worker_thread(threads);
            }
            self.serve(jobs);
            state.end_batch();
        }
    }

    fn count_panic(&self, panicked: &Panicked) {
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
    fn serve(self: &Arc<Self>, jobs: Vec<Job>) {
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

    /// One request of a sequence, on the module that has the sequence's state.
    fn serve_turn(&self, job: Job, started: Instant, trace: Option<BatchTrace>) {
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
            Err(error) => job.span.in_scope(|| tracing::warn!(%error, "prediction failed")),
        }
        self.metrics.worker_time(took, spent.handler.get());
        let queued = started.saturating_duration_since(job.enqueued_at);
        job.answer(result.map(|prediction| Answer {
            prediction,
            batch_size: 1,
            preprocess: Duration::ZERO,
            queued,
            forward: spent.forward.get(),
            postprocess: spent.postprocess.get(),
        }));
    }

    /// Many forwards for one sample, which was alone in its batch.
    fn serve_explanation(&self, job: Job, started: Instant, trace: Option<&BatchTrace>) {
        let forward = Cell::default();
        let result = self.explain(&job, &forward);
        if let Err(error) = &result {
            job.span.in_scope(|| tracing::warn!(%error, "explanation failed"));
        }
        if let Some(trace) = trace {
            trace.step(Step::Explain, started, Instant::now());
        }
        let queued = started.saturating_duration_since(job.enqueued_at);
        job.answer(result.map(|prediction| Answer {
            prediction,
            batch_size: 1,
            preprocess: Duration::ZERO,
            queued,
            forward: forward.get(),
            postprocess: Duration::ZERO,
        }));
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
    fn predict_on(
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
            Err(error) => job.span.in_scope(|| tracing::warn!(%error, "prediction failed")),
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
