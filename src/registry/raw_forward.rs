//! What the model takes with nothing around it: the forward of each batch size, measured once at load.
//!
//! Called by `weights.rs` when a module is ready, on the loading thread. It is the yardstick of
//! `metrics/raw_forward.rs`: serving can be slower than that, never faster. Bounded in time, since
//! readiness waits for it; a model whose shapes are not known is not measured.

use std::time::{Duration, Instant};

use super::weights::MAX_WARM_UP_BYTES;
use super::workers::Equipment;
use crate::engine::{Module, available_cores};
use crate::metrics::RawForward;

/// `measure_forward_ms` where nothing is said. The first forward is measured however long it takes.
const BUDGET: Duration = Duration::from_millis(100);
/// Runs of each size; the median counts.
const ROUNDS: usize = 5;
/// The largest batch that is measured.
const MAX_BATCH: usize = 1024;

/// Runs each size in turn, as often as the time allows. `module` may change by it; `row`: bytes of one
/// row's arguments.
pub(super) fn measure(equipment: &Equipment, module: &dyn Module, row: usize) -> Vec<RawForward> {
    let budget = equipment.execution.measure_forward.unwrap_or(BUDGET);
    if budget.is_zero() {
        return Vec::new();
    }
    let largest = equipment.queue.policy().batch_size.get().min(MAX_BATCH);
    let fits = |size: &usize| size.saturating_mul(row) <= MAX_WARM_UP_BYTES;
    let mut times: Vec<(usize, Vec<Duration>)> =
        sizes(largest).into_iter().filter(fits).map(|size| (size, Vec::new())).collect();
    // With as many threads as a worker has.
    let threads = equipment.execution.threads(equipment.workers, available_cores().get());
    equipment.engine.enter_worker_thread(threads);
    run(&mut times, budget, |size| {
        let arguments = equipment.handler.example(size)?;
        let start = Instant::now();
        module.forward(arguments).ok()?;
        Some(start.elapsed())
    });
    // The thread is given back as it was.
    equipment.engine.enter_worker_thread(1);
    let measured = times.into_iter().filter_map(|(batch_size, mut times)| {
        let time = median(&mut times)?;
        Some(RawForward { batch_size, time })
    });
    measured.collect()
}

/// 1, 2, 4 and so on, and the largest.
fn sizes(largest: usize) -> Vec<usize> {
    let powers = std::iter::successors(Some(1_usize), |size| size.checked_mul(2));
    let mut sizes: Vec<usize> = powers.take_while(|size| *size < largest).collect();
    sizes.push(largest);
    sizes
}

/// Fills `times` with what `forward` tells, as far as it is expected to fit into the budget, or until it
/// tells nothing more.
fn run(
    times: &mut [(usize, Vec<Duration>)],
    budget: Duration,
    mut forward: impl FnMut(usize) -> Option<Duration>,
) {
    let (mut used, mut latest) = (Duration::ZERO, None);
    for _ in 0..ROUNDS {
        for (size, times) in times.iter_mut() {
            let known = times.last().map(|time| (*size, *time)).or(latest);
            if known.is_some_and(|known| used + expected(*size, known) > budget) {
                continue;
            }
            let Some(time) = forward(*size) else { return };
            times.push(time);
            (used, latest) = (used + time, Some((*size, time)));
        }
    }
}

/// What `size` rows take, each as long as in a forward that is known.
fn expected(size: usize, (rows, took): (usize, Duration)) -> Duration {
    took.mul_f64(size as f64 / rows as f64)
}

fn median(times: &mut [Duration]) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn measured(
        sizes: &[usize],
        budget: u64,
        forward: impl FnMut(usize) -> Option<Duration>,
    ) -> Vec<usize> {
        let mut times: Vec<_> = sizes.iter().map(|size| (*size, Vec::new())).collect();
        run(&mut times, millis(budget), forward);
        times.iter().map(|(_, times)| times.len()).collect()
    }

    #[test]
    fn sizes_double_up_to_the_batch_size() {
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(2), [1, 2]);
        assert_eq!(sizes(12), [1, 2, 4, 8, 12]);
        assert_eq!(sizes(1024).len(), 11);
    }

    #[test]
    fn a_slow_model_is_measured_for_no_longer_than_the_budget_or_one_forward() {
        assert_eq!(measured(&[1, 2, 4], 200, |_| Some(millis(1))), [5, 5, 5]);
        let slow = |row: u64| move |size: usize| Some(millis(row * size as u64));
        assert_eq!(measured(&[1, 2, 4], 200, slow(50)), [2, 1, 0]);
        assert_eq!(measured(&[1, 2, 4], 200, slow(90)), [2, 0, 0]);
        assert_eq!(measured(&[1, 2], 200, |_| Some(millis(9_000))), [1, 0]);
    }

    #[test]
    fn a_size_that_the_model_refuses_ends_the_measuring() {
        let only_one = |size| (size == 1).then(|| millis(1));
        assert_eq!(measured(&[1, 2, 4], 200, only_one), [1, 0, 0]);
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [millis(9), millis(1), millis(2)]), Some(millis(2)));
    }
}
