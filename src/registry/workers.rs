//! The workers of one model version: how many there are, and how their number changes.
//!
//! Scaling takes turns and may load weights; the list of workers is locked for moments only, so
//! that describing a model never waits for that. A worker that is told to end finishes the batch in
//! hand and leaves what is queued to the others; the last ones run what was accepted, then end.
//! Invariant: `count` is 0 whenever the queue has nobody who would serve a new job, and the queue is
//! closed then.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::execution::Execution;
use super::weights::Weights;
use crate::batching::{Direct, JobQueue, Work, Worker, WorkerStatus};
use crate::engine::{Devices, Engine, EngineError, Module, available_cores};
use crate::handlers::Handler;
use crate::metrics::{ModelMetrics, RawForward};

/// The workers of a model version.
pub(super) struct Workers {
    pub(super) equipment: Equipment,
    /// Held while the number of workers changes; none once the model is closed.
    weights: Mutex<Option<Weights>>,
    list: Mutex<List>,
    /// The length of `list.serving`, read by every request without the lock.
    count: AtomicUsize,
    /// What each worker uses; changes with their number.
    intra_op_threads: Arc<AtomicUsize>,
    /// Somebody is about to look for workers that are stuck.
    pub(super) watched: AtomicBool,
}

/// What every worker of a model is given.
pub(super) struct Equipment {
    /// The model's name, for log lines.
    pub(super) model: String,
    pub(super) queue: Arc<JobQueue>,
    pub(super) direct: Arc<Direct>,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) metrics: ModelMetrics,
    pub(super) devices: Devices,
    pub(super) execution: Execution,
    /// `minWorkers` when it was loaded, at least 1: what the cores are shared by.
    pub(super) workers: usize,
    /// Nobody waits longer for a job: a forward that takes longer is stuck.
    pub(super) response_timeout: Duration,
    /// Measured when the weights are first loaded.
    pub(super) raw_forward: OnceLock<Vec<RawForward>>,
}

/// The module of one worker.
pub(super) struct Running {
    module: Arc<dyn Module>,
    /// A call changes it, so that it is a copy.
    changes_itself: bool,
}

/// How many workers a model should have: what `min_worker` and `max_worker` say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerLimits {
    /// Workers are started up to this number.
    pub min: usize,
    /// Workers above this number are ended; at least `min`.
    pub max: usize,
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

/// Why the number of workers did not change; it is what it was then.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unchanged {
    /// The model has been unregistered meanwhile.
    #[error("the model is closed")]
    Closed,
    /// Weights could not be loaded, or the system grants no thread.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

#[derive(Default)]
pub(super) struct List {
    limits: WorkerLimits,
    pub(super) serving: Vec<Worker>,
    /// Told to end, or left to end with the queue; forgotten when their threads are gone.
    ending: Vec<Worker>,
    /// Replaced because their forward does not end. Nobody waits for them; forgotten as above.
    pub(super) left_behind: Vec<Worker>,
}

// === impl Workers ===

impl Workers {
    /// No workers yet.
    pub(super) fn new(equipment: Equipment, weights: Weights) -> Workers {
        Workers {
            equipment,
            weights: Mutex::new(Some(weights)),
            list: Mutex::default(),
            count: AtomicUsize::new(0),
            intra_op_threads: Arc::new(AtomicUsize::new(1)),
            watched: AtomicBool::new(false),
        }
    }

    /// The number of workers that serve.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// The limits in force.
    pub(super) fn limits(&self) -> WorkerLimits {
        self.lock().limits
    }

    /// The state of each worker.
    pub(super) fn info(&self) -> Vec<WorkerInfo> {
        let info = |worker: &Worker| WorkerInfo {
            id: worker.id,
            started_at: worker.started_at,
            status: worker.status(),
            gpu: worker.device.kind() == "gpu",
        };
        self.lock().serving.iter().map(info).collect()
    }

    /// True when at least as many workers serve as the limits ask for. One that is stuck counts until
    /// it should have been replaced: a slow forward of one model is no reason for a load balancer to
    /// leave all the others.
    pub(super) fn are_healthy(&self) -> bool {
        let list = self.lock();
        let ready =
            |worker: &&Worker| worker.status() == WorkerStatus::Ready && !self.is_overdue(worker);
        list.serving.iter().filter(ready).count() >= list.limits.min
    }

    /// Starts workers up to `limits.min`, or ends those above `limits.max`, as TorchServe does, and
    /// tells how many there are then. Workers that were told to end may still run their last batch.
    /// Blocks while weights are loaded.
    ///
    /// # Errors
    /// [`Unchanged`].
    pub(super) fn scale(
        &self,
        limits: WorkerLimits,
        next_id: &AtomicUsize,
    ) -> Result<usize, Unchanged> {
        let mut weights = self.lock_weights();
        let weights = weights.as_mut().ok_or(Unchanged::Closed)?;
        let running = self.count();
        let wanted = running.max(limits.min).min(limits.max);
        if wanted > running {
            self.start(running, wanted, weights, next_id)?;
        }
        // Also when nobody ends: the limits change.
        self.end(wanted, limits);
        if wanted == 0 {
            weights.unload();
        }
        Ok(wanted)
    }

