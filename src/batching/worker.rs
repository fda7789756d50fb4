//! A worker: a thread that takes batches from its model's queue and answers them.
//!
//! Started by the registry. It owns nothing but its copy of the module's handle; the weights are
//! shared by all workers of a model. A panic in a handler fails that batch, not the worker.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};

use super::job::{Answer, Job, PredictError};
use super::queue::{JobQueue, Next};
use crate::engine::{Device, Engine, EngineError, Module, give_way_to_reactors};
use crate::handlers::{Handler, HandlerError, Prediction, Sample};
use crate::metrics::ModelMetrics;

/// A running worker. Dropping it does not stop the thread: the registry does, with its queue.
pub struct Worker {
    /// Unique in the server; TorchServe's workers are named by their port, from 9000 on.
    pub id: usize,
    /// The device that it runs on.
    pub device: Device,
    /// When it was started.
    pub started_at: SystemTime,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
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
    pub(crate) queue: Arc<JobQueue>,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) module: Arc<dyn Module>,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) metrics: ModelMetrics,
    /// Threads of one forward. Shared by a model's workers: it falls when their number grows.
    pub(crate) intra_op_threads: Arc<AtomicUsize>,
}

// === impl Worker ===

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system's, when it grants no more threads.
    pub(crate) fn start(id: usize, device: Device, work: Work) -> std::io::Result<Worker> {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name(format!("worker-{id}"))
            .spawn(move || work.run(device, &asked))?;
        Ok(Worker { id, device, started_at: SystemTime::now(), stop, thread })
    }

    /// Tells the worker to end after the batch in hand. The caller wakes the queue.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// What the describe API shows.
    pub fn status(&self) -> WorkerStatus {
        if self.thread.is_finished() || self.stop.load(Ordering::Acquire) {
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
    fn run(self, device: Device, stop: &AtomicBool) {
        give_way_to_reactors();
        if let Err(error) = self.engine.enter_device(device) {
            tracing::error!(%error, ?device, "the worker's device is not ready");
        }
        let mut threads = self.intra_op_threads.load(Ordering::Relaxed);
        self.engine.enter_worker_thread(threads);
        while let Next::Batch(jobs) = self.queue.next(|| stop.load(Ordering::Acquire)) {
            let granted = self.intra_op_threads.load(Ordering::Relaxed);
            if granted != threads {
                threads = granted;
                self.engine.enter_worker_thread(threads);
            }
            self.serve(jobs);
        }
    }

    /// Runs the jobs as one batch and answers each of them.
    fn serve(&self, jobs: Vec<Job>) {
        let started = Instant::now();
        let size = jobs.len();
        self.metrics.batch(size);
        for job in &jobs {
            self.metrics.queued(started.saturating_duration_since(job.enqueued_at));
        }
        // Samples share their tensors with the jobs: this copies no numbers.
        let samples = jobs.iter().map(|job| job.sample.clone()).collect();
        match self.predict(samples) {
            Ok(predictions) => {
                for (job, prediction) in jobs.into_iter().zip(predictions) {
                    job.answer(Ok(Answer { prediction, batch_size: size }));
                }
            }
            Err(error) if size == 1 => {
                for job in jobs {
                    let answer = self.second_reading(&job.sample).unwrap_or(Err(error.clone()));
                    self.answer_alone(job, answer);
                }
            }
            Err(error) => {
                tracing::debug!(batch_size = size, %error, "a batch failed; its jobs run one by one");
                for job in jobs {
                    let alone = self.predict(vec![job.sample.clone()]).map(first);
                    let answer = match alone {
                        Ok(Some(prediction)) => Ok(prediction),
                        Ok(None) => Err(error.clone()),
                        Err(error) => self.second_reading(&job.sample).unwrap_or(Err(error)),
                    };
                    self.answer_alone(job, answer);
                }
            }
        }
    }

    fn answer_alone(&self, job: Job, answer: Result<Prediction, PredictError>) {
        if let Err(error) = &answer {
            job.span.in_scope(|| tracing::warn!(%error, "prediction failed"));
        }
        job.answer(answer.map(|prediction| Answer { prediction, batch_size: 1 }));
    }

    /// What the model says to the handler's other reading of a sample that it refused, if there is
    /// one and the model takes it.
    fn second_reading(&self, sample: &Sample) -> Option<Result<Prediction, PredictError>> {
        let other = self.handler.reinterpret(sample)?;
        let prediction = self.predict(vec![other]).ok().and_then(first)?;
        self.handler.learn();
        Some(Ok(prediction))
    }

    /// One forward for all samples: one prediction each, in order.
    fn predict(&self, samples: Vec<Sample>) -> Result<Vec<Prediction>, PredictError> {
        let asked: Vec<_> = samples.iter().map(|sample| sample.asked.clone()).collect();
        let attempt = catch_unwind(AssertUnwindSafe(|| {
            let arguments = self.handler.collate(samples)?;
            let forward = Instant::now();
            let output = self.module.forward(arguments)?;
            self.metrics.forward(forward.elapsed());
            Ok(self.handler.postprocess(output, &asked)?)
        }));
        let predictions = attempt.unwrap_or_else(|panic| Err(panicked(&*panic)))?;
        if predictions.len() != asked.len() {
            let (got, expected) = (predictions.len(), asked.len());
            let text = format!("the handler gave {got} predictions for {expected} samples");
            return Err(PredictError::Failed(text));
        }
        Ok(predictions)
    }
}

fn first(predictions: Vec<Prediction>) -> Option<Prediction> {
    predictions.into_iter().next()
}

fn panicked(panic: &(dyn Any + Send)) -> PredictError {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    PredictError::Failed(format!("the handler panicked: {text}"))
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

impl From<HandlerError> for PredictError {
    fn from(error: HandlerError) -> Self {
        match error {
            HandlerError::BadInput(text) => PredictError::BadInput(text),
            HandlerError::Model(text) => PredictError::Failed(text),
        }
    }
}
