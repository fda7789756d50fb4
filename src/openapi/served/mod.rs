//! The OpenAPI 3.1 document of what this server really answers: `/openapi.json`. PURE.
//!
//! Called by `http/openapi_json.rs` with what only a running server knows: its models and settings.
//! Every path that the router knows is here and no other; `http/route_tests.rs` keeps that. The
//! descriptions beside this folder are TorchServe's own, texts and mistakes included; this one is
//! true instead.

mod cors;
mod inference;
mod management;
mod metrics;
mod model;
mod parts;

use serde_json::{Map, Value, json};

/// Which APIs a document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServedApi {
    /// Predictions.
    Inference,
    /// Models and workers.
    Management,
    /// Prometheus.
    Metrics,
    /// Predictions, models and workers on one address.
    InferenceAndManagement,
}

/// What a document depends on.
#[derive(Clone, Debug)]
pub struct Served {
    /// The APIs of the listener.
    pub api: ServedApi,
    /// The models to describe one by one.
    pub models: Vec<DescribedModel>,
    /// Whether requests need a key.
    pub tokens: bool,
    /// Whether models may be registered and unregistered (`enable_model_api`).
    pub model_api: bool,
    /// Where browsers report; none when the beacon is off.
    pub report_path: Option<String>,
}

/// A registered model: its default version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedModel {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it takes; empty when not known.
    pub inputs: Vec<DescribedTensor>,
    /// What it gives; empty when not known.
    pub outputs: Vec<DescribedTensor>,
}

/// One input or output, in the words of the Open Inference Protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedTensor {
    /// The name that clients use.
    pub name: String,
    /// `FP32`, `INT64`, `BYTES`, ... or `ANY`.
    pub datatype: &'static str,
    /// The sizes, the batch dimension first; -1 stands for any.
    pub shape: Vec<i64>,
}

/// The paths of a document, each with its operations.
type Paths = Map<String, Value>;

// === impl Served ===

impl Served {
    /// The document.
    pub fn document(&self) -> Value {
        let mut paths = Paths::new();
        let (inference, management) = match self.api {
            ServedApi::Inference => (true, false),
            ServedApi::Management => (false, true),
            ServedApi::Metrics => (false, false),
            ServedApi::InferenceAndManagement => (true, true),
        };
        paths.extend(parts::descriptions(self.tokens));
        if self.api != ServedApi::Metrics {
            paths.extend([parts::page("/docs", "docs", "This document as a page", self.tokens)]);
        }
        if inference {
            paths.extend(inference::paths());
            paths.extend(self.report_path.iter().flat_map(|path| cors::beacon_paths(path)));
            paths.extend(self.models.iter().map(model::path));
        }
        if management {
            paths.extend(management::paths(self));
            paths.extend(cors::managed_paths());
        }
        if self.api == ServedApi::Metrics {
            paths.extend(metrics::paths());
        }
        self.name_a_model(&mut paths);
        if self.tokens && self.api != ServedApi::Metrics {
            // Any route but the open ones may ask for a key, or for patience after wrong ones.
            for operation in operations(&mut paths) {
                if operation.get("security").is_none() {
                    operation["responses"]["429"] = parts::reference("responses", "429");
                    if operation["responses"].get("400").is_none() {
                        operation["responses"]["400"] = parts::reference("responses", "400");
                    }
                }
            }
        }
        let mut document = json!({
            "openapi": "3.1.0",
            "info": {
                "title": self.title(),
                "description": "What this listener answers. Errors are JSON: code, type, message.",
                "version": env!("CARGO_PKG_VERSION"),
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "paths": paths,
            "components": parts::components(),
        });
        if self.tokens && self.api != ServedApi::Metrics {
            document["components"]["securitySchemes"] = json!({"token": {
                "type": "http",
                "scheme": "bearer",
                "description": "The API's key in the key file.",
            }});
            document["security"] = json!([{"token": []}]);
        }
        document
    }

    /// Gives the parameters of paths a value that is answered.
    fn name_a_model(&self, paths: &mut Paths) {
        let Some(model) = self.models.first() else { return };
        let lists =
            paths.values_mut().filter_map(|item| item.get_mut("parameters")?.as_array_mut());
        for parameter in lists.flatten() {
            match parameter["name"].as_str() {
                Some("model_name") => parameter["example"] = model.name.as_str().into(),
                Some("model_version") => parameter["example"] = model.version.as_str().into(),
                _ => {}
            }
        }
    }

    fn title(&self) -> &'static str {
        match self.api {
            ServedApi::Inference => "Torchfront: inference",
            ServedApi::Management => "Torchfront: management",
            ServedApi::Metrics => "Torchfront: metrics",
            ServedApi::InferenceAndManagement => "Torchfront: inference and management",
        }
    }
}

