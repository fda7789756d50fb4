//! OpenTelemetry: what one request went through, told to a collector.
//!
//! Off unless the environment names a collector (`config/tracing.rs` reads `OTEL_*`); then each
//! prediction is a trace, made of measurements that are taken anyway:
//!
//! ```text
//! POST /predictions/{model}        http/traced.rs        child of the caller's `traceparent`
//!   decode                         registry/model.rs     body to sample
//!   queue                          batching/work.rs      linked to the batch that ended it
//!   batch                          batching/work.rs      one a batch, in the trace of its first
//!     forward                                            request, linked to every request in it
//!     encode                                             outputs to answers
//! ```
//!
//! The request under way is the task's, as the span of log lines is: [`within`] sets it, [`current`]
//! finds it, a job takes it along to the worker's thread. `outbox.rs` holds what has ended, bounded,
//! and sends it from a thread of its own; `collector.rs` speaks OTLP over HTTP. Nothing here waits on
//! a reactor or a worker.

mod batch;
mod collector;
mod context;
mod outbox;
mod request;
mod settings;
mod tls;

use std::pin::pin;

pub use batch::BatchTrace;
pub use context::RemoteParent;
pub use request::{RequestFacts, RequestTrace, Step, Tracer};
pub use settings::{Compression, Sampling, TraceSettings};

tokio::task_local! {
    static CURRENT: RequestTrace;
}

/// Runs `work` as a part of the request `trace`.
pub async fn within<F: Future>(trace: &RequestTrace, work: F) -> F::Output {
    CURRENT.scope(trace.clone(), pin!(work)).await
}

/// The request that this task works for, if it is recorded.
pub fn current() -> Option<RequestTrace> {
    CURRENT.try_with(|trace| trace.is_recorded().then(|| trace.clone())).ok().flatten()
}
