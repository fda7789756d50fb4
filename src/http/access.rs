//! Which key a path needs. PURE.
//!
//! By route, as the router reads the path: decoded once, split on `/`, never searched for a word. A
//! path that is not named here needs the key of its API, so that a route that is added later is
//! closed until it is opened here, and only who has a key learns which paths there are.
//!
//! Open because they hold nothing: the files of `/docs` and `/console`.
//!
//! Open, as in TorchServe: the API description of a listener (`/`, `/api-description`, `/openapi.json`). Open to probes
//! here and not there: `/ping` and the other health routes, which load balancers and orchestrators
//! ask without a key. The description of a model (`OPTIONS /predictions/{model}`) tells that the model
//! is there: it needs the key, as in TorchServe.

use crate::auth::{Access, Scope};
use crate::cors::{Listener, api_of_path, decode_path, segments};
use crate::pages::File;

/// Paths of the inference listener.
pub fn inference_access(path: &str) -> Access {
    let decoded = decode_path(path);
    if is_file(&decoded, "docs") {
        return Access::Open;
    }
    let mut segments = segments(&decoded);
    match [segments.next(), segments.next(), segments.next(), segments.next()] {
        [None, ..] | [Some("api-description" | "openapi.json"), None, ..] => Access::Open,
        [Some("ping"), ..] | [Some("v2"), Some("health"), Some("live" | "ready"), None] => {
            Access::OpenToProbes(Scope::Inference)
        }
        _ => Access::Key(Scope::Inference),
    }
}

/// The files of a page are the same for everybody; what the page shows needs the key.
fn is_file(decoded: &str, page: &str) -> bool {
    if segments(decoded).next() != Some(page) {
        return false;
    }
    let words: Vec<&str> = segments(decoded).take(3).collect();
    File::of(&words).is_some()
}

/// Paths of the management listener.
pub fn management_access(path: &str) -> Access {
    let decoded = decode_path(path);
    if is_file(&decoded, "docs") || is_file(&decoded, "console") {
        return Access::Open;
    }
    let mut segments = segments(&decoded);
    match [segments.next(), segments.next()] {
        [None, _] | [Some("api-description" | "openapi.json"), None] => Access::Open,
        [Some("token"), None] => Access::Key(Scope::Api),
        _ => Access::Key(Scope::Management),
    }
}

/// Paths of a listener that serves inference and management: each API keeps its key.
pub fn inference_and_management_access(path: &str) -> Access {
    match api_of_path(path) {
        Listener::Management => management_access(path),
        Listener::Inference | Listener::Metrics => inference_access(path),
    }
}

