//! One registered model version: its handler, its queue, its workers, and the way of a request
//! through them.
//!
//! Made by `load.rs`, asked by `http/` (predict, describe). The weights are loaded once and shared by
//! all workers; the archive's files are removed when the last request is done with the model.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::error::ModelError;
use super::settings::ModelSettings;
use crate::archive::ModelArchive;
use crate::batching::{Answer, Job, JobQueue, PredictError, Worker, WorkerStatus};
use crate::engine::{Devices, Engine, EngineError, Module};
use crate::handlers::{Handler, HandlerError, RequestInput, Sample};
use crate::metrics::ModelMetrics;

/// A model version that is registered.
pub struct Model {
    /// The name it is served under.
    pub name: String,
    /// The version, from the manifest.
    pub version: String,
    /// The archive's name in the model store, as it was registered.
    pub url: String,
    /// The manifest's runtime (`python`): shown only, the model runs in this process.
    pub runtime: String,
    /// The settings in force.
    pub settings: ModelSettings,
    /// True when it was loaded at the start.
    pub loaded_at_startup: bool,
    pub(super) archive: ModelArchive,
    pub(super) handler: Arc<dyn Handler>,
    /// One loaded module per device that workers run on.
    pub(super) modules: Vec<Arc<dyn Module>>,
    pub(super) devices: Devices,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) queue: Arc<JobQueue>,
    pub(super) metrics: ModelMetrics,
    pub(super) intra_op_threads: usize,
    pub(super) workers: Mutex<Vec<Worker>>,
    /// The length of `workers`, read by every request without the lock.
    pub(super) worker_count: AtomicUsize,
    /// Requests in `preprocess`: they count against the queue's bound.
    pub(super) preprocessing: AtomicUsize,
}

/// What the describe API shows of a worker.
#[derive(Clone, Debug)]
pub struct WorkerInfo {
    /// TorchServe's worker id.
    pub id: usize,
    /// When it was started.
    pub started_at: SystemTime,
    /// Serving or not.
    pub status: WorkerStatus,
    /// True when it runs on a GPU.
    pub gpu: bool,
}

/// Counts a request in `preprocess` for as long as it lives.
struct Preprocessing<'a>(&'a AtomicUsize);

// === impl Model ===

impl Model {
    /// One prediction: preprocess, queue, wait. `version` is what the request named, for messages.
    ///
    /// # Errors
    /// [`ModelError`]; exactly one answer or one error per call.
    pub async fn predict(
        &self,
        input: RequestInput,
        version: Option<&str>,
    ) -> Result<Answer, ModelError> {
        let accepted = Instant::now();
        self.metrics.requested();
        let preprocessing = self.admit(version)?;
        let sample = self.preprocess(input).await?;
        drop(preprocessing);
        let deadline = accepted + self.settings.deadline();
        let (job, reply) = Job::new(sample, accepted, deadline);
        if self.queue.push(job).is_err() {
            self.metrics.rejected();
            return Err(self.unavailable(version));
        }
        let outcome = self.metrics.accepted();
        match tokio::time::timeout_at(deadline.into(), reply.wait()).await {
            Ok(Ok(answer)) => {
                outcome.succeeded(accepted.elapsed());
                Ok(answer)
            }
            Ok(Err(PredictError::DeadlinePassed)) | Err(_) => {
                outcome.expired();
                Err(PredictError::DeadlinePassed.into())
            }
            Ok(Err(error)) => {
                outcome.failed();
                Err(error.into())
            }
        }
    }

