//! API descriptions in OpenAPI 3.0.1, as TorchServe gives them at `OPTIONS /` and
//! `OPTIONS /predictions/{model}`. PURE.
//!
//! The management listener's are in `management.rs`.
//!
//! They name the routes that exist, no others.

mod management;

pub use management::{managed_model, management};

use serde_json::{Value, json};

/// The inference listener's description.
pub fn inference() -> Value {
    let predictions = |parameters: Value| {
        json!({
            "post": {
                "description": "Predictions entry point to get inference using a model.",
                "operationId": "predictions",
                "parameters": parameters,
                "requestBody": {
                    "description": "Input data of the model",
                    "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
                    "required": true,
                },
                "responses": prediction_responses(),
            }
        })
    };
    document(
        "Torchfront inference API",
        json!({
            "/ping": {
                "get": {
                    "description": "Get the status of the server.",
                    "operationId": "ping",
                    "parameters": [],
                    "responses": {
                        "200": answer("Healthy", json!({"type": "object", "properties": {"status": {"type": "string"}}})),
                        "500": answer("Unhealthy", json!({"type": "object", "properties": {"status": {"type": "string"}}})),
                    },
                }
            },
            "/predictions/{model_name}": predictions(json!([path_parameter("model_name", "Name of model.")])),
            "/predictions/{model_name}/{model_version}": predictions(json!([
                path_parameter("model_name", "Name of model."),
                path_parameter("model_version", "Version of model."),
            ])),
        }),
    )
}

/// The metrics listener's description.
pub fn metrics() -> Value {
    document(
        "Torchfront metrics API",
        json!({
            "/metrics": {
                "get": {
                    "description": "Get the metrics in Prometheus text format.",
                    "operationId": "metrics",
                    "parameters": [query_parameter("name[]", "Names of metrics to filter", "")],
                    "responses": {
                        "200": {"description": "OK", "content": {"text/plain; version=0.0.4; charset=utf-8": {"schema": {"type": "string"}}}}
                    },
                }
            }
        }),
    )
}

/// The description of one model's endpoint.
pub fn model(name: &str) -> Value {
    let mut paths = serde_json::Map::new();
    paths.insert(
        format!("/predictions/{name}"),
        json!({
            "post": {
                "description": "A predict entry point for model.",
                "operationId": "predict",
                "requestBody": {
                    "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
                    "required": true,
                },
                "responses": prediction_responses(),
            }
        }),
    );
    document(&format!("RESTful API for: {name}"), Value::Object(paths))
}

fn document(title: &str, paths: Value) -> Value {
    json!({
        "openapi": "3.0.1",
        "info": {"title": title, "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
    })
}

fn path_parameter(name: &str, description: &str) -> Value {
    json!({"in": "path", "name": name, "description": description, "required": true, "schema": {"type": "string"}})
}

fn query_parameter(name: &str, description: &str, default: &str) -> Value {
    json!({"in": "query", "name": name, "description": description, "required": false, "schema": {"type": "string", "default": default}})
}

fn answer(description: &str, schema: Value) -> Value {
    json!({"description": description, "content": {"application/json": {"schema": schema}}})
}

fn error_answer(description: &str) -> Value {
    let schema = json!({
        "type": "object",
        "required": ["code", "type", "message"],
        "properties": {
            "code": {"type": "integer", "format": "int32"},
            "type": {"type": "string"},
            "message": {"type": "string"},
        },
    });
    answer(description, schema)
}

fn prediction_responses() -> Value {
    json!({
        "200": {"description": "OK", "content": {"application/json": {"schema": {}}}},
        "400": error_answer("The input is not what the model takes"),
        "404": error_answer("Model not found or Model Version not found"),
        "413": error_answer("The body is larger than max_request_size"),
        "500": error_answer("Internal Server Error"),
        "503": error_answer("No worker is available to serve request"),
        "504": error_answer("No answer within the response timeout"),
        "507": error_answer("Out of resources"),
    })
}
