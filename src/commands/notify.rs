//! Tells who started the server how it is, by systemd's protocol (`sd_notify(3)`): READY=1 once it
//! serves, RELOADING=1 at SIGHUP, STOPPING=1 when it drains.
//!
//! Called by `serve.rs`; heard by systemd (`Type=notify`, `deploy/torchfront.service`) and by
//! `background.rs`. Nothing is sent without the variable NOTIFY_SOCKET, and a failure stops nothing.

use sd_notify::NotifyState;

use crate::server::{Phase, ServerHandle};

/// What is said while models are loaded; [`background`](super::background) waits for any word.
const LOADING: &str = "the addresses are open, loading models";

/// Tells every phase as it is reached.
pub(super) async fn follow(mut handle: ServerHandle) {
    say(&[NotifyState::Status(LOADING)]);
    handle.reached(Phase::Serving).await;
    // A server that is stopped while it loads never serves.
    if !handle.has_reached(Phase::Draining) {
        say(&[NotifyState::Ready, NotifyState::Status("serving")]);
    }
    handle.reached(Phase::Draining).await;
    say(&[NotifyState::Stopping, NotifyState::Status("answering what was accepted")]);
}

/// The files are being read again; the server serves meanwhile.
pub(super) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        say(&[NotifyState::Reloading, now]);
        say(&[NotifyState::Ready]);
    }
}

fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "NOTIFY_SOCKET cannot be reached");
    }
}