fn operations(paths: &mut Paths) -> impl Iterator<Item = &mut Value> {
    let items = paths.values_mut().filter_map(Value::as_object_mut);
    items.flat_map(|item| item.iter_mut().filter(|(key, _)| *key != "parameters").map(|(_, v)| v))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn served(api: ServedApi, tokens: bool, model_api: bool) -> Value {
        let tensor = |datatype, shape: &[i64]| DescribedTensor {
            name: "x".to_owned(),
            datatype,
            shape: shape.to_vec(),
        };
        let model = |name: &str, inputs| DescribedModel {
            name: name.to_owned(),
            version: "1.0".to_owned(),
            inputs,
            outputs: vec![],
        };
        let models = vec![
            model("mlp", vec![tensor("FP32", &[-1, 4])]),
            model("photo", vec![tensor("BYTES", &[-1])]),
            model("unknown", vec![]),
        ];
        Served { api, models, tokens, model_api, report_path: None }.document()
    }

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(target)) = object.get("$ref") {
                    found.push(target.clone());
                }
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    const ALL: [ServedApi; 4] = [
        ServedApi::Inference,
        ServedApi::Management,
        ServedApi::Metrics,
        ServedApi::InferenceAndManagement,
    ];

    #[test]
    fn every_reference_of_a_document_leads_somewhere() {
        for api in ALL {
            let document = served(api, true, true);
            let mut found = Vec::new();
            references(&document, &mut found);
            assert!(!found.is_empty());
            for target in found {
                let pointer = target.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{api:?}: {target}");
            }
        }
    }

    #[test]
    fn operation_ids_are_unique_and_every_parameter_of_a_path_is_declared() {
        for api in ALL {
            let document = served(api, false, true);
            let mut ids = BTreeSet::new();
            for (path, item) in document["paths"].as_object().unwrap() {
                let declared = item.get("parameters").and_then(Value::as_array);
                let named = path.matches('{').count();
                assert_eq!(declared.map_or(0, Vec::len), named, "{path}");
                for (method, operation) in item.as_object().unwrap() {
                    if method != "parameters" {
                        let id = operation["operationId"].as_str().unwrap().to_owned();
                        assert!(ids.insert(id), "{api:?} {method} {path}");
                        assert!(
                            operation["responses"].as_object().is_some_and(|all| !all.is_empty())
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_document_says_what_the_settings_of_the_server_say() {
        let open = served(ServedApi::Management, false, false);
        assert!(open["paths"]["/models"].get("post").is_none());
        assert!(open["paths"].get("/token").is_none());
        assert!(open.get("security").is_none());
        let closed = served(ServedApi::Management, true, true);
        assert!(closed["paths"]["/models"].get("post").is_some());
        assert!(closed["paths"]["/token"].get("post").is_some());
        assert_eq!(closed["security"], json!([{"token": []}]));
        assert_eq!(closed["paths"]["/openapi.json"]["get"]["security"], json!([]));
        assert!(closed["paths"]["/models"]["get"]["responses"].get("429").is_some());
    }

    #[test]
    fn a_model_is_described_with_its_inputs_and_an_example_that_fits_them() {
        let document = served(ServedApi::Inference, false, false);
        let body = |name: &str| {
            document["paths"][format!("/predictions/{name}")]["post"]["requestBody"]["content"]
                .clone()
        };
        let mlp = &body("mlp")["application/json"];
        assert_eq!(mlp["example"], json!([0.0, 0.0, 0.0, 0.0]));
        let versioned = &document["paths"]["/predictions/{model_name}/{model_version}"];
        assert_eq!(versioned["parameters"][0]["example"], "mlp");
        assert_eq!(versioned["parameters"][1]["example"], "1.0");
        assert!(body("photo").get("image/*").is_some());
        assert!(body("unknown").get("application/json").is_some());
    }
}
