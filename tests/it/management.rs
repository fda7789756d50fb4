//! Models that come, change and go while the server serves: real libtorch, real sockets. The texts
//! and statuses are tested next to the routes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::process;
use crate::support::{Answer, Client, TestServer, checkout, close, golden_archives, request};

/// A server with the model API, its models in the store but not loaded.
fn server(archives: &[&str]) -> TestServer {
    TestServer::start(archives, &["load_models=none", "enable_model_api=true"])
}

fn manage(server: &TestServer, method: &str, path: &str) -> Answer {
    request(server.management, method, path, &[], b"")
}

/// Asks with a golden's first case and compares.
#[track_caller]
fn answers_as_python_does(server: &TestServer, path: &str, golden: &str) {
    let archive = &golden_archives()[golden];
    let case = &archive["cases"][0];
    let answer = server.predict(path, json!({"inputs": case["inputs"]}).to_string());
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    let tolerance = archive["abs_tol"].as_f64().unwrap();
    close(&answer.json()["outputs"], &case["outputs"], tolerance);
}

fn unpacked(server: &TestServer) -> usize {
    let folders = fs::read_dir(server.temp_dir()).unwrap();
    folders.map(|folder| fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
}

#[test]
fn two_versions_of_a_model_answer_each_with_its_own_weights() {
    let server = server(&["mlp", "mlp_v2"]);
    let before = unpacked(&server);
    for (archive, version) in [("mlp", "1.0"), ("mlp_v2", "2.0")] {
        let path = format!("/models?url={archive}.mar&initial_workers=1");
        let text = format!("Model \"mlp\" Version: {version} registered with 1 initial workers");
        let answer = manage(&server, "POST", &path);
        assert_eq!((answer.status, answer.json()), (200, json!({"status": text})));
    }
    answers_as_python_does(&server, "mlp", "mlp");
    answers_as_python_does(&server, "mlp/1.0", "mlp");
    answers_as_python_does(&server, "mlp/2.0", "mlp_v2");
    assert_eq!(manage(&server, "PUT", "/models/mlp/2.0/set-default").status, 200);
    answers_as_python_does(&server, "mlp", "mlp_v2");
    assert_eq!(unpacked(&server), before + 2);
    assert_eq!(manage(&server, "DELETE", "/models/mlp/1.0").status, 200);
    assert_eq!(unpacked(&server), before + 1);
    assert_eq!(server.predict("mlp/1.0", "[0, 0, 0, 0]").status, 404);
    answers_as_python_does(&server, "mlp", "mlp_v2");
    assert_eq!(manage(&server, "DELETE", "/models/mlp").status, 200);
    assert_eq!(server.predict("mlp", "[0, 0, 0, 0]").status, 404);
    assert_eq!(unpacked(&server), before);
}

#[test]
fn of_many_registrations_at_once_one_wins() {
    let server = server(&["mlp"]);
    let address = server.management;
    let threads: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                request(address, "POST", "/models?url=mlp.mar&initial_workers=1", &[], b"").status
            })
        })
        .collect();
    let mut statuses: Vec<u16> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409, 409, 409]);
    answers_as_python_does(&server, "mlp", "mlp");
}

#[test]
fn archives_that_cannot_be_served_are_refused_and_leave_nothing() {
    let server = server(&["mlp", "eager", "python_handler", "not_torchscript"]);
    let before = unpacked(&server);
    for (archive, kind) in [
        ("eager", "InvalidModelException"),
        ("python_handler", "HandlerNotSupportedException"),
        ("not_torchscript", "InvalidModelException"),
    ] {
        for workers in [0, 1] {
            let path = format!("/models?url={archive}.mar&initial_workers={workers}");
            let (status, got, message) = manage(&server, "POST", &path).error();
            assert_eq!((status, &*got), (400, kind), "{archive}: {message}");
        }
    }
    assert_eq!(unpacked(&server), before);
    assert_eq!(server.manage("/models").json(), json!({"models": []}));
}

