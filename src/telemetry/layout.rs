//! A tracing event as a line of log4j's pattern: the message with its fields and the spans it is in,
//! a request as TorchServe's access log has it.

use std::fmt::{self, Write};
use std::time::SystemTime;

use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::pattern::{Line, Pattern};
use super::sinks::Stream;

/// Writes events in a pattern.
pub(super) struct PatternFormat(pub(super) Pattern);

/// The fields of spans without colours, kept apart from those of a terminal.
#[derive(Default)]
pub(super) struct PlainFields(DefaultFields);

/// The fields of an event: its message, then the others.
#[derive(Default)]
struct Message {
    text: String,
    fields: String,
}

/// The fields of a request.
#[derive(Default)]
struct Request {
    peer: String,
    method: String,
    path: String,
    version: String,
    status: u64,
    ms: f64,
}

// === impl PatternFormat ===

impl<S> FormatEvent<S, PlainFields> for PatternFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, PlainFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let meta = event.metadata();
        let stream = Stream::of(meta.target());
        let message = match stream {
            Stream::Access => Request::of(event).to_string(),
            Stream::Server | Stream::Model => {
                let mut text = String::new();
                for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
                    let extensions = span.extensions();
                    let fields = extensions.get::<FormattedFields<PlainFields>>();
                    write!(text, "{}{{{}}}: ", span.name(), fields.map_or("", |f| &f.fields))?;
                }
                let mut said = Message::default();
                event.record(&mut said);
                text + said.text.as_str() + said.fields.as_str()
            }
        };
        let place;
        let logger = match stream.logger() {
            Some(name) => name,
            None => {
                place = meta.target().replace("::", ".");
                &place
            }
        };
        let thread = std::thread::current();
        let line = Line {
            time: OffsetDateTime::from(SystemTime::now()),
            level: meta.level().as_str(),
            thread: thread.name().unwrap_or("-"),
            logger,
            message: &message,
        };
        writer.write_str(&self.0.render(&line))
    }
}

// === impl PlainFields ===

impl<'writer> FormatFields<'writer> for PlainFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        self.0.format_fields(writer, fields)
    }
}

// === impl Message ===

impl Visit for Message {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.text.push_str(value);
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _written = match field.name() {
            "message" => write!(self.text, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

// === impl Request ===

impl Request {
    fn of(event: &Event<'_>) -> Request {
        let mut request = Request { version: "HTTP/1.1".to_owned(), ..Request::default() };
        event.record(&mut request);
        request
    }
}

impl Visit for Request {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "status" {
            self.status = value;
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "ms" {
            self.ms = value;
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let place = match field.name() {
            "peer" => &mut self.peer,
            "method" => &mut self.method,
            "path" => &mut self.path,
            "version" => &mut self.version,
            _ => return,
        };
        *place = format!("{value:?}");
    }
}

impl fmt::Display for Request {
    /// `/127.0.0.1:64003 "POST /predictions/x HTTP/1.1" 200 118`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { peer, method, path, version, status, ms } = self;
        write!(f, "/{peer} \"{method} {path} {version}\" {status} {ms:.0}")
    }
}
