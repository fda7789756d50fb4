//! Every route of the inference listener as TorchServe has it, asked over real sockets.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Answer, TestServer, checkout, close, request};

const MLP_ONE: &str = "[0.1, -0.2, 0.3, 0.4]";

fn mlp_answer() -> Value {
    json!([-0.002535909414291382, -0.30278345942497253, -0.10256451368331909])
}

fn post(server: &TestServer, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    request(server.inference, "POST", path, headers, body.as_bytes())
}

#[test]
fn every_path_of_a_model_answers_the_same_prediction_for_any_method() {
    let server = TestServer::start(&["mlp"], &[]);
    for path in [
        "/predictions/mlp",
        "/predictions/mlp/",
        "/predictions/mlp/1.0",
        "/predictions/mlp/1.0/some/path",
        "/predictions/%6dlp",
        "/predictions%2Fmlp",
        "/models/mlp/invoke",
        "/mlp/predict",
        "/mlp/1.0/predict",
        "/invocations",
        "/invocations?model_name=mlp",
        "/v1/models/mlp:predict",
        "/v1/models/mlp%3Apredict",
        "/v2/models/mlp/infer",
        "/v2/models/mlp/versions/1.0/infer",
    ] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let answer = request(server.inference, method, path, &[], MLP_ONE.as_bytes());
            assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
            close(&answer.json(), &mlp_answer(), 1e-5);
        }
        let description = request(server.inference, "OPTIONS", path, &[], b"");
        assert_eq!(description.json()["openapi"], "3.0.1", "{path}");
        let head = request(server.inference, "HEAD", path, &[], MLP_ONE.as_bytes());
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
    }
}

#[test]
fn what_is_not_there_is_told_in_torchserves_words_on_every_route() {
    let server = TestServer::start(&["mlp", "digits"], &[]);
    let no_route = "Requested resource is not found, please refer to API document.";
    let no_version = "Model version: 9 does not exist for model: mlp";
    for (path, status, kind, message) in [
        ("/predictions/nope", 404, "ModelNotFoundException", "Model not found: nope"),
        ("/predictions/mlp/9", 404, "ModelVersionNotFoundException", no_version),
        ("/explanations/nope", 404, "ModelNotFoundException", "Model not found: nope"),
        ("/explanations/mlp/9", 404, "ModelVersionNotFoundException", no_version),
        ("/models/nope/invoke", 404, "ModelNotFoundException", "Model not found: nope"),
        ("/nope/predict", 404, "ModelNotFoundException", "Model not found: nope"),
        ("/mlp/9/predict", 404, "ModelVersionNotFoundException", no_version),
        ("/v1/models/nope:predict", 404, "ModelNotFoundException", "Model not found: nope"),
        ("/v1/models/nope:explain", 404, "ModelNotFoundException", "Model not found: nope"),
        ("/v2/models/nope/infer", 404, "ModelNotFoundException", "Model not found: nope"),
        ("/invocations?model_name=nope", 404, "ModelNotFoundException", "Model not found: nope"),
        ("/invocations", 400, "BadRequestException", "Parameter model_name is required."),
        ("/wfpredict/flow", 404, "WorkflowNotFoundException", "Workflow not found: flow"),
        ("/WFPREDICT/flow", 404, "WorkflowNotFoundException", "Workflow not found: flow"),
        ("/predictions", 404, "ResourceNotFoundException", no_route),
        ("/models", 404, "ResourceNotFoundException", no_route),
        ("/models/mlp", 404, "ResourceNotFoundException", no_route),
        ("/models/mlp/1.0", 404, "ResourceNotFoundException", no_route),
        ("/v1/models/mlp", 404, "ResourceNotFoundException", no_route),
        ("/v2/models", 404, "ResourceNotFoundException", no_route),
        ("/a/b/c/predict", 404, "ResourceNotFoundException", no_route),
        ("/mlp", 404, "ResourceNotFoundException", no_route),
    ] {
        let answer = post(&server, path, &[], MLP_ONE);
        assert_eq!(answer.error(), (status, kind.to_owned(), message.to_owned()), "{path}");
    }
}

