//! A snapshot's file name, TorchServe's: `yyyyMMddHHmmssSSS-MOMENT.cfg`. PURE.
//!
//! Names sort as the moments at which they were made. The time is UTC: a local clock runs twice
//! through an hour of autumn.

use std::fmt;
use std::time::{Duration, SystemTime};

use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// Why a snapshot is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// The models of the start have been tried.
    Startup,
    /// A model was registered, changed or unregistered.
    Snapshot,
    /// The server stops.
    Shutdown,
}

/// The name of a snapshot's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotName {
    /// Milliseconds since 1970.
    millis: u64,
    moment: Moment,
}

/// Digits of the time in a name.
const DIGITS: usize = 17;

// === impl Moment ===

impl Moment {
    const ALL: [Moment; 3] = [Moment::Startup, Moment::Snapshot, Moment::Shutdown];

    fn as_str(self) -> &'static str {
        match self {
            Moment::Startup => "startup",
            Moment::Snapshot => "snapshot",
            Moment::Shutdown => "shutdown",
        }
    }
}

// === impl SnapshotName ===

impl SnapshotName {
    /// The name of a snapshot that is made now, later than `latest` even when the clock was set back.
    pub fn after(latest: Option<SnapshotName>, now: SystemTime, moment: Moment) -> SnapshotName {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        let millis = latest.map_or(now, |latest| now.max(latest.millis.saturating_add(1)));
        SnapshotName { millis, moment }
    }

    /// Reads a file's name; none for every other file.
    pub fn parse(name: &str) -> Option<SnapshotName> {
        let (digits, moment) = name.strip_suffix(".cfg")?.split_once('-')?;
        let moment = Moment::ALL.into_iter().find(|each| each.as_str() == moment)?;
        if digits.len() != DIGITS || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let (seconds, millis) = digits.split_at(DIGITS - 3);
        let form = format_description!("[year][month][day][hour][minute][second]");
        let seconds = PrimitiveDateTime::parse(seconds, form).ok()?.assume_utc().unix_timestamp();
        let seconds = u64::try_from(seconds).ok()?;
        let millis = seconds * 1000 + millis.parse::<u64>().ok()?;
        Some(SnapshotName { millis, moment })
    }

    /// Milliseconds since 1970: TorchServe's `created`.
    pub fn created(self) -> u64 {
        self.millis
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form =
            format_description!("[year][month][day][hour][minute][second][subsecond digits:3]");
        let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.millis));
        let time = OffsetDateTime::from(time.unwrap_or(SystemTime::UNIX_EPOCH));
        let time = time.format(form).map_err(|_| fmt::Error)?;
        write!(f, "{time}-{}.cfg", self.moment.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_torchserves() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_585_457_614_832);
        let name = SnapshotName::after(None, time, Moment::Startup);
        assert_eq!(name.to_string(), "20200329045334832-startup.cfg");
        assert_eq!(SnapshotName::parse("20200329045334832-startup.cfg"), Some(name));
        assert_eq!(name.created(), 1_585_457_614_832);
        for moment in Moment::ALL {
            let name = SnapshotName::after(None, time, moment);
            assert_eq!(SnapshotName::parse(&name.to_string()), Some(name));
        }
    }

    #[test]
    fn what_is_no_name_of_a_snapshot_is_none() {
        for name in [
            "",
            ".cfg",
            "latest.cfg",
            "20200329045334832.cfg",
            "20200329045334832-other.cfg",
            "2020032904533483-startup.cfg",
            "20201329045334832-startup.cfg",
            "+0200329045334832-startup.cfg",
            "20200329045334832-startup.cfg.tmp",
            "１0200329045334832-startup.cfg",
        ] {
            assert_eq!(SnapshotName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_make_an_old_name() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
        let first = SnapshotName::after(None, time, Moment::Snapshot);
        let second = SnapshotName::after(Some(first), SystemTime::UNIX_EPOCH, Moment::Startup);
        let third = SnapshotName::after(Some(second), time, Moment::Snapshot);
        assert!(first < second && second < third);
        assert!(first.to_string() < second.to_string() && second.to_string() < third.to_string());
    }
}
