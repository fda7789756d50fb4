//! Tells the connections of one thread that the server stops.
//!
//! actix asks each connection's future whenever it looks at the connection. A channel of tokio would
//! take a lock for that each time, one for all threads; this costs a comparison.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

/// What the connections of one thread ask. Cheap to clone; all clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Stopping(Rc<State>);

#[derive(Debug, Default)]
struct State {
    has_begun: Cell<bool>,
    waiting: RefCell<Slab<Waker>>,
}

/// Ready when the server stops. One for each connection.
#[derive(Debug)]
pub struct Told {
    stopping: Stopping,
    /// Its place among those that wait.
    place: Option<usize>,
}

// === impl Stopping ===

impl Stopping {
    /// Begins once `signal` is ready. Call it where tasks can be spawned.
    pub fn at(signal: impl Future<Output = ()> + 'static) -> Stopping {
        let stopping = Stopping::default();
        let told = stopping.clone();
        tokio::task::spawn_local(async move {
            signal.await;
            told.begin();
        });
        stopping
    }

    /// For one connection.
    pub fn told(&self) -> Told {
        Told { stopping: self.clone(), place: None }
    }

    fn begin(&self) {
        self.0.has_begun.set(true);
        // Waking calls nobody: it only marks a task.
        self.0.waiting.borrow().iter().for_each(|(_, waker)| waker.wake_by_ref());
    }
}

// === impl Told ===

impl Future for Told {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.stopping.0.has_begun.get() {
            return Poll::Ready(());
        }
        let mut waiting = this.stopping.0.waiting.borrow_mut();
        match this.place.and_then(|place| waiting.get_mut(place)) {
            Some(waker) => waker.clone_from(context.waker()),
            None => this.place = Some(waiting.insert(context.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.stopping.0.waiting.borrow_mut().try_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn every_connection_that_waits_is_woken_by_its_latest_waker_and_later_ones_know_at_once() {
        let stopping = Stopping::default();
        let (first, second) = (Arc::<Woken>::default(), Arc::<Woken>::default());
        let wakers = [&first, &second].map(|woken| Waker::from(Arc::clone(woken)));
        let mut told: Vec<Told> = (0..3).map(|_| stopping.told()).collect();
        let poll = |told: &mut Told, waker: usize| {
            Pin::new(told).poll(&mut Context::from_waker(&wakers[waker]))
        };
        // One of them moves to another waker; one goes.
        for (number, waker) in [(0, 0), (0, 1), (1, 0), (2, 0)] {
            assert_eq!(poll(&mut told[number], waker), Poll::Pending);
        }
        told.pop();
        stopping.begin();
        let woken = [first, second].map(|woken| woken.0.load(Ordering::Relaxed));
        assert_eq!(woken, [1, 1]);
        told.push(stopping.told());
        for told in &mut told {
            assert_eq!(poll(told, 0), Poll::Ready(()));
        }
        drop(told);
        assert!(stopping.0.waiting.borrow().is_empty());
    }
}
