//! The binary itself: exit statuses, messages, signals.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Client, checkout, request};

pub fn command(folder: &Path, properties: &str) -> Command {
    let file = folder.join("config.properties");
    fs::write(&file, properties).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_torchfront"));
    command.current_dir(folder).env("TEMP", folder).env_remove("TS_CONFIG_FILE");
    command.arg("--ts-config").arg(file);
    command
}

pub fn properties(lines: &str) -> String {
    let store = checkout("tests/goldens/archives");
    format!(
        "inference_address=http://127.0.0.1:0\nmanagement_address=http://127.0.0.1:0\n\
         metrics_address=http://127.0.0.1:0\ndisable_token_authorization=true\n\
         model_store={}\n{lines}\n",
        store.display()
    )
}

pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Starts the server and reads its log up to the line that says that it serves.
#[expect(clippy::zombie_processes, reason = "the caller waits for the child")]
pub fn start(command: &mut Command) -> (Child, SocketAddr, BufReader<std::process::ChildStdout>) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stdout.take().unwrap());
    let (mut line, mut inference) = (String::new(), None);
    loop {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "ended before it served");
        if let Some((_, address)) = line.split_once("inference API on http://") {
            inference = Some(address.trim().parse().unwrap());
        }
        if line.contains("Model server started") {
            return (child, inference.unwrap(), log);
        }
    }
}

pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn every_mistake_of_a_configuration_is_said_at_once_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = "job_queue_size=many\ncors.allowed.origin=*\ncors.allow.credentials=true\n\
        max_request_size=-1\ninference_addres=http://127.0.0.1:1\n";
    let output = command(folder.path(), &properties(wrong)).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let said = text(&output);
    for part in [
        "config.properties:6: job_queue_size: ",
        "cors.allow.credentials",
        "CORS-E010",
        "config.properties:9: max_request_size: ",
    ] {
        assert!(said.contains(part), "{said}\ndoes not say {part}");
    }
}

#[test]
fn a_port_that_is_taken_is_said_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let lines = properties("").replace(
        "management_address=http://127.0.0.1:0",
        &format!("management_address=http://127.0.0.1:{port}"),
    );
    let output = command(folder.path(), &lines).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    assert!(said.contains("management_address") && said.contains("another program"), "{said}");
}

#[test]
fn sigterm_ends_the_server_after_the_request_in_hand() {
    let folder = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lines = properties("load_models=slow.mar\ndefault_workers_per_model=1")
        .replace("metrics_address=http://127.0.0.1:0", &format!("metrics_address=http://{free}"));
    let (mut child, inference, log) = start(&mut command(folder.path(), &lines));
    let client = std::thread::spawn(move || {
        request(inference, "POST", "/predictions/slow", &[], b"[0.1, -0.2, 0.3, 0.4]").status
    });
    let is_accepted =
        |line: &str| line.starts_with("ts_inference_requests_total{") && line.ends_with(" 1.0");
    let metrics = || request(free, "GET", "/metrics", &[], b"").text();
    while !metrics().lines().any(is_accepted) && !client.is_finished() {
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(&child, "-TERM");
    assert_eq!(client.join().unwrap(), 200);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let rest: Vec<String> = log.lines().map(Result::unwrap).collect();
    assert!(rest.iter().any(|line| line.contains("access_log") && line.contains("status=200")));
    assert!(rest.iter().any(|line| line.contains("Torchfront has stopped.")));
    let left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name != ".model_server.pid"), "{left:?}");
}

#[test]
fn connections_without_a_request_in_hand_do_not_hold_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let lines = properties("cors.allowed.origin=https://app.example.com");
    let (mut child, inference, _log) = start(&mut command(folder.path(), &lines));
    let _unused = TcpStream::connect(inference).unwrap();
    let mut asked = Client::connect(inference);
    assert_eq!(asked.request("GET", "/ping", &[], b"").status, 200);
    let mut preflighted = Client::connect(inference);
    for _ in 0..2 {
        let preflight =
            [("Origin", "https://app.example.com"), ("Access-Control-Request-Method", "POST")];
        assert_eq!(preflighted.request("OPTIONS", "/predictions/a", &preflight, b"").status, 204);
    }
    let told = Instant::now();
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    // A request in hand would have 30 seconds.
    assert!(told.elapsed() < Duration::from_secs(20));
}

#[test]
fn ping_is_unhealthy_until_the_models_are_loaded_and_the_log_can_be_json() {
    let folder = tempfile::tempdir().unwrap();
    let lines = properties("load_models=mlp.mar\nlog_format=json");
    let mut child = command(folder.path(), &lines).stdout(Stdio::piped()).spawn().unwrap();
    let log = BufReader::new(child.stdout.take().unwrap());
    let mut started = false;
    for line in log.lines() {
        let line = line.unwrap();
        let parsed: serde_json::Value = serde_json::from_str(&line).expect(&line);
        if parsed["message"] == "Model server started." {
            started = true;
            signal(&child, "-INT");
        }
    }
    assert!(started);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn start_and_stop_work_in_the_background() {
    let folder = tempfile::tempdir().unwrap();
    let lines = properties("load_models=mlp.mar");
    let log = fs::File::create(folder.path().join("log")).unwrap();
    let status = command(folder.path(), &lines)
        .args(["--start", "--ncs"])
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .status()
        .unwrap();
    assert!(status.success());
    let read = || fs::read_to_string(folder.path().join("log")).unwrap();
    for _ in 0..600 {
        if read().contains("Model server started") {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(read().contains("Model server started"), "{}", read());
    let again = command(folder.path(), &lines).arg("--start").output().unwrap();
    assert!(text(&again).contains("already running"), "{}", text(&again));
    let stop = |folder: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_torchfront"));
        let output = command.env("TEMP", folder).args(["--stop", "--foreground"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(stop(folder.path()), "Torchfront has stopped.\n");
    assert_eq!(stop(folder.path()), "Torchfront is not currently running.\n");
}

#[test]
fn the_version_is_printed_without_a_configuration() {
    let output = Command::new(env!("CARGO_BIN_EXE_torchfront")).arg("--version").output().unwrap();
    assert!(output.status.success());
    let expected = format!("Torchfront Version is {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}
