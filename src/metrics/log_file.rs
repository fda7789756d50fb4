//! The files of `metrics_mode=log`: TorchServe's `ts_metrics.log` and `model_metrics.log`.
//!
//! Written by a thread of its own: a slow disk costs lines, never requests. As TorchServe's, a file
//! of 100 MB is put aside and five such are kept, so that a server that runs for years fills no disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use time::OffsetDateTime;
use time::macros::format_description;

use crate::telemetry::{LineWriter, LogGuard, write_lines};

/// A file that any thread may write lines to. Cheap to clone.
#[derive(Clone)]
pub(super) struct LogFile(LineWriter);

/// A file that is put aside when it is full.
struct Rolling {
    path: PathBuf,
    file: File,
    written: u64,
    limit: u64,
}

/// Bytes of a full file.
const FULL: u64 = 100 << 20;
/// Full files that are kept, as `NAME.1` (the youngest) to `NAME.5`.
const KEPT: u32 = 5;

// === impl LogFile ===

impl LogFile {
    /// Opens the file and its folder, or makes them. Lines are written until the guard is dropped,
    /// which waits for those that are on their way.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn open(folder: &Path, name: &str) -> io::Result<(LogFile, LogGuard)> {
        fs::create_dir_all(folder)?;
        let rolling = Rolling::open(folder.join(name), FULL)?;
        let (lines, guard) = write_lines(rolling)?;
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
        let _queued = self.0.clone().write_all(line.as_bytes());
    }
}

// === impl Rolling ===

impl Rolling {
    fn open(path: PathBuf, limit: u64) -> io::Result<Rolling> {
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let written = file.metadata()?.len();
        Ok(Rolling { path, file, written, limit })
    }

    fn put_aside(&mut self) -> io::Result<()> {
        let aside = |number: u32| {
            let mut path = self.path.clone().into_os_string();
            path.push(format!(".{number}"));
            PathBuf::from(path)
        };
        for number in (1..KEPT).rev() {
            match fs::rename(aside(number), aside(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, aside(1))?;
        *self = Rolling::open(self.path.clone(), self.limit)?;
        Ok(())
    }
}

impl Write for Rolling {
    /// Whole lines, all of them into one file.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if self.written >= self.limit {
            self.put_aside()?;
        }
        self.file.write_all(lines)?;
        self.written += lines.len() as u64;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_time_in_front_and_its_second_behind() {
        let folder = tempfile::tempdir().unwrap();
        let (log, guard) = LogFile::open(&folder.path().join("new"), "ts_metrics.log").unwrap();
        log.write("QueueTime.Milliseconds:0.0|#Level:Host|#hostname:h");
        drop(guard);
        log.write("nobody writes this any more");
        let text = fs::read_to_string(folder.path().join("new/ts_metrics.log")).unwrap();
        let (time, rest) = text.split_once(" - ").unwrap();
        assert_eq!((time.len(), &time[10..11], &time[19..20]), (23, "T", ","), "{text}");
        let (metric, second) = rest.trim_end().split_once(",timestamp:").unwrap();
        assert_eq!(metric, "QueueTime.Milliseconds:0.0|#Level:Host|#hostname:h");
        assert!(second.parse::<u64>().is_ok());
    }

    #[test]
    fn full_files_are_put_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.log");
        let mut rolling = Rolling::open(path.clone(), 10).unwrap();
        for number in 0..9 {
            rolling.write_all(format!("line {number:05}\n").as_bytes()).unwrap();
        }
        drop(rolling);
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("m.log"), "line 00008\n");
        assert_eq!(
            (read("m.log.1"), read("m.log.5")),
            ("line 00007\n".into(), "line 00003\n".into())
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 6);
        // A server that starts again goes on with the file.
        Rolling::open(path, 100).unwrap().write_all(b"more\n").unwrap();
        assert_eq!(read("m.log"), "line 00008\nmore\n");
    }
}
