//! Requests that one thread reads in the same turn of its event loop share a forward.
//!
//! Asked by `direct.rs` for models that answer in microseconds. The first of them lets the thread go
//! on once, so that every other request which has arrived is read too; then it runs the forward for
//! all. Nobody waits for a timer, and no thread for another one.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use super::direct::Landing;
use crate::handlers::Sample;
use crate::metrics::Striped;
use crate::trace::{self, RequestTrace};

/// The turns of one model version, one for each thread that reads requests.
#[derive(Default)]
pub(super) struct Turns(Striped<Seat>);

/// Who shares the next forward of one thread; none between two turns.
#[derive(Default)]
struct Seat(Mutex<Option<Vec<Rider>>>);

/// When a request came to its turn, and its trace, if it is recorded.
#[derive(Clone)]
pub(super) struct Joined {
    pub(super) at: Instant,
    trace: Option<RequestTrace>,
}

/// A request that came after the first one.
pub(super) struct Rider {
    pub(super) sample: Sample,
    pub(super) joined: Joined,
    /// What becomes of the sample.
    pub(super) reply: oneshot::Sender<Landing>,
}

/// What a request is in its turn.
pub(super) enum Place<'a> {
    /// The first, which keeps its sample: it ends the turn.
    First(Turn<'a>, Sample),
    /// Another one: it is answered.
    Later(oneshot::Receiver<Landing>),
    /// There is no more room.
    None(Sample),
}

/// A turn that has not ended.
pub(super) struct Turn<'a>(&'a Seat);

// === impl Turns ===

impl Turns {
    /// A place for a sample in this thread's turn, in which at most `rows` samples share a forward.
    pub(super) fn join(&self, sample: Sample, rows: usize, joined: &Joined) -> Place<'_> {
        let seat = self.0.own();
        let mut riders = seat.0.lock().unwrap_or_else(PoisonError::into_inner);
        match riders.as_mut() {
            None => {
                *riders = Some(Vec::new());
                Place::First(Turn(seat), sample)
            }
            // The first one has a row, too.
            Some(riders) if riders.len() + 1 >= rows => Place::None(sample),
            Some(riders) => {
                let (reply, answer) = oneshot::channel();
                riders.push(Rider { sample, joined: joined.clone(), reply });
                Place::Later(answer)
            }
        }
    }
}

// === impl Joined ===

impl Joined {
    /// The request of this task has come.
    pub(super) fn at(at: Instant) -> Joined {
        Joined { at, trace: trace::current() }
    }

    /// Its trace, and since when it waits.
    pub(super) fn recorded(&self) -> Option<(&RequestTrace, Option<Instant>)> {
        self.trace.as_ref().map(|trace| (trace, Some(self.at)))
    }
}

// === impl Turn ===

impl Turn<'_> {
    /// Ends the turn: nobody joins any more. Those that joined and still wait.
    pub(super) fn end(self) -> Vec<Rider> {
        let mut riders = self.0.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(riders) = &mut riders {
            riders.retain(|rider| !rider.reply.is_closed());
        }
        riders.unwrap_or_default()
    }
}
