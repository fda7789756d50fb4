//! W3C Trace Context: a caller's `traceparent` and `tracestate`. PURE.
//!
//! Read strictly: what is not exactly of the form is as if it were not there, and the request gets a
//! trace of its own. Nothing of a client's text is echoed.

use std::str::FromStr;

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// The span of the caller, in another process.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteParent(pub(super) SpanContext);

/// `00-<32 hex>-<16 hex>-<2 hex>`.
const LENGTH: usize = 55;
/// The specification's least for what a vendor must carry on; longer is left out.
const MAX_STATE: usize = 512;
const MAX_STATE_MEMBERS: usize = 32;

// === impl RemoteParent ===

impl RemoteParent {
    /// Reads the lines of both headers. Two lines of `traceparent` are no parent.
    pub fn read<'a>(
        mut traceparent: impl Iterator<Item = &'a [u8]>,
        tracestate: impl Iterator<Item = &'a [u8]>,
    ) -> Option<RemoteParent> {
        let (Some(value), None) = (traceparent.next(), traceparent.next()) else { return None };
        let (trace_id, span_id, sampled) = parse(value)?;
        let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
        let context = SpanContext::new(trace_id, span_id, flags, true, state(tracestate));
        context.is_valid().then_some(RemoteParent(context))
    }
}

/// The value of `traceparent` for a span of ours.
pub(super) fn write(context: &SpanContext) -> String {
    let flags = context.trace_flags() & TraceFlags::SAMPLED;
    format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id())
}

fn parse(value: &[u8]) -> Option<(TraceId, SpanId, bool)> {
    let text = std::str::from_utf8(value).ok()?;
    let hex = |range: std::ops::Range<usize>| {
        let part = text.get(range)?;
        let sound = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        sound.then_some(part)
    };
    let dashes = [2, 35, 52].iter().all(|at| value.get(*at) == Some(&b'-'));
    let version = hex(0..2)?;
    // Later versions may add fields at the end, the first is exactly this.
    let length_fits = match version {
        "00" => value.len() == LENGTH,
        "ff" => false,
        _ => value.len() == LENGTH || value.get(LENGTH) == Some(&b'-'),
    };
    if !dashes || !length_fits {
        return None;
    }
    let trace_id = TraceId::from_hex(hex(3..35)?).ok()?;
    let span_id = SpanId::from_hex(hex(36..52)?).ok()?;
    let flags = u8::from_str_radix(hex(53..55)?, 16).ok()?;
    Some((trace_id, span_id, flags & 1 == 1))
}

/// What vendors have added; empty when it is not sound.
fn state<'a>(lines: impl Iterator<Item = &'a [u8]>) -> TraceState {
    let mut joined = String::new();
    for line in lines {
        let Ok(line) = std::str::from_utf8(line) else { return TraceState::default() };
        if joined.len() + line.len() > MAX_STATE {
            return TraceState::default();
        }
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(line);
    }
    if joined.split(',').count() > MAX_STATE_MEMBERS {
        return TraceState::default();
    }
    TraceState::from_str(&joined).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(lines: &[&str], state: &[&str]) -> Option<RemoteParent> {
        let bytes = |lines: &[&str]| lines.iter().map(|line| line.as_bytes().to_vec()).collect();
        let (parent, state): (Vec<Vec<u8>>, Vec<Vec<u8>>) = (bytes(lines), bytes(state));
        RemoteParent::read(
            parent.iter().map(|line| line.as_slice()),
            state.iter().map(|line| line.as_slice()),
        )
    }

    #[test]
    fn a_traceparent_is_read_and_written_back() {
        let RemoteParent(parent) = read(&[GOOD], &["a=1", "b=2"]).unwrap();
        assert!(parent.is_sampled() && parent.is_remote());
        assert_eq!(write(&parent), GOOD);
        assert_eq!(parent.trace_state().header(), "a=1,b=2");
        let unsampled = GOOD.replace("-01", "-00");
        assert!(!read(&[&unsampled], &[]).unwrap().0.is_sampled());
        // Flags that we do not know are not passed on.
        let flagged = GOOD.replace("-01", "-ff");
        assert_eq!(write(&read(&[&flagged], &[]).unwrap().0), GOOD);
        let later = format!("cc{}-what-comes-later", &GOOD[2..]);
        assert_eq!(write(&read(&[&later], &[]).unwrap().0), GOOD);
    }

    #[test]
    fn garbage_is_no_parent() {
        for wrong in [
            "",
            "garbage",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.x",
            "+0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c8031é-b7ad6b7169203331-01",
        ] {
            assert_eq!(read(&[wrong], &[]), None, "{wrong}");
        }
        assert_eq!(read(&[GOOD, GOOD], &[]), None);
        assert_eq!(read(&[], &["a=1"]), None);
    }

    #[test]
    fn a_tracestate_that_is_unsound_or_long_is_left_out_and_the_parent_stays() {
        let many = (0..33).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join(",");
        let long = format!("a={}", "x".repeat(600));
        for state in ["=", "no pair", &many, &long] {
            let RemoteParent(parent) = read(&[GOOD], &[state]).unwrap();
            assert_eq!(parent.trace_state().header(), "", "{state}");
        }
    }
}
