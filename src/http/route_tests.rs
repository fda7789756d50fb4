//! Every path of the two APIs, and the route that it is.

use super::*;

/// `api asks model/version/url_path`.
fn call(text: &str) -> InferenceRoute {
    let words: Vec<&str> = text.split(' ').collect();
    let [api, asks, target] = words[..] else { panic!("{text}") };
    let api = match api {
        "torchserve" => Api::TorchServe,
        "v1" => Api::KServeV1,
        "v2" => Api::OpenInference,
        _ => panic!("{api}"),
    };
    let asks = match asks {
        "predict" => Asks::Prediction,
        "explain" => Asks::Explanation,
        "header" => Asks::AsHeader,
        _ => panic!("{asks}"),
    };
    let mut target = target.splitn(3, '/');
    let mut next = || target.next().unwrap_or_default().to_owned();
    let (model, version, url_path) = (next(), next(), next());
    let version = (!version.is_empty()).then_some(version);
    InferenceRoute::Model(ModelCall { model, version, url_path, asks, api })
}

fn table() -> Vec<(&'static str, InferenceRoute)> {
    let metadata = |version: Option<&str>| InferenceRoute::ModelMetadata {
        model: "digits".into(),
        version: version.map(str::to_owned),
    };
    let ready = |version: Option<&str>| InferenceRoute::ModelReady {
        model: "digits".into(),
        version: version.map(str::to_owned),
    };
    vec![
        ("/", InferenceRoute::Root),
        ("/ping", InferenceRoute::Ping),
        ("/ping/", InferenceRoute::Ping),
        ("/ping/x", InferenceRoute::Ping),
        ("/api-description", InferenceRoute::ApiDescription),
        ("/openapi.json", InferenceRoute::OpenApi),
        ("/openapi.json/x", InferenceRoute::None),
        ("/openapi.json/predict", call("torchserve header openapi.json")),
        ("/docs", InferenceRoute::Page(crate::pages::File::Docs)),
        ("/docs/docs.js", InferenceRoute::Page(crate::pages::File::DocsScript)),
        ("/docs/predict", call("torchserve header docs")),
        ("/docs/x", InferenceRoute::None),
        ("/console", InferenceRoute::None),
        ("/api-description/", InferenceRoute::ApiDescription),
        ("/api-description/x", InferenceRoute::None),
        ("/predictions/digits", call("torchserve predict digits")),
        ("/predictions/digits/", call("torchserve predict digits")),
        ("/predictions/digits/1.0", call("torchserve predict digits/1.0")),
        ("/predictions/digits/1.0/v1/chat", call("torchserve predict digits/1.0/v1/chat")),
        ("/predictions/%64igits", call("torchserve predict digits")),
        ("/predictions%2Fdigits%2F1.0", call("torchserve predict digits/1.0")),
        ("/predictions/digits//x", call("torchserve predict digits//x")),
        ("/predictions", InferenceRoute::None),
        ("/predictions/", InferenceRoute::None),
        ("/predictions//digits", InferenceRoute::None),
        ("//predictions/digits", InferenceRoute::None),
        ("/Predictions/digits", InferenceRoute::None),
        ("/predictions/%ff", call("torchserve predict \u{fffd}")),
        ("/explanations/digits", call("torchserve explain digits")),
        ("/explanations/digits/1.0/a/b", call("torchserve explain digits/1.0/a/b")),
        ("/explanations", InferenceRoute::None),
        ("/invocations", InferenceRoute::Invocations),
        ("/invocations/", InferenceRoute::Invocations),
        ("/models/digits/invoke", call("torchserve header digits")),
        ("/models/digits/invoke/x", InferenceRoute::None),
        ("/models/digits/1.0", InferenceRoute::None),
        ("/models/digits", InferenceRoute::None),
        ("/models", InferenceRoute::None),
        ("/models/predict", InferenceRoute::None),
        ("/digits/predict", call("torchserve header digits")),
        ("/digits/1.0/predict", call("torchserve header digits/1.0")),
        ("/digits/1.0/x/predict", InferenceRoute::None),
        ("/ping/predict", InferenceRoute::Ping),
        ("/token/predict", InferenceRoute::None),
        ("/metrics/predict", InferenceRoute::None),
        ("/predictions/predict", call("torchserve predict predict")),
        ("/v1/models/digits:predict", call("v1 predict digits")),
        ("/v1/models/digits%3Apredict", call("v1 predict digits")),
        ("/v1/models/digits:predict/x", call("v1 predict digits")),
        ("/v1/models/digits:explain", call("v1 explain digits")),
        ("/v1/models/digits:delete", InferenceRoute::None),
        ("/v1/models/:predict", InferenceRoute::None),
        ("/v1/models/digits", InferenceRoute::None),
        ("/v1/models", InferenceRoute::None),
        ("/v1/predict", InferenceRoute::None),
        ("/v2", InferenceRoute::Server),
        ("/v2/", InferenceRoute::Server),
        ("/v2/x", InferenceRoute::None),
        ("/v2/health", InferenceRoute::None),
        ("/v2/health/live", InferenceRoute::Live),
        ("/v2/health/ready", InferenceRoute::Ready),
        ("/v2/health/ready/x", InferenceRoute::None),
        ("/v2/models", InferenceRoute::None),
        ("/v2/models/digits", metadata(None)),
        ("/v2/models/digits/versions/1.0", metadata(Some("1.0"))),
        ("/v2/models/digits/versions", InferenceRoute::None),
        ("/v2/models/digits/ready", ready(None)),
        ("/v2/models/digits/versions/1.0/ready", ready(Some("1.0"))),
        ("/v2/models/digits/infer", call("v2 predict digits")),
        ("/v2/models/digits/versions/1.0/infer", call("v2 predict digits/1.0")),
        ("/v2/models/digits/explain", call("v2 explain digits")),
        ("/v2/models/digits/infer/x", InferenceRoute::None),
        ("/v2/models//infer", InferenceRoute::None),
        ("/v2/predict", InferenceRoute::None),
        ("/wfpredict/flow", InferenceRoute::Workflow { workflow: "flow".into() }),
        ("/WfPredict/flow", InferenceRoute::Workflow { workflow: "flow".into() }),
        ("/wfpredict", InferenceRoute::None),
        ("/nope", InferenceRoute::None),
        ("*", InferenceRoute::None),
    ]
}

