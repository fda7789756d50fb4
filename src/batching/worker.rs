//! A worker: a thread that takes batches from its model's queue, and what others see of it.
//!
//! Started by the registry. It owns nothing but its copy of the module's handle; the weights are
//! shared by all workers of a model. A panic in a handler fails that batch; one around it fails the jobs
//! in hand, which are answered. The worker goes on in both cases, and it is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use super::decode_pool::unpanicked;
use super::queue::Next;
use super::work::Work;
use crate::engine::{self, Device, give_way_to_reactors};
use crate::metrics::DeviceQueue;

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

/// A worker that has had no job for so long gives back what memory it can.
const PATIENCE: Duration = Duration::from_secs(5);
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

/// On a worker's thread.
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
        let mut patience = Some(PATIENCE);
        loop {
            let jobs = match self.queue.next(|| state.should_stop(), patience) {
                Next::Batch(jobs) => jobs,
                Next::Idle => {
                    // Once: nothing more is kept until the next batch.
                    self.engine.give_back_when_idle();
                    engine::rest();
                    patience = None;
                    continue;
                }
                Next::Stop => return,
            };
            state.begin_batch();
            let _in_hand = engine::take_batch_in_hand();
            let _handed = device.hand(jobs.len());
            let granted = self.intra_op_threads.load(Ordering::Relaxed);
            if granted != threads {
                threads = granted;
                self.engine.enter_worker_thread(threads);
            }
            self.serve(jobs);
            state.end_batch();
            patience = Some(PATIENCE);
        }
    }
}
