//! What the operations of all listeners are made of. PURE.

use serde_json::{Map, Value, json};

use super::Paths;

/// The errors that any request may meet: at the CORS layer, or in the server itself.
const ANYWHERE: [u16; 3] = [403, 421, 500];

/// A reference into the components.
pub(super) fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

/// An operation: its id, its summary, its good answers by status, and its errors beside those that
/// any request may meet.
pub(super) fn operation(id: &str, summary: &str, good: &[(u16, Value)], errors: &[u16]) -> Value {
    let mut responses = Map::new();
    for status in ANYWHERE.iter().chain(errors) {
        responses.insert(status.to_string(), reference("responses", &status.to_string()));
    }
    for (status, answer) in good {
        responses.insert(status.to_string(), answer.clone());
    }
    json!({"operationId": id, "summary": summary, "responses": responses})
}

/// A JSON answer of this form.
pub(super) fn json_answer(description: &str, schema: Value) -> Value {
    answer(description, json!({"application/json": {"schema": schema}}))
}

/// An answer with these bodies by media type, and the headers that all answers have.
pub(super) fn answer(description: &str, content: Value) -> Value {
    json!({
        "description": description,
        "headers": {"x-request-id": reference("headers", "RequestId")},
        "content": content,
    })
}

/// The parameters in the braces of a path.
pub(super) fn path_parameters(path: &str) -> Value {
    let mut names = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let mut parameters = Vec::new();
    for name in &mut names {
        let description = match name {
            "model_name" => "The name of a registered model.",
            "model_version" => "One of its versions.",
            "url_path" => "Given to the handler; it may go on over several segments.",
            _ => "The name of a workflow: there are none.",
        };
        parameters.push(json!({
            "in": "path",
            "name": name,
            "required": true,
            "description": description,
            "schema": {"type": "string", "minLength": 1},
        }));
    }
    Value::Array(parameters)
}

/// A path and its operations, by method in lower case.
pub(super) fn item<'a>(
    path: &str,
    operations: impl IntoIterator<Item = (&'a str, Value)>,
) -> (String, Value) {
    let mut item = Map::new();
    if path.contains('{') {
        item.insert("parameters".to_owned(), path_parameters(path));
    }
    item.extend(operations.into_iter().map(|(method, operation)| (method.to_owned(), operation)));
    (path.to_owned(), Value::Object(item))
}

/// A query parameter that may be left out.
pub(super) fn query(name: &str, schema: Value, description: &str) -> Value {
    json!({"in": "query", "name": name, "description": description, "schema": schema})
}

/// `{"status": ...}`.
pub(super) fn status(description: &str) -> Value {
    json_answer(description, reference("schemas", "Status"))
}

/// The paths where a listener describes itself; they are open where tokens are asked for.
pub(super) fn descriptions(tokens: bool) -> Paths {
    let own = |id: &str, summary: &str| {
        let form = json!({
            "type": "object",
            "required": ["openapi", "info", "paths"],
            "properties": {
                "openapi": {"type": "string"},
                "info": {"type": "object"},
                "paths": {"type": "object"},
            },
        });
        let mut operation =
            operation(id, summary, &[(200, json_answer("The document.", form))], &[]);
        if tokens {
            operation["security"] = json!([]);
        }
        operation
    };
    let torchserve = "TorchServe's description of this API, OpenAPI 3.0.1";
    let mut older = own("apiDescriptionOlder", torchserve);
    older["deprecated"] = true.into();
    Paths::from_iter([
        item("/", [("options", own("apiDescription", torchserve))]),
        item("/api-description", [("get", older)]),
        item("/openapi.json", [("get", own("openapi", "This document"))]),
    ])
}

/// A page of the program's own; open where tokens are asked for.
pub(super) fn page(path: &str, id: &str, summary: &str, tokens: bool) -> (String, Value) {
    let html = answer("The page.", json!({"text/html": {"schema": {"type": "string"}}}));
    let mut operation = operation(id, summary, &[(200, html)], &[]);
    if tokens {
        operation["security"] = json!([]);
    }
    item(path, [("get", operation)])
}

/// What the operations refer to.
pub(super) fn components() -> Value {
    let mut responses = Map::new();
    for (status, description) in [
        (400, "The request cannot be read or does not fit the model; also a missing or wrong key."),
        (404, "There is no such model, version or route."),
        (405, "The route does not take this method, or the server's settings do not."),
        (408, "The body did not arrive in time, or a worker did not end in time."),
        (409, "This version of the model is registered already."),
        (413, "The body is larger than max_request_size."),
        (415, "The body is compressed in a way that is not known, or more than once."),
        (429, "Too many wrong keys in this second."),
        (500, "The server failed; its log has the reason."),
        (503, "No worker, a full queue, or a model that failed."),
        (504, "No answer within the response timeout."),
        (507, "Out of memory."),
    ] {
        let schema = json!({"schema": reference("schemas", "Error")});
        let mut error = answer(description, json!({"application/json": schema}));
        if status == 429 {
            error["headers"]["retry-after"] =
                json!({"description": "Seconds.", "schema": {"type": "string"}});
        }
        responses.insert(status.to_string(), error);
    }
    // Written by the CORS layer, or by the route in TorchServe's form.
    for (status, description) in [
        (
            403,
            "Refused: by the CORS policy, as a request from another site, or as TorchServe does.",
        ),
        (421, "Refused: the server does not serve this Host."),
    ] {
        responses.insert(status.to_string(), json!({ "description": description }));
    }
    json!({
        "responses": responses,
        "headers": {"RequestId": {
            "description": "The valid x-request-id of the request, else one of the server.",
            "schema": {"type": "string"},
        }},
        "schemas": {
            "Error": {
                "type": "object",
                "required": ["code", "type", "message"],
                "properties": {
                    "code": {"type": "integer", "description": "The status."},
                    "type": {"type": "string", "description": "TorchServe's exception."},
                    "message": {"type": "string", "description": "What is wrong."},
                    "error": {"type": "string", "description": "The same below /v2."},
                },
            },
            "Status": {
                "type": "object",
                "required": ["status"],
                "properties": {"status": {"type": "string"}},
            },
            "Tensor": {
                "type": "object",
                "required": ["name", "datatype", "shape"],
                "properties": {
                    "name": {"type": "string"},
                    "datatype": {"type": "string"},
                    "shape": {"type": "array", "items": {"type": "integer"}},
                },
            },
        },
    })
}