#[test]
fn invocations_find_their_model_in_the_query_then_at_the_start_then_in_the_form() {
    let two = TestServer::start(&["mlp", "echo"], &[]);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let body = "model_name=echo&data=%5B7%5D";
    assert_eq!(post(&two, "/invocations", &form, body).json(), json!([7]));
    let multipart = "--b\r\nContent-Disposition: form-data; name=\"model_name\"\r\n\r\necho\r\n\
        --b\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n[8]\r\n--b--\r\n";
    let headers = [("Content-Type", "multipart/form-data; boundary=b")];
    assert_eq!(post(&two, "/invocations", &headers, multipart).json(), json!([8]));
    let path = "/invocations?model_name=echo&model_name=mlp";
    assert_eq!(post(&two, path, &[], "[9]").json(), json!([9]));

    // The only model of the start is meant before any form is read.
    let one = TestServer::start(&["echo"], &[]);
    let body = "model_name=mlp&data=%5B7%5D";
    assert_eq!(post(&one, "/invocations", &form, body).json(), json!([7]));
    assert_eq!(post(&one, "/invocations?model_name=mlp", &[], "[7]").status, 404);
}

#[test]
fn the_query_gives_parameters_on_the_routes_that_torchserve_reads_it_on() {
    let server = TestServer::start(&["echo"], &[]);
    for path in ["/models/echo/invoke", "/echo/predict", "/echo/1.0/predict", "/invocations"] {
        let answer = request(server.inference, "GET", &format!("{path}?data=%5B5%5D"), &[], b"");
        assert_eq!(answer.json(), json!([5]), "{path}");
        let hidden = request(server.inference, "GET", &format!("{path}?body=%5B6%5D"), &[], b"");
        assert_eq!(hidden.json(), json!([6]), "{path}: an empty body hides nothing");
        // Of a name that comes again the last counts, and the body comes last.
        let both = post(&server, &format!("{path}?body=%5B6%5D"), &[], "[7]");
        assert_eq!(both.json(), json!([7]), "{path}");
    }
    for path in ["/predictions/echo", "/v1/models/echo:predict", "/v2/models/echo/infer"] {
        let answer = request(server.inference, "GET", &format!("{path}?data=%5B5%5D"), &[], b"");
        assert_eq!(answer.error().0, 400, "{path}");
    }
    // As many as TorchServe reads; the rest is ignored.
    let many = format!("/echo/predict?{}data=%5B5%5D", "a=1&".repeat(1024));
    assert_eq!(request(server.inference, "GET", &many, &[], b"[3]").json(), json!([3]));
}

#[test]
fn a_form_a_multipart_body_and_a_raw_body_are_the_same_input_on_every_route() {
    let server = TestServer::start(&["digits"], &[]);
    let image = fs::read(checkout("models/samples/digit_7_a.png")).unwrap();
    let mut multipart =
        b"--x\r\nContent-Disposition: form-data; name=\"data\"; filename=\"first\"\r\n\
        Content-Type: image/png\r\n\r\nno picture\r\n--x\r\nContent-Disposition: form-data; \
        name=\"data\"; filename=\"second\"\r\nContent-Type: image/png\r\n\r\n"
            .to_vec();
    multipart.extend_from_slice(&image);
    multipart.extend_from_slice(b"\r\n--x--\r\n");
    let expected = request(server.inference, "PUT", "/predictions/digits", &[], &image).text();
    for path in [
        "/predictions/digits/1.0/path",
        "/models/digits/invoke",
        "/digits/predict",
        "/invocations",
        "/v1/models/digits:predict",
        "/v2/models/digits/infer",
    ] {
        assert_eq!(request(server.inference, "PUT", path, &[], &image).text(), expected, "{path}");
        let headers = [("Content-Type", "multipart/form-data; boundary=x")];
        let answer = request(server.inference, "POST", path, &headers, &multipart);
        assert_eq!(answer.text(), expected, "{path}: of a repeated field the last counts");
    }
}

