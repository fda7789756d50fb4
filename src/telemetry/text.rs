//! An event as one readable line, in the words of tracing-subscriber's own format.
//!
//! There is a line for every request, which is why the access log's are written by hand: a visitor of
//! few branches, and a time of which only the fraction changes. Everything else, and all colours, are
//! left to the library.

use std::cell::RefCell;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::macros::format_description;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::sinks::Stream;

/// Writes events as text.
#[derive(Default)]
pub(super) struct TextFormat {
    others: Format,
}

/// Writes ` name=value` for each field.
struct Fields<'a, 'writer> {
    writer: &'a mut Writer<'writer>,
    result: fmt::Result,
}

/// A second and its text, `2026-11-28T08:38:25`.
#[derive(Default)]
struct Second {
    since_epoch: u64,
    text: String,
}

thread_local! {
    /// The last second that this thread wrote a line in.
    static SECOND: RefCell<Second> = RefCell::default();
}

// === impl TextFormat ===

impl<S, N> FormatEvent<S, N> for TextFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let meta = event.metadata();
        let by_hand = Stream::of(meta.target()) == Stream::Access && !writer.has_ansi_escapes();
        if !by_hand {
            return self.others.format_event(context, writer, event);
        }
        write_time(&mut writer, SystemTime::now())?;
        // A request is in no span.
        write!(writer, " {:>5} ", meta.level().as_str())?;
        writer.write_str(meta.target())?;
        writer.write_char(':')?;
        let mut fields = Fields { writer: &mut writer, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        writer.write_char('\n')
    }
}

/// RFC 3339 in UTC, to the microsecond.
fn write_time(writer: &mut Writer<'_>, now: SystemTime) -> fmt::Result {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    SECOND.with_borrow_mut(|second| {
        if second.since_epoch != since.as_secs() || second.text.is_empty() {
            let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
            let whole = OffsetDateTime::from(UNIX_EPOCH + since);
            second.text = whole.format(format).map_err(|_| fmt::Error)?;
            second.since_epoch = since.as_secs();
        }
        writer.write_str(&second.text)
    })?;
    let mut fraction = *b".000000Z";
    let mut micros = since.subsec_micros();
    for digit in fraction[1..7].iter_mut().rev() {
        *digit += (micros % 10) as u8;
        micros /= 10;
    }
    writer.write_str(std::str::from_utf8(&fraction).map_err(|_| fmt::Error)?)
}

// === impl Fields ===

impl Fields<'_, '_> {
    fn write(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        let write = || {
            self.writer.write_char(' ')?;
            self.writer.write_str(field.name())?;
            self.writer.write_char('=')?;
            value(self.writer)
        };
        if self.result.is_ok() {
            self.result = write();
        }
    }
}

impl Visit for Fields<'_, '_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, |writer| writer.write_str(itoa::Buffer::new().format(value)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // Microseconds in milliseconds, as `{value:?}` writes them.
        let micros = (value * 1e3).round();
        if !(0.0..1e15).contains(&micros) || micros / 1e3 != value {
            return self.record_debug(field, &value);
        }
        let micros = micros as u64;
        let mut fraction = [b'.', 0, 0, 0];
        let mut rest = micros % 1000;
        for digit in fraction[1..].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let zeros = fraction[2..].iter().rev().take_while(|digit| **digit == b'0').count();
        let fraction = std::str::from_utf8(&fraction[..4 - zeros]).unwrap_or_default();
        self.write(field, |writer| {
            writer.write_str(itoa::Buffer::new().format(micros / 1000))?;
            writer.write_str(fraction)
        });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        if value.bytes().all(plain) {
            self.write(field, |writer| {
                writer.write_char('"')?;
                writer.write_str(value)?;
                writer.write_char('"')
            });
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field, |writer| write!(writer, "{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::{Registry, fmt as layers};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Kept {
        type Writer = Kept;

        fn make_writer(&'a self) -> Kept {
            self.clone()
        }
    }

    /// What both formats write of the same events, each line split behind its time.
    fn both(events: impl Fn()) -> [Vec<(String, String)>; 2] {
        let (ours, theirs) = (Kept::default(), Kept::default());
        let by_us = layers::layer().with_ansi(false).event_format(TextFormat::default());
        let by_them = layers::layer().with_ansi(false);
        let subscriber = Registry::default()
            .with(by_us.with_writer(ours.clone()))
            .with(by_them.with_writer(theirs.clone()));
        tracing::subscriber::with_default(subscriber, events);
        [ours, theirs].map(|kept| {
            let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
            let parts = text.lines().map(|line| line.split_once(' ').unwrap());
            parts.map(|(time, rest)| (time.to_owned(), rest.to_owned())).collect()
        })
    }

    #[test]
    fn a_line_reads_as_the_librarys() {
        let nothing: Option<&str> = None;
        let [ours, theirs] = both(|| {
            for odd in ["plain text", "quo\"ted", "back\\slash", "\u{1b}[31m", "é\n", ""] {
                tracing::info!(
                    target: "access_log",
                    listener = odd, path = %"/a", status = 200u16, ms = 0.125, left_out = nothing,
                    version = ?actix_web::http::Version::HTTP_2, signed = -3,
                );
                tracing::warn!(model = odd, "another room: {odd:?}");
            }
        });
        let words = |lines: &[(String, String)]| -> Vec<String> {
            lines.iter().map(|(_, words)| words.clone()).collect()
        };
        assert_eq!(words(&ours), words(&theirs));
        assert_eq!(ours.len(), 12);
        for ((ours, _), (theirs, _)) in ours.iter().zip(&theirs) {
            // Both clocks were read within one test.
            assert_eq!((ours.len(), &ours[..14]), (theirs.len(), &theirs[..14]));
        }
    }

    #[test]
    fn milliseconds_read_as_the_librarys() {
        let [ours, theirs] = both(|| {
            for micros in (0..2000).chain([9_999, 10_000, 3_600_000_000, u32::MAX]) {
                tracing::info!(target: "access_log", ms = f64::from(micros) / 1e3);
            }
            for odd in [-0.5, 1e-9, 0.1 + 0.2, 1e300, f64::NAN, f64::INFINITY] {
                tracing::info!(target: "access_log", ms = odd);
            }
        });
        let words = |(_, words): &(String, String)| words.clone();
        assert_eq!(
            ours.iter().map(words).collect::<Vec<_>>(),
            theirs.iter().map(words).collect::<Vec<_>>()
        );
    }

    #[test]
    fn the_time_is_that_of_each_line() {
        let written = |micros: u64| {
            let mut text = String::new();
            let time = UNIX_EPOCH + std::time::Duration::from_micros(micros);
            write_time(&mut Writer::new(&mut text), time).unwrap();
            text
        };
        assert_eq!(written(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(written(1_772_211_599_999_999), "2026-02-27T16:59:59.999999Z");
        assert_eq!(written(1_772_211_600_000_042), "2026-02-27T17:00:00.000042Z");
    }
}
