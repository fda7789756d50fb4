//! The job queue of one model version: bounded, first come first served, cut into batches late.
//!
//! HTTP pushes, workers pull. A worker asks only when it is idle, so a batch grows for as long as all
//! workers are busy and is cut at the last moment. A job that nobody waits for any more, or whose
//! deadline has passed, is never run.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::job::{Job, PredictError};
use super::policy::{BatchPolicy, BatchStep, Filling};

/// A bounded queue of jobs.
pub struct JobQueue {
    capacity: usize,
    policy: BatchPolicy,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    jobs: VecDeque<Job>,
    closed: bool,
}

/// Why a job was not accepted. The job is dropped; its caller has this instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// `job_queue_size` jobs are waiting.
    #[error("the job queue is full")]
    Full,
    /// The model has no worker, or is being unloaded.
    #[error("the job queue is closed")]
    Closed,
}

/// What a worker gets from the queue.
pub enum Next {
    /// Jobs to run together, at least one.
    Batch(Vec<Job>),
    /// The queue is closed and empty, or the worker was told to stop.
    Stop,
}

// === impl JobQueue ===

impl JobQueue {
    /// A queue for at most `capacity` waiting jobs.
    pub fn new(capacity: usize, policy: BatchPolicy) -> JobQueue {
        let state = State { jobs: VecDeque::new(), closed: false };
        JobQueue { capacity, policy, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The policy that cuts the batches.
    pub fn policy(&self) -> BatchPolicy {
        self.policy
    }

    /// The number of jobs that may wait.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The number of jobs that wait now.
    pub fn pending(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Accepts a job.
    ///
    /// # Errors
    /// [`PushError`] at once when the queue is full or closed; it never waits.
    pub fn push(&self, job: Job) -> Result<(), PushError> {
        let mut state = self.lock();
        if state.closed {
            return Err(PushError::Closed);
        }
        if state.jobs.len() >= self.capacity {
            // Room that only dead jobs take is room.
            state.jobs.retain(|job| !job.is_abandoned());
            if state.jobs.len() >= self.capacity {
                return Err(PushError::Full);
            }
        }
        state.jobs.push_back(job);
        drop(state);
        match self.policy.filling {
            Filling::WorkConserving => self.changed.notify_one(),
            // The one that wakes may be collecting jobs of another bucket.
            Filling::Fill => self.changed.notify_all(),
        }
        Ok(())
    }

    /// Waits for jobs and cuts a batch. `stop` is asked whenever the worker wakes.
    pub fn next(&self, stop: impl Fn() -> bool) -> Next {
        let mut taken_up = None;
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            state.drop_dead(now);
            if stop() {
                // Another worker must see what this one leaves.
                self.changed.notify_one();
                return Next::Stop;
            }
            if state.jobs.is_empty() {
                if state.closed {
                    return Next::Stop;
                }
                taken_up = None;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let first_taken_up = *taken_up.get_or_insert(now);
            let pending = state.fitting(self.policy.batch_size.get());
            match self.policy.step(pending, first_taken_up, now) {
                BatchStep::Take(count) => return Next::Batch(state.take(count)),
                BatchStep::Wait(time) => {
                    let woken = self.changed.wait_timeout(state, time);
                    state = woken.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// Wakes every waiting worker, so that it asks its `stop` again.
    pub fn wake_all(&self) {
        // Taking the lock orders this after a worker that has just asked and is about to wait.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Accepts nothing more. Workers run what is waiting, then stop.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Accepts again what [`JobQueue::close`] has refused since.
    pub fn open(&self) {
        self.lock().closed = false;
    }

    /// Drops what is waiting; each caller is answered `WorkerDied`.
    pub fn clear(&self) {
        let jobs = std::mem::take(&mut self.lock().jobs);
        drop(jobs);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is valid between any two statements that hold the lock, so a panic of another
        // thread leaves nothing broken.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// Removes jobs at the head that need no run. Later ones are met when they come to the head.
    fn drop_dead(&mut self, now: Instant) {
        while let Some(first) = self.jobs.front() {
            if !first.is_abandoned() && first.deadline > now {
                return;
            }
            if let Some(job) = self.jobs.pop_front() {
                job.answer(Err(PredictError::DeadlinePassed));
            }
        }
    }

    /// How many waiting jobs fit with the first, counted up to `limit`.
    fn fitting(&self, limit: usize) -> usize {
        let Some(first) = self.jobs.front() else { return 0 };
        let Some(bucket) = &first.sample.bucket else { return 1 };
        let same = |job: &&Job| job.sample.bucket.as_ref() == Some(bucket) && !job.is_abandoned();
        self.jobs.iter().filter(same).take(limit).count().max(1)
    }

    /// Takes the first job and those that fit with it, in order, `count` at most.
    fn take(&mut self, count: usize) -> Vec<Job> {
        let mut batch = Vec::with_capacity(count);
        let Some(first) = self.jobs.pop_front() else { return batch };
        let bucket = first.sample.bucket.clone();
        batch.push(first);
        let mut at = 0;
        while batch.len() < count && at < self.jobs.len() {
            let job = &self.jobs[at];
            if job.sample.bucket == bucket && !job.is_abandoned() {
                batch.extend(self.jobs.remove(at));
            } else {
                at += 1;
            }
        }
        batch
    }
}
