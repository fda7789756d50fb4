//! Which route a path is. PURE.
//!
//! The path is read with the functions that choose the CORS policy, so that the two never disagree
//! about the model that is meant: it is decoded first and split on `/` then, so `%2F` makes a
//! segment and trailing slashes do not count. Methods are not part of it: on the inference listener
//! any method predicts.

use actix_web::http::Method;

use crate::cors::{decode_path, is_reserved, segments};
use crate::pages::File;

/// A route of the inference listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum InferenceRoute {
    /// `/`: the API description, `OPTIONS` only.
    Root,
    /// `/api-description`.
    ApiDescription,
    /// `/openapi.json`.
    OpenApi,
    /// `/docs` and its files.
    Page(File),
    /// `/ping` and anything below it.
    Ping,
    /// A path that asks a model.
    Model(ModelCall),
    /// `/invocations`: SageMaker's. The model is in the query or in the body.
    Invocations,
    /// `/wfpredict/{workflow}`, in any case.
    Workflow {
        /// The workflow.
        workflow: String,
    },
    /// `/v2`: what this server is.
    Server,
    /// `/v2/health/live`.
    Live,
    /// `/v2/health/ready`.
    Ready,
    /// `/v2/models/{model}[/versions/{version}]`.
    ModelMetadata {
        /// The model.
        model: String,
        /// The version, or the default one.
        version: Option<String>,
    },
    /// `/v2/models/{model}[/versions/{version}]/ready`.
    ModelReady {
        /// The model.
        model: String,
        /// The version, or the default one.
        version: Option<String>,
    },
    /// No route.
    None,
}

/// What a path asks of which model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModelCall {
    /// The model.
    pub(super) model: String,
    /// The version, or the default one.
    pub(super) version: Option<String>,
    /// What follows the version: the handler's header `url_path`.
    pub(super) url_path: String,
    /// A prediction or an explanation.
    pub(super) asks: Asks,
    /// Whose words the path is in.
    pub(super) api: Api,
}

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// A prediction.
    Prediction,
    /// An explanation.
    Explanation,
    /// What the request's header `explain` says. On these routes the query gives parameters, too.
    AsHeader,
}

/// Whose words a path is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    /// TorchServe's.
    TorchServe,
    /// KServe v1's.
    KServeV1,
    /// The Open Inference Protocol's (KServe v2): its errors have a form of their own.
    OpenInference,
}

/// A route of the management listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ManagementRoute {
    /// `/`: the API description, `OPTIONS` only.
    Root,
    /// `/api-description`.
    ApiDescription,
    /// `/openapi.json`.
    OpenApi,
    /// `/console`, `/docs` and their files.
    Page(File),
    /// `/console/state`: what the console shows.
    ConsoleState,
    /// `/console/explain`: what becomes of a page's request.
    ConsoleExplain,
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
    /// `/cors/policy`, `/cors/denied`, ...
    Cors(CorsRoute),
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

/// A route below `/cors`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CorsRoute {
    /// The policies in force.
    Policy,
    /// The most frequent refusals.
    Denied,
    /// How often origins are used.
    Origins,
    /// Reads the configuration again.
    Reload,
    /// Puts an earlier policy back.
    Rollback,
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
        let words: Vec<&str> = segments(&decoded).collect();
        if let ["docs", ..] = words.as_slice()
            && let Some(file) = File::of(&words)
        {
            return InferenceRoute::Page(file);
        }
        match words.as_slice() {
            [] => InferenceRoute::Root,
            ["api-description"] => InferenceRoute::ApiDescription,
            ["openapi.json"] => InferenceRoute::OpenApi,
            ["ping", ..] => InferenceRoute::Ping,
            ["invocations", ..] => InferenceRoute::Invocations,
            ["v2", rest @ ..] => InferenceRoute::open_inference(rest),
            [first, workflow, ..] if first.eq_ignore_ascii_case("wfpredict") => {
                InferenceRoute::Workflow { workflow: (*workflow).to_owned() }
            }
            words => match ModelCall::of(words) {
                Some(call) if !call.model.is_empty() => InferenceRoute::Model(call),
                _ => InferenceRoute::None,
            },
        }
    }

    /// Below `/v2`.
    fn open_inference(words: &[&str]) -> InferenceRoute {
        let (model, version, verb) = match words {
            [] => return InferenceRoute::Server,
            ["health", "live"] => return InferenceRoute::Live,
            ["health", "ready"] => return InferenceRoute::Ready,
            ["models", model, "versions", version, verb @ ..] => (model, Some(version), verb),
            ["models", model, verb @ ..] => (model, None, verb),
            _ => return InferenceRoute::None,
        };
        if model.is_empty() || version.is_some_and(|version| version.is_empty()) {
            return InferenceRoute::None;
        }
        let (model, version) = ((*model).to_owned(), version.map(|version| (*version).to_owned()));
        let asks = match verb {
            [] => return InferenceRoute::ModelMetadata { model, version },
            ["ready"] => return InferenceRoute::ModelReady { model, version },
            ["infer"] => Asks::Prediction,
            ["explain"] => Asks::Explanation,
            _ => return InferenceRoute::None,
        };
        let (url_path, api) = (String::new(), Api::OpenInference);
        InferenceRoute::Model(ModelCall { model, version, url_path, asks, api })
    }

    /// True where the Open Inference Protocol says what an error looks like.
    pub(super) fn is_open_inference(&self) -> bool {
        match self {
            InferenceRoute::Model(call) => call.api == Api::OpenInference,
            InferenceRoute::ModelMetadata { .. } | InferenceRoute::ModelReady { .. } => true,
            _ => false,
        }
    }
}

