//! What the inference listener says of itself and of one model. PURE.

use super::document::{Operation, Ordered, Parameter, PathItem, RequestBody, Response, Schema};
use super::document::{Text, content};
use super::{error, operation, unexpected};

/// The paths of the inference listener, but for those that every listener has.
pub(super) fn paths() -> Ordered<PathItem> {
    let default = || vec![model_name()];
    let version = || vec![model_name(), Parameter::path("model_version", "Name of model version.")];
    Ordered::of([
        ("/ping", Ordered::of([("get", ping())])),
        ("/v1/models/{model_name}:predict", prediction("predictions", "default", default())),
        ("/v2/models/{model_name}/infer", prediction("predictions", "default", default())),
        ("/predictions/{model_name}", prediction("predictions", "default", default())),
        (
            "/predictions/{model_name}/{model_version}",
            prediction("version_predictions", "specific", version()),
        ),
    ])
}

/// The paths of one model. `/prediction`, without an s, is TorchServe's.
pub(super) fn paths_of(model: &str) -> Ordered<PathItem> {
    let entry = || {
        let text = format!("A predict entry point for model: {model}.");
        let responses = [("200", Response::bare("OK")), unexpected()];
        let operation = operation(text, model.to_owned(), Vec::new(), responses);
        Ordered::of([("post", operation)])
    };
    let path = |path: &'static str| Text::Borrowed(path);
    Ordered::of([
        (Text::Owned(format!("/prediction/{model}")), entry()),
        (path("/v1/models/{model_name}:predict"), entry()),
        (path("/v2/models/{model_name}/infer"), entry()),
    ])
}

fn model_name() -> Parameter {
    Parameter::path("model_name", "Name of model.")
}

fn ping() -> Operation {
    let status = Schema::of("string").about("Overall status of the TorchServe.");
    let schema = Schema::object(&["status"], [("status", status)]);
    let healthy = Response::of("TorchServe status", "application/json", schema);
    let responses = [("200", healthy), unexpected()];
    operation("Get TorchServe status.", "ping", Vec::new(), responses)
}

fn prediction(id: &'static str, version: &str, parameters: Vec<Parameter>) -> PathItem {
    let output = "Output data format is defined by each model.";
    let responses = [
        ("200", Response::of(output, "*/*", Schema::binary())),
        ("404", error("Model not found or Model Version not found")),
        unexpected(),
        ("503", error("No worker is available to serve request")),
    ];
    let text = format!("Predictions entry point to get inference using {version} model version.");
    let request_body = Some(RequestBody {
        description: "Input data format is defined by each model.",
        content: content("*/*", Schema::binary()),
        required: true,
    });
    let operation = Operation { request_body, ..operation(text, id, parameters, responses) };
    Ordered::of([("post", operation)])
}
