//! What the kernel's scheduler is told of the threads (Linux): who must not wait, and who may.
//!
//! | thread | while a worker has a batch in hand | else |
//! |---|---|---|
//! | reactor | short slices: it is let in soon | `SCHED_BATCH`: it wakes without interrupting whoever has its core |
//! | worker, decode thread | nice 19, long slices | the same |
//!
//! A preflight, a `/ping` or the head of a request must never wait for a forward when all cores are busy
//! with them. Without forwards, whoever has a reactor's core is most likely a client or a proxy on the
//! same machine that is about to send more: interrupted at each request, both get less done. The workers
//! tell the reactors, at the first batch and when they have had none for some seconds, so that no
//! request costs a call. `kernel.rs` tells; a system that refuses only makes the server slower.

#[cfg_attr(not(target_os = "linux"), path = "no_kernel.rs")]
mod kernel;

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kernel::{Policy, Thread};

/// The least weight that a thread can have without being starved, a sixty-eighth of one with nice 0: it
/// is set aside at once. (The slowest of a hundred preflights beside workers on both cores waited 3.1 ms
/// with 10, 1.7 with 15, 1.3 with 19, medians of 12 runs; the workers got as much done with each.)
const WORKER_NICE: i32 = 19;
/// Longer than what Linux gives a thread that asks for nothing, so that whoever wakes is let in before
/// it is used up, a client on the same machine included.
const WORKER: Policy = Policy::Other { slice: Duration::from_millis(3) };
/// The smallest slice that Linux grants: since 6.12 a reactor that wakes does not wait until the forward
/// on its core has used up its own. It gets no more time by it, only smaller pieces.
const URGENT: Policy = Policy::Other { slice: Duration::from_micros(100) };
const CALM: Policy = Policy::Batch;

/// Those of this process.
static REACTORS: Reactors = Reactors::new();

/// The threads that read requests, and whether a forward may be in their way.
pub(super) struct Reactors {
    /// Batches in hand.
    batches: AtomicUsize,
    /// What the threads were told last. Changed with `threads` locked; read without.
    is_urgent: AtomicBool,
    threads: Mutex<Vec<Thread>>,
}

/// A batch that a worker has in hand, until this is dropped.
#[must_use]
pub struct BatchInHand(&'static Reactors);

/// A reactor's place among the [`Reactors`]: it ends with its thread, before the kernel gives the
/// thread's number to another one.
struct Place(&'static Reactors, Thread);

thread_local! {
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

/// Makes the calling thread, and those that it starts from now on, give way to the reactors.
pub fn give_way_to_reactors() {
    kernel::be_nice(WORKER_NICE);
    if let Some(thread) = kernel::this_thread() {
        thread.set(WORKER);
    }
}

/// The calling thread is a reactor from now on; to say it again changes nothing.
pub fn enter_reactor() {
    REACTORS.enter();
}

/// The calling worker has a batch, for as long as it keeps what it gets.
pub fn take_batch_in_hand() -> BatchInHand {
    REACTORS.take_batch_in_hand()
}

/// The calling worker has had no batch for a while.
pub fn rest() {
    REACTORS.rest();
}

// === impl Reactors ===

impl Reactors {
    const fn new() -> Reactors {
        Reactors {
            batches: AtomicUsize::new(0),
            is_urgent: AtomicBool::new(false),
            threads: Mutex::new(Vec::new()),
        }
    }

    fn enter(&'static self) {
        if PLACE.with_borrow(Option::is_some) {
            return;
        }
        // A thread with a policy that somebody chose for it keeps that.
        let Some(thread) = kernel::this_thread().filter(Thread::has_usual_policy) else { return };
        let mut threads = self.lock();
        threads.push(thread);
        thread.set(self.policy());
        drop(threads);
        PLACE.set(Some(Place(self, thread)));
    }

    fn take_batch_in_hand(&'static self) -> BatchInHand {
        // Counted before the look, as `rest` looks at the number after it has changed what is seen here.
        self.batches.fetch_add(1, Ordering::SeqCst);
        if !self.is_urgent.load(Ordering::SeqCst) {
            let threads = self.lock();
            self.is_urgent.store(true, Ordering::SeqCst);
            threads.iter().for_each(|thread| thread.set(URGENT));
        }
        BatchInHand(self)
    }

    fn rest(&self) {
        let threads = self.lock();
        let was_urgent = self.is_urgent.swap(false, Ordering::SeqCst);
        if self.batches.load(Ordering::SeqCst) > 0 {
            self.is_urgent.store(was_urgent, Ordering::SeqCst);
        } else if was_urgent {
            threads.iter().for_each(|thread| thread.set(CALM));
        }
    }

    /// What a reactor is told now; with `threads` locked.
    fn policy(&self) -> Policy {
        if self.is_urgent.load(Ordering::SeqCst) { URGENT } else { CALM }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Thread>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl BatchInHand ===

impl Drop for BatchInHand {
    fn drop(&mut self) {
        self.0.batches.fetch_sub(1, Ordering::SeqCst);
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        let Place(reactors, thread) = self;
        reactors.lock().retain(|other| other != thread);
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// A reactor that ends when the sender is dropped.
    fn reactor(reactors: &'static Reactors) -> (Thread, mpsc::Sender<()>, thread::JoinHandle<()>) {
        let (release, hold) = mpsc::channel();
        let (entered, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            reactors.enter();
            reactors.enter();
            entered.send(kernel::this_thread().unwrap()).unwrap();
            let _released: Result<(), _> = hold.recv();
        });
        (told.recv().unwrap(), release, thread)
    }

    fn policy(thread: Thread) -> i32 {
        thread.policy()
    }

    #[test]
    fn reactors_interrupt_while_a_worker_has_a_batch_and_not_before_or_long_after() {
        let reactors: &'static Reactors = Box::leak(Box::new(Reactors::new()));
        let (first, _first_runs, _) = reactor(reactors);
        assert_eq!(policy(first), libc::SCHED_BATCH);
        let batches = [reactors.take_batch_in_hand(), reactors.take_batch_in_hand()];
        assert_eq!(policy(first), libc::SCHED_OTHER);
        let (second, _second_runs, _) = reactor(reactors);
        assert_eq!(policy(second), libc::SCHED_OTHER, "who comes later is told, too");
        let [one, other] = batches;
        drop(one);
        reactors.rest();
        assert_eq!(policy(first), libc::SCHED_OTHER, "another worker has one");
        drop(other);
        assert_eq!(policy(first), libc::SCHED_OTHER, "the next one may come at once");
        reactors.rest();
        assert_eq!([policy(first), policy(second)], [libc::SCHED_BATCH; 2]);
        let _batch = reactors.take_batch_in_hand();
        assert_eq!([policy(first), policy(second)], [libc::SCHED_OTHER; 2]);
    }

    #[test]
    fn a_thread_that_has_ended_is_told_nothing_more() {
        let reactors: &'static Reactors = Box::leak(Box::new(Reactors::new()));
        let (_, release, thread) = reactor(reactors);
        assert_eq!(reactors.lock().len(), 1);
        drop(release);
        thread.join().unwrap();
        assert!(reactors.lock().is_empty());
    }

    #[test]
    fn a_policy_that_was_chosen_is_kept() {
        let reactors: &'static Reactors = Box::leak(Box::new(Reactors::new()));
        let chosen = thread::spawn(|| {
            let thread = kernel::this_thread().unwrap();
            thread.set(Policy::Batch);
            reactors.enter();
            let _batch = reactors.take_batch_in_hand();
            policy(thread)
        });
        assert_eq!(chosen.join().unwrap(), libc::SCHED_BATCH);
    }
}
