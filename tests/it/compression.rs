//! Compressed requests and answers over real sockets.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::json;

use crate::support::{Answer, Client, TestServer, request};

const SAMPLE: &[u8] = b"[0.5, -1.0, 2.0, 0.25]";
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn packed(server: &TestServer, coding: &str, body: &[u8]) -> Answer {
    let headers = [JSON, ("Content-Encoding", coding)];
    request(server.inference, "POST", "/predictions/mlp", &headers, body)
}

#[test]
fn a_compressed_request_is_answered_as_the_plain_one() {
    let server = TestServer::start(&["mlp"], &[]);
    let plain = server.predict("mlp", SAMPLE);
    assert_eq!(plain.status, 200, "{}", plain.text());
    for (coding, body) in [
        ("gzip", gzip(SAMPLE)),
        ("x-gzip", gzip(SAMPLE)),
        ("deflate", deflate(SAMPLE)),
        ("identity", SAMPLE.to_vec()),
    ] {
        assert_eq!(packed(&server, coding, &body).body, plain.body, "{coding}");
    }
    // The parts of a form, and the tensors of the Open Inference Protocol, are found inside.
    let form = gzip(b"data=%5B0.5%2C%20-1.0%2C%202.0%2C%200.25%5D");
    let headers =
        [("Content-Type", "application/x-www-form-urlencoded"), ("Content-Encoding", "gzip")];
    let answer = request(server.inference, "POST", "/predictions/mlp", &headers, &form);
    assert_eq!(answer.body, plain.body, "{}", answer.text());
    let infer = json!({"inputs": [{
        "name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0.5, -1.0, 2.0, 0.25],
    }]});
    let headers = [JSON, ("Content-Encoding", "deflate")];
    let body = deflate(infer.to_string().as_bytes());
    let answer = request(server.inference, "POST", "/v2/models/mlp/infer", &headers, &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn bombs_unknown_codings_and_broken_bodies_are_refused_and_the_server_goes_on() {
    let server = TestServer::start(&["mlp"], &["max_request_size=3000000"]);
    // Ten megabytes of zeros in ten kilobytes; then what is small enough, but out of proportion.
    for zeros in [10_000_000, 2_900_000] {
        let answer = packed(&server, "gzip", &gzip(&vec![b'0'; zeros]));
        let (status, kind, message) = answer.error();
        assert_eq!((status, &*kind), (413, "RequestEntityTooLargeException"), "{message}");
    }
    for coding in ["br", "gzip, gzip", "deflate, gzip", "zstd", "aes128gcm"] {
        let answer = packed(&server, coding, &gzip(&gzip(SAMPLE)));
        assert_eq!(answer.error().0, 415, "{coding}");
        assert_eq!(answer.header("accept-encoding").as_deref(), Some("gzip, deflate"));
    }
    let whole = gzip(SAMPLE);
    for broken in [SAMPLE, &whole[..whole.len() - 1], &deflate(SAMPLE)[..]] {
        assert_eq!(packed(&server, "gzip", broken).error().0, 400);
    }
    // The same connection, after a refusal.
    let mut client = Client::connect(server.inference);
    let headers = [JSON, ("Content-Encoding", "gzip")];
    let path = "/predictions/mlp";
    assert_eq!(client.request("POST", path, &headers, &gzip(&vec![0; 10_000_000])).status, 413);
    let mut client = Client::connect(server.inference);
    assert_eq!(client.request("POST", path, &headers, &whole[..8]).status, 400);
    assert_eq!(client.request("POST", path, &headers, &whole).status, 200);
}

#[test]
fn descriptions_and_metrics_are_compressed_and_vary_beside_the_origin() {
    let origin = "https://app.example.com";
    let allow = format!("cors.allowed.origin={origin}");
    let server = TestServer::start(&["mlp"], &[&allow]);
    let accept = ("Accept-Encoding", "gzip, deflate, br");
    let get = |address, path, headers: &[_]| request(address, "GET", path, headers, b"");
    for (address, path) in [
        (server.inference, "/api-description"),
        (server.inference, "/openapi.json"),
        (server.management, "/api-description"),
        (server.metrics, "/metrics"),
    ] {
        let answer = get(address, path, &[accept, ("Origin", origin)]);
        assert_eq!(answer.header("content-encoding").as_deref(), Some("gzip"), "{path}");
        let mut text = String::new();
        GzDecoder::new(&*answer.body).read_to_string(&mut text).unwrap();
        assert!(answer.body.len() * 2 < text.len(), "{path}");
        let plain = get(address, path, &[]);
        assert_eq!(plain.header("content-encoding"), None, "{path}");
        if path != "/metrics" {
            assert_eq!(plain.text(), text, "{path}");
        }
    }
    let answer = get(server.inference, "/api-description", &[accept, ("Origin", origin)]);
    assert_eq!(answer.header("access-control-allow-origin").as_deref(), Some(origin));
    let vary = answer.header("vary").unwrap();
    assert!(vary.contains("Accept-Encoding") && vary.contains("Origin"), "{vary}");
    // A model's answer is its own.
    let predicted = request(server.inference, "POST", "/predictions/mlp", &[accept, JSON], SAMPLE);
    assert_eq!(predicted.header("content-encoding"), None);
}

#[test]
fn the_operator_says_which_answers_are_compressed() {
    let accept = ("Accept-Encoding", "gzip");
    // As many outputs as inputs, and no fewer.
    let long = format!("{{\"instances\": [{}]}}", ["[0.5, -1.0, 2.0, 0.25]"; 60].join(","));
    let coding = |server: &TestServer, path: &str| {
        let method = if path == "/api-description" { "GET" } else { "POST" };
        let answer = request(server.inference, method, path, &[accept, JSON], long.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.header("content-encoding")
    };
    let predict = "/v1/models/mlp:predict";
    let off = TestServer::start(&["mlp"], &["response_compression=off"]);
    assert_eq!(coding(&off, "/api-description"), None);
    assert_eq!(coding(&off, predict), None);
    let all = TestServer::start(&["mlp"], &["response_compression=all"]);
    assert_eq!(coding(&all, "/api-description").as_deref(), Some("gzip"));
    assert_eq!(coding(&all, predict).as_deref(), Some("gzip"));
}