#[test]
fn requests_are_answered_while_models_come_and_go_and_workers_change() {
    let server = server(&["mlp", "counter"]);
    manage(&server, "POST", "/models?url=mlp.mar&initial_workers=2&batch_size=8");
    let stop = Arc::new(AtomicBool::new(false));
    let address = server.inference;
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                let mut answered = 0;
                while !stop.load(Ordering::Relaxed) {
                    let body = b"[0.1, -0.2, 0.3, 0.4]";
                    let answer = client.request("POST", "/predictions/mlp", &[], body);
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    for round in 0..10 {
        let workers = 1 + round % 3;
        let path =
            format!("/models/mlp?min_worker={workers}&max_worker={workers}&synchronous=true");
        let text = format!("Workers scaled to {workers} for model: mlp");
        assert_eq!(manage(&server, "PUT", &path).json(), json!({"status": text}));
        let path = "/models?url=counter.mar&initial_workers=2";
        assert_eq!(manage(&server, "POST", path).status, 200);
        let counted = server.predict("counter", "[1, 2, 3, 4]");
        assert_eq!(counted.status, 200, "{}", counted.text());
        assert_eq!(manage(&server, "DELETE", "/models/counter").status, 200);
    }
    stop.store(true, Ordering::Relaxed);
    let answered: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(answered > 0);
    let described = server.manage("/models/mlp").json();
    assert_eq!(described[0]["workers"].as_array().map(Vec::len), Some(1));
}

#[test]
fn without_workers_there_is_no_answer_but_503_and_with_them_there_is_again() {
    let server = server(&["mlp"]);
    manage(&server, "POST", "/models?url=mlp.mar");
    for _ in 0..3 {
        let (status, kind, message) = server.predict("mlp", "{}").error();
        assert_eq!((status, &*kind), (503, "ServiceUnavailableException"));
        assert!(message.starts_with("Model \"mlp\" has no worker to serve inference"), "{message}");
        manage(&server, "PUT", "/models/mlp?min_worker=2&synchronous=true");
        answers_as_python_does(&server, "mlp", "mlp");
        manage(&server, "PUT", "/models/mlp?min_worker=0&synchronous=true");
    }
    assert_eq!(request(server.inference, "GET", "/ping", &[], b"").status, 200);
}

#[test]
fn one_connection_survives_everything_that_is_refused() {
    let server = server(&["mlp"]);
    let mut client = Client::connect(server.management);
    let json = [("Content-Type", "application/json")];
    for (method, path, body, status) in [
        ("POST", "/models", "{", 400),
        ("POST", "/models", "{'url': 'none.mar'}", 404),
        ("POST", "/models", "{'url': 'mlp.mar', 'initial_workers': '1'}", 200),
        ("POST", "/models", "{'url': 'mlp.mar'}", 409),
        ("PUT", "/models/mlp?min_worker=3&max_worker=1", "", 400),
        ("PUT", "/models/mlp?min_worker=-1", "{}", 500),
        ("DELETE", "/models/mlp/9.9", "", 404),
        ("PATCH", "/models/mlp", "{}", 405),
        ("DELETE", "/models/mlp", "", 200),
    ] {
        let answer = client.request(method, path, &json, body.as_bytes());
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.text());
        assert!(answer.header("x-request-id").is_some());
    }
}

/// The binary with the model API: the process, and its management address.
fn start_binary(folder: &std::path::Path) -> (Child, SocketAddr) {
    let lines = "enable_model_api=true\nload_models=none\naccess_log=false";
    let mut command = process::command(folder, &process::properties(lines));
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stdout.take().unwrap());
    let (mut line, mut management) = (String::new(), None);
    while !line.contains("Model server started") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "ended before it served");
        if let Some((_, address)) = line.split_once("management API on http://") {
            management = Some(address.trim().parse().unwrap());
        }
    }
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    (child, management.unwrap())
}

fn count(path: String) -> usize {
    fs::read_dir(path).unwrap().count()
}

/// Files and folders below a folder.
fn below(folder: &std::path::Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| 1 + if path.is_dir() { below(&path) } else { 0 }).sum()
}

#[test]
fn hundreds_of_models_that_came_and_went_leave_no_thread_and_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, management) = start_binary(folder.path());
    let mut client = Client::connect(management);
    let mut cycle = || {
        let path = "/models?url=mlp.mar&initial_workers=2";
        assert_eq!(client.request("POST", path, &[], b"").status, 200);
        let path = "/models/mlp?min_worker=1&max_worker=1&synchronous=true";
        assert_eq!(client.request("PUT", path, &[], b"").status, 200);
        assert_eq!(client.request("DELETE", "/models/mlp", &[], b"").status, 200);
    };
    let process = format!("/proc/{}", child.id());
    let resources = || {
        let threads = count(format!("{process}/task"));
        (threads, count(format!("{process}/fd")), below(folder.path()))
    };
    // Until as many snapshots are there as are kept: each cycle writes three.
    for _ in 0..=torchfront::snapshot::KEPT / 3 {
        cycle();
    }
    let before = resources();
    for _ in 0..280 {
        cycle();
    }
    let after = resources();
    // Threads that wait for work off the reactor come and go.
    assert!(after.0 <= before.0 + 4, "threads, descriptors, files: {before:?}, then {after:?}");
    assert_eq!((before.1, before.2), (after.1, after.2), "descriptors, files");
    process::signal(&child, "-TERM");
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_description_of_the_listener_is_torchserves() {
    let server = server(&[]);
    let recorded = |name: &str| {
        let file = checkout(&format!("tests/torchserve/recorded/bodies/{name}.json"));
        std::fs::read_to_string(file).unwrap()
    };
    let described = request(server.management, "OPTIONS", "/", &[], b"").text();
    assert_eq!(described, recorded("describe-management"));
    let described = request(server.inference, "GET", "/api-description", &[], b"").text();
    assert_eq!(described, recorded("describe-inference"));
}
