//! API descriptions in OpenAPI 3.0.1, as TorchServe gives them at `OPTIONS /` and
//! `OPTIONS /predictions/{model}`, and in `served/` what is really there, in OpenAPI 3.1. PURE.
//!
//! TorchServe's are byte for byte TorchServe 0.12's, which its own tests compare so and which clients were
//! generated from: its texts (Apache-2.0) are a part of the contract, also where the behaviour
//! differs from them, there and here. `tests/torchserve/recorded/bodies` holds what it answers.

mod document;
mod inference;
mod management;
mod management_schema;
mod served;

use document::{Operation, Ordered, Parameter, PathItem, Response, Schema, Text};

pub use document::Document;
pub use served::{DescribedModel, DescribedTensor, Served, ServedApi};

/// The version of TorchServe whose API this is.
const API_VERSION: &str = "0.12.0";

/// The inference listener's description.
pub fn inference() -> Document {
    let mut paths = root();
    paths.extend(inference::paths());
    paths.extend(every_listener());
    document(paths)
}

/// The management listener's description.
pub fn management() -> Document {
    let mut paths = root();
    paths.extend(management::paths());
    paths.extend(every_listener());
    document(paths)
}

/// The description of a listener that serves inference and management.
pub fn inference_and_management() -> Document {
    let mut paths = root();
    paths.extend(inference::paths());
    paths.extend(api_description());
    paths.extend(management::paths());
    paths.extend(metrics_path());
    document(paths)
}

/// The metrics listener's description.
pub fn metrics() -> Document {
    document(metrics_path())
}

/// The description of one model's endpoint.
pub fn model(name: &str) -> Document {
    let title = format!("RESTful API for: {name}").into();
    Document::new(title, None, "1.0.0", inference::paths_of(name))
}

/// What can be done with one registered model.
pub fn managed_model(name: &str) -> Document {
    let title = format!("RESTful Management API for: {name}").into();
    Document::new(title, None, API_VERSION, management::paths_of_model())
}

fn document(paths: Ordered<PathItem>) -> Document {
    let text = "TorchServe is a flexible and easy to use tool for serving deep learning models";
    Document::new("TorchServe APIs".into(), Some(text), API_VERSION, paths)
}

/// An operation without a request body.
fn operation<const N: usize>(
    description: impl Into<Text>,
    operation_id: impl Into<Text>,
    parameters: Vec<Parameter>,
    responses: [(&'static str, Response); N],
) -> Operation {
    Operation {
        description: description.into(),
        operation_id: operation_id.into(),
        parameters,
        request_body: None,
        responses: Ordered::of(responses),
        deprecated: false,
    }
}

/// An error in TorchServe's form.
fn error(description: &'static str) -> Response {
    let schema = Schema::object(
        &["code", "type", "message"],
        [
            ("code", Schema::of("integer").about("Error code.")),
            ("type", Schema::of("string").about("Error type.")),
            ("message", Schema::of("string").about("Error message.")),
        ],
    );
    Response::of(description, "application/json", schema)
}

/// The error that every operation has.
fn unexpected() -> (&'static str, Response) {
    ("500", error("Internal Server Error"))
}

fn description(id: &'static str) -> Operation {
    let schema = Schema::object(
        &["openapi", "info", "paths"],
        [
            ("openapi", Schema::of("string")),
            ("info", Schema::of("object")),
            ("paths", Schema::of("object")),
        ],
    );
    let answer = Response::of("A openapi 3.0.1 descriptor", "application/json", schema);
    let responses = [("200", answer), unexpected()];
    operation("Get openapi description.", id, Vec::new(), responses)
}

fn root() -> Ordered<PathItem> {
    Ordered::of([("/", Ordered::of([("options", description("apiDescription"))]))])
}

fn api_description() -> Ordered<PathItem> {
    let operation = Operation { deprecated: true, ..description("api-description") };
    Ordered::of([("/api-description", Ordered::of([("get", operation)]))])
}

fn every_listener() -> Ordered<PathItem> {
    let mut paths = api_description();
    paths.extend(metrics_path());
    paths
}

fn metrics_path() -> Ordered<PathItem> {
    let text = |about| Schema::of("string").about(about);
    let schema = Schema::object(
        &["# HELP", "# TYPE", "metric"],
        [
            ("# HELP", text("Help text for TorchServe metric.")),
            ("# TYPE", text("Type of TorchServe metric.")),
            ("metric", text("TorchServe application metric.")),
        ],
    );
    let media_type = "text/plain; version=0.0.4; charset=utf-8";
    let answer = Response::of("TorchServe application metrics", media_type, schema);
    let names = Parameter::query("name[]", Schema::of("string"), "Names of metrics to filter");
    let operation = operation(
        "Get TorchServe application metrics in prometheus format.",
        "metrics",
        vec![names],
        [("200", answer), unexpected()],
    );
    Ordered::of([("/metrics", Ordered::of([("get", operation)]))])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What TorchServe 0.12 answered.
    macro_rules! recorded {
        ($file:literal) => {
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/torchserve/recorded/bodies/",
                $file
            ))
        };
    }

    #[test]
    fn the_descriptions_are_torchserves_byte_for_byte() {
        for (document, expected) in [
            (inference(), recorded!("describe-inference.json")),
            (management(), recorded!("describe-management.json")),
            (metrics(), recorded!("describe-metrics.json")),
            (inference_and_management(), recorded!("shared-description.json")),
            (model("colours"), recorded!("describe-model.json")),
            (managed_model("colours"), recorded!("describe-managed-model.json")),
        ] {
            let text = serde_json::to_string_pretty(&document).unwrap() + "\n";
            if text != expected {
                let lines = text.lines().zip(expected.lines());
                let (at, (ours, theirs)) =
                    lines.enumerate().find(|(_, (a, b))| a != b).expect("a prefix");
                panic!("line {}: {ours:?} is not {theirs:?}", at + 1);
            }
        }
    }
}
