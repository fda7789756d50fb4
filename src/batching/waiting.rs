//! The jobs of one model version that wait, and what an idle worker does next. PURE: the clock is an
//! argument, a job is whatever the caller makes of it.
//!
//! `queue.rs` puts it behind a lock and lets threads wait; `simulation.rs` drives it through random
//! schedules. Invariants: never more than `capacity` jobs wait or are on their way in; the oldest job
//! is in the next batch, whatever its bucket, so that no bucket waits for another one to run dry; a
//! job whose deadline has passed is never given out to be run.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::time::{Duration, Instant};

use super::policy::{BatchPolicy, BatchStep, Filling};

/// A place in the queue; a larger one is younger.
pub(super) type Ticket = u64;

/// The jobs that wait. `B` says which jobs may share a batch.
pub(super) struct Waiting<B, J> {
    capacity: usize,
    policy: BatchPolicy,
    /// All of them, oldest first.
    jobs: BTreeMap<Ticket, Entry<B, J>>,
    /// The tickets of each bucket that has jobs.
    buckets: HashMap<B, BTreeSet<Ticket>>,
    /// Admitted and not yet pushed: they have their place already.
    admitted: usize,
    doors: Doors,
    next: Ticket,
    /// The oldest job, and when an idle worker first saw it: what `maxBatchDelay` is counted from.
    taken_up: Option<(Ticket, Instant)>,
}

struct Entry<B, J> {
    /// `None`: always alone.
    bucket: Option<B>,
    deadline: Instant,
    job: J,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doors {
    Open,
    /// Nobody new is admitted; who was admitted still comes and is served.
    Closed,
    /// Nobody serves any more.
    Abandoned,
}

/// Why a job was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// `job_queue_size` jobs are waiting.
    #[error("the job queue is full")]
    Full,
    /// The model has no worker, or is being unloaded.
    #[error("the job queue is closed")]
    Closed,
}

/// What an idle worker does next.
#[derive(Debug)]
pub(super) enum Step<J> {
    /// Run these together, at least one.
    Run(Vec<J>),
    /// Say to these that their deadline has passed, then ask again.
    TooLate(Vec<J>),
    /// Ask again after this time, or when woken.
    Wait(Duration),
    /// Ask again when woken.
    Sleep,
    /// End. Whoever told this worker to wakes the others: one may have to do what this one was woken
    /// for.
    Stop,
}

/// Whom to wake after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    None,
    One,
    All,
}

// === impl Waiting ===

impl<B: Clone + Eq + Hash, J> Waiting<B, J> {
    pub(super) fn new(capacity: usize, policy: BatchPolicy) -> Waiting<B, J> {
        Waiting {
            capacity,
            policy,
            jobs: BTreeMap::new(),
            buckets: HashMap::new(),
            admitted: 0,
            doors: Doors::Open,
            next: 0,
            taken_up: None,
        }
    }

