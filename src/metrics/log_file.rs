//! The files of `metrics_mode=log`: TorchServe's `ts_metrics.log` and `model_metrics.log`.
//!
//! Written by a thread of its own: a slow disk costs lines, never requests. As TorchServe's, a file
//! of 100 MB or of another day is put aside and five such are kept.

use std::io::{self, Write};
use std::time::SystemTime;

use time::OffsetDateTime;
use time::macros::format_description;

use crate::telemetry::{LineWriter, LogGuard, RollingFile, RollingSettings, write_lines};

/// A file that any thread may write lines to. Cheap to clone.
#[derive(Clone)]
pub(super) struct LogFile(LineWriter);

// === impl LogFile ===

impl LogFile {
    /// Opens the file and its folder, or makes them. Lines are written until the guard is dropped,
    /// which waits for those that are on their way.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn open(file: RollingSettings) -> io::Result<(LogFile, LogGuard)> {
        let (lines, guard) = write_lines(RollingFile::open(file)?)?;
        Ok((LogFile(lines), guard))
    }

    /// One line: the time as TorchServe's layout writes it (here always UTC), and `text`, behind
    /// which the second is added.
    pub(super) fn write(&self, text: &str) {
        let now = OffsetDateTime::from(SystemTime::now());
        let layout = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second],[subsecond digits:3]"
        );
        let shown = now.format(layout).unwrap_or_default();
        let line = format!("{shown} - {text},timestamp:{}\n", now.unix_timestamp());
        // The writer only queues the line.
        let _queued = (&self.0).write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_line_has_its_time_in_front_and_its_second_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/ts_metrics.log");
        let (log, guard) = LogFile::open(RollingSettings::torchserve(path.clone())).unwrap();
        log.write("QueueTime.Milliseconds:0.0|#Level:Host|#hostname:h");
        drop(guard);
        log.write("nobody writes this any more");
        let text = fs::read_to_string(path).unwrap();
        let (time, rest) = text.split_once(" - ").unwrap();
        assert_eq!((time.len(), &time[10..11], &time[19..20]), (23, "T", ","), "{text}");
        let (metric, second) = rest.trim_end().split_once(",timestamp:").unwrap();
        assert_eq!(metric, "QueueTime.Milliseconds:0.0|#Level:Host|#hostname:h");
        assert!(second.parse::<u64>().is_ok());
    }
}
