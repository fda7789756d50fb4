//! What one connection is doing, and when that has taken too long. PURE: the time is an argument, in
//! ticks of the thread's clock.
//!
//! Told by `guarded.rs` (bytes), by the gate and by the HTTP/2 layer (requests); judged by `watch.rs`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::{Rc, Weak};
use std::task::Waker;
use std::time::Duration;

use super::ConnectionBounds;
use super::head_lines::HeadLines;
use super::watch;

/// The record of one connection. Cheap to clone; all clones are the same record.
#[derive(Clone, Debug)]
pub struct Progress(Rc<State>);

/// For the watch: does not keep the record.
#[derive(Debug)]
pub(super) struct Watched(Weak<State>);

/// A request under way, until it is dropped.
#[derive(Debug)]
pub struct Entered(Progress);

/// An answer that is being taken over HTTP/2, until it is dropped.
#[derive(Debug)]
pub struct Answer {
    progress: Progress,
    entry: (u32, u64),
}

/// The bounds of a connection, in ticks.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    head: u32,
    write: u32,
    /// Bytes a tick, times [`TICKS_A_SECOND`].
    write_min_rate: u64,
    idle: u32,
    streams: usize,
}

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A request head did not come in time.
    HeadTooSlow,
    /// An answer is not taken, or too slowly.
    ReaderTooSlow,
    /// No request for too long.
    Idle,
}

/// What the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshake,
    Http1,
    Http2,
}

#[derive(Debug)]
struct State {
    limits: Limits,
    phase: Cell<Phase>,
    /// Requests that are not answered.
    open: Cell<usize>,
    /// Since when a head, a handshake, or the first byte of HTTP/2 is waited for.
    head: Cell<Option<u32>>,
    lines: Cell<HeadLines>,
    /// When the last request ended, or something was written.
    latest: Cell<u32>,
    sent: Cell<u64>,
    /// Something was said over HTTP.
    has_answered: Cell<bool>,
    /// Since when the client is waited for, and what was sent until then.
    stalled: Cell<Option<(u32, u64)>>,
    /// By when the answers must have been taken.
    answers: RefCell<BTreeSet<(u32, u64)>>,
    numbered: Cell<u64>,
    verdict: Cell<Option<Verdict>>,
    waker: RefCell<Option<Waker>>,
}

/// In place of a line feed that must not be there.
const REFUSED: u8 = 0;
/// Ticks of the clock a second.
pub(super) const TICKS_A_SECOND: u32 = 4;
/// actix ends idle connections of TLS itself; this comes after it.
const AFTER_ACTIX: u32 = 2;

// === impl Limits ===

impl From<&ConnectionBounds> for Limits {
    fn from(bounds: &ConnectionBounds) -> Limits {
        Limits {
            head: ticks(bounds.head_timeout),
            write: ticks(bounds.write_timeout),
            write_min_rate: bounds.write_min_rate,
            idle: ticks(bounds.keep_alive),
            streams: bounds.streams,
        }
    }
}

fn ticks(time: Duration) -> u32 {
    let ticks = time.as_millis() * u128::from(TICKS_A_SECOND) / 1000;
    // Half of the range: sums cannot pass its end.
    u32::try_from(ticks).unwrap_or(u32::MAX).min(u32::MAX / 2)
}

// === impl Progress ===

impl Progress {
    /// A new connection of plain HTTP, or one that begins with a handshake, watched by this thread.
    /// Call it where tasks can be spawned.
    pub(super) fn watched(limits: Limits, is_tls: bool) -> Progress {
        let phase = if is_tls { Phase::Handshake } else { Phase::Http1 };
        let progress = Progress::new(limits, phase, watch::now());
        watch::add(Watched(Rc::downgrade(&progress.0)));
        progress
    }

    fn new(limits: Limits, phase: Phase, now: u32) -> Progress {
        Progress(Rc::new(State {
            limits,
            phase: Cell::new(phase),
            open: Cell::new(0),
            head: Cell::new(Some(now)),
            lines: Cell::default(),
            latest: Cell::new(now),
            sent: Cell::new(0),
            has_answered: Cell::new(false),
            stalled: Cell::new(None),
            answers: RefCell::default(),
            numbered: Cell::new(0),
            verdict: Cell::new(None),
            waker: RefCell::default(),
        }))
    }

    /// The TLS handshake is over: what came until now was no request.
    pub fn begin(&self, http2: bool) {
        self.0.phase.set(if http2 { Phase::Http2 } else { Phase::Http1 });
        self.0.head.set(Some(watch::now()));
        self.0.latest.set(watch::now());
    }

