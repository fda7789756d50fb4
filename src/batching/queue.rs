//! The job queue of one model version: bounded, first come first served, cut into batches late.
//!
//! HTTP pushes, workers pull. A worker asks only when it is idle, so a batch grows for as long as all
//! workers are busy and is cut at the last moment. What happens is decided in `waiting.rs`; here are
//! the lock and the waiting threads. A caller that goes away, or whose deadline passes while every
//! worker is busy, takes its job out itself ([`Reply`]): nothing dead takes room.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::job::{Job, PredictError, Reply};
use super::policy::BatchPolicy;
use super::sequences::Turn;
use super::sync::{Condvar, Mutex, MutexGuard};
use super::waiting::{PushError, Step, Ticket, Waiting, Wake};
use crate::handlers::{Bucket, Sample};

/// A bounded queue of jobs.
pub struct JobQueue {
    state: Mutex<Waiting<Bucket, Job>>,
    changed: Condvar,
}

/// A place in the queue for a request that is still being preprocessed. Dropping it gives the place
/// back; whoever holds one is served, also when the queue is closed meanwhile.
pub struct Admission<'a>(Option<&'a JobQueue>);

/// What a worker gets from the queue.
pub enum Next {
    /// Jobs to run together, at least one.
    Batch(Vec<Job>),
    /// No job came for as long as the worker's patience.
    Idle,
    /// The queue is closed and empty, or the worker was told to stop.
    Stop,
}

// === impl JobQueue ===

impl JobQueue {
    /// A queue for at most `capacity` waiting jobs.
    pub fn new(capacity: usize, policy: BatchPolicy) -> JobQueue {
        JobQueue { state: Mutex::new(Waiting::new(capacity, policy)), changed: Condvar::new() }
    }

    /// The policy that cuts the batches.
    pub fn policy(&self) -> BatchPolicy {
        self.lock().policy()
    }

    /// The number of jobs that may wait.
    pub fn capacity(&self) -> usize {
        self.lock().capacity()
    }

    /// The number of jobs that wait now.
    pub fn pending(&self) -> usize {
        self.lock().len()
    }

    /// The number of jobs that may still come; those that are being preprocessed have their place.
    pub fn room(&self) -> usize {
        self.lock().room()
    }

    /// Keeps a place for a job.
    ///
    /// # Errors
    /// [`PushError`] at once when the queue is full or closed; it never waits.
    pub fn admit(&self) -> Result<Admission<'_>, PushError> {
        self.lock().admit().map(|()| Admission(Some(self)))
    }

    /// Waits for jobs and cuts a batch. `stop` is asked whenever the worker wakes. With `patience`, it
    /// comes back without a job after as long.
    pub fn next(&self, stop: impl Fn() -> bool, patience: Option<Duration>) -> Next {
        let mut state = self.lock();
        let mut is_idle = false;
        loop {
            match state.step(Instant::now(), stop()) {
                Step::Run(mut jobs) => {
                    drop(state);
                    // Callers that went away after the batch was cut.
                    jobs.retain(|job| !job.is_abandoned());
                    if !jobs.is_empty() {
                        return Next::Batch(jobs);
                    }
                    state = self.lock();
                }
                Step::TooLate(jobs) => {
                    drop(state);
                    for job in jobs {
                        job.answer(Err(PredictError::DeadlinePassed));
                    }
                    state = self.lock();
                }
                Step::Wait(time) => {
                    let woken = self.changed.wait_timeout(state, time);
                    state = woken.unwrap_or_else(PoisonError::into_inner).0;
                }
                Step::Sleep if is_idle => return Next::Idle,
                Step::Sleep => match patience {
                    None => {
                        state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    }
                    Some(patience) => {
                        let woken = self.changed.wait_timeout(state, patience);
                        let (woken, waited) = woken.unwrap_or_else(PoisonError::into_inner);
                        (state, is_idle) = (woken, waited.timed_out());
                    }
                },
                Step::Stop => return Next::Stop,
            }
        }
    }

    /// Wakes every waiting worker, so that it asks its `stop` again.
    pub fn wake_all(&self) {
        // Taking the lock orders this after a worker that has just asked and is about to wait.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Admits nothing more. Workers run what was admitted, then stop.
    pub fn close(&self) {
        self.lock().close();
        self.changed.notify_all();
    }

    /// Admits again what [`JobQueue::close`] and [`JobQueue::abandon`] have refused since.
    pub fn open(&self) {
        self.lock().open();
    }

    /// Admits nothing more and drops what is waiting; each caller is answered `WorkerDied`.
    pub fn abandon(&self) {
        let jobs = self.lock().abandon();
        self.changed.notify_all();
        drop(jobs);
    }

    /// Takes out a job whose caller has gone.
    pub(super) fn withdraw(&self, ticket: Ticket) {
        let (job, wake) = self.lock().withdraw(ticket);
        self.wake(wake);
        // Its tensors are freed outside of the lock.
        drop(job);
    }

    fn wake(&self, wake: Wake) {
        match wake {
            Wake::None => {}
            Wake::One => self.changed.notify_one(),
            Wake::All => self.changed.notify_all(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<Bucket, Job>> {
        // The state is valid between any two statements that hold the lock, so a panic of another
        // thread leaves nothing broken.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Admission ===

impl<'a> Admission<'a> {
    /// Puts a job into its place. One that has its turn in a sequence is run alone: nobody else has its
    /// state.
    ///
    /// # Errors
    /// [`PushError::Closed`] when the model was unloaded and nobody will serve it.
    pub fn push(
        mut self,
        sample: Sample,
        request_id: Arc<str>,
        deadline: Instant,
        turn: Option<Turn>,
    ) -> Result<Reply<'a>, PushError> {
        let Some(queue) = self.0.take() else { return Err(PushError::Closed) };
        let bucket = if turn.is_some() { None } else { sample.bucket.clone() };
        let (job, receiver) = Job::new(sample, request_id, deadline, turn);
        let pushed = queue.lock().push(bucket, deadline, job);
        match pushed {
            Ok((ticket, wake)) => {
                queue.wake(wake);
                Ok(Reply::new(queue, ticket, receiver))
            }
            Err(_dropped) => Err(PushError::Closed),
        }
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if let Some(queue) = self.0 {
            let wake = queue.lock().leave();
            queue.wake(wake);
        }
    }
}
