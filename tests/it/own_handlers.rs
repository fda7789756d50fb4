//! What a handler of an embedding program is given of a request, and what it may say in its answer.

use serde_json::{Value as Json, json};
use torchfront::engine::{Elements, HostTensor, Value};
use torchfront::handlers::{
    Asked, Catalog, ExplainError, Form, Forward, Handler, HandlerError, Prediction, RequestInput,
    Sample,
};
use torchfront::server::Parts;

use crate::support::{Answer, TestServer, request};

/// Answers what it was given; a parameter `status` or `header` is what it answers with.
struct Mirror;

/// Rows of one answer travel as the bytes of the request's description.
fn sample(text: &str) -> Sample {
    let row: Vec<f32> = text.bytes().map(f32::from).chain([0.0; 4]).collect();
    let shape = vec![1, row.len()];
    Sample {
        arguments: vec![Value::Tensor(HostTensor::new(shape, Elements::Float32(row)).unwrap())],
        bucket: None,
        asked: Asked::new(1, Form::Plain),
        inferred: 0,
    }
}

fn mirrored(sample: &Value) -> Prediction {
    let Value::Tensor(tensor) = sample else { panic!("{sample:?}") };
    let Elements::Float32(values) = tensor.elements() else { panic!("{tensor:?}") };
    let text: Vec<u8> = values[..values.len() - 4].iter().map(|value| *value as u8).collect();
    let said: Json = serde_json::from_slice(&text).unwrap();
    let mut prediction = Prediction::new("text/x-mirror", text);
    for (name, value) in said["parameters"].as_array().unwrap().iter().map(|p| (&p[0], &p[1])) {
        if name == "status" {
            prediction.status = value.as_str().unwrap().parse().unwrap();
        }
        if name == "headers" {
            prediction.headers.push(("x-from-handler", "yes".into()));
            prediction.headers.push(("content-length", "1".into()));
            prediction.headers.push(("not a name", "1".into()));
            prediction.headers.push(("x-split", "a\r\nb: c".into()));
        }
    }
    prediction
}

impl Handler for Mirror {
    fn preprocess(&self, input: RequestInput) -> Result<Sample, HandlerError> {
        let parameter = |p: &torchfront::handlers::Parameter| {
            json!([p.name, String::from_utf8_lossy(&p.value), p.content_type])
        };
        let said = json!({
            "parameters": input.parameters.iter().map(parameter).collect::<Vec<_>>(),
            "url_path": input.url_path,
            "request_id": &*input.request_id,
            "explain": input.explain,
        });
        Ok(sample(&said.to_string()))
    }

    fn collate(&self, samples: Vec<Sample>) -> Result<Vec<Value>, HandlerError> {
        Ok(samples.into_iter().flat_map(|sample| sample.arguments).collect())
    }

    fn postprocess(&self, output: Value, _: &[Asked]) -> Result<Vec<Prediction>, HandlerError> {
        Ok(vec![mirrored(&output)])
    }

    fn explain(
        &self,
        sample: Sample,
        _: &[Asked],
        forward: &mut Forward<'_>,
    ) -> Result<Vec<Prediction>, ExplainError> {
        Ok(vec![mirrored(&forward(sample.arguments)?)])
    }
}

/// Serves `echo`, whose model gives back what it is given.
fn start(lines: &[&str]) -> TestServer {
    let handlers = Catalog::default().with("base_handler", |_| Ok(std::sync::Arc::new(Mirror)));
    TestServer::start_with(&["echo"], lines, Parts { engine: None, handlers })
}

fn ask(server: &TestServer, path: &str, media: &str, body: &str) -> Answer {
    let headers = [("Content-Type", media), ("X-Request-Id", "id-7")];
    request(server.inference, "POST", path, &headers, body.as_bytes())
}

#[test]
fn a_handler_gets_the_url_path_the_request_id_and_every_parameter_in_order() {
    let server = start(&[]);
    for (path, url_path, explain) in [
        ("/predictions/echo", "", false),
        ("/predictions/echo/1.0/v1/chat/completions", "v1/chat/completions", false),
        ("/predictions/echo/1.0/a%20b/", "a b", false),
        ("/explanations/echo/1.0/x", "x", true),
        ("/v1/models/echo:explain", "", true),
        ("/v2/models/echo/infer", "", false),
    ] {
        let said = ask(&server, path, "text/plain", "hello").json();
        assert_eq!(said["url_path"], url_path, "{path}");
        assert_eq!((&said["explain"], &said["request_id"]), (&json!(explain), &json!("id-7")));
        assert_eq!(said["parameters"], json!([["body", "hello", "text/plain"]]), "{path}");
    }
    let part = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let form = [part("data", "1"), part("data", "2"), part("other", "3"), part("data", "4")];
    let body = form.concat() + "--b--\r\n";
    let media = "multipart/form-data; boundary=b";
    let said = ask(&server, "/echo/predict?q=0&q=1", media, &body).json();
    let expected = json!([
        ["q", "0", null],
        ["q", "1", null],
        ["data", "1", null],
        ["data", "2", null],
        ["other", "3", null],
        ["data", "4", null],
    ]);
    assert_eq!(said["parameters"], expected);
    let said = ask(&server, "/invocations", "application/x-www-form-urlencoded", "b=1&a=2&b=3");
    assert_eq!(
        said.json()["parameters"],
        json!([["b", "1", null], ["a", "2", null], ["b", "3", null]])
    );
}

#[test]
fn a_handler_chooses_status_media_type_and_headers_and_cannot_break_the_answer() {
    let server = start(&["max_response_size=2000"]);
    let path = "/predictions/echo";
    let media = "application/x-www-form-urlencoded";
    for status in ["200", "204", "404", "599"] {
        let answer = ask(&server, path, media, &format!("status={status}"));
        assert_eq!(answer.status.to_string(), status);
    }
    assert_eq!(ask(&server, path, media, "status=100").status, 500, "100 is no answer");
    let answer = ask(&server, path, media, "headers=1");
    assert_eq!(answer.header("content-type").as_deref(), Some("text/x-mirror"));
    assert_eq!(answer.header("x-from-handler").as_deref(), Some("yes"));
    assert_eq!((answer.header("x-split"), answer.header("b")), (None, None));
    assert_eq!(
        answer.json()["parameters"],
        json!([["headers", "1", null]]),
        "the length is its own"
    );
    let large = ask(&server, path, "text/plain", &"x".repeat(2000));
    let (status, kind, message) = large.error();
    assert_eq!((status, kind.as_str()), (500, "InternalServerException"));
    assert!(message.contains("max_response_size"), "{message}");
}
