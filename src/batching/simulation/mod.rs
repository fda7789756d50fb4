//! The batcher in a world of its own: random schedules on a virtual clock.
//!
//! What runs is the server's code: `waiting.rs` decides, `policy.rs` cuts, `bisect.rs` answers. Only
//! the lock, the threads and the channel are played here (`world.rs`), and the model. Each schedule is
//! made from its number, so that a failure names the schedule that shows it.
//!
//! Kept in every schedule, at every moment:
//! - every caller gets exactly one answer, and its own row;
//! - no job is started once its deadline has passed, none after its caller has gone;
//! - never more jobs wait, or are on their way in, than the queue has places;
//! - with `work_conserving`, no worker sleeps while a job waits; one client never waits for company;
//! - the oldest job is in every batch: a job starts within as many batches as jobs were before it;
//! - a batch holds one bucket, never more than `batchSize`;
//! - of a failing batch only the offenders fail, within 2 log2 n more forwards for one of them; a
//!   module that changes itself is never run again;
//! - whoever was admitted finds a worker, also when the queue is closed meanwhile; then every worker
//!   ends.

mod schedule;
mod world;

use schedule::{Random, Schedule};
use world::World;

/// Runs `count` schedules from number `first` on.
fn run(first: u64, count: u64) {
    for number in first..first + count {
        let schedule = Schedule::random(&mut Random::new(number));
        // A panic names the schedule: `run(NUMBER, 1)` shows it again.
        let result = std::panic::catch_unwind(|| World::new(&schedule).run());
        if let Err(panic) = result {
            eprintln!("schedule {number}: {schedule:#?}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn a_hundred_thousand_random_schedules_keep_every_promise() {
    run(0, 100_000);
}

/// `cargo test -- --ignored a_million_random_schedules`: about a minute without optimisation.
#[test]
#[ignore = "the same code as the hundred thousand of every run, ten times as long"]
fn a_million_random_schedules_keep_every_promise() {
    run(0, 1_000_000);
}
