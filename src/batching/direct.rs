//! A model that answers at once: run where the request was read.
//!
//! The way to a worker and back costs two changes of threads, tens of microseconds; the forward of a
//! small model takes five. So when the workers have seen that a sample of this shape takes next to
//! nothing, the reactor runs it: at once when no other request is at this model, else together with
//! those that it reads in the same turn (`turn.rs`). Asked by the registry for every request, told by
//! the workers.
//!
//! A reactor must never wait: only a module whose time the shapes tell is run here (no loop, no
//! state), only the shape that the workers have timed, never more rows than take half a millisecond,
//! and when runs take long they end until the workers have timed the shape again. What is not run
//! here, or fails here, goes through the queue, where errors are told.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::job::{Answer, PredictError};
use super::traffic::Traffic;
use super::turn::{Joined, Place, Rider, Turn, Turns};
use super::work::Work;
use crate::engine::Value;
use crate::handlers::{Bucket, Sample};

/// A forward that takes longer is a worker's.
const QUICK: Duration = Duration::from_micros(100);
/// Quick runs in a row before the shape is known to be quick.
const RUNS: u32 = 16;
/// What the rows of one turn may take, were each run alone.
const TURN: Duration = Duration::from_micros(500);
/// A run on the reactor that took longer was slow.
const SLOW: Duration = Duration::from_millis(1);
/// Two slow runs with fewer runs between them are no accident of a thread that lost its processor.
const APART: u32 = 100;

/// What is known of one model version.
#[derive(Default)]
pub struct Direct {
    /// Requests at the model, from their admission to their answer.
    flights: AtomicUsize,
    learning: Mutex<Learning>,
    known: ArcSwapOption<Known>,
    turns: Turns,
    /// How many more runs remember the last slow one.
    suspicion: AtomicU32,
}

/// One request at the model.
pub struct Flight<'a>(&'a Direct);

/// The shape that was quick lately.
#[derive(Default)]
struct Learning {
    bucket: Option<Bucket>,
    runs: u32,
    took: Duration,
}

/// A shape that is quick, and a worker that has its module.
struct Known {
    bucket: Bucket,
    /// What a turn may hold.
    rows: NonZeroUsize,
    /// Goes with the worker.
    work: Weak<Work>,
}

/// What becomes of a sample that came to [`Flight::run`].
pub enum Landing {
    /// It was run here.
    Answer(Result<Answer, PredictError>),
    /// It is to be queued.
    Queue(Sample),
}

/// The first of a turn, which runs the forward for all of it; also when its own client hangs up
/// meanwhile.
struct Driver<'a> {
    direct: &'a Direct,
    work: Arc<Work>,
    turn: Option<Turn<'a>>,
    joined: Joined,
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

    /// A worker has run a batch in this time, `sample` among others of one row and its shape.
    pub(super) fn timed(&self, work: &Arc<Work>, sample: &Sample, took: Duration) {
        let Some(bucket) = shape(sample).filter(|_| work.may_run_anywhere()) else { return };
        let mut learning = self.learning.lock().unwrap_or_else(PoisonError::into_inner);
        if took > QUICK || learning.bucket.as_ref() != Some(bucket) {
            let bucket = (took <= QUICK).then(|| Arc::clone(bucket));
            *learning = Learning { bucket, runs: 0, took: Duration::ZERO };
        }
        learning.runs += 1;
        learning.took += took;
        if learning.runs == RUNS {
            let known = Known {
                bucket: Arc::clone(bucket),
                rows: rows_of_a_turn(learning.took / RUNS).min(work.queue.policy().batch_size),
                work: Arc::downgrade(work),
            };
            self.known.store(Some(Arc::new(known)));
        }
    }

    /// A worker that has the module and how many rows a turn may hold, if the sample may be run here.
    fn known(&self, sample: &Sample) -> Option<(Arc<Work>, NonZeroUsize)> {
        let known = self.known.load();
        let known = known.as_ref().filter(|known| shape(sample) == Some(&known.bucket))?;
        Some((known.work.upgrade()?, known.rows))
    }

    /// Forgets what was quick.
    fn forget(&self) {
        self.known.store(None);
        self.suspicion.store(0, Ordering::Relaxed);
        *self.learning.lock().unwrap_or_else(PoisonError::into_inner) = Learning::default();
    }

    /// One forward on this thread, an answer for each sample; none when it failed.
    fn run(&self, work: &Work, samples: Vec<Sample>, joined: &[Joined]) -> Option<Vec<Answer>> {
        if !ENTERED.replace(true) {
            work.engine.enter_worker_thread(1);
        }
        let started = Instant::now();
        let answers = work.answer_here(samples, joined);
        self.judge(started.elapsed());
        Traffic::ran();
        answers
    }

    /// A run has taken this long on a reactor. Reactors may judge at once: a run too many is no harm.
    fn judge(&self, took: Duration) {
        let suspicion = self.suspicion.load(Ordering::Relaxed);
        match (took > SLOW, suspicion) {
            (false, 0) => {}
            (false, _) => self.suspicion.store(suspicion - 1, Ordering::Relaxed),
            (true, 0) => self.suspicion.store(APART, Ordering::Relaxed),
            (true, _) => self.forget(),
        }
    }
}

