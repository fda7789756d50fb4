//! The threads that preprocess what is not cheap: photographs, large bodies.
//!
//! One pool a server, so that a burst of photographs takes neither the reactors nor hundreds of
//! threads, and gives way to them as the workers do. Called by `registry/model.rs`. Bounded: one task
//! too many is refused at once. A task that nobody waits for any more is skipped; one that panics
//! fails alone.

use std::any::Any;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::oneshot;
use tracing::Span;

use crate::engine::give_way_to_reactors;

/// The pool. Its threads end with it, after the tasks that were accepted.
pub struct DecodePool {
    tasks: Sender<Task>,
}

/// A task that was accepted. Dropping it lets the pool skip it.
pub struct Decoding<T>(oneshot::Receiver<Result<T, Panicked>>);

/// As many tasks wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all decode threads are busy and their queue is full")]
pub struct PoolFull;

/// The task panicked; the text is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("panicked: {0}")]
pub struct Panicked(pub String);

type Task = Box<dyn FnOnce() + Send>;

// === impl DecodePool ===

impl DecodePool {
    /// Starts the threads. At most `waiting` tasks wait for one.
    ///
    /// # Errors
    /// The operating system's, when it grants no more threads.
    pub fn start(threads: NonZeroUsize, waiting: usize) -> std::io::Result<DecodePool> {
        let (tasks, queue) = bounded(waiting);
        for number in 0..threads.get() {
            let queue = queue.clone();
            let thread = std::thread::Builder::new().name(format!("decode-{number}"));
            // They end with the sender; there is nothing to join them for.
            let _detached = thread.spawn(move || run(&queue))?;
        }
        Ok(DecodePool { tasks })
    }

    /// Hands a task to the next free thread.
    ///
    /// # Errors
    /// [`PoolFull`] at once; it never waits.
    pub fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Decoding<T>, PoolFull> {
        let (reply, receiver) = oneshot::channel();
        let span = Span::current();
        let task = move || {
            if reply.is_closed() {
                return;
            }
            let done = span.in_scope(|| unpanicked(work));
            // Who has gone away meanwhile needs no answer.
            let _gone = reply.send(done);
        };
        self.tasks.try_send(Box::new(task)).map_err(|_| PoolFull)?;
        Ok(Decoding(receiver))
    }
}

/// Runs tasks until the pool is gone.
fn run(queue: &Receiver<Task>) {
    give_way_to_reactors();
    for task in queue {
        task();
    }
}

/// Runs `work`; a panic is its error.
///
/// # Errors
/// [`Panicked`].
pub fn unpanicked<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| Panicked(message(&*panic).to_owned()))
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

// === impl Decoding ===

impl<T> Decoding<T> {
    /// Waits for what the task gives.
    ///
    /// # Errors
    /// [`Panicked`].
    pub async fn wait(self) -> Result<T, Panicked> {
        self.0.await.unwrap_or_else(|_| Err(Panicked("the decode thread is gone".to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use super::*;

    /// A pool of one thread that is held up until the sender speaks or is dropped.
    fn held(waiting: usize) -> (DecodePool, mpsc::Sender<()>) {
        let pool = DecodePool::start(NonZeroUsize::MIN, waiting).unwrap();
        let (release, hold) = mpsc::channel::<()>();
        let (started, running) = mpsc::channel();
        let holding = move || {
            started.send(()).unwrap();
            let _released = hold.recv();
        };
        // Its answer is dropped, but it has begun by then.
        let decoding = pool.submit(holding).unwrap();
        running.recv().unwrap();
        drop(decoding);
        (pool, release)
    }

    #[tokio::test]
    async fn a_full_pool_refuses_at_once() {
        let (pool, release) = held(2);
        let first = pool.submit(|| 1).unwrap();
        let second = pool.submit(|| 2).unwrap();
        assert_eq!(pool.submit(|| 3).err(), Some(PoolFull));
        drop(release);
        assert_eq!((first.wait().await, second.wait().await), (Ok(1), Ok(2)));
    }

    #[tokio::test]
    async fn a_task_that_nobody_waits_for_is_skipped() {
        let (pool, release) = held(2);
        let ran = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ran);
        drop(pool.submit(move || seen.store(true, Ordering::SeqCst)).unwrap());
        let last = pool.submit(|| ()).unwrap();
        drop(release);
        last.wait().await.unwrap();
        assert!(!ran.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_panic_fails_its_own_task_and_no_other() {
        let pool = DecodePool::start(NonZeroUsize::MIN, 2).unwrap();
        let bad = pool.submit(|| assert_eq!(1, 2, "a broken picture")).unwrap();
        let error = bad.wait().await.unwrap_err();
        assert!(error.0.contains("a broken picture"), "{error}");
        assert_eq!(pool.submit(|| 7).unwrap().wait().await, Ok(7));
    }
}
