//! One registered model version: its handler, its queue, its workers, and the way of a request
//! through them.
//!
//! Made by `load.rs`, asked by `http/` (predict, describe). Predictions take no lock but the queue's;
//! changes of the workers are in `workers.rs`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::error::ModelError;
use super::settings::ModelSettings;
use super::weights::Weights;
use super::workers::{Unchanged, WorkerInfo, WorkerLimits, Workers};
use crate::batching::{Answer, Job, JobQueue, PredictError};
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
    /// The settings that it was registered with.
    pub settings: ModelSettings,
    /// True when it was loaded at the start.
    pub loaded_at_startup: bool,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) queue: Arc<JobQueue>,
    pub(super) metrics: ModelMetrics,
    pub(super) workers: Workers,
    /// Requests in `preprocess`: they count against the queue's bound.
    pub(super) preprocessing: AtomicUsize,
}

/// A model that accepts nothing more. Its files and weights go with it.
pub(super) struct Closing<'a> {
    model: &'a Model,
    _weights: Option<Weights>,
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

    /// Refuses a request that no worker would serve, before its body is read or judged.
    ///
    /// # Errors
    /// [`ModelError::Unavailable`] without workers.
    pub fn expect_workers(&self, version: Option<&str>) -> Result<(), ModelError> {
        if self.workers.count() > 0 {
            return Ok(());
        }
        self.metrics.requested();
        self.metrics.rejected();
        Err(self.unavailable(version))
    }

    /// Room in the queue, seen before any work is done for a request that would be refused.
    fn admit(&self, version: Option<&str>) -> Result<Preprocessing<'_>, ModelError> {
        if self.workers.count() == 0 {
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

    /// Jobs that wait, and jobs that may still come.
    pub fn queue_status(&self) -> (usize, usize) {
        let pending = self.queue.pending();
        self.metrics.queue_depth(pending);
        (pending, self.queue.capacity().saturating_sub(pending))
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
