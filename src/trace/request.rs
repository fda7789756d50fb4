//! The tracer, and the trace of one request: its own span and the steps below it.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, SpanLimits};

use super::context::{self, RemoteParent};
use super::outbox::{Outbox, OutboxHandle};
use super::settings::{Sampling, TraceSettings};
use crate::metrics::TraceMetrics;

/// Records requests. Cheap to clone.
#[derive(Clone)]
pub struct Tracer {
    tracer: SdkTracer,
    outbox: OutboxHandle,
    read_context: bool,
}

/// What is known of a request before it is served.
pub struct RequestFacts<'a> {
    /// The method.
    pub method: &'a str,
    /// The route's template, such as `/predictions/{model_name}`.
    pub route: &'static str,
    /// The path as it came.
    pub path: &'a str,
    /// The request's id, as its answer carries it.
    pub request_id: &'a str,
    /// When it was read.
    pub started: Instant,
}

/// One request under way. Cheap to clone; its span ends with [`RequestTrace::answered`], else, as
/// cancelled, with the last clone.
#[derive(Clone)]
pub struct RequestTrace(Arc<Recorded>);

struct Recorded {
    tracer: SdkTracer,
    /// Holds the span.
    context: Context,
    clock: Clock,
}

/// Both clocks at one moment: steps are measured by one, and told by the other.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    instant: Instant,
    system: SystemTime,
}

/// A part of a request's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// From the body to the handler's sample.
    Decode,
    /// In the job queue.
    Queue,
    /// In the engine.
    Forward,
    /// From the outputs to the answers.
    Encode,
    /// The many forwards of an explanation, and what is around them.
    Explain,
}

/// Characters of a client's text in an attribute.
const MAX_TEXT: usize = 256;
/// A batch has as many links as requests.
const LIMITS: SpanLimits = SpanLimits {
    max_events_per_span: 8,
    max_attributes_per_span: 32,
    max_links_per_span: 1024,
    max_attributes_per_event: 8,
    max_attributes_per_link: 8,
};

// === impl Tracer ===

impl Tracer {
    /// Starts the thread that exports.
    ///
    /// # Errors
    /// The system's, when it grants no thread; the certificate's, when it cannot be used.
    pub fn start(settings: &TraceSettings, metrics: TraceMetrics) -> io::Result<Tracer> {
        let attributes = settings
            .resource
            .iter()
            .map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
        let resource = Resource::builder_empty().with_attributes(attributes).build();
        let (outbox, handle) = Outbox::start(settings, &resource, metrics)?;
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler(settings.sampling))
            .with_span_limits(LIMITS)
            .with_resource(resource)
            .with_span_processor(outbox)
            .build();
        let scope = InstrumentationScope::builder("torchfront").with_version(crate_version());
        Ok(Tracer {
            tracer: provider.tracer_with_scope(scope.build()),
            outbox: handle,
            read_context: settings.read_context,
        })
    }

    /// True when callers are asked for theirs.
    pub fn reads_context(&self) -> bool {
        self.read_context
    }

    /// A request comes.
    pub fn request(&self, parent: Option<RemoteParent>, facts: &RequestFacts<'_>) -> RequestTrace {
        let clock = Clock { instant: facts.started, system: SystemTime::now() };
        let parent = parent.map_or_else(Context::new, |RemoteParent(parent)| {
            Context::new().with_remote_span_context(parent)
        });
        let method = known_method(facts.method);
        let builder = SpanBuilder::from_name(format!("{method} {}", facts.route))
            .with_kind(SpanKind::Server)
            .with_start_time(clock.system)
            .with_attributes([
                KeyValue::new("http.request.method", method),
                KeyValue::new("http.route", facts.route),
                KeyValue::new("url.path", cut(facts.path).into_owned()),
                KeyValue::new("torchfront.request_id", facts.request_id.to_owned()),
            ]);
        let span = self.tracer.build_with_context(builder, &parent);
        let context = parent.with_span(span);
        RequestTrace(Arc::new(Recorded { tracer: self.tracer.clone(), context, clock }))
    }

    /// Exports what has ended until now and no more; at most for `patience`. Blocks.
    pub fn end(&self, patience: Duration) {
        self.outbox.end(patience);
    }
}

