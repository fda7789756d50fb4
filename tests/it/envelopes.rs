//! `service_envelope`, and KServe v1's instances without one.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::{Answer, TestServer, checkout, close, request};

const ROWS: &str = r#"{"signature_name": "x", "instances": [[1.0, 2.0], [3.0, 4.5], [0, 1]]}"#;

fn post(server: &TestServer, path: &str, body: &str) -> Answer {
    let headers = [("Content-Type", "application/json"), ("X-Request-Id", "id-1")];
    request(server.inference, "POST", path, &headers, body.as_bytes())
}

fn seven() -> String {
    BASE64_STANDARD.encode(std::fs::read(checkout("models/samples/digit_7_a.png")).unwrap())
}

#[test]
fn json_answers_all_instances_on_one_line() {
    let server = TestServer::start(&["echo", "digits"], &["service_envelope=json"]);
    let answer = post(&server, "/predictions/echo", ROWS);
    let text = r#"{"predictions": [[1.0, 2.0], [3.0, 4.5], [0.0, 1.0]]}"#;
    assert_eq!((answer.status, answer.text().as_str()), (200, text));
    let picture = seven();
    for instance in [
        json!({"data": {"b64": picture}}),
        json!({"b64": picture}),
        json!({"data": picture}),
        json!({"body": picture}),
        json!(picture),
    ] {
        let body = json!({"instances": [instance, instance]}).to_string();
        let answer = post(&server, "/predictions/digits", &body).json();
        let predictions = answer["predictions"].as_array().unwrap();
        assert_eq!(predictions.len(), 2);
        for prediction in predictions {
            assert!(prediction["7"].as_f64().unwrap() > 0.9, "{instance}: {answer}");
        }
    }
}

#[test]
fn kserve_answers_indented_and_only_instances_are_taken() {
    let server = TestServer::start(&["echo"], &["service_envelope=kserve"]);
    for path in ["/predictions/echo", "/v1/models/echo:predict", "/echo/predict"] {
        let answer = post(&server, path, r#"{"instances": [[1], [2]]}"#);
        let text = "{\n  \"predictions\": [\n    [\n      1\n    ],\n    [\n      2\n    ]\n  ]\n}";
        assert_eq!((answer.status, answer.text().as_str()), (200, text), "{path}");
        for (body, said) in [
            ("[1]", "instances"),
            ("{}", "instances"),
            (r#"{"instances": []}"#, "`instances` is empty"),
            (r#"{"instances": 1}"#, "expected an array"),
            (r#"{"instances": [[1], [1, 2]]}"#, "/instances/1 does not fit"),
            (r#"{"instances": [[1], ["a"]]}"#, "/instances/1: "),
            (r#"{"instances": [{"b64": "?"}]}"#, "no base64"),
        ] {
            let (status, _, message) = post(&server, path, body).error();
            assert!(status == 400 && message.contains(said), "{body}: {status} {message}");
        }
    }
    // The Open Inference Protocol's own route keeps its own form.
    let inputs = r#"{"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [4]}]}"#;
    assert_eq!(
        post(&server, "/v2/models/echo/infer", inputs).json()["outputs"][0]["data"],
        json!([4])
    );
}

#[test]
fn instances_need_no_envelope_on_kserves_own_route_and_plain_bodies_stay_plain() {
    for lines in [&[][..], &["service_envelope=body"]] {
        let server = TestServer::start(&["echo"], lines);
        let answer = post(&server, "/v1/models/echo:predict", ROWS);
        close(&answer.json(), &json!({"predictions": [[1.0, 2.0], [3.0, 4.5], [0.0, 1.0]]}), 0.0);
        assert_eq!(post(&server, "/v1/models/echo:predict", "[3]").json(), json!([3]));
        assert_eq!(post(&server, "/predictions/echo", "[3]").json(), json!([3]));
        assert_eq!(post(&server, "/predictions/echo", ROWS).error().0, 400);
    }
}

#[test]
fn each_request_of_a_batch_gets_its_own_instances() {
    let lines = [
        "service_envelope=json",
        "default_workers_per_model=1",
        r#"models={"batch_probe":{"1.0":{"batchSize":8,"maxBatchDelay":300}}}"#,
        "batch_policy=fill",
    ];
    let server = TestServer::start(&["batch_probe"], &lines);
    let address = server.inference;
    let clients: Vec<_> = (1..=4)
        .map(|count| {
            std::thread::spawn(move || {
                let rows: Vec<Value> =
                    (0..count).map(|i| json!([count as f64, i as f64])).collect();
                let body = json!({"instances": rows}).to_string();
                let path = "/predictions/batch_probe";
                (rows, request(address, "POST", path, &[], body.as_bytes()).json())
            })
        })
        .collect();
    let mut largest = 0.0_f64;
    for client in clients {
        let (rows, answer) = client.join().unwrap();
        let predictions = answer["predictions"].as_array().unwrap();
        assert_eq!(predictions.len(), rows.len());
        for (row, prediction) in rows.iter().zip(predictions) {
            let sum = row[0].as_f64().unwrap() + row[1].as_f64().unwrap();
            assert_eq!(prediction[0].as_f64(), Some(sum));
            largest = largest.max(prediction[1].as_f64().unwrap());
        }
    }
    assert!(largest >= 4.0, "instances of a request share a forward");
}

#[test]
fn kservev2_is_torchserves_form_of_the_open_inference_protocol() {
    let server = TestServer::start(&["digits", "mlp"], &["service_envelope=kservev2"]);
    let inputs = |data: Value| json!([{"name": "picture", "shape": [-1], "datatype": "BYTES", "data": data}]);
    let _ = inputs;
    let picture = seven();
    let input = json!({"name": "picture", "shape": [1], "datatype": "BYTES", "data": [picture]});
    for path in ["/predictions/digits", "/v2/models/digits/infer", "/v1/models/digits:predict"] {
        let mut other = input.clone();
        other["name"] = json!("other");
        let answer = post(&server, path, &json!({"inputs": [input, other]}).to_string()).json();
        assert_eq!(answer["id"], "id-1", "{path}: the request's id");
        assert_eq!(
            (&answer["model_name"], &answer["model_version"]),
            (&json!("digits"), &json!("1.0"))
        );
        for (at, name) in ["picture", "other"].iter().enumerate() {
            let output = &answer["outputs"][at];
            assert_eq!((&output["name"], &output["datatype"]), (&json!(name), &json!("BYTES")));
            assert_eq!(output["shape"], json!([1]));
            assert!(output["data"][0]["7"].as_f64().unwrap() > 0.9, "{answer}");
        }
    }
    let mlp = json!({"id": "own", "inputs": [
        {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [0.1, -0.2, 0.3, 0.4]},
    ]});
    let answer = post(&server, "/predictions/mlp", &mlp.to_string()).json();
    assert_eq!((&answer["id"], &answer["outputs"][0]["shape"]), (&json!("own"), &json!([1, 3])));
}
