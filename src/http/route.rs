//! Which route a path is. PURE.
//!
//! The path is read with the functions that choose the CORS policy, so that the two never disagree
//! about the model that is meant: it is decoded first and split on `/` then, so `%2F` makes a
//! segment and trailing slashes do not count. Methods are not part of it: on the inference listener
//! any method predicts.

use actix_web::http::Method;

use crate::cors::{decode_path, segments};

/// A route of the inference listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum InferenceRoute {
    /// `/`: the API description, `OPTIONS` only.
    Root,
    /// `/api-description`.
    ApiDescription,
    /// `/ping` and anything below it.
    Ping,
    /// `/predictions/{model}[/{version}[/...]]`.
    Predictions {
        /// The model.
        model: String,
        /// The version, or the default one.
        version: Option<String>,
    },
    /// No route.
    None,
}

/// A route of the management listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ManagementRoute {
    /// `/`: the API description, `OPTIONS` only.
    Root,
    /// `/api-description`.
    ApiDescription,
    /// `/token`: replaces a key.
    Token,
    /// `/models`.
    Models,
    /// `/models/{model}[/{version}]`; `all` is a version here.
    Model {
        /// The model.
        model: String,
        /// The version, `all`, or the default one.
        version: Option<String>,
    },
    /// `/models/{model}/{version}/set-default`.
    SetDefault {
        /// The model.
        model: String,
        /// The version.
        version: String,
    },
    /// `/v1/models/{model}`: KServe's readiness.
    Ready {
        /// The model.
        model: String,
    },
    /// `/workflows`.
    Workflows,
    /// `/workflows/{workflow}`.
    Workflow {
        /// The workflow.
        workflow: String,
    },
    /// No route.
    None,
}

/// Whether the API description of a listener is asked for.
pub(super) fn asks_for_description(method: &Method, path: &str) -> bool {
    match InferenceRoute::of(path) {
        InferenceRoute::Root => method == Method::OPTIONS,
        InferenceRoute::ApiDescription => true,
        _ => false,
    }
}

// === impl InferenceRoute ===

impl InferenceRoute {
    /// The route of a request's path.
    pub(super) fn of(path: &str) -> InferenceRoute {
        let decoded = decode_path(path);
        let mut segments = segments(&decoded);
        let first = segments.next();
        let mut named = || segments.next().filter(|segment| !segment.is_empty()).map(str::to_owned);
        match first {
            None => InferenceRoute::Root,
            Some("api-description") if named().is_none() => InferenceRoute::ApiDescription,
            Some("ping") => InferenceRoute::Ping,
            Some("predictions") => match named() {
                Some(model) => InferenceRoute::Predictions { model, version: named() },
                None => InferenceRoute::None,
            },
            Some(_) => InferenceRoute::None,
        }
    }
}

// === impl ManagementRoute ===

impl ManagementRoute {
    /// The route of a request's path.
    pub(super) fn of(path: &str) -> ManagementRoute {
        let decoded = decode_path(path);
        let words: Vec<&str> = segments(&decoded).collect();
        let owned = |word: &str| word.to_owned();
        match words.as_slice() {
            [] => ManagementRoute::Root,
            ["api-description"] => ManagementRoute::ApiDescription,
            ["token"] => ManagementRoute::Token,
            ["models"] => ManagementRoute::Models,
            ["workflows"] => ManagementRoute::Workflows,
            [.., ""] | ["models", "", ..] | ["models", _, "", ..] => ManagementRoute::None,
            ["models", model] => ManagementRoute::Model { model: owned(model), version: None },
            ["models", model, version] => {
                ManagementRoute::Model { model: owned(model), version: Some(owned(version)) }
            }
            ["models", model, version, "set-default"] => {
                ManagementRoute::SetDefault { model: owned(model), version: owned(version) }
            }
            ["v1", "models", model] => ManagementRoute::Ready { model: owned(model) },
            ["workflows", workflow] => ManagementRoute::Workflow { workflow: owned(workflow) },
            _ => ManagementRoute::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predictions(model: &str, version: Option<&str>) -> InferenceRoute {
        let version = version.map(str::to_owned);
        InferenceRoute::Predictions { model: model.to_owned(), version }
    }

    #[test]
    fn finds_inference_routes_as_torchserve_does() {
        let table = [
            ("/", InferenceRoute::Root),
            ("/ping", InferenceRoute::Ping),
            ("/ping/", InferenceRoute::Ping),
            ("/api-description", InferenceRoute::ApiDescription),
            ("/predictions/digits", predictions("digits", None)),
            ("/predictions/digits/", predictions("digits", None)),
            ("/predictions/digits/1.0", predictions("digits", Some("1.0"))),
            ("/predictions/digits/1.0/v1/chat", predictions("digits", Some("1.0"))),
            ("/predictions/%64igits", predictions("digits", None)),
            ("/predictions%2Fdigits%2F1.0", predictions("digits", Some("1.0"))),
            ("/predictions/digits//x", predictions("digits", None)),
            ("/api-description/", InferenceRoute::ApiDescription),
            ("/api-description/x", InferenceRoute::None),
            ("/predictions", InferenceRoute::None),
            ("/predictions/", InferenceRoute::None),
            ("//predictions/digits", InferenceRoute::None),
            ("/Predictions/digits", InferenceRoute::None),
            ("/predictions/%ff", predictions("\u{fffd}", None)),
            ("/models", InferenceRoute::None),
            ("*", InferenceRoute::None),
        ];
        for (path, route) in table {
            assert_eq!(InferenceRoute::of(path), route, "{path}");
        }
    }

    #[test]
    fn finds_management_routes_as_torchserve_does() {
        let model = |model: &str, version: Option<&str>| ManagementRoute::Model {
            model: model.to_owned(),
            version: version.map(str::to_owned),
        };
        let table = [
            ("/token", ManagementRoute::Token),
            ("/token/x", ManagementRoute::None),
            ("/models", ManagementRoute::Models),
            ("/models/", ManagementRoute::Models),
            ("/models/digits", model("digits", None)),
            ("/models/digits/all", model("digits", Some("all"))),
            ("/models/digits/1.0/x", ManagementRoute::None),
            (
                "/models/digits/1.0/set-default/",
                ManagementRoute::SetDefault { model: "digits".into(), version: "1.0".into() },
            ),
            ("/models/digits/set-default", model("digits", Some("set-default"))),
            ("/x/digits/1.0/set-default", ManagementRoute::None),
            ("/models/digits//set-default", ManagementRoute::None),
            ("/api-description/x", ManagementRoute::None),
            ("/models/digits/1.0/set-default/x", ManagementRoute::None),
            ("/v1/models/digits", ManagementRoute::Ready { model: "digits".into() }),
            ("/v1/models", ManagementRoute::None),
            ("/v1/models/digits/x", ManagementRoute::None),
            ("/workflows", ManagementRoute::Workflows),
            ("/workflows/w", ManagementRoute::Workflow { workflow: "w".into() }),
            ("/workflows/w/x", ManagementRoute::None),
            ("/models//1.0", ManagementRoute::None),
            ("/x", ManagementRoute::None),
        ];
        for (path, route) in table {
            assert_eq!(ManagementRoute::of(path), route, "{path}");
        }
    }
}
