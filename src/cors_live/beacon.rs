//! What browsers report: a script that counts what became of a page's calls, and the counts that it
//! sends. Off unless the configuration turns it on.
//!
//! Only the browser knows that it kept an answer from a page. What it reports is a client's word:
//! bounded in size, rate and weight, counted under the configured entry that covers its `Origin`,
//! never stored, never shown back.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Deserialize;

use super::families::OUTCOMES;
use super::live::LiveCors;
use crate::cors::{Listener, Report};

/// Bytes of a report.
pub const MAX_REPORT_BYTES: usize = 4096;
/// What one report can add, so that one client cannot move the numbers much.
const MAX_COUNT: u64 = 1000;

/// The beacon of the inference listener.
pub struct Beacon {
    report: Report,
    /// Reports that may still be taken, and since when.
    bucket: Mutex<(f64, Instant)>,
}

/// Why a report is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Too many in this second.
    Rate,
    /// More than [`MAX_REPORT_BYTES`].
    Size,
    /// Not the form that the script sends.
    Syntax,
    /// The beacon is off.
    Disabled,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    v: u8,
    counts: BTreeMap<String, u64>,
    /// The page's own word of where it is; `Origin` is the browser's.
    #[serde(default, rename = "page")]
    _page: Option<String>,
}

// === impl Beacon ===

impl Beacon {
    pub(super) fn new(report: Report) -> Self {
        let full = f64::from(report.max_per_second);
        Self { report, bucket: Mutex::new((full, Instant::now())) }
    }

    /// The script is served and reports are taken.
    pub fn is_enabled(&self) -> bool {
        self.report.enabled
    }

    /// Where reports are sent.
    pub fn path(&self) -> &str {
        &self.report.path
    }

    /// Whether another report may be taken now.
    fn admit(&self, now: Instant) -> bool {
        let rate = f64::from(self.report.max_per_second);
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, since) = *bucket;
        let left = (left + now.duration_since(since).as_secs_f64() * rate).min(rate);
        let admitted = left >= 1.0;
        *bucket = (if admitted { left - 1.0 } else { left }, now);
        admitted
    }
}

// === impl LiveCors ===

impl LiveCors {
    /// What browsers report.
    pub fn beacon(&self) -> &Beacon {
        &self.beacon
    }

    /// The script for pages. It expects the request id where pages may read it.
    pub fn script(&self) -> String {
        let policy = self.handle(Listener::Inference).current();
        let exposed = &policy.base().spec().exposed;
        let expected =
            if exposed.names("x-request-id") || exposed.is_any() { "X-Request-Id" } else { "" };
        let path: String =
            self.beacon.path().chars().filter(|c| *c != '\'' && *c != '\\').collect();
        include_str!("rum.js").replace("__REPORT__", &path).replace("__EXPECT__", expected)
    }

    /// Whether a report may be read.
    ///
    /// # Errors
    /// [`Rejection::Rate`], counted.
    pub fn admit_report(&self) -> Result<(), Rejection> {
        match self.beacon.admit(Instant::now()) {
            true => Ok(()),
            false => Err(self.reject_report(Rejection::Rate)),
        }
    }

    /// Counts a report that is not.
    pub fn reject_report(&self, rejection: Rejection) -> Rejection {
        let reason = match rejection {
            Rejection::Rate => "rate",
            Rejection::Size => "size",
            Rejection::Syntax => "syntax",
            Rejection::Disabled => "disabled",
        };
        self.telemetry().families().client_rejected.with_label_values(&[reason]).inc();
        rejection
    }

    /// Counts a report. `origin` is the header of that name.
    ///
    /// # Errors
    /// [`Rejection::Syntax`], counted.
    pub fn count_report(&self, origin: Option<&[u8]>, body: &[u8]) -> Result<(), Rejection> {
        let Some(counts) = read(body) else { return Err(self.reject_report(Rejection::Syntax)) };
        let policy = self.handle(Listener::Inference).current();
        let origins = policy.base().origins();
        let tally = policy.base().tally();
        let entry = origin.and_then(|origin| origins.find(origin).ok().flatten());
        let label = match (entry, tally) {
            (Some(entry), Some(tally)) => tally.origins().label(tally.slot_of_entry(entry)),
            _ if origins.is_any() => "*",
            _ => "_unlisted",
        };
        let mut left = MAX_COUNT;
        for (outcome, count) in counts {
            let counted = count.min(left);
            left -= counted;
            let labels = [outcome, label];
            self.telemetry().families().client_events.with_label_values(&labels).inc_by(counted);
        }
        Ok(())
    }
}

/// The counts by outcome.
fn read(body: &[u8]) -> Option<Vec<(&'static str, u64)>> {
    let Sent { v: 1, counts, .. } = serde_json::from_slice(body).ok()? else { return None };
    let known = |name: &str| OUTCOMES.into_iter().find(|outcome| *outcome == name);
    counts.into_iter().map(|(name, count)| Some((known(&name)?, count))).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn reports_are_taken_at_their_rate_and_no_faster() {
        let report = Report { enabled: true, path: "/r".to_owned(), max_per_second: 3 };
        let beacon = Beacon::new(report);
        let now = Instant::now();
        let taken = |at: Duration| (0..10).filter(|_| beacon.admit(now + at)).count();
        assert_eq!(taken(Duration::ZERO), 3);
        assert_eq!(taken(Duration::from_millis(400)), 1);
        assert_eq!(taken(Duration::from_secs(60)), 3);
    }

    #[test]
    fn a_report_is_read_only_in_the_form_that_the_script_sends() {
        let sound = br#"{"v":1,"counts":{"ok":3,"blocked":1},"page":"https://a.example"}"#;
        assert_eq!(read(sound), Some(vec![("blocked", 1), ("ok", 3)]));
        assert_eq!(read(br#"{"v":1,"counts":{}}"#), Some(vec![]));
        for body in [
            &b""[..],
            b"{}",
            br#"{"v":2,"counts":{"ok":1}}"#,
            br#"{"v":1,"counts":{"other":1}}"#,
            br#"{"v":1,"counts":{"ok":-1}}"#,
            br#"{"v":1,"counts":{"ok":1.5}}"#,
            br#"{"v":1,"counts":{"ok":1},"more":1}"#,
            b"[1]",
            b"\xff",
        ] {
            assert_eq!(read(body), None, "{}", body.escape_ascii());
        }
    }
}