    /// Starts the workers number `from` to `to - 1`, all or none.
    fn start(
        &self,
        from: usize,
        to: usize,
        weights: &mut Weights,
        next_id: &AtomicUsize,
    ) -> Result<(), EngineError> {
        // What is slow and may fail comes first, while the others serve.
        let modules: Vec<_> =
            (from..to).map(|number| self.module(number, weights)).collect::<Result<_, _>>()?;
        if from == 0 {
            // Those that run what was left are relieved: the new ones take it over.
            self.lock().ending.iter().for_each(Worker::stop);
            self.equipment.queue.open();
            self.equipment.queue.wake_all();
        }
        self.share_cores(to);
        let mut started = Vec::with_capacity(modules.len());
        for (number, module) in (from..to).zip(modules) {
            let id = next_id.fetch_add(1, Ordering::Relaxed);
            match Worker::start(id, self.equipment.devices.of_worker(number), self.work(module)) {
                Ok(worker) => started.push(worker),
                Err(error) => {
                    started.iter().for_each(Worker::stop);
                    self.lock().ending.extend(started);
                    self.share_cores(from);
                    if from == 0 {
                        self.equipment.queue.abandon();
                    }
                    self.equipment.queue.wake_all();
                    let text = format!("the system grants no thread for a worker: {error}");
                    return Err(EngineError::Failed(text));
                }
            }
        }
        let mut list = self.lock();
        list.forget_the_gone();
        for worker in &started {
            // The weights were loaded once for all of them.
            self.equipment.metrics.worker_started(worker.id, weights.load_time(worker.device));
        }
        list.serving.extend(started);
        self.count.store(to, Ordering::Release);
        Ok(())
    }

    /// Ends the workers from number `to` on, the youngest; from now on `limits` are in force.
    fn end(&self, to: usize, limits: WorkerLimits) {
        let mut list = self.lock();
        list.limits = limits;
        let kept = to.min(list.serving.len());
        let ended = list.serving.split_off(kept);
        self.count.store(to, Ordering::Release);
        if to == 0 {
            // What was accepted is run; nothing more is.
            self.equipment.queue.close();
        } else {
            ended.iter().for_each(Worker::stop);
        }
        list.forget_the_gone();
        for worker in &ended {
            self.equipment.metrics.worker_ended(worker.id);
        }
        list.ending.extend(ended);
        drop(list);
        self.share_cores(to);
        self.equipment.queue.wake_all();
    }

    /// The module that worker `number` runs: the shared one of its device, or a copy of its own.
    pub(super) fn module(
        &self,
        number: usize,
        weights: &mut Weights,
    ) -> Result<Running, EngineError> {
        let device = self.equipment.devices.of_worker(number);
        let shared = weights.ready(device, &self.equipment)?;
        Ok(match shared.replica()? {
            Some(own) => Running { module: own, changes_itself: true },
            None => Running { module: shared, changes_itself: false },
        })
    }

    pub(super) fn work(&self, Running { module, changes_itself }: Running) -> Work {
        Work {
            model: self.equipment.model.clone(),
            changes_itself,
            queue: Arc::clone(&self.equipment.queue),
            direct: Arc::clone(&self.equipment.direct),
            handler: Arc::clone(&self.equipment.handler),
            module,
            engine: Arc::clone(&self.equipment.engine),
            metrics: self.equipment.metrics.clone(),
            intra_op_threads: Arc::clone(&self.intra_op_threads),
        }
    }

    fn share_cores(&self, workers: usize) {
        let threads = self.equipment.execution.threads(workers, available_cores().get());
        self.intra_op_threads.store(threads, Ordering::Relaxed);
    }

    /// Waits until every worker that was told to end has done so, until `end` at most. False when
    /// some still run. Blocks.
    pub(super) fn wait_for_ending(&self, end: Instant) -> bool {
        let mut pause = Duration::from_micros(50);
        loop {
            let mut list = self.lock();
            let (gone, ending) =
                std::mem::take(&mut list.ending).into_iter().partition(Worker::is_finished);
            list.ending = ending;
            let all = list.ending.is_empty();
            drop(list);
            Vec::into_iter(gone).for_each(Worker::join);
            if all {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(2));
        }
    }

    /// Accepts nothing more and starts no worker any more; what was accepted is run. Gives what the
    /// model has on disk and in memory, to be dropped when the workers have ended.
    pub(super) fn close(&self) -> Option<Weights> {
        let weights = self.lock_weights().take();
        self.end(0, WorkerLimits::default());
        weights
    }

    /// Drops what is waiting, each caller is answered, and tells the workers to end after the batch
    /// in hand.
    pub(super) fn abandon(&self) {
        self.equipment.queue.abandon();
        let list = self.lock();
        list.ending.iter().for_each(Worker::stop);
        // A model that was never published goes without being closed.
        list.serving.iter().for_each(|worker| self.equipment.metrics.worker_ended(worker.id));
        drop(list);
        self.equipment.queue.wake_all();
    }

    /// One forward of each batch size, alone; empty where it was not measured.
    pub(super) fn raw_forward(&self) -> &[RawForward] {
        self.equipment.raw_forward.get().map_or(&[], Vec::as_slice)
    }

    /// `cpu` or `gpu`.
    pub(super) fn device_type(&self) -> &'static str {
        self.equipment.devices.of_worker(0).kind()
    }

    /// The directory that holds the unpacked archive; none once the model is closed.
    pub(super) fn directory(&self) -> Option<std::path::PathBuf> {
        self.lock_weights().as_ref().map(|weights| weights.directory().to_owned())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, List> {
        // The list is valid between any two statements that hold the lock.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock_weights(&self) -> MutexGuard<'_, Option<Weights>> {
        // A panic of the engine while loading leaves the modules that were there before.
        self.weights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl List ===

impl List {
    pub(super) fn forget_the_gone(&mut self) {
        self.ending.retain(|worker| !worker.is_finished());
        self.left_behind.retain(|worker| !worker.is_finished());
    }
}
