//! `--start` without `--foreground`, and `--stop`: as `torchserve` does.

use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use super::EX_CONFIG;
use crate::cli::Overrides;
use crate::config::{Config, ProcessEnvironment};
use crate::pid_file::PidFile;

/// How long `--stop --foreground` waits for the end.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a child that says nothing is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Starts the same command line again in the foreground, in a process group of its own, and leaves
/// it once its addresses are open; what keeps it from that is this command's failure. A wrong configuration is said here, not by the child.
pub fn start_in_background(overrides: &Overrides) -> ExitCode {
    let config = match Config::load(overrides, &ProcessEnvironment) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(EX_CONFIG);
        }
    };
    let pid_file = PidFile::in_dir(&config.temp_dir);
    if pid_file.running().is_some() {
        eprintln!("Torchfront is already running, please use torchfront --stop to stop it.");
        return ExitCode::FAILURE;
    }
    match spawn(&pid_file) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("torchfront: the server could not be started: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Starts the child and waits for its first word, which it says when its addresses are open, or for
/// its end.
fn spawn(pid_file: &PidFile) -> std::io::Result<ExitCode> {
    let folder = tempfile::tempdir()?;
    let socket_path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&socket_path)?;
    socket.set_read_timeout(Some(POLL))?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .arg("--foreground")
        .env("NOTIFY_SOCKET", &socket_path)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()?;
    if let Err(error) = pid_file.write(child.id()) {
        eprintln!("torchfront: the pid file cannot be written: {error}");
    }
    loop {
        if socket.recv(&mut [0; 256]).is_ok() {
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(status) = child.try_wait()? {
            pid_file.remove();
            // The child has said why, on the same streams.
            eprintln!("torchfront: the server did not start ({status})");
            let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
            return Ok(ExitCode::from(code.max(1)));
        }
    }
}

/// Stops the server that the pid file names; with `wait` returns when it has ended.
pub fn stop(wait: bool) -> ExitCode {
    let pid_file = PidFile::in_dir(&crate::config::temp_dir(&ProcessEnvironment));
    let Some(pid) = pid_file.running() else {
        pid_file.remove();
        println!("Torchfront is not currently running.");
        return ExitCode::SUCCESS;
    };
    if let Err(error) = pid_file.stop(pid) {
        eprintln!("torchfront: process {pid:?} cannot be stopped: {error}");
        return ExitCode::FAILURE;
    }
    let end = Instant::now() + STOP_TIMEOUT;
    while wait && pid_file.running().is_some() {
        if Instant::now() >= end {
            eprintln!("Stopping Torchfront took too long.");
            return ExitCode::FAILURE;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("Torchfront has stopped.");
    ExitCode::SUCCESS
}