    pub(super) fn policy(&self) -> BatchPolicy {
        self.policy
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Jobs that wait.
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Places that are left.
    pub(super) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.jobs.len() + self.admitted)
    }

    /// Keeps a place for a job that is still being read. Each is followed by [`Waiting::push`] or
    /// [`Waiting::leave`].
    pub(super) fn admit(&mut self) -> Result<(), PushError> {
        if self.doors != Doors::Open {
            return Err(PushError::Closed);
        }
        if self.room() == 0 {
            return Err(PushError::Full);
        }
        self.admitted += 1;
        Ok(())
    }

    /// Gives a place back that was not used.
    pub(super) fn leave(&mut self) -> Wake {
        self.admitted = self.admitted.saturating_sub(1);
        self.wake_at_the_end()
    }

    /// Puts a job into the place that was kept for it.
    ///
    /// # Errors
    /// The job itself, when nobody will serve it.
    pub(super) fn push(
        &mut self,
        bucket: Option<B>,
        deadline: Instant,
        job: J,
    ) -> Result<(Ticket, Wake), J> {
        self.admitted = self.admitted.saturating_sub(1);
        if self.doors == Doors::Abandoned {
            return Err(job);
        }
        let ticket = self.next;
        self.next += 1;
        if let Some(bucket) = &bucket {
            match self.buckets.get_mut(bucket) {
                Some(tickets) => {
                    tickets.insert(ticket);
                }
                None => {
                    self.buckets.insert(bucket.clone(), BTreeSet::from([ticket]));
                }
            }
        }
        self.jobs.insert(ticket, Entry { bucket, deadline, job });
        let wake = match (self.policy.filling, self.doors) {
            // Whoever is awake asks again before it sleeps.
            (Filling::WorkConserving, Doors::Open) => Wake::One,
            // The one that wakes may be collecting jobs of another bucket; and whoever sleeps at a
            // closed door must see that this may have been the last.
            _ => Wake::All,
        };
        Ok((ticket, wake))
    }

    /// Takes a job out that nobody waits for any more; none when it is not there.
    pub(super) fn withdraw(&mut self, ticket: Ticket) -> (Option<J>, Wake) {
        let job = self.remove(ticket);
        (job, self.wake_at_the_end())
    }

    /// What an idle worker does now. `stopping`: it was told to end.
    pub(super) fn step(&mut self, now: Instant, stopping: bool) -> Step<J> {
        if stopping {
            return Step::Stop;
        }
        let Some((first, entry)) = self.jobs.first_key_value() else {
            return if self.is_over() { Step::Stop } else { Step::Sleep };
        };
        let first = *first;
        let alone = entry.bucket.is_none();
        let tickets = entry.bucket.as_ref().and_then(|bucket| self.buckets.get(bucket));
        let limit = self.policy.batch_size.get();
        let batch: Vec<Ticket> = match tickets {
            Some(tickets) => tickets.iter().take(limit).copied().collect(),
            None => vec![first],
        };
        let deadlines = batch.iter().filter_map(|ticket| self.jobs.get(ticket));
        let earliest = deadlines.map(|entry| entry.deadline).min().unwrap_or(now);
        if earliest <= now {
            let is_late =
                |ticket: &Ticket| self.jobs.get(ticket).is_some_and(|entry| entry.deadline <= now);
            let late: Vec<Ticket> = batch.into_iter().filter(is_late).collect();
            return Step::TooLate(self.take(&late));
        }
        let taken_up = match self.taken_up {
            Some((ticket, at)) if ticket == first => at,
            _ => now,
        };
        self.taken_up = Some((first, taken_up));
        match self.policy.step(batch.len(), taken_up, earliest, now) {
            // No company can come.
            BatchStep::Wait(_) if alone || self.nobody_else_comes() => Step::Run(self.take(&batch)),
            BatchStep::Wait(time) => Step::Wait(time),
            BatchStep::Take(count) => Step::Run(self.take(&batch[..count.min(batch.len())])),
        }
    }

    /// Admits nobody new. Workers serve who was admitted, then they are told to end.
    pub(super) fn close(&mut self) {
        if self.doors == Doors::Open {
            self.doors = Doors::Closed;
        }
    }

    /// Admits again.
    pub(super) fn open(&mut self) {
        self.doors = Doors::Open;
    }

    /// Nobody is admitted and nobody is served any more; gives back who waits.
    pub(super) fn abandon(&mut self) -> Vec<J> {
        self.doors = Doors::Abandoned;
        self.buckets.clear();
        std::mem::take(&mut self.jobs).into_values().map(|entry| entry.job).collect()
    }

    fn nobody_else_comes(&self) -> bool {
        self.doors == Doors::Abandoned || (self.doors == Doors::Closed && self.admitted == 0)
    }

    fn is_over(&self) -> bool {
        self.jobs.is_empty() && self.nobody_else_comes()
    }

    /// All workers end with the last job.
    fn wake_at_the_end(&self) -> Wake {
        if self.nobody_else_comes() { Wake::All } else { Wake::None }
    }

    fn take(&mut self, tickets: &[Ticket]) -> Vec<J> {
        tickets.iter().filter_map(|ticket| self.remove(*ticket)).collect()
    }

    fn remove(&mut self, ticket: Ticket) -> Option<J> {
        let Entry { bucket, job, .. } = self.jobs.remove(&ticket)?;
        if let Some(bucket) = bucket
            && let Some(tickets) = self.buckets.get_mut(&bucket)
        {
            tickets.remove(&ticket);
            if tickets.is_empty() {
                // Shapes come from clients: only those that wait are remembered.
                self.buckets.remove(&bucket);
            }
        }
        Some(job)
    }
}
