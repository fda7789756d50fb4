//! Numbers that every thread writes in a place of its own. Cores that write the same number wait for
//! each other, at each of them; these are added up when somebody reads.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One `T` for each thread, on cache lines of its own. When there are more threads than places they
/// share some: that costs speed, not truth.
pub struct Striped<T>(Box<[Stripe<T>]>);

#[derive(Default)]
#[repr(align(128))]
struct Stripe<T>(T);

/// Places at most: a server has a reactor and a worker for each core.
const MOST: usize = 64;

thread_local! {
    static THREAD: Cell<Option<usize>> = const { Cell::new(None) };
}

// === impl Striped ===

impl<T> Striped<T> {
    /// Each place as `make` gives it.
    pub fn with(make: impl Fn() -> T) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let places = (2 * cores).min(MOST);
        Striped((0..places).map(|_| Stripe(make())).collect())
    }

    /// The calling thread's.
    pub fn own(&self) -> &T {
        // There is at least one core.
        &self.0[thread() % self.0.len()].0
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|stripe| &stripe.0)
    }
}

impl<T: Default> Default for Striped<T> {
    fn default() -> Self {
        Striped::with(T::default)
    }
}

/// The number of the calling thread among those that asked.
fn thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    THREAD.with(|thread| {
        thread.get().unwrap_or_else(|| {
            let new = NEXT.fetch_add(1, Ordering::Relaxed);
            thread.set(Some(new));
            new
        })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn nothing_is_lost_when_more_threads_than_places_count() {
        let counts = Striped::<AtomicU64>::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * MOST {
                scope.spawn(|| {
                    (0..100).for_each(|_| {
                        counts.own().fetch_add(1, Ordering::Relaxed);
                    });
                });
            }
        });
        let total: u64 = counts.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        assert_eq!(total, 2 * 64 * 100);
    }
}