#[test]
fn finds_inference_routes_as_torchserve_does() {
    for (path, route) in table() {
        assert_eq!(InferenceRoute::of(path), route, "{path}");
    }
}

#[test]
fn b34_the_model_that_is_asked_is_the_one_whose_cors_policy_is_chosen() {
    for (path, route) in table() {
        let chosen = crate::cors::model_of_target(path, None);
        match route {
            InferenceRoute::Model(ModelCall { model, .. })
            | InferenceRoute::ModelMetadata { model, .. }
            | InferenceRoute::ModelReady { model, .. } => {
                assert_eq!(chosen.as_deref(), Some(&*model), "{path}");
            }
            _ => {}
        }
    }
}

#[test]
fn b33_where_apis_share_a_socket_a_path_that_asks_a_model_is_inference() {
    for (path, route) in table() {
        if matches!(route, InferenceRoute::Model(_)) {
            assert_eq!(crate::cors::api_of_path(path), crate::cors::Listener::Inference, "{path}");
        }
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

/// The paths of the OpenAPI document that stand for a route. A route that is added needs one.
fn described_as(route: &InferenceRoute) -> Vec<&'static str> {
    match route {
        InferenceRoute::None => vec![],
        InferenceRoute::Root => vec!["/"],
        InferenceRoute::ApiDescription => vec!["/api-description"],
        InferenceRoute::OpenApi => vec!["/openapi.json"],
        // The files of a page are its own.
        InferenceRoute::Page(file) => {
            if file.is_page() {
                vec!["/docs"]
            } else {
                vec![]
            }
        }
        InferenceRoute::Ping => vec!["/ping"],
        InferenceRoute::Invocations => vec!["/invocations"],
        InferenceRoute::Workflow { .. } => vec!["/wfpredict/{workflow}"],
        InferenceRoute::Server => vec!["/v2"],
        InferenceRoute::Live => vec!["/v2/health/live"],
        InferenceRoute::Ready => vec!["/v2/health/ready"],
        InferenceRoute::ModelMetadata { version: None, .. } => vec!["/v2/models/{model_name}"],
        InferenceRoute::ModelMetadata { .. } => {
            vec!["/v2/models/{model_name}/versions/{model_version}"]
        }
        InferenceRoute::ModelReady { version: None, .. } => vec!["/v2/models/{model_name}/ready"],
        InferenceRoute::ModelReady { .. } => {
            vec!["/v2/models/{model_name}/versions/{model_version}/ready"]
        }
        InferenceRoute::Model(call) => {
            let versioned = call.version.is_some();
            let deeper = !call.url_path.is_empty();
            match (call.api, call.asks) {
                (Api::TorchServe, Asks::Prediction) if deeper => {
                    vec!["/predictions/{model_name}/{model_version}/{url_path}"]
                }
                (Api::TorchServe, Asks::Prediction) if versioned => {
                    vec!["/predictions/{model_name}/{model_version}"]
                }
                (Api::TorchServe, Asks::Prediction) => vec!["/predictions/{model_name}"],
                (Api::TorchServe, Asks::Explanation) if deeper => {
                    vec!["/explanations/{model_name}/{model_version}/{url_path}"]
                }
                (Api::TorchServe, Asks::Explanation) if versioned => {
                    vec!["/explanations/{model_name}/{model_version}"]
                }
                (Api::TorchServe, Asks::Explanation) => vec!["/explanations/{model_name}"],
                (Api::TorchServe, Asks::AsHeader) if versioned => {
                    vec!["/{model_name}/{model_version}/predict"]
                }
                (Api::TorchServe, Asks::AsHeader) => {
                    vec!["/models/{model_name}/invoke", "/{model_name}/predict"]
                }
                (Api::KServeV1, Asks::Explanation) => vec!["/v1/models/{model_name}:explain"],
                (Api::KServeV1, _) => vec!["/v1/models/{model_name}:predict"],
                (Api::OpenInference, Asks::Explanation) if versioned => {
                    vec!["/v2/models/{model_name}/versions/{model_version}/explain"]
                }
                (Api::OpenInference, Asks::Explanation) => {
                    vec!["/v2/models/{model_name}/explain"]
                }
                (Api::OpenInference, _) if versioned => {
                    vec!["/v2/models/{model_name}/versions/{model_version}/infer"]
                }
                (Api::OpenInference, _) => vec!["/v2/models/{model_name}/infer"],
            }
        }
    }
}

/// The same of the management listener.
fn managed_as(route: &ManagementRoute) -> Option<&'static str> {
    Some(match route {
        ManagementRoute::None => return None,
        ManagementRoute::Root => "/",
        ManagementRoute::ApiDescription => "/api-description",
        ManagementRoute::OpenApi => "/openapi.json",
        ManagementRoute::Page(crate::pages::File::Docs) => "/docs",
        ManagementRoute::Page(crate::pages::File::Console) => "/console",
        ManagementRoute::Page(_) => return None,
        ManagementRoute::ConsoleState => "/console/state",
        ManagementRoute::ConsoleExplain => "/console/explain",
        ManagementRoute::Token => "/token",
        ManagementRoute::Models => "/models",
        ManagementRoute::Model { version: None, .. } => "/models/{model_name}",
        ManagementRoute::Model { .. } => "/models/{model_name}/{model_version}",
        ManagementRoute::SetDefault { .. } => "/models/{model_name}/{model_version}/set-default",
        ManagementRoute::Ready { .. } => "/v1/models/{model_name}",
        ManagementRoute::Cors(CorsRoute::Policy) => "/cors/policy",
        ManagementRoute::Cors(CorsRoute::Denied) => "/cors/denied",
        ManagementRoute::Cors(CorsRoute::Origins) => "/cors/origins",
        ManagementRoute::Cors(CorsRoute::Reload) => "/cors/reload",
        ManagementRoute::Cors(CorsRoute::Rollback) => "/cors/rollback",
        ManagementRoute::Workflows => "/workflows",
        ManagementRoute::Workflow { .. } => "/workflows/{workflow}",
    })
}

