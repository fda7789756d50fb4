//! `Server-Timing`: where the time of a prediction went, for a browser's developer tools and for
//! `PerformanceResourceTiming`. PURE.
//!
//! Milliseconds, to the microsecond. Durations only: no name of a model, a worker or a host. A page of
//! another origin sees them where its policy has `allow.timing` (`Timing-Allow-Origin`).

use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue};

/// The header.
pub(super) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What one prediction took.
pub(super) struct Timings<'a> {
    /// In the job queue.
    pub(super) queue: Duration,
    /// From the request to the handler's sample.
    pub(super) preprocess: Duration,
    /// In the engine.
    pub(super) forward: Duration,
    /// From the outputs to the answer.
    pub(super) postprocess: Duration,
    /// From the request's head to here, the body and all of the above included.
    pub(super) total: Duration,
    /// The span that was made of it, as monitoring scripts in pages look for it.
    pub(super) traceparent: Option<&'a str>,
}

/// Text on the stack: five entries are at most 5 x 40 bytes, a `traceparent` 75.
struct Text {
    bytes: [u8; 320],
    length: usize,
}

// === impl Timings ===

impl Timings<'_> {
    /// The header's value: one allocation.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let mut text = Text { bytes: [0; 320], length: 0 };
        for (name, time) in [
            ("queue;dur=", self.queue),
            (", preprocess;dur=", self.preprocess),
            (", forward;dur=", self.forward),
            (", postprocess;dur=", self.postprocess),
            (", total;dur=", self.total),
        ] {
            text.push(name.as_bytes());
            text.millis(time);
        }
        if let Some(traceparent) = self.traceparent {
            text.push(b", traceparent;desc=\"");
            text.push(traceparent.as_bytes());
            text.push(b"\"");
        }
        HeaderValue::from_bytes(&text.bytes[..text.length]).ok()
    }
}

// === impl Text ===

impl Text {
    /// What does not fit is left out.
    fn push(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        if let Some(room) = self.bytes.get_mut(self.length..end) {
            room.copy_from_slice(bytes);
            self.length = end;
        }
    }

    fn millis(&mut self, time: Duration) {
        let micros = time.as_secs().saturating_mul(1_000_000);
        let micros = micros.saturating_add(u64::from(time.subsec_micros()));
        self.push(itoa::Buffer::new().format(micros / 1000).as_bytes());
        let rest = micros % 1000;
        if rest > 0 {
            let digit = |divisor: u64| b'0' + u8::try_from(rest / divisor % 10).unwrap_or(0);
            self.push(&[b'.', digit(100), digit(10), digit(1)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_told_in_milliseconds() {
        let micros = Duration::from_micros;
        let mut timings = Timings {
            queue: Duration::ZERO,
            preprocess: micros(45),
            forward: micros(1_234_567),
            postprocess: micros(2000),
            total: micros(1_240_100),
            traceparent: None,
        };
        let plain = "queue;dur=0, preprocess;dur=0.045, forward;dur=1234.567, postprocess;dur=2, \
                     total;dur=1240.100";
        assert_eq!(timings.header().unwrap(), plain);
        timings.traceparent = Some("00-aa-bb-01");
        let traced = format!("{plain}, traceparent;desc=\"00-aa-bb-01\"");
        assert_eq!(timings.header().unwrap(), &*traced);
    }

    #[test]
    fn the_longest_times_fit() {
        let longest = Duration::MAX;
        let timings = Timings {
            queue: longest,
            preprocess: longest,
            forward: longest,
            postprocess: longest,
            total: longest,
            traceparent: Some(&"x".repeat(55)),
        };
        let value = timings.header().unwrap();
        assert!(value.to_str().unwrap().ends_with("x\""), "{value:?}");
    }
}
