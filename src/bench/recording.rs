//! What is counted and timed while a load runs.
//!
//! Each thread of the generator writes to a [`Recording`] of its own; they are added up at the end.
//! Its size depends on the length of the run only through the number of windows, which is bounded.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::exchange::{Ending, Failure};

/// The times of one run, as offsets from its begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) begin: Instant,
    /// Before this, nothing is recorded.
    pub(super) warm_up: Duration,
    /// How long is measured after that.
    pub(super) duration: Duration,
}

/// Figures of one run, or of one thread of it.
#[derive(Clone, Debug)]
pub(super) struct Recording {
    clock: Clock,
    /// In microseconds: answers that were expected from when they were due, and what waited in vain
    /// for as long as it waited.
    pub(super) latency: Histogram<u64>,
    /// In microseconds, from when a request was due until it was sent.
    pub(super) delay: Histogram<u64>,
    /// The part of `delay` of requests for which a connection was free: the generator's own.
    pub(super) late: Histogram<u64>,
    pub(super) ok: u64,
    pub(super) unsent: u64,
    pub(super) errors: Errors,
    /// Bytes of the answers' bodies.
    pub(super) received: u64,
    pub(super) windows: Vec<Window>,
}

/// Failures by class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Errors {
    pub(super) connect: u64,
    pub(super) timeout: u64,
    pub(super) short_read: u64,
    pub(super) not_http: u64,
    /// At most one entry for each status there is.
    pub(super) status: BTreeMap<u16, u64>,
}

/// A slice of the measured time.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// Requests that were due in it.
    pub(super) due: u64,
    /// Expected answers that came in it.
    pub(super) served: u64,
    /// Of the requests that were due in it.
    pub(super) latency: Histogram<u64>,
}

/// What the histograms can hold: an hour, in microseconds.
const LONGEST: u64 = 3_600_000_000;
/// Windows of a run, at least and at most.
const WINDOWS: std::ops::RangeInclusive<u64> = 20..=120;

// === impl Clock ===

impl Clock {
    /// When the last request is due.
    pub(super) fn end(&self) -> Duration {
        self.warm_up + self.duration
    }

    fn windows(&self) -> u64 {
        self.duration.as_secs().clamp(*WINDOWS.start(), *WINDOWS.end())
    }

    /// The length of a window.
    pub(super) fn window(&self) -> Duration {
        self.duration / u32::try_from(self.windows()).unwrap_or(1)
    }
}

// === impl Recording ===

impl Recording {
    pub(super) fn new(clock: Clock) -> Recording {
        let window = Window { due: 0, served: 0, latency: histogram(2) };
        Recording {
            clock,
            latency: histogram(3),
            delay: histogram(3),
            late: histogram(3),
            ok: 0,
            unsent: 0,
            errors: Errors::default(),
            received: 0,
            windows: vec![window; usize::try_from(clock.windows()).unwrap_or(1)],
        }
    }

    /// An exchange ended at `done`; its request was due at the offset `due`.
    pub(super) fn ended(&mut self, due: Duration, done: Instant, ending: Ending) {
        let done = done.saturating_duration_since(self.clock.begin);
        if ending.failure.is_none()
            && let Some(window) = self.window(done)
        {
            window.served += 1;
        }
        if due < self.clock.warm_up {
            return;
        }
        self.received += ending.received;
        let waited = done.saturating_sub(due);
        match ending.failure {
            None => self.ok += 1,
            Some(Failure::Connect) => self.errors.connect += 1,
            Some(Failure::Timeout) => self.errors.timeout += 1,
            Some(Failure::ShortRead) => self.errors.short_read += 1,
            Some(Failure::NotHttp) => self.errors.not_http += 1,
            Some(Failure::Status(status)) => {
                *self.errors.status.entry(status.as_u16()).or_default() += 1;
            }
        }
        // A refusal is quick; timing it would make a failing server look fast.
        let timed = matches!(ending.failure, None | Some(Failure::Timeout));
        self.due(due, timed.then_some(waited));
    }

    /// A request for which no connection became free; it had waited so long when the run ended.
    pub(super) fn unsent(&mut self, due: Duration, waited: Duration) {
        if due >= self.clock.warm_up {
            self.unsent += 1;
            self.due(due, Some(waited));
        }
    }

    /// A request that was due at the offset `due` was sent `delay` later; `free`: its connection had
    /// nothing else to do.
    pub(super) fn sent(&mut self, due: Duration, delay: Duration, free: bool) {
        if due >= self.clock.warm_up {
            note(&mut self.delay, delay);
            if free {
                note(&mut self.late, delay);
            }
        }
    }

    /// Adds what another thread recorded of the same run.
    pub(super) fn add(&mut self, other: &Recording) {
        for (own, others) in [
            (&mut self.latency, &other.latency),
            (&mut self.delay, &other.delay),
            (&mut self.late, &other.late),
        ] {
            join(own, others);
        }
        self.ok += other.ok;
        self.unsent += other.unsent;
        self.received += other.received;
        self.errors.connect += other.errors.connect;
        self.errors.timeout += other.errors.timeout;
        self.errors.short_read += other.errors.short_read;
        self.errors.not_http += other.errors.not_http;
        for (status, count) in &other.errors.status {
            *self.errors.status.entry(*status).or_default() += count;
        }
        for (own, others) in self.windows.iter_mut().zip(&other.windows) {
            own.due += others.due;
            own.served += others.served;
            join(&mut own.latency, &others.latency);
        }
    }