fn crate_version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

fn sampler(sampling: Sampling) -> Sampler {
    let own = match sampling.ratio {
        ratio if ratio >= 1.0 => Sampler::AlwaysOn,
        ratio if ratio <= 0.0 => Sampler::AlwaysOff,
        ratio => Sampler::TraceIdRatioBased(ratio),
    };
    if sampling.follow_parent { Sampler::ParentBased(Box::new(own)) } else { own }
}

/// The name of a span must not be a client's invention.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("_OTHER")
}

fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_TEXT) {
        Some((at, _)) => Cow::Owned(format!("{}...", &text[..at])),
        None => Cow::Borrowed(text),
    }
}

// === impl RequestTrace ===

impl RequestTrace {
    /// False when sampling left it out: then it has an id and nothing is kept of it.
    pub fn is_recorded(&self) -> bool {
        self.0.context.span().is_recording()
    }

    /// 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        self.span_context().trace_id().to_string()
    }

    /// What the next one in the chain is told: `traceparent`.
    pub fn traceparent(&self) -> String {
        context::write(&self.span_context())
    }

    /// The model that is asked.
    pub fn asks(&self, model: &str, version: Option<&str>) {
        let span = self.0.context.span();
        span.set_attribute(KeyValue::new("torchfront.model.name", cut(model).into_owned()));
        if let Some(version) = version {
            let version = cut(version).into_owned();
            span.set_attribute(KeyValue::new("torchfront.model.version", version));
        }
    }

    /// One step of its way has ended.
    pub fn step(&self, step: Step, started: Instant, ended: Instant) {
        self.linked_step(step, started, ended, Vec::new());
    }

    pub(super) fn linked_step(
        &self,
        step: Step,
        started: Instant,
        ended: Instant,
        links: Vec<Link>,
    ) {
        let Recorded { tracer, context, clock } = &*self.0;
        record(tracer, context, *clock, step, (started, ended), links);
    }

    /// Its answer has this status.
    pub fn answered(&self, status: u16) {
        let span = self.0.context.span();
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        if status >= 500 {
            span.set_attribute(KeyValue::new("error.type", status.to_string()));
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(self.0.clock.at(Instant::now()));
    }

    pub(super) fn span_context(&self) -> SpanContext {
        self.0.context.span().span_context().clone()
    }

    pub(super) fn parts(&self) -> (&SdkTracer, &Context, Clock) {
        (&self.0.tracer, &self.0.context, self.0.clock)
    }
}

/// A span that has ended already.
pub(super) fn record(
    tracer: &SdkTracer,
    parent: &Context,
    clock: Clock,
    step: Step,
    (started, ended): (Instant, Instant),
    links: Vec<Link>,
) {
    let mut builder = SpanBuilder::from_name(step.as_str()).with_start_time(clock.at(started));
    if !links.is_empty() {
        builder = builder.with_links(links);
    }
    let mut span = tracer.build_with_context(builder, parent);
    span.end_with_timestamp(clock.at(ended));
}

impl Drop for Recorded {
    fn drop(&mut self) {
        let span = self.context.span();
        // Nothing was answered: the client has gone away.
        if span.is_recording() {
            span.set_attribute(KeyValue::new("error.type", "cancelled"));
            span.end_with_timestamp(self.clock.at(Instant::now()));
        }
    }
}

// === impl Clock ===

impl Clock {
    pub(super) fn at(self, instant: Instant) -> SystemTime {
        match instant.checked_duration_since(self.instant) {
            Some(later) => self.system + later,
            None => self.system - self.instant.duration_since(instant),
        }
    }
}

// === impl Step ===

impl Step {
    /// The span's name.
    fn as_str(self) -> &'static str {
        match self {
            Step::Decode => "decode",
            Step::Queue => "queue",
            Step::Forward => "forward",
            Step::Encode => "encode",
            Step::Explain => "explain",
        }
    }
}