    /// Room in the queue, seen before any work is done for a request that would be refused.
    fn admit(&self, version: Option<&str>) -> Result<Preprocessing<'_>, ModelError> {
        if self.worker_count.load(Ordering::Acquire) == 0 {
            self.metrics.rejected();
            return Err(self.unavailable(version));
        }
        let permit = Preprocessing::enter(&self.preprocessing);
        // `>`: this request is counted already.
        if self.queue.pending() + self.preprocessing.load(Ordering::Relaxed) > self.queue.capacity()
        {
            self.metrics.rejected();
            return Err(self.unavailable(version));
        }
        Ok(permit)
    }

    /// Off the reactor unless the handler says that it costs less than the way there.
    async fn preprocess(&self, input: RequestInput) -> Result<Sample, ModelError> {
        let result = if self.handler.preprocess_is_cheap(&input) {
            self.handler.preprocess(input)
        } else {
            let handler = Arc::clone(&self.handler);
            let work = tokio::task::spawn_blocking(move || handler.preprocess(input));
            work.await.map_err(|error| {
                ModelError::Predict(PredictError::Failed(format!("preprocess: {error}")))
            })?
        };
        result.map_err(|error| match error {
            HandlerError::BadInput(text) => ModelError::BadInput(text),
            HandlerError::Model(text) => ModelError::Predict(PredictError::Failed(text)),
        })
    }

    fn unavailable(&self, version: Option<&str>) -> ModelError {
        ModelError::Unavailable { name: self.name.clone(), version: version.map(str::to_owned) }
    }

    /// Starts or stops workers until there are `count`. Stopped ones finish the batch in hand.
    ///
    /// # Errors
    /// [`EngineError`] when a worker's own copy of the module does not fit in memory, or when the
    /// system grants no thread; the workers that run already go on.
    pub fn scale(&self, count: usize, next_id: &AtomicUsize) -> Result<(), EngineError> {
        let mut workers = self.lock_workers();
        let kept = count.min(workers.len());
        let stopped = workers.split_off(kept);
        for worker in &stopped {
            worker.stop();
        }
        if !stopped.is_empty() {
            self.queue.wake_all();
        }
        while workers.len() < count {
            match self.start_worker(workers.len(), next_id.fetch_add(1, Ordering::Relaxed)) {
                Ok(worker) => workers.push(worker),
                Err(error) => {
                    self.worker_count.store(workers.len(), Ordering::Release);
                    return Err(error);
                }
            }
        }
        self.worker_count.store(workers.len(), Ordering::Release);
        if count == 0 {
            // Nobody is left who would run them.
            self.queue.clear();
        }
        Ok(())
    }

    fn start_worker(&self, number: usize, id: usize) -> Result<Worker, EngineError> {
        let shared = &self.modules[number % self.modules.len()];
        let module = shared.replica()?.unwrap_or_else(|| Arc::clone(shared));
        let work = crate::batching::Work {
            queue: Arc::clone(&self.queue),
            handler: Arc::clone(&self.handler),
            module,
            engine: Arc::clone(&self.engine),
            metrics: self.metrics.clone(),
            intra_op_threads: self.intra_op_threads,
        };
        Worker::start(id, self.devices.of_worker(number), work)
            .map_err(|error| EngineError::Failed(format!("no thread for a worker: {error}")))
    }

    /// Accepts nothing more, runs what is waiting for up to `patience`, then drops the rest; every
    /// dropped job is answered. True when nothing had to be dropped.
    pub fn close(&self, patience: Duration) -> bool {
        self.queue.close();
        let end = Instant::now() + patience;
        while !self.lock_workers().iter().all(Worker::is_finished) {
            if Instant::now() >= end {
                self.queue.clear();
                for worker in self.lock_workers().iter() {
                    worker.stop();
                }
                self.queue.wake_all();
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.queue.clear();
        true
    }

    /// The state of each worker.
    pub fn workers(&self) -> Vec<WorkerInfo> {
        let info = |worker: &Worker| WorkerInfo {
            id: worker.id,
            started_at: worker.started_at,
            status: worker.status(),
            gpu: worker.device.kind() == "gpu",
        };
        self.lock_workers().iter().map(info).collect()
    }

    /// The number of workers.
    pub fn worker_count(&self) -> usize {
        self.worker_count.load(Ordering::Acquire)
    }

    /// True when as many workers serve as the settings ask for.
    pub fn is_healthy(&self) -> bool {
        self.lock_workers().iter().all(|worker| worker.status() == WorkerStatus::Ready)
    }

    /// Jobs that wait, and jobs that may still come.
    pub fn queue_status(&self) -> (usize, usize) {
        let pending = self.queue.pending();
        self.metrics.queue_depth(pending);
        (pending, self.queue.capacity().saturating_sub(pending))
    }

    /// `cpu` or `gpu`.
    pub fn device_type(&self) -> &'static str {
        self.devices.of_worker(0).kind()
    }

    /// The directory that holds the unpacked archive.
    pub fn directory(&self) -> &std::path::Path {
        self.archive.dir()
    }

    fn lock_workers(&self) -> MutexGuard<'_, Vec<Worker>> {
        // The list is valid between any two statements that hold the lock.
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.queue.close();
        self.queue.clear();
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("name", &self.name).field("version", &self.version).finish()
    }
}

// === impl Preprocessing ===

impl<'a> Preprocessing<'a> {
    fn enter(count: &'a AtomicUsize) -> Preprocessing<'a> {
        count.fetch_add(1, Ordering::Relaxed);
        Preprocessing(count)
    }
}

impl Drop for Preprocessing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
