//! The management listener. PURE.

use serde_json::{Value, json};

use super::parts::{item, json_answer, operation, page, query, status};
use super::{Paths, Served};

pub(super) fn paths(served: &Served) -> Paths {
    let mut models = vec![("get", list())];
    if served.model_api {
        models.push(("post", register()));
    }
    let mut paths = Paths::from_iter([
        item("/models", models),
        of_model("/models/{model_name}", "", served),
        of_model("/models/{model_name}/{model_version}", "Version", served),
        of_model("/models/{model_name}/{model_version}/set-default", "Default", served),
        item("/v1/models/{model_name}", [("get", kserve_ready())]),
        workflows(),
        workflow(),
        page("/console", "console", "The operator's page", served.tokens),
        console_state(),
        console_explain(),
    ]);
    // Without keys there is none to replace, and no such route.
    if served.tokens {
        paths.extend([token()]);
    }
    paths
}

fn list() -> Value {
    let text = json!({"type": "string"});
    let listed = json!({
        "type": "object",
        "required": ["models"],
        "properties": {
            "nextPageToken": text,
            "models": {"type": "array", "items": {
                "type": "object",
                "required": ["modelName", "modelUrl"],
                "properties": {"modelName": text, "modelUrl": text},
            }},
        },
    });
    let answer = json_answer("A page of the registered models, by name.", listed);
    let mut list = operation("listModels", "The registered models", &[(200, answer)], &[]);
    list["parameters"] = json!([
        query(
            "limit",
            json!({"type": "integer", "default": 100}),
            "Models of a page, at most 100."
        ),
        query("next_page_token", json!({"type": "string"}), "nextPageToken of the page before."),
    ]);
    list
}

/// The parameters of a registration, of the query or of a JSON body.
fn registration() -> Vec<(&'static str, Value, &'static str)> {
    let text = || json!({"type": "string"});
    let number = || json!({"type": "integer", "format": "int32"});
    vec![
        ("url", text(), "The archive to load. Required, here or in a JSON body."),
        ("model_name", text(), "Default: as its manifest says."),
        ("handler", text(), "Default: as its manifest says."),
        ("runtime", text(), "Default: as its manifest says."),
        ("batch_size", number(), "Default: as the model's settings say, else 1."),
        ("max_batch_delay", number(), "Milliseconds. Default: as the settings say, else 100."),
        ("response_timeout", number(), "Seconds. Default: as the settings say, else 120."),
        ("startup_timeout", number(), "Seconds. Default: as the settings say, else 120."),
        ("initial_workers", number(), "Default: as the settings say, else 0."),
        ("synchronous", json!({"type": "boolean", "default": true}), "Answer when it is done."),
    ]
}

fn register() -> Value {
    let mut register = operation(
        "registerModel",
        "Registers a model",
        &[(200, status("Registered.")), (202, status("Its workers are being started."))],
        &[400, 404, 408, 409, 413, 415, 503, 507],
    );
    let fields = registration();
    let parameter =
        |(name, schema, about): &(&str, Value, &str)| query(name, schema.clone(), about);
    register["parameters"] = fields.iter().map(parameter).collect();
    let mut schema = json!({"type": "object", "required": ["url"], "properties": {}});
    for (name, field, _) in fields {
        schema["properties"][name] = field;
    }
    register["requestBody"] = json!({
        "description": "In place of the query.",
        "content": {"application/json": {"schema": schema}},
    });
    register
}

/// The operations of one model or version.
fn of_model(path: &str, suffix: &str, served: &Served) -> (String, Value) {
    let sets_default = suffix == "Default";
    let described = json!({"type": "array", "minItems": 1, "items": {
        "type": "object",
        "required": ["modelName", "modelVersion", "modelUrl", "workers", "jobQueueStatus"],
        "properties": {
            "modelName": {"type": "string"},
            "modelVersion": {"type": "string"},
            "modelUrl": {"type": "string"},
            "minWorkers": {"type": "integer"},
            "maxWorkers": {"type": "integer"},
            "batchSize": {"type": "integer"},
            "maxBatchDelay": {"type": "integer"},
            "workers": {"type": "array", "items": {"type": "object"}},
            "jobQueueStatus": {"type": "object"},
        },
    }});
    let mut describe = operation(
        &format!("describeModel{suffix}"),
        "Settings and workers; the version `all` for every version",
        &[(200, json_answer("One entry a version.", described))],
        &[404, 503],
    );
    describe["parameters"] = json!([query(
        "customized",
        json!({"type": "boolean", "default": false}),
        "With what the handler says of itself.",
    )]);
    let put = if sets_default {
        let done = status("It is the default version from now on.");
        operation("setDefault", "Makes a version the default one", &[(200, done)], &[404])
    } else {
        scale(suffix)
    };
    let options = operation(
        &format!("describeApi{suffix}"),
        "TorchServe's description of the model's management, OpenAPI 3.0.1",
        &[(200, json_answer("The description.", json!({"type": "object"})))],
        &[404],
    );
    let mut operations = vec![("get", describe), ("put", put), ("options", options)];
    if served.model_api {
        let unregister = operation(
            &format!("unregisterModel{suffix}"),
            if sets_default { "Unregisters the default version" } else { "Unregisters" },
            &[(200, status("Unregistered."))],
            &[404, 408],
        );
        operations.push(("delete", unregister));
    }
    item(path, operations)
}

