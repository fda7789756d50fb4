//! Where the server listens: IPv6, a Unix socket, one address for two APIs.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::support::{TestServer, request};

#[test]
fn an_ipv6_address_is_served() {
    let server = TestServer::start(&["mlp"], &["inference_address=http://[::1]:0"]);
    assert!(server.inference.is_ipv6());
    let answer = request(server.inference, "GET", "/ping", &[], b"");
    assert_eq!((answer.status, answer.text().as_str()), (200, "{\n  \"status\": \"Healthy\"\n}\n"));
}

#[test]
fn a_unix_socket_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("management.sock");
    let line = format!("management_address=unix:{}", socket.display());
    let _server = TestServer::start(&["mlp"], &[&line]);
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"GET /models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"modelName\": \"mlp\""), "{answer}");
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