    fn due(&mut self, due: Duration, waited: Option<Duration>) {
        if let Some(waited) = waited {
            note(&mut self.latency, waited);
        }
        if let Some(window) = self.window(due) {
            window.due += 1;
            if let Some(waited) = waited {
                note(&mut window.latency, waited);
            }
        }
    }

    /// The window of an offset; `None` outside of the measured time.
    fn window(&mut self, offset: Duration) -> Option<&mut Window> {
        let offset = offset.checked_sub(self.clock.warm_up)?;
        let number = offset.as_nanos() / self.clock.window().as_nanos().max(1);
        self.windows.get_mut(usize::try_from(number).ok()?)
    }
}

// === impl Errors ===

impl Errors {
    /// All of them.
    pub(super) fn total(&self) -> u64 {
        let status: u64 = self.status.values().sum();
        self.connect + self.timeout + self.short_read + self.not_http + status
    }
}

/// Empty, for one microsecond to an hour, with so many significant figures.
fn histogram(figures: u8) -> Histogram<u64> {
    // Grows when it has to, so that an empty window costs little.
    #[expect(clippy::expect_used, reason = "the library takes 0 to 5 figures")]
    let mut histogram = Histogram::new(figures).expect("a sound number of figures");
    histogram.auto(true);
    histogram
}

/// Both have the same resolution and grow.
fn join(own: &mut Histogram<u64>, others: &Histogram<u64>) {
    let joined = own.add(others);
    debug_assert!(joined.is_ok(), "{joined:?}");
}

/// In whole microseconds, an hour at most.
fn note(histogram: &mut Histogram<u64>, time: Duration) {
    let micros = u64::try_from(time.as_micros()).unwrap_or(LONGEST).min(LONGEST);
    // Grows; saturating_record would cut off at what it holds now.
    let noted = histogram.record(micros);
    debug_assert!(noted.is_ok(), "{noted:?}");
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;

    fn clock() -> Clock {
        let second = Duration::from_secs(1);
        Clock { begin: Instant::now(), warm_up: second, duration: 4 * second }
    }

    fn ending(failure: Option<Failure>) -> Ending {
        Ending { failure, received: 10 }
    }

    #[test]
    fn latency_runs_from_when_a_request_was_due() {
        let clock = clock();
        let mut recording = Recording::new(clock);
        let due = Duration::from_millis(1500);
        recording.ended(due, clock.begin + Duration::from_millis(1750), ending(None));
        assert_eq!(recording.latency.len(), 1);
        assert!((249_000..=251_000).contains(&recording.latency.max()));
        assert_eq!((recording.ok, recording.received), (1, 10));
        // Windows of 200 ms: due in the third, answered in the fourth.
        assert_eq!(recording.windows.len(), 20);
        assert_eq!((recording.windows[2].due, recording.windows[2].served), (1, 0));
        assert_eq!((recording.windows[3].due, recording.windows[3].served), (0, 1));
    }

    #[test]
    fn the_warm_up_is_not_recorded_but_what_it_delays_is() {
        let clock = clock();
        let mut recording = Recording::new(clock);
        let due = Duration::from_millis(900);
        recording.sent(due, Duration::ZERO, true);
        recording.ended(due, clock.begin + Duration::from_millis(1100), ending(None));
        recording.unsent(due, Duration::from_secs(5));
        assert_eq!((recording.ok, recording.unsent, recording.latency.len()), (0, 0, 0));
        assert_eq!(recording.late.len(), 0);
        assert_eq!(recording.windows[0].served, 1, "the server worked for it in that window");
    }

    #[test]
    fn quick_refusals_are_counted_by_status_and_do_not_make_a_server_look_fast() {
        let clock = clock();
        let mut recording = Recording::new(clock);
        let (due, done) = (Duration::from_secs(2), clock.begin + Duration::from_millis(2001));
        for failure in [
            Failure::Connect,
            Failure::ShortRead,
            Failure::NotHttp,
            Failure::Status(StatusCode::SERVICE_UNAVAILABLE),
            Failure::Status(StatusCode::SERVICE_UNAVAILABLE),
        ] {
            recording.ended(due, done, ending(Some(failure)));
        }
        assert_eq!(recording.latency.len(), 0);
        recording.ended(due, done, ending(Some(Failure::Timeout)));
        recording.unsent(due, Duration::from_secs(1));
        assert_eq!(recording.latency.len(), 2, "who waited in vain has waited");
        let mut both = Recording::new(clock);
        both.add(&recording);
        both.add(&recording);
        let status = BTreeMap::from([(503, 4)]);
        let errors = Errors { connect: 2, timeout: 2, short_read: 2, not_http: 2, status };
        assert_eq!((both.errors.total(), &both.errors), (12, &errors));
        assert_eq!((both.unsent, both.latency.len()), (2, 4));
        assert_eq!(both.windows.iter().map(|window| window.due).sum::<u64>(), 14);
    }
}
