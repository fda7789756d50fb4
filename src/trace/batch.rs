//! The trace of one batch: one span for all of its requests.
//!
//! It stands in the trace of the first request that is recorded, so that a request which is alone is
//! one whole tree; it is linked to every request of the batch, and the queue span of every request is
//! linked to it, so that each way leads there.

use std::time::Instant;

use opentelemetry::trace::{Link, SpanBuilder, TraceContextExt, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;

use super::request::{Clock, RequestTrace, Step, record};

/// A batch in a worker's hands. Its span ends when it is dropped.
pub struct BatchTrace {
    tracer: SdkTracer,
    /// Holds the span.
    context: Context,
    clock: Clock,
}

// === impl BatchTrace ===

impl BatchTrace {
    /// A batch of `jobs` begins; `queued` are those of them that are recorded, and since when each
    /// has waited (none: it did not). None when nothing is recorded.
    pub fn begin<'a>(
        jobs: usize,
        queued: impl Iterator<Item = (&'a RequestTrace, Option<Instant>)> + Clone,
        started: Instant,
    ) -> Option<BatchTrace> {
        let (first, _) = queued.clone().next()?;
        let (tracer, parent, clock) = first.parts();
        let link = |context| Link::new(context, Vec::new(), 0);
        let builder = SpanBuilder::from_name("batch")
            .with_start_time(clock.at(started))
            .with_attributes([KeyValue::new(
                "torchfront.batch.size",
                i64::try_from(jobs).unwrap_or(i64::MAX),
            )])
            .with_links(queued.clone().map(|(trace, _)| link(trace.span_context())).collect());
        let span = tracer.build_with_context(builder, parent);
        let context = parent.with_span(span);
        let batch = context.span().span_context().clone();
        for (trace, since) in queued {
            if let Some(since) = since {
                trace.linked_step(Step::Queue, since, started, vec![link(batch.clone())]);
            }
        }
        Some(BatchTrace { tracer: tracer.clone(), context, clock })
    }

    /// One step of it has ended.
    pub fn step(&self, step: Step, started: Instant, ended: Instant) {
        record(&self.tracer, &self.context, self.clock, step, (started, ended), Vec::new());
    }
}

impl Drop for BatchTrace {
    fn drop(&mut self) {
        self.context.span().end_with_timestamp(self.clock.at(Instant::now()));
    }
}
