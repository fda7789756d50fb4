//! The figures of one run, as text and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::recording::Recording;
use super::{Load, Plan};

/// What one run found. Times are milliseconds, rates are per second.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Method, URL and body.
    pub request: String,
    /// `open` or `closed`.
    pub r#loop: &'static str,
    /// How an open loop spreads its requests: `constant` or `poisson`.
    pub arrivals: Option<&'static str>,
    /// What an open loop was asked to offer.
    pub rate: Option<f64>,
    /// The most requests at once.
    pub connections: usize,
    /// How long was measured, in seconds.
    pub duration_s: f64,
    /// How long was warmed up before, in seconds.
    pub warm_up_s: f64,
    /// Requests that were due in the measured time: the sum of `ok`, `errors.total` and `unsent`.
    pub offered: u64,
    /// Answers with the expected status.
    pub ok: u64,
    /// What went wrong, by class.
    pub errors: ErrorCounts,
    /// For these no connection became free before the run ended.
    pub unsent: u64,
    /// Offered requests a second.
    pub offered_rate: f64,
    /// Expected answers that came in the measured time, a second.
    pub served_rate: f64,
    /// `ok` as a share of `offered`.
    pub goodput: f64,
    /// Bytes of the answers' bodies, a second.
    pub received_rate: f64,
    /// From when a request was due (closed loop: sent) to the end of its answer.
    pub latency_ms: Option<Percentiles>,
    /// Open loop: from when a request was due until it was sent.
    pub send_delay_ms: Option<Percentiles>,
    /// How the generator itself did.
    pub generator: Generator,
    /// The measured time in slices.
    pub windows: Vec<WindowReport>,
    /// What a reader should know before he believes the figures.
    pub notes: Vec<String>,
}

/// Failures by class.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorCounts {
    /// All of them.
    pub total: u64,
    /// No connection.
    pub connect: u64,
    /// No whole answer within the time-out.
    pub timeout: u64,
    /// The connection ended before the answer did.
    pub short_read: u64,
    /// What came is not HTTP.
    pub not_http: u64,
    /// Answers with another status than the expected one.
    pub status: BTreeMap<u16, u64>,
}

/// A distribution of times, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Percentiles {
    /// Half are below.
    pub p50: f64,
    /// One in ten is above.
    pub p90: f64,
    /// One in a hundred is above.
    pub p99: f64,
    /// One in a thousand is above.
    pub p999: f64,
    /// The longest.
    pub max: f64,
    /// The arithmetic mean.
    pub mean: f64,
}

/// How the generator itself did.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Generator {
    /// Processors that it kept busy, on average.
    pub cpu_cores: f64,
    /// How many milliseconds late it sent requests for which a connection was free.
    pub late_ms: Option<Percentiles>,
}

/// A slice of the measured time.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct WindowReport {
    /// Where it begins, in seconds from the end of the warm-up.
    pub from_s: f64,
    /// Requests that were due in it, a second.
    pub offered_rate: f64,
    /// Expected answers that came in it, a second.
    pub served_rate: f64,
    /// Of the requests that were due in it.
    pub latency_ms: Option<Percentiles>,
}

/// Above this share of its threads' time the generator may be what is measured.
const BUSY: f64 = 0.9;
/// A generator that is later than this at its 99th percentile says so, in milliseconds.
const LATE: f64 = 1.0;

// === impl Report ===

impl Report {
    pub(super) fn new(
        plan: &Plan,
        request: String,
        window: Duration,
        offered: u64,
        cpu_cores: f64,
        recording: &Recording,
    ) -> Report {
        let seconds = plan.duration.as_secs_f64();
        let windows: Vec<WindowReport> = recording
            .windows
            .iter()
            .enumerate()
            .map(|(number, each)| WindowReport {
                from_s: window.as_secs_f64() * number as f64,
                offered_rate: each.due as f64 / window.as_secs_f64(),
                served_rate: each.served as f64 / window.as_secs_f64(),
                latency_ms: Percentiles::of(&each.latency),
            })
            .collect();
        let served: u64 = recording.windows.iter().map(|window| window.served).sum();
        let open = match plan.load {
            Load::Open { rate, arrivals } => Some((rate, arrivals)),
            Load::Closed => None,
        };
        let errors = &recording.errors;
        let mut report = Report {
            request,
            r#loop: if open.is_some() { "open" } else { "closed" },
            arrivals: open.map(|(_, arrivals)| arrivals.name()),
            rate: open.map(|(rate, _)| rate),
            connections: plan.connections.get(),
            duration_s: seconds,
            warm_up_s: plan.warm_up.as_secs_f64(),
            offered,
            ok: recording.ok,
            errors: ErrorCounts {
                total: errors.total(),
                connect: errors.connect,
                timeout: errors.timeout,
                short_read: errors.short_read,
                not_http: errors.not_http,
                status: errors.status.clone(),
            },
            unsent: recording.unsent,
            offered_rate: offered as f64 / seconds,
            served_rate: served as f64 / seconds,
            goodput: if offered > 0 { recording.ok as f64 / offered as f64 } else { 0.0 },
            received_rate: recording.received as f64 / seconds,
            latency_ms: Percentiles::of(&recording.latency),
            send_delay_ms: open.and_then(|_| Percentiles::of(&recording.delay)),
            generator: Generator {
                cpu_cores,
                late_ms: open.and_then(|_| Percentiles::of(&recording.late)),
            },
            windows,
            notes: Vec::new(),
        };
        report.notes = report.doubts(plan);
        report
    }