#[test]
fn every_answer_carries_a_request_id_and_an_error_of_open_inference_its_own_form_too() {
    let server = TestServer::start(&["mlp"], &[]);
    for path in ["/predictions/mlp", "/v1/models/mlp:predict", "/v2/models/mlp/infer", "/nope"] {
        for body in [MLP_ONE, "{broken"] {
            let answer = post(&server, path, &[("X-Request-Id", "mine-1")], body);
            assert_eq!(answer.header("x-request-id").as_deref(), Some("mine-1"), "{path}");
            assert_eq!(answer.header("pragma").as_deref(), Some("no-cache"), "{path}");
        }
    }
    for (path, body) in [
        ("/v2/models/nope/infer", MLP_ONE),
        ("/v2/models/nope", ""),
        ("/v2/models/mlp/versions/9/ready", ""),
        ("/v2/models/mlp/infer", "{broken"),
        ("/v2/models/mlp/infer", "[1.0, 2.0]"),
    ] {
        let answer = post(&server, path, &[], body).json();
        assert_eq!(answer["error"], answer["message"], "{path}");
        assert!(answer["error"].as_str().is_some_and(|text| text.len() > 10), "{answer}");
    }
    assert_eq!(post(&server, "/predictions/mlp", &[], "{broken").json().get("error"), None);
}

#[test]
fn no_route_of_a_model_is_open_without_the_key() {
    let server = TestServer::start(&["mlp"], &["disable_token_authorization=false"]);
    for path in [
        "/predictions/mlp",
        "/explanations/mlp",
        "/invocations",
        "/models/mlp/invoke",
        "/mlp/predict",
        "/v1/models/mlp:predict",
        "/v1/models/mlp:explain",
        "/v2",
        "/v2/models/mlp",
        "/v2/models/mlp/ready",
        "/v2/models/mlp/infer",
        "/v2/models/mlp/versions/1.0/infer",
        "/wfpredict/x",
        "/nope",
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            let answer = request(server.inference, method, path, &[], MLP_ONE.as_bytes());
            assert_eq!(answer.error().1, "InvalidKeyException", "{method} {path}");
        }
    }
    for path in ["/ping", "/v2/health/live", "/v2/health/ready"] {
        assert_eq!(request(server.inference, "GET", path, &[], b"").status, 200, "{path}");
    }
}

#[test]
fn a_preflight_is_answered_on_every_route_under_the_policy_of_its_model() {
    let lines = [
        "cors.allowed.origin=https://app.example",
        "cors.model.echo.allowed.origin=https://echo.example",
    ];
    let server = TestServer::start(&["mlp", "echo"], &lines);
    let preflight = |path: &str, origin: &str| {
        let headers = [("Origin", origin), ("Access-Control-Request-Method", "POST")];
        let answer = request(server.inference, "OPTIONS", path, &headers, b"");
        answer.header("access-control-allow-origin")
    };
    let (app, echo) = ("https://app.example", "https://echo.example");
    for path in [
        "/predictions/MODEL",
        "/explanations/MODEL/1.0",
        "/models/MODEL/invoke",
        "/MODEL/predict",
        "/MODEL/1.0/predict",
        "/invocations?model_name=MODEL",
        "/v1/models/MODEL:predict",
        "/v1/models/MODEL:explain",
        "/v2/models/MODEL",
        "/v2/models/MODEL/ready",
        "/v2/models/MODEL/infer",
        "/v2/models/MODEL/versions/1.0/infer",
    ] {
        let (of_mlp, of_echo) = (path.replace("MODEL", "mlp"), path.replace("MODEL", "echo"));
        assert_eq!(preflight(&of_mlp, app).as_deref(), Some(app), "{of_mlp}");
        assert_eq!(preflight(&of_mlp, echo), None, "{of_mlp}");
        assert_eq!(preflight(&of_echo, echo).as_deref(), Some(echo), "{of_echo}");
        assert_eq!(preflight(&of_echo, app), None, "{of_echo}");
    }
    // A model that only the body names: the answer is the model's, whatever the path said.
    let form = |origin| {
        let headers = [("Origin", origin), ("Content-Type", "application/x-www-form-urlencoded")];
        let answer = post(&server, "/invocations", &headers, "model_name=echo&data=%5B7%5D");
        (answer.status, answer.header("access-control-allow-origin"))
    };
    assert_eq!(form(echo), (200, Some(echo.to_owned())));
    assert_eq!(form(app), (200, None));
}
