//! Spans that have ended, on their way to the collector.
//!
//! Whoever ends a span puts it here and goes on: a full box drops it, and counts it. One thread
//! empties the box, when a batch is together or its oldest span has waited long enough.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use opentelemetry::Context;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prost::Message as _;

use super::collector::Collector;
use super::settings::TraceSettings;
use crate::metrics::TraceMetrics;

/// Where ended spans go.
pub(super) struct Outbox {
    messages: Sender<Message>,
    metrics: TraceMetrics,
}

/// Ends the thread.
#[derive(Clone)]
pub(super) struct OutboxHandle {
    messages: Sender<Message>,
}

enum Message {
    Ended(Box<SpanData>),
    /// Send what is there, say so, and end.
    End(Sender<()>),
}

/// The thread.
struct Sending {
    messages: Receiver<Message>,
    collector: Collector,
    resource: ResourceAttributesWithSchema,
    metrics: TraceMetrics,
    max_batch: usize,
    delay: Duration,
    /// The last export failed: that it goes on failing is not said again.
    failing: bool,
}

// === impl Outbox ===

impl Outbox {
    pub(super) fn start(
        settings: &TraceSettings,
        resource: &Resource,
        metrics: TraceMetrics,
    ) -> io::Result<(Outbox, OutboxHandle)> {
        let (messages, received) = bounded(settings.max_queue.max(1));
        let sending = Sending {
            messages: received,
            collector: Collector::new(settings)?,
            resource: resource.into(),
            metrics: metrics.clone(),
            max_batch: settings.max_batch.max(1),
            delay: settings.delay,
            failing: false,
        };
        let thread = std::thread::Builder::new().name("trace-export".to_owned());
        // Ended by `OutboxHandle::end`, or with the last sender.
        let _detached = thread.spawn(move || sending.run())?;
        Ok((Outbox { messages: messages.clone(), metrics }, OutboxHandle { messages }))
    }
}

impl SpanProcessor for Outbox {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled()
            && self.messages.try_send(Message::Ended(Box::new(span))).is_err()
        {
            self.metrics.dropped(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("waiting", &self.messages.len()).finish()
    }
}

// === impl OutboxHandle ===

impl OutboxHandle {
    pub(super) fn end(&self, patience: Duration) {
        let (done, ended) = bounded(1);
        let until = Instant::now() + patience;
        let told = self.messages.send_timeout(Message::End(done), patience).is_ok();
        if !told || ended.recv_deadline(until).is_err() {
            tracing::warn!("the last spans were not delivered to the collector in time");
        }
    }
}

// === impl Sending ===

impl Sending {
    fn run(mut self) {
        let mut batch: Vec<SpanData> = Vec::new();
        let mut due: Option<Instant> = None;
        loop {
            let message = match due {
                None => self.messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => self.messages.recv_deadline(due),
            };
            match message {
                Ok(Message::Ended(span)) => {
                    batch.push(*span);
                    let due = *due.get_or_insert_with(|| Instant::now() + self.delay);
                    if batch.len() < self.max_batch && Instant::now() < due {
                        continue;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::End(done)) => {
                    self.collector.give_up_early();
                    self.export(&mut batch);
                    let _gone = done.send(());
                    return;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.export(&mut batch);
                    return;
                }
            }
            self.export(&mut batch);
            due = None;
        }
    }

    fn export(&mut self, batch: &mut Vec<SpanData>) {
        if batch.is_empty() {
            return;
        }
        let spans = batch.len();
        let resource_spans =
            group_spans_by_resource_and_scope(std::mem::take(batch), &self.resource);
        let request = ExportTraceServiceRequest { resource_spans };
        match self.collector.send(request.encode_to_vec()) {
            Ok(rejected) => {
                let rejected = rejected.min(spans);
                self.metrics.exported(spans - rejected);
                self.metrics.failed(rejected);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the collector takes spans again");
                }
            }
            Err(reason) => {
                self.metrics.failed(spans);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(spans, reason, "spans were not delivered to the collector");
                }
            }
        }
    }
}