fn scale(suffix: &str) -> Value {
    let number = json!({"type": "integer", "format": "int32"});
    let mut scale = operation(
        &format!("scaleModel{suffix}"),
        "Sets the number of workers",
        &[
            (200, status("Done.")),
            (202, status("It is being done.")),
            (206, status("Not all of it is done yet.")),
        ],
        &[400, 404, 503, 507],
    );
    scale["parameters"] = json!([
        query("min_worker", number.clone(), "Started up to this number. Default: 1."),
        query("max_worker", number, "Ended above this number. Default: min_worker."),
        query("model_version", json!({"type": "string"}), "Where the path has none."),
        query(
            "synchronous",
            json!({"type": "boolean", "default": false}),
            "Answer when it is done."
        ),
    ]);
    scale
}

fn kserve_ready() -> Value {
    let schema = json!({
        "type": "object",
        "required": ["name", "ready"],
        "properties": {"name": {"type": "string"}, "ready": {"type": "boolean"}},
    });
    let answer = json_answer("Whether it has workers.", schema);
    operation("kserveReady", "KServe v1's readiness of a model", &[(200, answer)], &[404])
}

fn console_state() -> (String, Value) {
    let schema = json!({
        "type": "object",
        "required": ["version", "healthy", "bounds", "models", "more"],
        "properties": {
            "version": {"type": "string"},
            "healthy": {"type": "boolean"},
            "bounds": {"type": "array", "items": {"type": "number"}},
            "models": {"type": "array", "items": {"type": "object"}},
            "more": {"type": "integer"},
        },
    });
    let answer = json_answer("Models, queues, latencies.", schema);
    let about = "What the console shows, for its own page";
    item("/console/state", [("get", operation("consoleState", about, &[(200, answer)], &[403]))])
}

fn console_explain() -> (String, Value) {
    let schema = json!({
        "type": "object",
        "required": ["listener", "policy", "steps", "allowed", "conclusion"],
        "properties": {
            "listener": {"type": "string"},
            "policy": {"type": "string"},
            "steps": {"type": "array", "items": {"type": "object"}},
            "preflight": {"type": "object"},
            "actual": {"type": "object"},
            "allowed": {"type": "boolean"},
            "conclusion": {"type": "string"},
        },
    });
    let answer = json_answer("Step by step.", schema);
    let about = "What becomes of a page's request under the CORS policy in force";
    let mut explain = operation("consoleExplain", about, &[(200, answer)], &[400, 403]);
    let text = || json!({"type": "string"});
    let listeners = json!({"type": "string", "enum": ["inference", "management", "metrics"]});
    let needed = |name: &str, example: &str, about: &str| {
        let mut parameter = query(name, text(), about);
        parameter["required"] = true.into();
        parameter["example"] = example.into();
        parameter
    };
    explain["parameters"] = json!([
        query("listener", listeners, "Default: inference."),
        needed("origin", "https://app.example.com", "The page's."),
        needed("path", "/predictions/model", "With a query, if there is one."),
        query("method", json!({"type": "string", "default": "GET"}), "The method."),
        query("header", text(), "`Name` or `Name: value`; may be repeated."),
        query("credentials", json!({"type": "boolean", "default": false}), "Sent with cookies."),
    ]);
    item("/console/explain", [("get", explain)])
}

fn workflows() -> (String, Value) {
    let schema = json!({
        "type": "object",
        "required": ["workflows"],
        "properties": {"workflows": {"type": "array", "maxItems": 0}},
    });
    let none = json_answer("None.", schema);
    let list = operation("listWorkflows", "There are no workflows", &[(200, none)], &[]);
    let register = operation("registerWorkflow", "400: none can be registered", &[], &[400]);
    item("/workflows", [("get", list), ("post", register)])
}

fn workflow() -> (String, Value) {
    let about = "404: there are no workflows";
    item(
        "/workflows/{workflow}",
        [
            ("get", operation("describeWorkflow", about, &[], &[404])),
            ("delete", operation("unregisterWorkflow", about, &[], &[404])),
        ],
    )
}

fn token() -> (String, Value) {
    let answer = super::parts::answer(
        "Replaced; the new key is in the key file.",
        json!({
            "application/json": {},
        }),
    );
    let mut renew =
        operation("renewKey", "Replaces a key; needs the API key", &[(200, answer)], &[400, 429]);
    renew["parameters"] = json!([{
        "in": "query",
        "name": "type",
        "required": true,
        "schema": {"type": "string", "enum": ["inference", "management"]},
    }]);
    let of_method = |method: &'static str| {
        let mut operation = renew.clone();
        operation["operationId"] = format!("renewKey-{method}").into();
        (method, operation)
    };
    // Any method does, as in TorchServe.
    item("/token", ["get", "post", "put"].map(of_method))
}
