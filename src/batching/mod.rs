//! From accepted jobs to batches to answers.
//!
//! ```text
//!   http -> Model::predict -> JobQueue::admit       bounded; full or closed is said at once
//!                                  |
//!                              Sequences            a request of a sequence waits for its turn
//!                                  |
//!                             preprocess            here, or in the DecodePool
//!                                  |
//!                           Admission::push
//!                                  |
//!                 worker thread: JobQueue::next     Waiting (pure) cuts the batch, late
//!                                  |
//!              collate -> forward -> postprocess    bisect (pure): a failing batch runs in halves
//!                                  |
//!                             Job::answer           exactly once, also when a job is dropped
//! ```
//!
//! A caller has its answer by its deadline even when every worker is stuck: it waits no longer than
//! that, and takes its job out of the queue when it goes ([`Reply`]).

mod alone;
mod bisect;
mod decode_pool;
mod direct;
#[cfg(test)]
mod interleavings;
mod job;
mod policy;
mod queue;
mod sequences;
#[cfg(test)]
mod simulation;
mod steps;
mod sync;
#[cfg(test)]
mod tests;
mod traffic;
mod turn;
mod waiting;
mod work;
mod worker;

pub use decode_pool::{DecodePool, Decoding, Panicked, PoolFull, unpanicked};
pub use direct::{Direct, Flight, Landing};
pub use job::{Answer, Job, PredictError, Reply, prediction_span};
pub use policy::{BatchPolicy, BatchStep, Filling};
pub use queue::{Admission, JobQueue, Next};
pub use sequences::{SequenceLimits, Sequences, SequencesFull, Turn};
pub use waiting::PushError;
pub(crate) use work::Work;
pub use worker::{Worker, WorkerStatus};
