//! What who started the server hears: systemd's protocol, and the command that went before.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::process::{command, properties, signal, start, text};
use crate::support::checkout;

/// Long enough for the slowest machine: an error, not a measurement.
const PATIENCE: Duration = Duration::from_secs(60);

fn socket(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The lines of the next datagram that are not STATUS.
fn next(socket: &UnixDatagram) -> Vec<String> {
    loop {
        let mut buffer = [0; 512];
        let count = socket.recv(&mut buffer).unwrap();
        let text = String::from_utf8(buffer[..count].to_vec()).unwrap();
        let lines: Vec<String> =
            text.lines().filter(|line| !line.starts_with("STATUS=")).map(str::to_owned).collect();
        if !lines.is_empty() {
            return lines;
        }
    }
}

#[test]
fn systemd_hears_ready_reloading_and_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("systemd");
    let systemd = socket(&path);
    let mut command = command(folder.path(), &properties("load_models=mlp.mar"));
    let (mut child, _, _log) = start(command.env("NOTIFY_SOCKET", &path));
    assert_eq!(next(&systemd), ["READY=1"]);
    signal(&child, "-HUP");
    let reloading = next(&systemd);
    assert_eq!(reloading[0], "RELOADING=1");
    assert!(reloading[1].starts_with("MONOTONIC_USEC="), "{reloading:?}");
    assert_eq!(next(&systemd), ["READY=1"]);
    signal(&child, "-TERM");
    assert_eq!(next(&systemd), ["STOPPING=1"]);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_start_in_the_background_returns_when_the_addresses_are_open_or_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let own = format!("{}inference_address=http://127.0.0.1:{port}\n", properties(""));
    let failed = command(folder.path(), &own).arg("--start").output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let said = text(&failed);
    assert!(said.contains(&port.to_string()) && said.contains("did not start"), "{said}");
    let pid_file = folder.path().join(".model_server.pid");
    assert!(!pid_file.exists());

    drop(taken);
    let mut background = command(folder.path(), &own);
    let started = background.arg("--start").stdout(Stdio::null()).status().unwrap();
    assert!(started.success());
    // Open already: a connection is accepted at the first try.
    drop(std::net::TcpStream::connect(("127.0.0.1", port)).unwrap());
    let stopped = command(folder.path(), &own).args(["--stop", "--foreground"]).output().unwrap();
    assert!(stopped.status.success(), "{}", text(&stopped));
    assert!(!pid_file.exists());
}

#[test]
fn the_unit_file_waits_longer_than_the_drain_takes() {
    let unit = fs::read_to_string(checkout("deploy/torchfront.service")).unwrap();
    let line = |key: &str| {
        let found = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {key}")).to_owned()
    };
    assert_eq!(line("Type"), "notify");
    let seconds: u64 = line("TimeoutStopSec").trim_end_matches('s').parse().unwrap();
    assert!(seconds > 30 + 10, "listeners drain for 30 s, workers end within 10 s");
    assert_eq!(line("RestartPreventExitStatus"), "78");
}
