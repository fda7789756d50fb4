//! Serves in the foreground until SIGTERM or Ctrl-C.

use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::{EX_CONFIG, notify};
use crate::cli::Overrides;
use crate::config::{Config, Level, ProcessEnvironment};
use crate::engine::share_heaps;
use crate::pid_file::PidFile;
use crate::server::{Server, ServerHandle};
use crate::telemetry;

/// Reads the configuration, opens the addresses, serves.
pub fn serve(overrides: &Overrides) -> ExitCode {
    share_heaps();
    let config = match Config::load(overrides, &ProcessEnvironment) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(EX_CONFIG);
        }
    };
    // Dropped last: the lines that are still waiting are written then.
    let _log = match telemetry::start(&config.log_sinks) {
        Ok(guards) => guards,
        Err(error) => return failed(&format!("the log cannot be written: {error}")),
    };
    for note in &config.notes {
        match note.level {
            Level::Warning => tracing::warn!("{}", note.text),
            Level::Notice => tracing::info!("{}", note.text),
        }
    }
    raise_descriptors();
    let pid_file = PidFile::in_dir(&config.temp_dir);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    let result = runtime.block_on(async {
        bear_limits_on_files();
        let server = Server::build(config).map_err(|error| error.to_string())?;
        tokio::spawn(stop_on_signal(server.handle()));
        tokio::spawn(reload_on_signal(server.handle()));
        tokio::spawn(notify::follow(server.handle()));
        let own = name_this_process(&pid_file);
        let ended = server.run().await.map_err(|error| error.to_string());
        if own {
            pid_file.remove();
        }
        ended
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// As many descriptors as this user may open: the soft limit of most shells, 1024, is for programs
/// with `select`, and less than `connections_max`.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

fn failed(error: &str) -> ExitCode {
    tracing::error!("{error}");
    eprintln!("torchfront: {error}");
    ExitCode::FAILURE
}

/// So that `--stop` finds this server, unless another one has the file.
fn name_this_process(pid_file: &PidFile) -> bool {
    match pid_file.running() {
        None => pid_file.write(std::process::id()).is_ok(),
        // Who started this one in the background has named it.
        Some(pid) => pid == rustix::process::getpid(),
    }
}

/// A file that would grow beyond the process's limit (`ulimit -f`, `LimitFSIZE=`) is an error of that
/// write, like a full disk: the signal that comes with it would end the server, loaded models and all.
fn bear_limits_on_files() {
    // Whoever waits for it is not needed: having asked replaces the default.
    if let Err(error) = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())) {
        tracing::warn!(%error, "SIGXFSZ cannot be handled");
    }
}

/// SIGHUP: what may change while the server runs is read again.
async fn reload_on_signal(handle: ServerHandle) {
    match signal(SignalKind::hangup()) {
        Ok(mut hangup) => {
            while hangup.recv().await.is_some() {
                tracing::info!("SIGHUP: reloading");
                handle.reload();
                notify::reloading();
            }
        }
        Err(error) => tracing::error!(%error, "SIGHUP cannot be handled"),
    }
}

/// The first signal stops gracefully; a second one ends the process at once.
async fn stop_on_signal(handle: ServerHandle) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be handled; stop the server with SIGKILL");
        return;
    };
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    next().await;
    handle.stop();
    next().await;
    tracing::warn!("a second signal: stopping at once");
    std::process::exit(130);
}
