//! What the management listener says of itself. PURE.

use serde_json::{Map, Value, json};

use super::{answer, document, error_answer, path_parameter, query_parameter};

/// The management listener's description.
pub fn management() -> Value {
    let mut paths = Map::new();
    paths.insert("/models".to_owned(), json!({"get": list(), "post": register()}));
    insert_model(&mut paths, "/models/{model_name}", &[name()]);
    paths.insert(
        "/v1/models/{model_name}".to_owned(),
        json!({"get": operation(
            "modelReady",
            "Tells whether a model has workers, in the KServe v1 protocol.",
            &[name()],
            &[
                ("200", answer("OK", json!({
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "ready": {"type": "boolean"}},
                }))),
                ("404", error_answer("Model not found")),
            ],
        )}),
    );
    document("Torchfront management API", Value::Object(paths))
}

/// What can be done with one registered model.
pub fn managed_model(model: &str) -> Value {
    let mut paths = Map::new();
    insert_model(&mut paths, &format!("/models/{model}"), &[]);
    document(&format!("RESTful management API for: {model}"), Value::Object(paths))
}

/// The three paths of a model: the default version, one version, its promotion.
fn insert_model(paths: &mut Map<String, Value>, root: &str, named: &[Value]) {
    let version = path_parameter("model_version", "Version of model; for GET also: all.");
    let versioned = [named, &[version]].concat();
    let mut unversioned = model(named);
    if let Some(parameters) = unversioned["put"]["parameters"].as_array_mut() {
        let text = "Version of model; the default version if it is not given.";
        parameters.push(query_parameter("model_version", text, ""));
    }
    paths.insert(root.to_owned(), unversioned);
    paths.insert(format!("{root}/{{model_version}}"), model(&versioned));
    let set_default = operation(
        "setDefault",
        "Makes a version the one that answers requests that name no version.",
        &versioned,
        &[("200", status("The default version is set")), ("404", not_found())],
    );
    paths.insert(format!("{root}/{{model_version}}/set-default"), json!({"put": set_default}));
}

fn model(parameters: &[Value]) -> Value {
    let scale = [
        integer("min_worker", "Workers are started up to this number.", 1),
        query_parameter("max_worker", "Workers above this number end; min_worker by default.", ""),
        query_parameter("synchronous", "Answer when it is done.", "false"),
    ];
    let customized = query_parameter("customized", "Ask the handler for metadata, too.", "false");
    json!({
        "get": operation(
            "describeModel",
            "Gives the settings, the workers and the queue of a model.",
            &[parameters, &[customized]].concat(),
            &[
                ("200", answer("OK", json!({"type": "array", "items": {"type": "object"}}))),
                ("404", not_found()),
                ("503", error_answer("The model has no worker that could be asked")),
            ],
        ),
        "put": operation(
            "setAutoScale",
            "Sets the number of workers of a model.",
            &[parameters, &scale].concat(),
            &[
                ("200", status("The workers serve, the others have ended")),
                ("202", status("The change goes on behind this answer")),
                ("206", status("Some workers still run their last batch")),
                ("400", error_answer("max_worker is less than min_worker, or above workers_max")),
                ("404", not_found()),
                ("500", error_answer("The workers did not start")),
                ("507", error_answer("Out of resources")),
            ],
        ),
        "delete": operation(
            "unregisterModel",
            "Unregisters a model: what it has accepted is answered, then its memory is freed. \
             Only with enable_model_api.",
            parameters,
            &[
                ("200", status("The model is unregistered")),
                ("403", error_answer("The default version cannot go while there are others")),
                ("404", not_found()),
                ("405", not_enabled()),
                ("408", error_answer("A worker still runs its last batch")),
            ],
        ),
    })
}

fn list() -> Value {
    operation(
        "listModels",
        "Lists the default version of every registered model, by name.",
        &[
            integer("limit", "Models in the answer, at most 100.", 100),
            query_parameter("next_page_token", "Where the next page starts.", "0"),
        ],
        &[(
            "200",
            answer(
                "OK",
                json!({
                    "type": "object",
                    "required": ["models"],
                    "properties": {
                        "nextPageToken": {"type": "string"},
                        "models": {"type": "array", "items": {
                            "type": "object",
                            "properties": {
                                "modelName": {"type": "string"},
                                "modelUrl": {"type": "string"},
                            },
                        }},
                    },
                }),
            ),
        )],
    )
}

fn register() -> Value {
    let url = json!({
        "in": "query",
        "name": "url",
        "description": "A file or directory of the model store.",
        "required": true,
        "schema": {"type": "string"},
    });
    let settings = [
        ("model_name", "The name to serve it under; the manifest's by default.", ""),
        ("runtime", "python, python3 or LSP: shown only.", ""),
        ("handler", "A built-in handler, in place of the manifest's.", ""),
        ("batch_size", "Requests that run together at most.", "1"),
        ("max_batch_delay", "Milliseconds that a request may wait for others.", "100"),
        ("response_timeout", "Seconds that a request may take.", "120"),
        ("startup_timeout", "Seconds that loading may take.", "120"),
        ("initial_workers", "Workers to start.", "0"),
        ("synchronous", "Answer when the workers serve.", "true"),
    ];
    let mut parameters = vec![url];
    parameters.extend(settings.map(|(name, text, default)| query_parameter(name, text, default)));
    let mut register = operation(
        "registerModel",
        "Registers a model of the model store. The parameters stand in the query, or in a JSON \
         body. Only with enable_model_api.",
        &parameters,
        &[
            ("200", status("The model is registered")),
            ("202", status("The workers start behind this answer")),
            ("400", error_answer("A parameter is missing, or the archive cannot be served")),
            ("404", error_answer("There is no such archive")),
            ("405", not_enabled()),
            ("409", error_answer("This version is registered already")),
            ("500", error_answer("The workers did not start")),
            ("503", error_answer("Too many models are being loaded")),
            ("507", error_answer("Out of resources")),
        ],
    );
    register["requestBody"] = json!({
        "required": false,
        "content": {"application/json": {"schema": {"type": "object"}}},
    });
    register
}

fn operation(id: &str, text: &str, parameters: &[Value], answers: &[(&str, Value)]) -> Value {
    let answers = answers.iter().map(|(code, answer)| ((*code).to_owned(), answer.clone()));
    json!({
        "operationId": id,
        "description": text,
        "parameters": parameters,
        "responses": answers.collect::<Map<_, _>>(),
    })
}

fn name() -> Value {
    path_parameter("model_name", "Name of model.")
}

fn integer(name: &str, text: &str, default: u32) -> Value {
    let mut parameter = query_parameter(name, text, "");
    parameter["schema"] = json!({"type": "integer", "default": default});
    parameter
}

fn status(text: &str) -> Value {
    answer(text, json!({"type": "object", "properties": {"status": {"type": "string"}}}))
}

fn not_found() -> Value {
    error_answer("Model not found or Model Version not found")
}

fn not_enabled() -> Value {
    error_answer("enable_model_api is not set")
}