/// The paths of a document, each with one that a client would send.
fn described(api: crate::openapi::ServedApi) -> Vec<(String, String)> {
    let served = crate::openapi::Served {
        api,
        models: Vec::new(),
        tokens: true,
        model_api: true,
        report_path: None,
    };
    let document = served.document();
    let paths = document["paths"].as_object().unwrap();
    let sent = |path: &str| {
        path.replace("{model_name}", "digits")
            .replace("{model_version}", "1.0")
            .replace("{url_path}", "x")
            .replace("{workflow}", "flow")
    };
    paths.keys().map(|path| (path.clone(), sent(path))).collect()
}

#[test]
fn every_inference_route_is_in_the_openapi_document_and_every_path_of_it_is_that_route() {
    let described = described(crate::openapi::ServedApi::Inference);
    for (path, route) in table() {
        for template in described_as(&route) {
            assert!(described.iter().any(|(known, _)| known == template), "{path}: {template}");
        }
    }
    for (template, path) in described {
        let route = InferenceRoute::of(&path);
        assert!(described_as(&route).contains(&&*template), "{template} is {route:?}");
    }
}

#[test]
fn every_management_route_is_in_the_openapi_document_and_every_path_of_it_is_that_route() {
    let described = described(crate::openapi::ServedApi::Management);
    for path in [
        "/",
        "/api-description",
        "/openapi.json",
        "/docs",
        "/console",
        "/console/state",
        "/console/explain",
        "/token",
        "/models",
        "/models/digits",
        "/models/digits/1.0",
        "/models/digits/1.0/set-default",
        "/v1/models/digits",
        "/workflows",
        "/workflows/flow",
        "/cors/policy",
        "/cors/denied/",
        "/cors/origins",
        "/cors/reload",
        "/cors/rollback",
    ] {
        let template = managed_as(&ManagementRoute::of(path)).unwrap();
        assert!(described.iter().any(|(known, _)| known == template), "{path}: {template}");
    }
    for (template, path) in described {
        let route = ManagementRoute::of(&path);
        assert_eq!(managed_as(&route), Some(&*template), "{route:?}");
    }
}
