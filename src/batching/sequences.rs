//! Sequences: requests that belong together, for a model that remembers.
//!
//! Asked by the registry before a request is queued. Each sequence has a copy of the module of its own
//! ([`Module::replica`]), made of the module as it was loaded when its first request runs; the weights
//! that a call does not change are shared where the engine shares them. Requests of one sequence take
//! turns, first come first served, and hold their [`Turn`] until they are answered, also when their
//! client has gone: no two calls ever see one state at once. A sequence ends when a request says so,
//! when it has been idle too long, or when it is too old; their number is bounded.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::engine::{EngineError, Module};
use crate::handlers::SequenceCall;

/// How long sequences live and how many there are: `model-config.yaml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceLimits {
    /// `sequenceMaxIdleMSec`.
    pub max_idle: Duration,
    /// `sequenceTimeoutMSec`; none for no limit.
    pub timeout: Option<Duration>,
    /// `maxNumSequence`.
    pub max_sequences: usize,
    /// `maxSequenceJobQueueSize`: requests of one sequence that may wait for their turn.
    pub max_waiting: usize,
}

/// The sequences of one model version.
pub struct Sequences {
    limits: SequenceLimits,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    all: HashMap<String, Arc<Sequence>>,
    /// Somebody looks after those that are idle.
    is_swept: bool,
}

struct Sequence {
    id: String,
    started: Instant,
    used: Mutex<Instant>,
    waiting: AtomicUsize,
    turns: Arc<Semaphore>,
    /// None until its first request runs.
    module: Mutex<Option<Arc<dyn Module>>>,
}

/// A request's turn in its sequence; the next one comes when it is dropped.
pub struct Turn {
    sequence: Arc<Sequence>,
    table: Weak<Sequences>,
    ends: bool,
    _permit: OwnedSemaphorePermit,
}

/// There are as many sequences as there may be, or as many requests wait in this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limits of sequences are reached")]
pub struct SequencesFull;

// === impl Sequences ===

impl Sequences {
    /// None yet.
    pub fn new(limits: SequenceLimits) -> Arc<Sequences> {
        Arc::new(Sequences { limits, table: Mutex::default() })
    }

    /// The limits in force.
    pub fn limits(&self) -> SequenceLimits {
        self.limits
    }

    /// The number of sequences that there are.
    pub fn count(&self) -> usize {
        self.lock().all.len()
    }

    /// Waits for the request's turn. Without an id it starts a sequence, whose id the turn tells.
    ///
    /// # Errors
    /// [`SequencesFull`], at once.
    pub async fn turn(self: &Arc<Self>, call: &SequenceCall) -> Result<Turn, SequencesFull> {
        let sequence = self.find(call)?;
        let turns = Arc::clone(&sequence.turns);
        let permit = match Arc::clone(&turns).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let waiting = Waiting::new(&sequence, self.limits.max_waiting)?;
                let permit = turns.acquire_owned().await;
                drop(waiting);
                // The semaphore is never closed.
                permit.map_err(|_| SequencesFull)?
            }
        };
        sequence.touch();
        let table = Arc::downgrade(self);
        Ok(Turn { sequence, table, ends: call.end, _permit: permit })
    }

    fn find(self: &Arc<Self>, call: &SequenceCall) -> Result<Arc<Sequence>, SequencesFull> {
        let now = Instant::now();
        let mut table = self.lock();
        self.forget(&mut table, now);
        if let Some(id) = &call.id {
            if call.start {
                // Requests of the old one that are on their way finish there.
                table.all.remove(id);
            }
            if let Some(found) = table.all.get(id) {
                return Ok(Arc::clone(found));
            }
        }
        if table.all.len() >= self.limits.max_sequences {
            return Err(SequencesFull);
        }
        // TorchServe's form of an id that the server makes.
        let id = call.id.clone().unwrap_or_else(|| format!("ts-seq-{}", uuid::Uuid::new_v4()));
        let sequence = Arc::new(Sequence {
            id: id.clone(),
            started: now,
            used: Mutex::new(now),
            waiting: AtomicUsize::new(0),
            turns: Arc::new(Semaphore::new(1)),
            module: Mutex::new(None),
        });
        table.all.insert(id, Arc::clone(&sequence));
        if !table.is_swept {
            table.is_swept = true;
            tokio::spawn(sweep(Arc::downgrade(self), self.limits.max_idle));
        }
        Ok(sequence)
    }

    /// Ends those that are idle or too old; one with a request in hand is not idle.
    fn forget(&self, table: &mut Table, now: Instant) {
        let SequenceLimits { max_idle, timeout, .. } = self.limits;
        table.all.retain(|_, sequence| {
            let is_old = timeout.is_some_and(|timeout| now - sequence.started > timeout);
            let is_idle = Arc::strong_count(sequence) == 1
                && now.saturating_duration_since(*lock(&sequence.used)) > max_idle;
            !is_old && !is_idle
        });
    }

    fn end(&self, sequence: &Arc<Sequence>) {
        let mut table = self.lock();
        // A new one may have its id by now.
        if table.all.get(&sequence.id).is_some_and(|found| Arc::ptr_eq(found, sequence)) {
            table.all.remove(&sequence.id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }
}

/// Gives the memory of idle sequences back when no request comes that would; ends with the last one.
async fn sweep(sequences: Weak<Sequences>, max_idle: Duration) {
    loop {
        tokio::time::sleep(max_idle.max(Duration::from_millis(1))).await;
        let Some(sequences) = sequences.upgrade() else { return };
        let mut table = sequences.lock();
        sequences.forget(&mut table, Instant::now());
        if table.all.is_empty() {
            table.is_swept = false;
            return;
        }
    }
}

/// The state is whole between any two statements that hold a lock of this file.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Sequence ===

impl Sequence {
    fn touch(&self) {
        *lock(&self.used) = Instant::now();
    }
}

/// A request that waits for its turn.
struct Waiting<'a>(&'a Sequence);

impl<'a> Waiting<'a> {
    fn new(sequence: &'a Sequence, most: usize) -> Result<Waiting<'a>, SequencesFull> {
        let before = sequence.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(sequence);
        if before >= most { Err(SequencesFull) } else { Ok(waiting) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Turn ===

impl Turn {
    /// The sequence's id.
    pub fn id(&self) -> &str {
        &self.sequence.id
    }

    /// The module with the sequence's state; at first a copy of the worker's own, which is never
    /// called, or the worker's own if a call changes nothing in it.
    ///
    /// # Errors
    /// [`EngineError`] when the copy does not fit in memory.
    pub(super) fn module(&self, own: &Arc<dyn Module>) -> Result<Arc<dyn Module>, EngineError> {
        let mut module = lock(&self.sequence.module);
        match &*module {
            Some(module) => Ok(Arc::clone(module)),
            None => {
                let copy = own.replica()?.unwrap_or_else(|| Arc::clone(own));
                Ok(Arc::clone(module.insert(copy)))
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.sequence.touch();
        if let Some(table) = self.table.upgrade().filter(|_| self.ends) {
            table.end(&self.sequence);
        }
    }
}

#[cfg(test)]
#[path = "sequences_tests.rs"]
mod tests;
