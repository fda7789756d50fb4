//! The inference listener. PURE.
//!
//! A route that asks a model takes any method, as in TorchServe; `OPTIONS` is answered with
//! TorchServe's description of the model.

use serde_json::{Value, json};

use super::Paths;
use super::parts::{answer, item, json_answer, operation, query, reference};

/// The methods that ask a model, and those of them that may have a body.
const METHODS: [(&str, bool); 5] =
    [("get", false), ("post", true), ("put", true), ("patch", true), ("delete", false)];

/// What a prediction may fail with.
const ERRORS: [u16; 8] = [400, 404, 408, 413, 415, 503, 504, 507];

/// The paths that ask a model, each with its id and what it does.
const ASKING: [(&str, &str, &str); 17] = [
    ("/predictions/{model_name}", "predict", "A prediction"),
    ("/predictions/{model_name}/{model_version}", "predictVersion", "A prediction of a version"),
    (
        "/predictions/{model_name}/{model_version}/{url_path}",
        "predictPath",
        "A prediction, with a path for the handler",
    ),
    ("/explanations/{model_name}", "explain", "An explanation"),
    ("/explanations/{model_name}/{model_version}", "explainVersion", "An explanation of a version"),
    (
        "/explanations/{model_name}/{model_version}/{url_path}",
        "explainPath",
        "An explanation, with a path for the handler",
    ),
    ("/invocations", "invocations", "A prediction, in SageMaker's words"),
    ("/models/{model_name}/invoke", "invoke", "A prediction; the query gives parameters, too"),
    ("/{model_name}/predict", "predictOlder", "A prediction; the query gives parameters, too"),
    (
        "/{model_name}/{model_version}/predict",
        "predictVersionOlder",
        "A prediction of a version; the query gives parameters, too",
    ),
    ("/v1/models/{model_name}:predict", "kserveV1Predict", "A prediction in KServe v1's words"),
    ("/v1/models/{model_name}:explain", "kserveV1Explain", "An explanation in KServe v1's words"),
    ("/v2/models/{model_name}/infer", "infer", "The Open Inference Protocol's prediction"),
    (
        "/v2/models/{model_name}/versions/{model_version}/infer",
        "inferVersion",
        "The Open Inference Protocol's prediction of a version",
    ),
    ("/v2/models/{model_name}/explain", "explainV2", "An explanation in the protocol's words"),
    (
        "/v2/models/{model_name}/versions/{model_version}/explain",
        "explainV2Version",
        "An explanation of a version in the protocol's words",
    ),
    ("/wfpredict/{workflow}", "workflow", "404: there are no workflows"),
];

/// The paths that do not: path, id, summary, what the good answer says, further errors.
const ASKED: [(&str, &str, &str, &str, &[u16]); 8] = [
    ("/ping", "ping", "Whether every model has its workers", "The health; 500: not healthy.", &[]),
    ("/v2", "server", "What this server is", "Name, version, extensions.", &[]),
    ("/v2/health/live", "live", "Whether the server lives", "It does.", &[]),
    ("/v2/health/ready", "ready", "Whether every model has its workers", "It has.", &[503]),
    ("/v2/models/{model_name}", "metadata", "A model's inputs and outputs", "They.", &[404]),
    (
        "/v2/models/{model_name}/versions/{model_version}",
        "metadataVersion",
        "Inputs and outputs of a version",
        "They.",
        &[404],
    ),
    (
        "/v2/models/{model_name}/ready",
        "modelReady",
        "Whether a model is ready",
        "It is.",
        &[404, 503],
    ),
    (
        "/v2/models/{model_name}/versions/{model_version}/ready",
        "modelVersionReady",
        "Whether a version is ready",
        "It is.",
        &[404, 503],
    ),
];

pub(super) fn paths() -> Paths {
    let mut paths: Paths = ASKING.iter().map(|(path, id, about)| asking(path, id, about)).collect();
    let body = json!({"type": "object", "additionalProperties": true});
    for (path, id, summary, good, errors) in ASKED {
        let mut get = operation(id, summary, &[(200, json_answer(good, body.clone()))], errors);
        // Probes read the status; the body is the answer, not an error, where it is not ready.
        let not_ready = match path {
            "/ping" => Some("500"),
            path if path.ends_with("/ready") => Some("503"),
            _ => None,
        };
        if let Some(status) = not_ready {
            get["responses"][status] = json_answer("It is not.", body.clone());
        }
        let (path, item) = item(path, [("get", get)]);
        paths.insert(path, item);
    }
    paths
}

/// The body of a request to a model that nothing is known of.
pub(super) fn any_body(path: &str) -> Value {
    if path.starts_with("/v2") {
        return json!({
            "application/json": {"schema": {
                "type": "object",
                "required": ["inputs"],
                "properties": {"inputs": {
                    "type": "array",
                    "items": reference("schemas", "Tensor"),
                }},
            }},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        });
    }
    if path.starts_with("/v1") {
        return json!({"application/json": {"schema": {
            "type": "object",
            "required": ["instances"],
            "properties": {"instances": {"type": "array"}},
        }}});
    }
    let parts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    json!({
        "application/json": {"schema": {}},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "multipart/form-data": {"schema": parts.clone()},
        "application/x-www-form-urlencoded": {"schema": parts},
    })
}

/// A path that asks a model, with every method.
fn asking(path: &str, id: &str, about: &str) -> (String, Value) {
    let operations = METHODS.iter().map(|(method, has_body)| {
        let mut operation = predicting(&format!("{id}-{method}"), about);
        if *has_body {
            operation["requestBody"] = json!({"content": any_body(path)});
        }
        if path == "/invocations" {
            let name =
                query("model_name", json!({"type": "string"}), "The model, if not in a form.");
            operation["parameters"] = json!([name]);
        }
        if path == "/wfpredict/{workflow}"
            && let Some(responses) = operation["responses"].as_object_mut()
        {
            responses.retain(|status, _| matches!(status.as_str(), "403" | "404" | "421" | "500"));
        }
        (*method, operation)
    });
    let described = json!({"type": "object"});
    let options = operation(
        &format!("{id}-options"),
        "TorchServe's description of the model, OpenAPI 3.0.1",
        &[(200, json_answer("The description.", described))],
        &[400, 404, 408, 413, 415],
    );
    let (path, mut item) = item(path, operations);
    item["options"] = options;
    (path, item)
}

/// An operation that asks a model.
pub(super) fn predicting(id: &str, about: &str) -> Value {
    let good = answer(
        "The handler's answer.",
        json!({
            "application/json": {"schema": {}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "image/png": {"schema": {"type": "string", "format": "binary"}},
            "text/plain": {"schema": {"type": "string"}},
        }),
    );
    operation(id, about, &[(200, good)], &ERRORS)
}