/// The shape of a sample that is one row: a bucket says nothing of how many there are, nor of the
/// sizes of the tensors in a list.
fn shape(sample: &Sample) -> Option<&Bucket> {
    let known = |argument: &Value| matches!(argument, Value::Tensor(_));
    let one = sample.asked.rows == 1 && sample.arguments.iter().all(known);
    sample.bucket.as_ref().filter(|_| one)
}

/// How many rows share a forward where one alone takes this long.
fn rows_of_a_turn(one: Duration) -> NonZeroUsize {
    let rows = TURN.as_nanos() / one.as_nanos().max(1);
    NonZeroUsize::new(usize::try_from(rows).unwrap_or(usize::MAX)).unwrap_or(NonZeroUsize::MIN)
}

// === impl Flight ===

impl Flight<'_> {
    /// Runs the sample, which has come now, here, if that may be. No deadline is kept: nobody is waited
    /// for but this thread.
    pub async fn run(&self, sample: Sample, now: Instant) -> Landing {
        let direct = self.0;
        let Some((work, rows)) = direct.known(&sample) else { return Landing::Queue(sample) };
        let joined = Joined::at(now);
        if direct.flights.load(Ordering::Relaxed) == 1 && !Traffic::promises_company() {
            let driver = Driver { direct, work, turn: None, joined };
            return driver.drive(sample);
        }
        match direct.turns.join(sample, rows.get(), &joined) {
            Place::First(turn, sample) => {
                let driver = Driver { direct, work, turn: Some(turn), joined };
                // Everything that has arrived by now is read before this goes on.
                tokio::task::yield_now().await;
                driver.drive(sample)
            }
            Place::Later(answer) => {
                answer.await.unwrap_or(Landing::Answer(Err(PredictError::WorkerDied)))
            }
            Place::None(sample) => Landing::Queue(sample),
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.flights.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Driver ===

impl Driver<'_> {
    /// Ends the turn and runs its forward, with the sample of the first.
    fn drive(mut self, sample: Sample) -> Landing {
        let took_turn = self.turn.is_some();
        let riders = self.end_turn();
        if took_turn {
            Traffic::turned(1 + riders.len());
        }
        let landed = self.run(Some(sample), riders);
        landed.unwrap_or(Landing::Answer(Err(PredictError::WorkerDied)))
    }

    /// The others, none when the turn has ended already.
    fn end_turn(&mut self) -> Vec<Rider> {
        self.turn.take().map(Turn::end).unwrap_or_default()
    }

    /// One forward. Each rider is told what becomes of its sample, `own` is told here.
    fn run(&self, own: Option<Sample>, riders: Vec<Rider>) -> Option<Landing> {
        let is_own = own.is_some();
        let rows = riders.len() + usize::from(is_own);
        let mut joined = Vec::with_capacity(rows);
        let mut samples = Vec::with_capacity(rows);
        let mut replies = Vec::with_capacity(riders.len());
        samples.extend(own);
        joined.extend(is_own.then(|| self.joined.clone()));
        for Rider { sample, joined: at, reply } in riders {
            samples.push(sample);
            joined.push(at);
            replies.push(reply);
        }
        // Samples share their tensors: this copies no numbers.
        let landings: Vec<Landing> = match self.direct.run(&self.work, samples.clone(), &joined) {
            Some(answers) => {
                answers.into_iter().map(|answer| Landing::Answer(Ok(answer))).collect()
            }
            None => samples.into_iter().map(Landing::Queue).collect(),
        };
        let mut landings = landings.into_iter();
        let own = if is_own { landings.next() } else { None };
        for (reply, landing) in replies.into_iter().zip(landings) {
            let _gone = reply.send(landing);
        }
        own
    }
}

impl Drop for Driver<'_> {
    /// The client of the first one has gone, the others still wait.
    fn drop(&mut self) {
        let riders = self.end_turn();
        if !riders.is_empty() {
            self.run(None, riders);
        }
    }
}
