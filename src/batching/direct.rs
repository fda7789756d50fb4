//! A request that is alone, to a model that answers at once: run where it was read.
//!
//! The way to a worker and back costs two changes of threads, tens of microseconds; the forward of a
//! small model takes five. So when no other request is at this model and the workers have seen that
//! a sample of this shape takes next to nothing, the reactor runs it. Asked by the registry for every
//! request, told by the workers.
//!
//! A reactor must never wait: only a module whose time the shapes tell is run here (no loop, no
//! state), only the shape that the workers have timed, and a run that took long is the last until
//! they have timed it again. Requests that are not alone go through the queue and are batched.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::job::Answer;
use super::worker::Work;
use crate::engine::Value;
use crate::handlers::{Bucket, Sample};

/// A forward that takes longer is a worker's.
const QUICK: Duration = Duration::from_micros(100);
/// Quick runs in a row before the shape is known to be quick.
const RUNS: usize = 16;
/// A run on the reactor that took longer, for whatever reason, is the last for now.
const SLOW: Duration = Duration::from_millis(1);

/// What is known of one model version.
#[derive(Default)]
pub struct Direct {
    /// Requests at the model, from their admission to their answer.
    flights: AtomicUsize,
    learning: Mutex<Learning>,
    known: ArcSwapOption<Known>,
}

/// One request at the model.
pub struct Flight<'a>(&'a Direct);

/// The shape that was quick lately.
#[derive(Default)]
struct Learning {
    bucket: Option<Bucket>,
    runs: usize,
}

/// A shape that is quick, and a worker that has its module.
struct Known {
    bucket: Bucket,
    /// Goes with the worker.
    work: Weak<Work>,
}

thread_local! {
    /// This thread was prepared for forwards.
    static ENTERED: Cell<bool> = const { Cell::new(false) };
}

// === impl Direct ===

impl Direct {
    /// A request comes to the model.
    pub fn enter(&self) -> Flight<'_> {
        self.flights.fetch_add(1, Ordering::Relaxed);
        Flight(self)
    }

    /// A worker has run this sample alone in this time.
    pub(super) fn timed(&self, work: &Arc<Work>, sample: &Sample, took: Duration) {
        let Some(bucket) = shape(sample).filter(|_| work.may_run_anywhere()) else { return };
        let mut learning = self.learning.lock().unwrap_or_else(PoisonError::into_inner);
        if took > QUICK || learning.bucket.as_ref() != Some(bucket) {
            let bucket = (took <= QUICK).then(|| Arc::clone(bucket));
            *learning = Learning { bucket, runs: 0 };
        }
        learning.runs += 1;
        if learning.runs == RUNS {
            let known = Known { bucket: Arc::clone(bucket), work: Arc::downgrade(work) };
            self.known.store(Some(Arc::new(known)));
        }
    }

    /// Forgets what was quick.
    fn forget(&self) {
        self.known.store(None);
        *self.learning.lock().unwrap_or_else(PoisonError::into_inner) = Learning::default();
    }
}

/// The shape of a sample that is one row: a bucket says nothing of how many there are, nor of the
/// sizes of the tensors in a list.
fn shape(sample: &Sample) -> Option<&Bucket> {
    let known = |argument: &Value| matches!(argument, Value::Tensor(_));
    let one = sample.asked.rows == 1 && sample.arguments.iter().all(known);
    sample.bucket.as_ref().filter(|_| one)
}

// === impl Flight ===

impl Flight<'_> {
    /// The answer, if the sample may be run here and the model takes it; otherwise it is to be
    /// queued, where errors are told.
    pub fn run(&self, sample: &Sample) -> Option<Answer> {
        let direct = self.0;
        if direct.flights.load(Ordering::Relaxed) != 1 {
            return None;
        }
        let known = direct.known.load();
        let known = known.as_ref().filter(|known| shape(sample) == Some(&known.bucket))?;
        let work = known.work.upgrade()?;
        if !ENTERED.replace(true) {
            work.engine.enter_worker_thread(1);
        }
        let started = Instant::now();
        let answer = work.answer_here(sample.clone());
        if answer.is_none() || started.elapsed() > SLOW {
            direct.forget();
        }
        answer
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.flights.fetch_sub(1, Ordering::Relaxed);
    }
}