    /// An HTTP/1.1 request was read.
    pub fn enter(&self) -> Entered {
        self.0.open.set(self.0.open.get() + 1);
        self.0.head.set(None);
        Entered(self.clone())
    }

    /// An HTTP/2 request was read; none when there are as many as may be.
    pub fn enter_stream(&self) -> Option<Entered> {
        (self.0.open.get() < self.0.limits.streams).then(|| self.enter())
    }

    /// An answer of so many bytes is to be taken. (Over HTTP/1.1 the socket shows that.)
    pub fn answer(&self, bytes: u64) -> Answer {
        let limits = &self.0.limits;
        let rate = limits.write_min_rate.max(1);
        let time = bytes.saturating_mul(u64::from(TICKS_A_SECOND)) / rate;
        let time = u32::try_from(time).unwrap_or(u32::MAX).min(u32::MAX / 4);
        let number = self.0.numbered.get();
        self.0.numbered.set(number + 1);
        let entry = (watch::now().saturating_add(limits.write).saturating_add(time), number);
        self.0.answers.borrow_mut().insert(entry);
        Answer { progress: self.clone(), entry }
    }

    /// True when no request is under way, and nothing was written for so long.
    pub fn is_quiet_for(&self, time: Duration) -> bool {
        self.0.open.get() == 0
            && watch::now().saturating_sub(self.0.latest.get()) > ticks(time)
            && self.0.answers.borrow().is_empty()
    }

    /// Bytes that were read from an HTTP/1.1 connection. A line of a head that ends in a line feed
    /// alone gets a byte that the parser refuses, with 400.
    pub fn refuse_bare_line_feed(&self, bytes: &mut [u8]) {
        // With a request under way it is its body.
        if self.0.open.get() > 0 {
            return;
        }
        let mut lines = self.0.lines.get();
        if let Some(at) = lines.bare_line_feed(bytes) {
            bytes[at] = REFUSED;
        }
        self.0.lines.set(lines);
    }

    /// Bytes came from the client.
    pub fn received(&self) {
        match self.0.phase.get() {
            // Its heads are bounded in number and size, and it is idle until one is whole.
            Phase::Http2 => self.0.head.set(None),
            Phase::Http1 if self.0.open.get() == 0 && self.0.head.get().is_none() => {
                self.0.head.set(Some(watch::now()));
            }
            Phase::Handshake | Phase::Http1 => {}
        }
    }

    /// True once, when the first head of an HTTP/1.1 connection did not come in time: the client is
    /// to be told. (A later one is not: what comes may be what is left of a body.)
    pub fn owes_an_answer(&self) -> bool {
        self.verdict() == Some(Verdict::HeadTooSlow)
            && self.0.phase.get() == Phase::Http1
            && !self.0.has_answered.replace(true)
    }

    /// The client's side took bytes.
    pub(super) fn sent(&self, bytes: usize) {
        self.0.sent.set(self.0.sent.get() + bytes as u64);
        self.0.latest.set(watch::now());
        if self.0.phase.get() != Phase::Http1 {
            return;
        }
        self.0.has_answered.set(true);
        // What is answered at once never enters.
        if self.0.open.get() == 0 {
            self.next_head();
        }
    }

    /// The client's side takes nothing for now.
    pub(super) fn stalled(&self) {
        if self.0.stalled.get().is_none() {
            self.0.stalled.set(Some((watch::now(), self.0.sent.get())));
        }
    }

    /// Everything was taken.
    pub(super) fn flushed(&self) {
        self.0.stalled.set(None);
    }

    /// Who is to be woken by a verdict.
    pub(super) fn park(&self, waker: &Waker) {
        let mut parked = self.0.waker.borrow_mut();
        if !parked.as_ref().is_some_and(|parked| parked.will_wake(waker)) {
            *parked = Some(waker.clone());
        }
    }

    pub(super) fn verdict(&self) -> Option<Verdict> {
        self.0.verdict.get()
    }

    fn next_head(&self) {
        self.0.head.set(None);
        self.0.lines.set(HeadLines::default());
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let progress = &self.0;
        progress.0.open.set(progress.0.open.get().saturating_sub(1));
        progress.0.latest.set(watch::now());
        progress.next_head();
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.progress.0.answers.borrow_mut().remove(&self.entry);
        self.progress.0.latest.set(watch::now());
    }
}

// === impl Watched ===

impl Watched {
    /// Judges the connection; false when it is gone, or judged.
    pub(super) fn look(&self, now: u32) -> bool {
        let Some(state) = self.0.upgrade() else { return false };
        let Some(verdict) = state.judge(now) else { return true };
        state.verdict.set(Some(verdict));
        let waker = state.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
        false
    }
}

// === impl State ===