// === impl ModelCall ===

impl ModelCall {
    /// TorchServe's and KServe v1's paths.
    fn of(words: &[&str]) -> Option<ModelCall> {
        match words {
            ["predictions", model, rest @ ..] => {
                ModelCall::versioned(model, rest, Asks::Prediction)
            }
            ["explanations", model, rest @ ..] => {
                ModelCall::versioned(model, rest, Asks::Explanation)
            }
            ["models", model, "invoke"] => ModelCall::new(model, Asks::AsHeader),
            ["v1", "models", call, ..] => {
                let (model, verb) = call.split_once(':')?;
                let asks = match verb {
                    verb if verb.starts_with("predict") => Asks::Prediction,
                    verb if verb.starts_with("explain") => Asks::Explanation,
                    _ => return None,
                };
                ModelCall::new(model, asks).map(|call| ModelCall { api: Api::KServeV1, ..call })
            }
            [first, ..] if is_reserved(first) => None,
            [model, "predict"] => ModelCall::new(model, Asks::AsHeader),
            [model, version, "predict"] => ModelCall::versioned(model, &[version], Asks::AsHeader),
            _ => None,
        }
    }

    /// A call of the default version.
    fn new(model: &str, asks: Asks) -> Option<ModelCall> {
        ModelCall::versioned(model, &[], asks)
    }

    /// `[version, url path, ...]` behind the model.
    fn versioned(model: &str, rest: &[&str], asks: Asks) -> Option<ModelCall> {
        let (version, url_path) = rest.split_first().unwrap_or((&"", &[]));
        Some(ModelCall {
            model: model.to_owned(),
            version: (!version.is_empty()).then(|| (*version).to_owned()),
            url_path: url_path.join("/"),
            asks,
            api: Api::TorchServe,
        })
    }
}

// === impl ManagementRoute ===

impl ManagementRoute {
    /// The route of a request's path.
    pub(super) fn of(path: &str) -> ManagementRoute {
        let decoded = decode_path(path);
        let words: Vec<&str> = segments(&decoded).collect();
        let owned = |word: &str| word.to_owned();
        if let Some(file) = File::of(&words) {
            return ManagementRoute::Page(file);
        }
        match words.as_slice() {
            [] => ManagementRoute::Root,
            ["api-description"] => ManagementRoute::ApiDescription,
            ["openapi.json"] => ManagementRoute::OpenApi,
            ["console", "state"] => ManagementRoute::ConsoleState,
            ["console", "explain"] => ManagementRoute::ConsoleExplain,
            ["token"] => ManagementRoute::Token,
            ["models"] => ManagementRoute::Models,
            ["workflows"] => ManagementRoute::Workflows,
            ["cors", "policy"] => ManagementRoute::Cors(CorsRoute::Policy),
            ["cors", "denied"] => ManagementRoute::Cors(CorsRoute::Denied),
            ["cors", "origins"] => ManagementRoute::Cors(CorsRoute::Origins),
            ["cors", "reload"] => ManagementRoute::Cors(CorsRoute::Reload),
            ["cors", "rollback"] => ManagementRoute::Cors(CorsRoute::Rollback),
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
#[path = "route_tests.rs"]
mod tests;