    fn doubts(&self, plan: &Plan) -> Vec<String> {
        let mut notes = Vec::new();
        if self.r#loop == "closed" {
            notes.push(
                "closed loop: a stall of the server stops the load, too, and counts as one slow \
                 answer per connection; --rate measures what users would see"
                    .to_owned(),
            );
        }
        if self.generator.cpu_cores > BUSY * plan.threads.get() as f64 {
            notes.push(format!(
                "the generator was busy itself ({:.2} processors): the server may be able to do \
                 more; try --threads {}",
                self.generator.cpu_cores,
                plan.threads.get() + 1
            ));
        }
        if let Some(late) = self.generator.late_ms.filter(|late| late.p99 > LATE) {
            notes.push(format!(
                "the generator was late itself by {:.1} ms (p99), which the latency includes: the \
                 machine is short of processors",
                late.p99
            ));
        }
        if self.unsent > 0 {
            notes.push(format!(
                "{} requests were not sent, because all {} connections were busy until the end; \
                 they count with the time for which they had waited",
                self.unsent, self.connections
            ));
        }
        if self.offered != self.ok + self.errors.total + self.unsent {
            notes.push("the counts do not add up: please report this".to_owned());
        }
        notes
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.request)?;
        match (self.rate, self.arrivals) {
            (Some(rate), Some(arrivals)) => write!(
                f,
                "open loop, {arrivals} arrivals, {}/s, at most {} at once",
                figure(rate),
                self.connections
            )?,
            _ => write!(f, "closed loop, {} at once", self.connections)?,
        }
        writeln!(f, ", {} s after {} s of warm-up\n", self.duration_s, self.warm_up_s)?;
        writeln!(f, "offered  {:>12}  {:>12}/s", self.offered, figure(self.offered_rate))?;
        writeln!(
            f,
            "ok       {:>12}  {:>12}/s  {:.2} %",
            self.ok,
            figure(self.served_rate),
            self.goodput * 100.0
        )?;
        writeln!(f, "errors   {:>12}  {}", self.errors.total, self.errors)?;
        writeln!(f, "unsent   {:>12}", self.unsent)?;
        writeln!(
            f,
            "\n{:23}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "ms", "p50", "p90", "p99", "p99.9", "max"
        )?;
        let from =
            if self.rate.is_some() { "latency, from due time" } else { "latency, from send" };
        row(f, from, self.latency_ms)?;
        if self.rate.is_some() {
            row(f, "due until sent", self.send_delay_ms)?;
            row(f, "  of that, generator", self.generator.late_ms)?;
        }
        for note in &self.notes {
            write!(f, "\nnote: {note}")?;
        }
        Ok(())
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, times: Option<Percentiles>) -> fmt::Result {
    write!(f, "{name:23}")?;
    let Some(times) = times else { return writeln!(f, "{:>10}", "none") };
    for time in [times.p50, times.p90, times.p99, times.p999, times.max] {
        write!(f, "{:>10}", format!("{time:.3}"))?;
    }
    writeln!(f)
}

/// A rate with the digits that matter.
pub(super) fn figure(rate: f64) -> String {
    if rate >= 100.0 { format!("{rate:.0}") } else { format!("{rate:.2}") }
}

// === impl ErrorCounts ===

impl fmt::Display for ErrorCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [
            ("connect", self.connect),
            ("timeout", self.timeout),
            ("short read", self.short_read),
            ("not HTTP", self.not_http),
        ];
        let mut parts: Vec<String> = named
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        parts.extend(self.status.iter().map(|(status, count)| format!("status {status}: {count}")));
        write!(f, "{}", parts.join(", "))
    }
}

// === impl Percentiles ===

impl Percentiles {
    /// `None` for no times at all.
    fn of(micros: &Histogram<u64>) -> Option<Percentiles> {
        let at = |quantile| micros.value_at_quantile(quantile) as f64 / 1000.0;
        (!micros.is_empty()).then(|| Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: micros.max() as f64 / 1000.0,
            mean: micros.mean() / 1000.0,
        })
    }
}