impl State {
    fn judge(&self, now: u32) -> Option<Verdict> {
        if let Some((since, sent)) = self.stalled.get() {
            let waited = now.saturating_sub(since);
            if waited >= self.limits.write {
                let taken = (self.sent.get() - sent).saturating_mul(u64::from(TICKS_A_SECOND));
                if taken == 0 || taken < self.limits.write_min_rate.saturating_mul(waited.into()) {
                    return Some(Verdict::ReaderTooSlow);
                }
                self.stalled.set(Some((now, self.sent.get())));
            }
        }
        if self.answers.borrow().first().is_some_and(|(by, _)| *by < now) {
            return Some(Verdict::ReaderTooSlow);
        }
        if self.open.get() > 0 {
            return None;
        }
        let late = |since: u32| now.saturating_sub(since) >= self.limits.head;
        if self.head.get().is_some_and(late) {
            return Some(Verdict::HeadTooSlow);
        }
        let idle = now.saturating_sub(self.latest.get()) >= self.limits.idle + AFTER_ACTIX;
        (idle && self.answers.borrow().is_empty()).then_some(Verdict::Idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Head 10 ticks, write 20, idle 40; 4 bytes a second are one a tick.
    const LIMITS: Limits = Limits { head: 10, write: 20, write_min_rate: 4, idle: 40, streams: 2 };

    fn connection() -> Progress {
        Progress::new(LIMITS, Phase::Http1, watch::now())
    }

    #[test]
    fn a_head_has_its_time_each_time_and_a_request_under_way_has_none() {
        let progress = connection();
        // Also one that is not begun.
        assert_eq!(progress.0.judge(9), None);
        assert_eq!(progress.0.judge(10), Some(Verdict::HeadTooSlow));
        progress.received();
        assert_eq!(progress.0.judge(9), None);
        assert_eq!(progress.0.judge(10), Some(Verdict::HeadTooSlow));
        let entered = progress.enter();
        progress.received();
        assert_eq!(progress.0.judge(1000), None);
        drop(entered);
        assert_eq!(progress.0.judge(41), None);
        assert_eq!(progress.0.judge(42), Some(Verdict::Idle));
        progress.received();
        assert_eq!(progress.0.judge(1000), Some(Verdict::HeadTooSlow));
        // Answered without having entered.
        progress.sent(10);
        assert_eq!(progress.0.judge(41), None);
    }

    #[test]
    fn a_first_head_that_is_late_is_answered_once_and_a_later_one_is_not() {
        let (first, later, http2) = (connection(), connection(), connection());
        later.sent(1);
        http2.begin(true);
        for progress in [&first, &later, &http2] {
            assert!(!progress.owes_an_answer());
            progress.0.verdict.set(Some(Verdict::HeadTooSlow));
        }
        assert!(first.owes_an_answer() && !first.owes_an_answer());
        assert!(!later.owes_an_answer() && !http2.owes_an_answer());
    }

    #[test]
    fn a_client_that_takes_nothing_or_too_little_is_ended_and_a_slow_one_is_not() {
        let progress = connection();
        progress.sent(1);
        progress.stalled();
        assert_eq!(progress.0.judge(19), None);
        assert_eq!(progress.0.judge(20), Some(Verdict::ReaderTooSlow));
        progress.sent(20);
        assert_eq!(progress.0.judge(20), None);
        // What came before does not count for now.
        progress.sent(19);
        assert_eq!(progress.0.judge(40), Some(Verdict::ReaderTooSlow));
        progress.flushed();
        assert_eq!(progress.0.judge(41), None);
    }

    #[test]
    fn an_http2_answer_has_time_for_its_size_and_an_idle_connection_ends() {
        let progress = Progress::new(LIMITS, Phase::Handshake, watch::now());
        // The handshake has the time of a head, and so has what comes first after it.
        progress.received();
        progress.sent(1);
        assert_eq!(progress.0.judge(10), Some(Verdict::HeadTooSlow));
        progress.begin(true);
        progress.sent(1);
        assert_eq!(progress.0.judge(10), Some(Verdict::HeadTooSlow));
        progress.received();
        assert_eq!(progress.0.judge(41), None);
        assert_eq!(progress.0.judge(42), Some(Verdict::Idle));
        let answer = progress.answer(30);
        assert_eq!(progress.0.judge(50), None);
        assert_eq!(progress.0.judge(51), Some(Verdict::ReaderTooSlow));
        drop(answer);
        assert_eq!(progress.0.judge(51), Some(Verdict::Idle));
        let first = progress.enter_stream();
        let second = progress.enter_stream();
        assert!(first.is_some() && second.is_some() && progress.enter_stream().is_none());
        assert_eq!(progress.0.judge(1000), None);
    }
}
