//! From accepted jobs to batches to answers.
//!
//! ```text
//!   http -> Model::predict -> JobQueue::push        bounded; full or closed is said at once
//!                                  |
//!                 worker thread: JobQueue::next     BatchPolicy (pure) cuts the batch, late
//!                                  |
//!              collate -> forward -> postprocess    a failing batch is run again one by one
//!                                  |
//!                             Job::answer           exactly once, also when a job is dropped
//! ```

mod job;
mod policy;
mod queue;
#[cfg(test)]
mod tests;
mod worker;

pub use job::{Answer, Job, PredictError, Reply};
pub use policy::{BatchPolicy, BatchStep, Filling};
pub use queue::{JobQueue, Next, PushError};
pub(crate) use worker::Work;
pub use worker::{Worker, WorkerStatus};