/// Paths of the metrics listener: never checked, as in TorchServe.
pub fn metrics_access(_: &str) -> Access {
    Access::Open
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::route::{InferenceRoute, ManagementRoute};

    const OPEN: Access = Access::Open;
    const PROBES: Access = Access::OpenToProbes(Scope::Inference);
    const INFERENCE: Access = Access::Key(Scope::Inference);
    const MANAGEMENT: Access = Access::Key(Scope::Management);
    const API: Access = Access::Key(Scope::Api);

    #[test]
    fn health_and_descriptions_of_the_inference_listener_are_open_and_nothing_else() {
        for (path, access) in [
            ("/", OPEN),
            ("/api-description", OPEN),
            ("/openapi.json", OPEN),
            ("/docs", OPEN),
            ("/docs/docs.js", OPEN),
            ("/docs/x", INFERENCE),
            ("/docs/docs.js/x", INFERENCE),
            ("/docs/predict", INFERENCE),
            ("/console", INFERENCE),
            ("/ping", PROBES),
            ("/ping/", PROBES),
            ("/%70ing", PROBES),
            ("/v2/health/live", PROBES),
            ("/v2/health/ready", PROBES),
            ("/v2/health", INFERENCE),
            ("/v2/health/other", INFERENCE),
            ("/v2/health/live/x", INFERENCE),
            ("/v2", INFERENCE),
            ("/predictions/ping", INFERENCE),
            ("/predictions/mlp", INFERENCE),
            ("/Ping", INFERENCE),
            ("//ping", INFERENCE),
            ("/x/../ping", INFERENCE),
            ("/ping;x", INFERENCE),
            ("/nothing", INFERENCE),
            ("*", INFERENCE),
            ("/token", INFERENCE),
        ] {
            assert_eq!(inference_access(path), access, "{path}");
        }
    }

    #[test]
    fn a_token_path_is_the_route_and_not_a_word_in_the_path() {
        for (path, access) in [
            ("/", OPEN),
            ("/api-description", OPEN),
            ("/openapi.json", OPEN),
            ("/docs", OPEN),
            ("/console", OPEN),
            ("/console/", OPEN),
            ("/console/console.js", OPEN),
            ("/console/state", MANAGEMENT),
            ("/console/explain", MANAGEMENT),
            ("/console/x", MANAGEMENT),
            ("/token", API),
            ("/token/", API),
            ("/%74oken", API),
            ("/token/x", MANAGEMENT),
            ("/models/token-classifier", MANAGEMENT),
            ("/models/token", MANAGEMENT),
            ("/models", MANAGEMENT),
            ("//models", MANAGEMENT),
            ("/%6dodels", MANAGEMENT),
            ("/ping", MANAGEMENT),
            ("/nothing", MANAGEMENT),
        ] {
            assert_eq!(management_access(path), access, "{path}");
        }
    }

    #[test]
    fn b33_on_a_shared_listener_each_api_keeps_its_key() {
        for (path, access) in [
            ("/", OPEN),
            ("/ping", PROBES),
            ("/predictions/mlp", INFERENCE),
            ("/models", MANAGEMENT),
            ("/models/mlp", MANAGEMENT),
            ("/models/mlp/invoke", INFERENCE),
            ("/token", API),
            ("/metrics", INFERENCE),
            ("/nothing", INFERENCE),
        ] {
            assert_eq!(inference_and_management_access(path), access, "{path}");
        }
    }

    #[test]
    fn what_is_open_is_never_a_route_that_touches_a_model() {
        let first_words = [
            "",
            "ping",
            "api-description",
            "openapi.json",
            "token",
            "docs",
            "console",
            "models",
            "predictions",
            "explanations",
            "invocations",
            "wfpredict",
            "v2",
            "v1",
            "a",
        ];
        let others = [
            "",
            "/",
            "/a",
            "/a/b",
            "/a/b/c",
            "/style.css",
            "/state",
            "/health/live",
            "/health/ready/",
            "/health",
            "/models/a",
            "/models/a/ready",
            "/models/a/infer",
            "/models/a/versions/1/infer",
            "/models/a:predict",
            "/a/invoke",
            "/predict",
            "/a/predict",
            "%2Fa",
            "//a",
            "/../ping",
        ];
        for first in first_words {
            for rest in others {
                let path = format!("/{first}{rest}");
                let inference = match InferenceRoute::of(&path) {
                    InferenceRoute::Root
                    | InferenceRoute::ApiDescription
                    | InferenceRoute::Page(_)
                    | InferenceRoute::OpenApi => OPEN,
                    InferenceRoute::Ping | InferenceRoute::Live | InferenceRoute::Ready => PROBES,
                    InferenceRoute::Model(_)
                    | InferenceRoute::Invocations
                    | InferenceRoute::Workflow { .. }
                    | InferenceRoute::Server
                    | InferenceRoute::ModelMetadata { .. }
                    | InferenceRoute::ModelReady { .. }
                    | InferenceRoute::None => INFERENCE,
                };
                assert_eq!(inference_access(&path), inference, "{path}");
                let management = match ManagementRoute::of(&path) {
                    ManagementRoute::Root
                    | ManagementRoute::ApiDescription
                    | ManagementRoute::Page(_)
                    | ManagementRoute::OpenApi => OPEN,
                    ManagementRoute::Token => API,
                    _ => MANAGEMENT,
                };
                assert_eq!(management_access(&path), management, "{path}");
            }
        }
    }
}
