//! `/predictions`: what a client sends, what it gets, and what it is told when it is wrong.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Client, TestServer, checkout, close, request};

const MLP_ONE: &str = "[0.1, -0.2, 0.3, 0.4]";

fn mlp_answer() -> Value {
    json!([-0.002535909414291382, -0.30278345942497253, -0.10256451368331909])
}

#[test]
fn an_uploaded_digit_is_named_first_and_all_samples_are_right() {
    let server = TestServer::start(&["digits"], &[]);
    let expected = fs::read_to_string(checkout("models/samples/expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let tolerance = expected["abs_tol"].as_f64().unwrap();
    let samples = expected["samples"].as_object().unwrap();
    assert!(samples.len() >= 20);
    for (file, sample) in samples {
        let image = fs::read(checkout(&format!("models/samples/{file}"))).unwrap();
        let answer = request(server.inference, "PUT", "/predictions/digits", &[], &image);
        assert_eq!(answer.status, 200, "{file}: {}", answer.text());
        // The order of the keys is the order of the probabilities.
        let first = answer.text().split('"').nth(1).unwrap().to_owned();
        assert_eq!(first, sample["digit"].to_string().trim_matches('"'), "{file}");
        let got = answer.json();
        for (digit, probability) in sample["probabilities"].as_object().unwrap() {
            if let Some(got) = got.get(digit) {
                close(got, probability, tolerance);
            }
        }
    }
}

#[test]
fn a_form_upload_and_a_raw_body_are_the_same_input() {
    let server = TestServer::start(&["digits"], &[]);
    let image = fs::read(checkout("models/samples/digit_7_a.png")).unwrap();
    let raw = request(server.inference, "POST", "/predictions/digits", &[], &image);
    let mut form = b"--x\r\nContent-Disposition: form-data; name=\"data\"; filename=\"a.png\"\r\n\
        Content-Type: image/png\r\n\r\n"
        .to_vec();
    form.extend_from_slice(&image);
    form.extend_from_slice(b"\r\n--x--\r\n");
    let headers = [("Content-Type", "multipart/form-data; boundary=x")];
    let multipart = request(server.inference, "POST", "/predictions/digits", &headers, &form);
    assert_eq!(raw.status, 200);
    assert_eq!(multipart.text(), raw.text());
}

#[test]
fn numbers_are_read_as_the_model_takes_them() {
    let server = TestServer::start(&["mlp", "echo"], &[]);
    close(&server.predict("mlp", MLP_ONE).json(), &mlp_answer(), 1e-5);
    close(&server.predict("mlp/1.0", MLP_ONE).json(), &mlp_answer(), 1e-5);
    // Integers stay integers where the model takes them, and become float32 where it does not.
    assert_eq!(server.predict("echo", "[1, 2]").json(), json!([1, 2]));
    let floats = server.predict("mlp", "[1.0, 2.0, 3.0, -4.0]").json();
    for _ in 0..2 {
        let answer = server.predict("mlp", "[1, 2, 3, -4]");
        assert_eq!(answer.status, 200, "{}", answer.text());
        close(&answer.json(), &floats, 1e-6);
    }
    // curl -d sends a form; text/plain needs no preflight: both are the body.
    for content_type in
        ["application/x-www-form-urlencoded", "text/plain", "text/plain;charset=UTF-8"]
    {
        let headers = [("Content-Type", content_type)];
        let path = "/predictions/mlp";
        let answer = request(server.inference, "POST", path, &headers, MLP_ONE.as_bytes());
        close(&answer.json(), &mlp_answer(), 1e-5);
    }
}

#[test]
fn a_prediction_carries_torchserves_headers_and_a_media_type() {
    let server = TestServer::start(&["mlp"], &[]);
    let headers = [("X-Request-Id", "my-id.1")];
    let answer =
        request(server.inference, "POST", "/predictions/mlp", &headers, MLP_ONE.as_bytes());
    let header = |name| answer.header(name).unwrap_or_default();
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("x-request-id"), "my-id.1");
    assert_eq!(header("pragma"), "no-cache");
    assert_eq!(header("expires"), "Thu, 01 Jan 1970 00:00:00 UTC");
    assert_eq!(header("cache-control"), "no-cache, no-store, must-revalidate, private");
    assert!(answer.text().starts_with("[\n  -0.00253"), "{}", answer.text());
    let generated = server.predict("mlp", MLP_ONE).header("x-request-id").unwrap();
    assert_eq!(generated.len(), 36);
}

#[test]
fn what_the_client_got_wrong_is_a_400_that_says_what() {
    let server = TestServer::start(&["mlp", "configured", "digits", "multi_input"], &[]);
    let oip = |inputs: Value| json!({ "inputs": inputs }).to_string();
    let ids = json!({"name": "ids", "shape": [1, 2], "datatype": "INT64", "data": [1, 2]});
    for (model, body, said) in [
        ("mlp", "{broken".to_owned(), "expected a name"),
        ("mlp", "[1.0, 2.0".to_owned(), "expected"),
        ("mlp", "[[1.0, 2.0], [1.0]]".to_owned(), "/1"),
        ("mlp", "[\"a\"]".to_owned(), "number"),
        ("mlp", "{\"instances\": [[1]]}".to_owned(), "inputs"),
        ("mlp", String::new(), "empty"),
        ("mlp", "[1.0, 2.0, 3.0]".to_owned(), "shapes cannot be multiplied (1x3 and 4x16)"),
        ("configured", "[1.0, 2.0, 3.0]".to_owned(), "shape"),
        ("multi_input", oip(json!([ids])), "mask"),
        ("digits", "no image".to_owned(), "image"),
    ] {
        let headers =
            [("Content-Type", if model == "digits" { "image/png" } else { "application/json" })];
        let path = format!("/predictions/{model}");
        let answer = request(server.inference, "POST", &path, &headers, body.as_bytes());
        let (status, kind, message) = answer.error();
        assert_eq!(
            (status, kind.as_str()),
            (400, "BadRequestException"),
            "{model} {body}: {message}"
        );
        assert!(message.contains(said), "{model} {body}: {message} does not say {said}");
    }
    let image = fs::read(checkout("models/samples/photos/flower.jpg")).unwrap();
    let cut =
        request(server.inference, "PUT", "/predictions/digits", &[], &image[..image.len() / 2]);
    assert_eq!(cut.error().0, 400, "a truncated JPEG");
    close(&server.predict("mlp", MLP_ONE).json(), &mlp_answer(), 1e-5);
}

#[test]
fn errors_are_torchserves() {
    let server = TestServer::start(&["mlp", "error_on_negative"], &["max_request_size=1000"]);
    let error = |method: &str, path: &str, body: &str| {
        request(server.inference, method, path, &[], body.as_bytes()).error()
    };
    let of = |status: u16, kind: &str, message: &str| (status, kind.to_owned(), message.to_owned());
    assert_eq!(
        error("POST", "/predictions/nope", MLP_ONE),
        of(404, "ModelNotFoundException", "Model not found: nope")
    );
    assert_eq!(
        error("POST", "/predictions/mlp/9.9", MLP_ONE),
        of(
            404,
            "ModelVersionNotFoundException",
            "Model version: 9.9 does not exist for model: mlp"
        )
    );
    let (status, kind, _) = error("GET", "/nope", "");
    assert_eq!((status, kind.as_str()), (404, "ResourceNotFoundException"));
    let (status, kind, _) = error("GET", "/", "");
    assert_eq!((status, kind.as_str()), (405, "MethodNotAllowedException"));
    assert_eq!(error("POST", "/predictions/mlp", &"1".repeat(1001)).0, 413);
    // What the model itself raises stays in the log.
    assert_eq!(
        error("POST", "/predictions/error_on_negative", "[-1.0, 4.0]"),
        of(503, "InternalServerException", "Prediction failed")
    );
}

#[test]
fn a_connection_survives_errors_and_large_bodies() {
    let server = TestServer::start(&["mlp"], &["max_request_size=1000"]);
    let mut client = Client::connect(server.inference);
    for (path, body, status) in [
        ("/predictions/nope", "[1]".to_owned(), 404),
        ("/predictions/mlp", "broken".to_owned(), 400),
        ("/predictions/mlp", MLP_ONE.to_owned(), 200),
        ("/predictions/mlp", "1".repeat(2000), 413),
    ] {
        assert_eq!(client.request("POST", path, &[], body.as_bytes()).status, status);
    }
    // Twenty megabytes: the answer comes at once, and the server goes on.
    let huge = vec![b'1'; 20 << 20];
    let answer = request(server.inference, "POST", "/predictions/mlp", &[], &huge);
    assert_eq!(answer.error().0, 413);
    // The same without a length: the limit counts what came.
    let mut client = Client::connect(server.inference);
    client.send(b"POST /predictions/mlp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..20 {
        client.send(b"64\r\n");
        client.send(&[b'1'; 100]);
        client.send(b"\r\n");
    }
    client.send(b"0\r\n\r\n");
    assert_eq!(client.answer("POST").error().0, 413);
    assert_eq!(server.predict("mlp", MLP_ONE).status, 200);
}

#[test]
fn a_passed_deadline_is_answered() {
    let lines = ["default_response_timeout=4", "default_workers_per_model=1"];
    let server = TestServer::start(&["slow"], &lines);
    let address = server.inference;
    // About 300 ms each on one worker, ten seconds in all: the later ones cannot be in time.
    let clients: Vec<_> = (0..40)
        .map(|_| {
            std::thread::spawn(move || {
                request(address, "POST", "/predictions/slow", &[], MLP_ONE.as_bytes())
            })
        })
        .collect();
    let answers: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert!(answers.iter().any(|answer| answer.status == 200));
    let late: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(!late.is_empty());
    for answer in late {
        assert_eq!(answer.error().0, 504);
    }
}

#[test]
fn a_full_queue_is_said_at_once() {
    let lines = ["job_queue_size=2", "default_workers_per_model=1"];
    let server = TestServer::start(&["slow"], &lines);
    let address = server.inference;
    let clients: Vec<_> = (0..16)
        .map(|_| {
            std::thread::spawn(move || {
                request(address, "POST", "/predictions/slow", &[], MLP_ONE.as_bytes())
            })
        })
        .collect();
    let answers: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(!refused.is_empty() && refused.len() < 16);
    for answer in refused {
        let (status, kind, message) = answer.error();
        assert_eq!((status, kind.as_str()), (503, "ServiceUnavailableException"));
        assert!(message.starts_with("Model \"slow\" has no worker to serve inference request."));
    }
}

#[test]
fn the_api_descriptions_name_the_routes() {
    let server = TestServer::start(&["mlp"], &[]);
    let describe = |address, path: &str| request(address, "OPTIONS", path, &[], b"").json();
    let inference = describe(server.inference, "/");
    assert_eq!(inference["openapi"], "3.0.1");
    assert!(inference["paths"]["/predictions/{model_name}"].is_object());
    assert!(describe(server.inference, "/predictions/mlp")["paths"].is_object());
    assert!(describe(server.management, "/")["paths"]["/models"].is_object());
    assert!(describe(server.metrics, "/")["paths"]["/metrics"].is_object());
    let missing = request(server.inference, "OPTIONS", "/predictions/nope", &[], b"");
    assert_eq!(missing.error().1, "ModelNotFoundException");
}
