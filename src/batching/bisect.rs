//! One batch to one answer a job, also when the batch fails. PURE: running is the caller's.
//!
//! A batch that fails is run again in halves, so that only the offender fails: with one offender
//! among n that takes about 2 log2 n forwards, where one by one takes n. Called by `work.rs` with
//! the model, and by `simulation.rs`. Every job is answered exactly once, with its own row.

/// Runs jobs together and answers each.
pub(super) trait Runner {
    /// What is run.
    type Job;
    /// What comes out, one for each job.
    type Prediction;
    /// Why it did not.
    type Error: Clone;

    /// One forward for all of them: as many predictions as jobs, in order.
    fn run(&self, jobs: &[Self::Job]) -> Result<Vec<Self::Prediction>, Self::Error>;

    /// Whether jobs that failed together may be run once more.
    fn again(&self, error: &Self::Error) -> Again;

    /// The job, if it is worth another forward. One that nobody waits for any more, or that is too
    /// late by now, is answered here and not run again.
    fn still_awaited(&self, job: Self::Job) -> Option<Self::Job>;

    /// The answer, and how many jobs were run with this one. Called once for each other job.
    fn answer(&self, job: Self::Job, batch: usize, result: Result<Self::Prediction, Self::Error>);
}

/// Whether a batch that failed may be run once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// As often as it takes to find the offender.
    UntilFound,
    /// In halves, once.
    Once,
    /// Not at all.
    Never,
}

/// Whether a part of a batch holds an offender.
enum Suspicion<E> {
    /// Nothing is known: it is run.
    None,
    /// The other half was fine, so this one is not: it is halved without another try.
    Proven(E),
}

/// Answers every job.
pub(super) fn serve<R: Runner>(runner: &R, jobs: Vec<R::Job>) {
    part(runner, jobs, Suspicion::None, false);
}

/// True when all were fine. `halved`: they failed together with others before.
fn part<R: Runner>(
    runner: &R,
    mut jobs: Vec<R::Job>,
    suspicion: Suspicion<R::Error>,
    halved: bool,
) -> bool {
    let size = jobs.len();
    let error = match suspicion {
        Suspicion::Proven(error) if size > 1 => error,
        Suspicion::Proven(_) | Suspicion::None => match runner.run(&jobs) {
            Ok(predictions) => {
                for (job, prediction) in jobs.into_iter().zip(predictions) {
                    runner.answer(job, size, Ok(prediction));
                }
                return true;
            }
            Err(error) => error,
        },
    };
    let again = runner.again(&error);
    if size == 1 || again == Again::Never || (again == Again::Once && halved) {
        for job in jobs {
            runner.answer(job, size, Err(error.clone()));
        }
        return false;
    }
    let right = jobs.split_off(size.div_ceil(2));
    let whole = jobs.len();
    let left: Vec<_> = jobs.into_iter().filter_map(|job| runner.still_awaited(job)).collect();
    // An offender that nobody waits for any more says nothing about the other half.
    let whole = left.len() == whole;
    let fine = left.is_empty() || part(runner, left, Suspicion::None, true);
    let right: Vec<_> = right.into_iter().filter_map(|job| runner.still_awaited(job)).collect();
    if !right.is_empty() {
        let proven = whole && fine && again == Again::UntilFound;
        let suspicion = if proven { Suspicion::Proven(error) } else { Suspicion::None };
        part(runner, right, suspicion, true);
    }
    false
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;

    use super::*;

    /// Refuses what holds an offender; keeps the answers and counts the forwards.
    struct Model {
        offenders: Vec<usize>,
        forwards: Cell<usize>,
        answers: RefCell<BTreeMap<usize, Result<usize, ()>>>,
    }

    impl Runner for Model {
        type Job = usize;
        type Prediction = usize;
        type Error = ();

        fn run(&self, jobs: &[usize]) -> Result<Vec<usize>, ()> {
            self.forwards.set(self.forwards.get() + 1);
            let fine = !jobs.iter().any(|job| self.offenders.contains(job));
            fine.then(|| jobs.to_vec()).ok_or(())
        }

        fn again(&self, (): &()) -> Again {
            Again::UntilFound
        }

        fn still_awaited(&self, job: usize) -> Option<usize> {
            Some(job)
        }

        fn answer(&self, job: usize, _: usize, result: Result<usize, ()>) {
            assert_eq!(self.answers.borrow_mut().insert(job, result), None, "{job} twice");
        }
    }

    /// The forwards that it took.
    fn forwards(jobs: usize, offenders: &[usize]) -> usize {
        let answers = RefCell::default();
        let model = Model { offenders: offenders.to_vec(), forwards: Cell::new(0), answers };
        serve(&model, (0..jobs).collect());
        let expected = (0..jobs).map(|job| {
            let result = if offenders.contains(&job) { Err(()) } else { Ok(job) };
            (job, result)
        });
        assert_eq!(*model.answers.borrow(), expected.collect(), "{jobs} jobs, {offenders:?}");
        model.forwards.get()
    }

    #[test]
    fn only_offenders_fail_and_one_is_found_in_two_log_n_forwards() {
        for jobs in 1..=64_usize {
            assert_eq!(forwards(jobs, &[]), 1);
            let levels = jobs.next_power_of_two().ilog2() as usize;
            for first in 0..jobs {
                let one = forwards(jobs, &[first]);
                assert!(one <= 1 + 2 * levels, "{one} forwards for job {first} of {jobs}");
                let two = forwards(jobs, &[first, (first * 7 + 3) % jobs]);
                assert!(two < 2 * jobs && two <= 1 + 4 * levels, "{two} forwards, {jobs} jobs");
            }
            assert_eq!(forwards(jobs, &(0..jobs).collect::<Vec<_>>()), 2 * jobs - 1);
        }
    }
}
