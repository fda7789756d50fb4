//! The results of probes for the node exporter's textfile collector.
//!
//! Counters go on from the file of the run before; the file is replaced whole, so that no reader sees
//! half of it. Names and labels are those of the server's own self-test, plus the target, so that two
//! probes of one machine do not collide.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use thiserror::Error;

use super::report::Report;

/// Why the file was not written.
#[derive(Debug, Error)]
pub enum TextfileError {
    /// It cannot be read or written.
    #[error("{file}: {reason}")]
    File {
        /// Which.
        file: String,
        /// Why.
        reason: std::io::Error,
    },
    /// What is in it was not written by a probe, and is not overwritten.
    #[error("{file}:{line}: not a line of a probe; name a file of its own")]
    Foreign {
        /// Which.
        file: String,
        /// The line, 1 is the first.
        line: usize,
    },
}

const CHECKS: &str = "ts_cors_probe_checks_total";
const LAST_SUCCESS: &str = "ts_cors_probe_last_success_timestamp_seconds";
/// Readable for the collector, which is another user.
const MODE: u32 = 0o644;

/// Series with their labels, to values.
type Samples = BTreeMap<String, f64>;

// === impl Report ===

impl Report {
    /// Adds the results to `file`.
    ///
    /// # Errors
    /// [`TextfileError`]; the file is as it was then.
    pub fn add_to_textfile(&self, file: &Path) -> Result<(), TextfileError> {
        let failed = |reason| TextfileError::File { file: file.display().to_string(), reason };
        let mut samples = match std::fs::read_to_string(file) {
            Ok(text) => parse(&text).map_err(|line| TextfileError::Foreign {
                file: file.display().to_string(),
                line,
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Samples::new(),
            Err(error) => return Err(failed(error)),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64());
        let target = escaped(self.edge.as_deref().unwrap_or(&self.url));
        for (flow, passed) in self.flows() {
            let flow = flow.as_str();
            for result in ["pass", "fail"] {
                let count = f64::from(u8::from((result == "pass") == passed));
                let series =
                    format!("{CHECKS}{{flow=\"{flow}\",result=\"{result}\",target=\"{target}\"}}");
                *samples.entry(series).or_insert(0.0) += count;
            }
            if passed {
                let series = format!("{LAST_SUCCESS}{{flow=\"{flow}\",target=\"{target}\"}}");
                samples.insert(series, now.floor());
            }
        }
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut part =
            tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        part.write_all(written(&samples).as_bytes()).map_err(failed)?;
        let mode = std::fs::Permissions::from_mode(MODE);
        part.as_file().set_permissions(mode).map_err(failed)?;
        part.persist(file).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

fn written(samples: &Samples) -> String {
    let mut text = String::new();
    for (name, kind, help) in [
        (CHECKS, "counter", "Runs of synthetic CORS checks, by what was looked at."),
        (LAST_SUCCESS, "gauge", "When a synthetic CORS check last passed."),
    ] {
        let _written = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (series, value) in samples.iter().filter(|(series, _)| series.starts_with(name)) {
            let _written = writeln!(text, "{series} {value}");
        }
    }
    text
}

/// The samples of a file, or the line that is none of ours.
fn parse(text: &str) -> Result<Samples, usize> {
    let mut samples = Samples::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').ok_or(number)?;
        let ours = [CHECKS, LAST_SUCCESS]
            .iter()
            .any(|name| series.strip_prefix(name).is_some_and(|rest| rest.starts_with("{flow=")));
        if !ours {
            return Err(number);
        }
        samples.insert(series.to_owned(), value.parse().map_err(|_| number)?);
    }
    Ok(samples)
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_and_what_is_not_ours_is_refused() {
        let series = format!("{CHECKS}{{flow=\"vary\",result=\"pass\",target=\"http://a/ b\"}}");
        let samples = Samples::from([(series, 3.0)]);
        assert_eq!(parse(&written(&samples)).unwrap(), samples);
        assert_eq!(parse("# HELP x\nup 1\n"), Err(2));
        assert_eq!(parse(&format!("{CHECKS}{{flow=\"x\"}} many")), Err(1));
    }
}
