//! Where the server listens: IPv6, a Unix socket, one address for two APIs.

use std::io::{BufRead, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::process::{command, properties, signal, start, text};
use crate::support::{TestServer, request};

#[test]
fn an_ipv6_address_is_served() {
    let server = TestServer::start(&["mlp"], &["inference_address=http://[::1]:0"]);
    assert!(server.inference.is_ipv6());
    let answer = request(server.inference, "GET", "/ping", &[], b"");
    assert_eq!((answer.status, answer.text().as_str()), (200, "{\n  \"status\": \"Healthy\"\n}\n"));
}

#[test]
fn each_api_is_served_on_a_unix_socket_that_goes_with_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let sockets =
        ["inference", "management", "metrics"].map(|api| folder.path().join(format!("{api}.sock")));
    let line = |api: usize, key: &str| format!("{key}_address=unix:{}", sockets[api].display());
    let lines = [line(0, "inference"), line(1, "management"), line(2, "metrics")];
    let server = TestServer::start(&["mlp"], &[&lines[0], &lines[1], &lines[2]]);
    for (socket, path, part) in [
        (&sockets[0], "/ping", "Healthy"),
        (&sockets[1], "/models", "\"modelName\": \"mlp\""),
        (&sockets[2], "/metrics", "ts_inference_requests_total"),
    ] {
        let answer = over_unix(socket, path);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains(part), "{answer}");
        let mode = std::fs::metadata(socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    server.stop();
    assert!(sockets.iter().all(|socket| !socket.exists()));
}

/// A GET on a Unix socket: the whole answer.
fn over_unix(socket: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_socket_is_taken_over_from_a_dead_server_and_never_from_a_live_one() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("management.sock");
    let lines = properties("load_models=mlp.mar\nunix_socket_mode=0660").replace(
        "management_address=http://127.0.0.1:0",
        &format!("management_address=unix:{}", socket.display()),
    );
    let (mut first, _, _log) = start(&mut command(folder.path(), &lines));
    let second = command(folder.path(), &lines).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = text(&second);
    assert!(said.contains("management_address: unix:/"), "{said}");
    assert!(said.contains("another program listens there; stop it"), "{said}");
    assert!(over_unix(&socket, "/models").contains("mlp"));
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(socket.exists());
    let (mut third, _, log) = start(&mut command(folder.path(), &lines));
    assert!(over_unix(&socket, "/models").contains("mlp"));
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    signal(&third, "-TERM");
    assert_eq!(third.wait().unwrap().code(), Some(0));
    let rest: Vec<String> = log.lines().map(Result::unwrap).collect();
    let line = rest.iter().find(|line| line.contains("path=/models")).unwrap();
    assert!(line.contains("peer=unix"), "{line}");
    assert!(!socket.exists());
}

#[test]
fn two_apis_on_one_address_are_told_apart_by_the_path() {
    // A free port that both keys can name.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lines =
        [format!("inference_address=http://{free}"), format!("management_address=http://{free}")];
    let server = TestServer::start(&["mlp"], &[&lines[0], &lines[1]]);
    let models = request(free, "GET", "/models", &[], b"");
    assert_eq!(models.json()["models"][0]["modelName"], "mlp");
    let path = "/predictions/mlp";
    assert_eq!(request(free, "POST", path, &[], b"[0.1, -0.2, 0.3, 0.4]").status, 200);
    server.stop();
}

#[test]
fn the_metrics_api_filters_by_name() {
    let server = TestServer::start(&["mlp"], &[]);
    server.predict("mlp", "[0.1, -0.2, 0.3, 0.4]");
    let all = request(server.metrics, "GET", "/metrics", &[], b"");
    assert_eq!(
        all.header("content-type").as_deref(),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert!(all.text().contains("ts_inference_requests_total{"));
    let one = request(server.metrics, "GET", "/metrics?name[]=ts_batch_size", &[], b"").text();
    assert!(one.contains("ts_batch_size_sum") && !one.contains("Requests2XX"), "{one}");
}
