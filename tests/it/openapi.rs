//! `/openapi.json` of a running server: what it says is what is answered.

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::{TestServer, request};

const METHODS: [&str; 6] = ["get", "post", "put", "patch", "delete", "options"];

fn document(address: SocketAddr) -> Value {
    let answer = request(address, "GET", "/openapi.json", &[], b"");
    assert_eq!(answer.status, 200);
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    document
}

/// Sends every method to every path of a document, and compares the status with what it says.
#[track_caller]
fn answers_as_documented(address: SocketAddr, model: &str) {
    let document = document(address);
    for (template, item) in document["paths"].as_object().unwrap() {
        let path = template
            .replace("{model_name}", model)
            .replace("{model_version}", "1.0")
            .replace("{url_path}", "x")
            .replace("{workflow}", "flow");
        for method in METHODS {
            let body: &[u8] = if method == "options" { b"" } else { b"[0, 0, 0, 0]" };
            let json = [("Content-Type", "application/json")];
            let answer = request(address, &method.to_uppercase(), &path, &json, body);
            let status = answer.status.to_string();
            match item.get(method) {
                Some(operation) => assert!(
                    operation["responses"].get(&status).is_some(),
                    "{method} {path}: {status} is not documented: {}",
                    answer.text()
                ),
                // Where TorchServe takes any method, the usual ones are written down.
                None if answer.status == 200 => assert!(
                    ["/ping", "/metrics", "/api-description"].contains(&&**template)
                        || template.starts_with("/v2")
                        || template.starts_with("/predictions/"),
                    "{method} {path} is answered and not documented"
                ),
                None => {}
            }
        }
    }
}

#[test]
fn every_listener_answers_every_operation_of_its_document_with_a_status_that_it_names() {
    let server = TestServer::start(&["mlp", "tiny_classifier"], &["enable_model_api=true"]);
    for address in [server.inference, server.metrics] {
        answers_as_documented(address, "mlp");
        answers_as_documented(address, "nope");
    }
    answers_as_documented(server.management, "nope");
    answers_as_documented(server.management, "mlp");
}

#[test]
fn without_the_model_api_its_operations_are_not_in_the_document() {
    let server = TestServer::start(&["mlp"], &["enable_model_api=false"]);
    let document = document(server.management);
    assert!(document["paths"]["/models"].get("post").is_none());
    assert!(document["paths"]["/models/{model_name}"].get("delete").is_none());
    answers_as_documented(server.management, "mlp");
}

#[test]
fn a_registered_model_is_in_the_document_with_its_inputs() {
    let server = TestServer::start(&["mlp", "tiny_classifier"], &[]);
    let paths = &document(server.inference)["paths"];
    assert!(
        paths["/predictions/mlp"]["post"]["requestBody"]["content"]["application/json"].is_object()
    );
    let pictures = &paths["/predictions/tiny_classifier"]["post"]["requestBody"]["content"];
    assert!(pictures["image/*"].is_object());
    assert!(document(server.metrics)["paths"].get("/predictions/mlp").is_none());
}

#[test]
fn with_tokens_the_document_is_open_as_the_description_is_and_names_no_model() {
    let server = TestServer::start(&["mlp"], &["disable_token_authorization=false"]);
    for address in [server.inference, server.management] {
        let document = document(address);
        assert_eq!(document["security"][0]["token"], serde_json::json!([]));
        assert!(!document.to_string().contains("mlp"));
    }
    assert!(document(server.metrics).get("security").is_none());
    let refused = request(server.inference, "GET", "/openapi.json/x", &[], b"");
    assert_eq!(refused.status, 400);
}
