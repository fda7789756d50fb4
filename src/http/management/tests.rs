//! The management API from its requests to its answers: statuses and texts are TorchServe's, as its
//! own tests assert them.

use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::Method;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use serde_json::{Value, json};

use crate::cors::Unobserved;
use crate::http::State;
use crate::registry::tests::{Bench, PATIENCE, eventually};
use crate::server::{AppState, Role, create_app};

/// The management listener over a bench.
struct Api {
    bench: Bench,
    state: State,
}

/// An answer: its status, and its body if it is JSON.
#[derive(Debug, PartialEq)]
struct Got(u16, Value);

// === impl Api ===

impl Api {
    fn new() -> Api {
        let bench = Bench::new();
        let state = State {
            registry: Arc::clone(&bench.registry),
            metrics: bench.metrics.clone(),
            max_request_size: 1 << 20,
            authorization: None,
            enable_model_api: true,
            unregister_model_timeout: PATIENCE,
        };
        Api { bench, state }
    }

    async fn service(
        &self,
        role: Role,
    ) -> impl Service<
        actix_http::Request,
        Response = ServiceResponse<impl MessageBody>,
        Error = actix_web::Error,
    > {
        let app = AppState {
            state: self.state.clone(),
            policies: Default::default(),
            observer: Arc::new(Unobserved),
            access_log: false,
        };
        init_service(create_app(role, &app)).await
    }

    async fn send(&self, role: Role, request: TestRequest) -> Got {
        let response = call_service(&self.service(role).await, request.to_request()).await;
        let status = response.status().as_u16();
        let body = read_body(response).await;
        Got(status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn call(&self, method: Method, path: &str) -> Got {
        self.send(Role::Management, TestRequest::with_uri(path).method(method)).await
    }

    async fn get(&self, path: &str) -> Got {
        self.call(Method::GET, path).await
    }

    async fn post(&self, path: &str) -> Got {
        self.call(Method::POST, path).await
    }

    async fn put(&self, path: &str) -> Got {
        self.call(Method::PUT, path).await
    }

    async fn delete(&self, path: &str) -> Got {
        self.call(Method::DELETE, path).await
    }

    async fn post_body(&self, content_type: &str, body: &str) -> Got {
        let request =
            TestRequest::post().uri("/models").insert_header(("Content-Type", content_type));
        self.send(Role::Management, request.set_payload(body.to_owned())).await
    }
}

fn done(status: u16, text: &str) -> Got {
    Got(status, json!({"status": text}))
}

fn refused(status: u16, kind: &str, message: &str) -> Got {
    Got(status, json!({"code": status, "type": kind, "message": message}))
}

#[actix_web::test]
async fn a_model_lives_as_torchserves_tests_have_it() {
    let api = Api::new();
    api.bench.put("noop.mar", "noop", "1.11", "sum");
    let text = "Model \"noop_v1.0\" Version: 1.11 registered with 0 initial workers. Use scale \
                workers API to add workers for the model.";
    assert_eq!(api.post("/models?url=noop.mar&model_name=noop_v1.0").await, done(200, text));
    let text = "Model \"noop_v1.0\" has no worker to serve describe request. Please use scale \
                workers API to add workers.";
    assert_eq!(
        api.get("/models/noop_v1.0?customized=true").await,
        refused(503, "ServiceUnavailableException", text)
    );
    let text = "Workers scaled to 1 for model: noop_v1.0";
    assert_eq!(api.put("/models/noop_v1.0?min_worker=1&synchronous=true").await, done(200, text));
    let text = "Workers scaled to 2 for model: noop_v1.0, version: 1.11";
    assert_eq!(
        api.put("/models/noop_v1.0/1.11?min_worker=2&synchronous=true").await,
        done(200, text)
    );
    let Got(200, described) = api.get("/models/noop_v1.0?customized=true").await else { panic!() };
    assert_eq!(described[0]["customizedMetadata"], json!({}));
    assert_eq!(described[0]["minWorkers"], 2);
    assert_eq!(described[0]["workers"][1]["status"], "READY");
    assert_eq!(described[0]["loadedAtStartup"], false);
    assert_eq!(
        described[0]["jobQueueStatus"],
        json!({"remainingCapacity": 100, "pendingRequests": 0})
    );
    let listed = json!({"models": [{"modelName": "noop_v1.0", "modelUrl": "noop.mar"}]});
    assert_eq!(api.get("/models").await, Got(200, listed));
    let text = "Model version 1.11 is already registered for model noop_v1.0";
    assert_eq!(
        api.post("/models?url=noop.mar&model_name=noop_v1.0").await,
        refused(409, "ConflictStatusException", text)
    );
    let text = "Model \"noop_v1.0\" unregistered";
    assert_eq!(api.delete("/models/noop_v1.0").await, done(200, text));
    assert_eq!(
        api.delete("/models/noop_v1.0").await,
        refused(404, "ModelNotFoundException", "Model not found: noop_v1.0")
    );
}

#[actix_web::test]
async fn versions_have_a_default_that_can_be_set() {
    let api = Api::new();
    for version in ["1.11", "1.2.1"] {
        api.bench.put("m.mar", "noopversioned", version, "sum");
        let text =
            format!("Model \"noopversioned\" Version: {version} registered with 1 initial workers");
        assert_eq!(api.post("/models?url=m.mar&initial_workers=1").await, done(200, &text));
    }
    let versions = async |path| match api.get(path).await {
        Got(200, Value::Array(all)) => {
            all.iter().map(|each| each["modelVersion"].as_str().unwrap().to_owned()).collect()
        }
        other => vec![format!("{other:?}")],
    };
    assert_eq!(versions("/models/noopversioned").await, ["1.11"]);
    assert_eq!(versions("/models/noopversioned/all").await, ["1.11", "1.2.1"]);
    assert_eq!(versions("/models/noopversioned/1.2.1").await, ["1.2.1"]);
    let text = "Default version successfully updated for model \"noopversioned\" to \"1.2.1\"";
    assert_eq!(api.put("/models/noopversioned/1.2.1/set-default").await, done(200, text));
    assert_eq!(versions("/models/noopversioned").await, ["1.2.1"]);
    let text = "Model version 3.3.3 does not exist for model noopversioned";
    assert_eq!(
        api.put("/models/noopversioned/3.3.3/set-default").await,
        refused(404, "ModelVersionNotFoundException", text)
    );
    assert_eq!(
        api.put("/models/none/1.0/set-default").await,
        refused(404, "ModelNotFoundException", "Model not found: none")
    );
    let text = "Model version: 1.3.1 does not exist for model: noopversioned";
    for path in ["/models/noopversioned/1.3.1", "/models/noopversioned?model_version=1.3.1"] {
        assert_eq!(api.put(path).await, refused(404, "ModelVersionNotFoundException", text));
    }
    let text = "Cannot remove default version for model noopversioned";
    // TorchServe's quirk: with this path DELETE means the default version.
    for path in ["", "/1.2.1", "/1.11/set-default"] {
        assert_eq!(
            api.delete(&format!("/models/noopversioned{path}")).await,
            refused(403, "InvalidModelVersionException", text)
        );
    }
    assert_eq!(versions("/models/noopversioned/1.11/set-default").await, ["1.2.1"]);
    assert_eq!(api.delete("/models/noopversioned/1.11").await.0, 200);
    assert_eq!(api.delete("/models/noopversioned/1.2.1").await.0, 200);
}

#[actix_web::test]
async fn a_call_may_be_a_json_body_that_says_so() {
    let api = Api::new();
    api.bench.put("noop.mar", "noop", "1.11", "sum");
    let body = "{'url':'noop.mar','initial_workers':'1','synchronous':'true','batch_size':4}";
    let text = "Model \"noop\" Version: 1.11 registered with 1 initial workers";
    // A page of another site can send these without being asked: they are not looked at.
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let url_missing = refused(400, "BadRequestException", "Parameter url is required.");
        assert_eq!(api.post_body(content_type, body).await, url_missing, "{content_type}");
    }
    assert_eq!(api.post_body("Application/JSON; charset=utf-8", body).await, done(200, text));
    let Got(200, described) = api.get("/models/noop").await else { panic!() };
    assert_eq!(
        (&described[0]["batchSize"], &described[0]["maxBatchDelay"]),
        (&json!(4), &json!(100))
    );
    for (body, message) in [
        ("{}", "Parameter url is required."),
        ("", "Parameter url is required."),
        (
            r#"{"url": "noop.mar", "batch_size": "x"}"#,
            "Parameter batch_size must be a whole number",
        ),
        ("[", "The request body is not a JSON object"),
    ] {
        let Got(400, error) = api.post_body("application/json", body).await else {
            panic!("{body}")
        };
        assert!(error["message"].as_str().unwrap().starts_with(message), "{error}");
    }
    let long = format!(r#"{{"url": "{}"}}"#, "x".repeat(70_000));
    assert_eq!(api.post_body("application/json", &long).await.0, 413);
}

#[actix_web::test]
async fn what_cannot_be_registered_is_answered_as_torchserve_answers_it() {
    let api = Api::new();
    api.bench.put("noop.mar", "noop", "1.11", "sum");
    api.bench.put("broken.mar", "broken", "1.0", "broken");
    api.bench.put("two.mar", "two", "1.0", "one-copy");
    for (query, answer) in [
        ("", refused(400, "BadRequestException", "Parameter url is required.")),
        ("url=", refused(404, "ModelNotFoundException", "empty url")),
        (
            "url=InvalidUrl",
            refused(404, "ModelNotFoundException", "Model not found at: InvalidUrl"),
        ),
        (
            "url=../fake.mar",
            refused(
                404,
                "ModelNotFoundException",
                "Relative path is not allowed in url: ../fake.mar",
            ),
        ),
        (
            "url=noop.mar&runtime=InvalidRuntime",
            refused(400, "BadRequestException", "Invalid RuntimeType value: InvalidRuntime"),
        ),
        ("url=broken.mar", refused(400, "InvalidModelException", "broken")),
        (
            "url=two.mar&initial_workers=2",
            refused(
                507,
                "InternalServerException",
                "Failed to start workers for model two version: 1.0",
            ),
        ),
    ] {
        assert_eq!(api.post(&format!("/models?{query}")).await, answer, "{query}");
    }
    let Got(400, error) = api.post("/models?url=noop.mar&handler=mine.py").await else { panic!() };
    assert_eq!(error["type"], "HandlerNotSupportedException");
    let Got(400, error) = api.post("/models?url=noop.mar&initial_workers=1000").await else {
        panic!()
    };
    assert!(error["message"].as_str().unwrap().contains("raise workers_max"), "{error}");
    assert_eq!(api.get("/models").await, Got(200, json!({"models": []})));
}

#[actix_web::test]
async fn numbers_that_are_none_count_as_absent() {
    let api = Api::new();
    api.bench.put("noop.mar", "noop", "1.11", "sum");
    let query = "url=noop.mar&initial_workers=-1&batch_size=x&batch_size=9&max_batch_delay=-5\
                 &response_timeout=-1&startup_timeout=99999999999&unknown=1&s3_sse_kms=true";
    assert_eq!(api.post(&format!("/models?{query}")).await.0, 200);
    let Got(200, described) = api.get("/models/noop").await else { panic!() };
    for (field, value) in [
        ("batchSize", 1),
        ("maxBatchDelay", 100),
        ("responseTimeout", PATIENCE.as_secs()),
        ("startupTimeout", PATIENCE.as_secs()),
        ("minWorkers", 0),
    ] {
        assert_eq!(described[0][field], value, "{field}");
    }
    assert_eq!(api.put("/models/noop?min_worker=x&synchronous=true").await.0, 200);
    assert_eq!(api.get("/models?limit=x&next_page_token=-1").await.0, 200);
}

#[actix_web::test]
async fn the_number_of_workers_has_bounds() {
    let api = Api::new();
    api.bench.register("m", "sum", 1);
    for (query, status, kind, message) in [
        ("min_worker=2&max_worker=1", 400, "BadRequestException", "max_worker cannot be less"),
        ("min_worker=-1", 500, "IndexOutOfBoundsException", "min_worker is -1; it must be 0 or"),
        ("min_worker=1000000000", 400, "BadRequestException", "1000000000 workers are too many"),
        ("min_worker=1&max_worker=17", 400, "BadRequestException", "17 workers are too many"),
    ] {
        for synchronous in ["true", "false"] {
            let path = format!("/models/m?{query}&synchronous={synchronous}");
            let Got(got, error) = api.put(&path).await;
            assert_eq!((got, error["type"].as_str()), (status, Some(kind)), "{query}");
            assert!(error["message"].as_str().unwrap().starts_with(message), "{error}");
        }
    }
    assert_eq!(
        api.put("/models/none?min_worker=1").await,
        refused(404, "ModelNotFoundException", "Model not found: none")
    );
    let text = "Workers scaled to 16 for model: m";
    let path = "/models/m?min_worker=16&number_gpu=3&timeout=1&synchronous=TRUE";
    assert_eq!(api.put(path).await, done(200, text));
}

#[actix_web::test]
async fn workers_that_do_not_start_are_said_in_torchserves_words() {
    let api = Api::new();
    let model = api.bench.register("init-error", "one-copy", 1);
    let text = "Failed to start workers for model init-error version: null";
    assert_eq!(
        api.put("/models/init-error?min_worker=3&synchronous=true").await,
        refused(507, "InternalServerException", text)
    );
    assert_eq!(model.worker_count(), 1);
}

#[actix_web::test]
async fn without_synchronous_the_rest_goes_on_behind_the_answer() {
    let api = Api::new();
    let accepted = done(202, "Processing worker updates...");
    api.bench.put("m.mar", "m", "1.0", "load-held");
    let path = "/models?url=m.mar&initial_workers=2&synchronous=false";
    assert_eq!(api.post(path).await, accepted);
    api.bench.loads.wait_for(1);
    assert_eq!(api.post(path).await.0, 409);
    assert_eq!(api.get("/models/m").await.0, 404);
    api.bench.loads.open();
    let registry = &api.bench.registry;
    eventually("it is registered", || registry.resolve("m", None).is_ok());
    let model = registry.resolve("m", None).unwrap();
    assert_eq!(model.worker_count(), 2);

    assert_eq!(api.put("/models/m?min_worker=4").await, accepted);
    eventually("it has four workers", || model.worker_count() == 4);
    // What the archive tells is told at once; what the engine tells is in the log.
    let path = "/models?url=none.mar&initial_workers=1&synchronous=false";
    assert_eq!(api.post(path).await.0, 404);
    api.bench.put("broken.mar", "broken", "1.0", "broken");
    let path = "/models?url=broken.mar&initial_workers=1&synchronous=false";
    assert_eq!(api.post(path).await, accepted);
    eventually("its files are gone", || api.bench.unpacked().len() == 1);
    assert_eq!(api.get("/models/broken").await.0, 404);
}

#[actix_web::test]
async fn a_client_that_goes_away_leaves_nothing_half_done() {
    let api = Api::new();
    api.bench.put("m.mar", "m", "1.0", "load-held");
    let service = api.service(Role::Management).await;
    let request = TestRequest::post().uri("/models?url=m.mar&initial_workers=1").to_request();
    let waiting = tokio::time::timeout(Duration::from_millis(50), service.call(request)).await;
    assert!(waiting.is_err(), "it answered before it was loaded");
    api.bench.loads.wait_for(1);
    api.bench.loads.open();
    let registry = &api.bench.registry;
    eventually("it is registered", || registry.resolve("m", None).is_ok());
    assert_eq!(registry.resolve("m", None).unwrap().worker_count(), 1);
}

#[actix_web::test]
async fn unregistering_has_a_time_limit_and_answers_when_it_has_passed() {
    let mut api = Api::new();
    api.state.unregister_model_timeout = Duration::ZERO;
    let model = api.bench.register("m", "forward-held", 1);
    let asking = actix_web::rt::spawn(async move {
        let input = crate::handlers::RequestInput::body(None, "[1, 2]".into());
        model.predict(input, None).await.map(|_| ())
    });
    tokio::task::yield_now().await;
    while api.bench.registry.resolve("m", None).unwrap().queue_status().0 > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let forwards = Arc::clone(&api.bench.forwards);
    let waiting = tokio::task::spawn_blocking(move || forwards.wait_for(1));
    waiting.await.unwrap();
    assert_eq!(
        api.put("/models/m?min_worker=0&synchronous=true").await,
        done(206, "Workers scaling in progress...")
    );
    assert_eq!(
        api.delete("/models/m").await,
        refused(408, "RequestTimeoutException", "Timed out while cleaning resources: m")
    );
    assert_eq!(api.get("/models/m").await.0, 404);
    api.bench.forwards.open();
    asking.await.unwrap().unwrap();
}

#[actix_web::test]
async fn without_the_model_api_models_stay_as_they_are() {
    let mut api = Api::new();
    api.state.enable_model_api = false;
    api.bench.register("m", "sum", 1);
    let message = "Requested method is not allowed, please refer to API document.";
    let not_allowed = || refused(405, "MethodNotAllowedException", message);
    assert_eq!(api.post("/models?url=m.mar&model_name=n").await, not_allowed());
    assert_eq!(api.post_body("application/json", "{'url': 'm.mar'}").await, not_allowed());
    assert_eq!(api.delete("/models/m").await, not_allowed());
    assert_eq!(api.delete("/models/m/1.0").await, not_allowed());
    assert_eq!(api.delete("/models/none").await, not_allowed());
    // These are allowed all the same, as in TorchServe.
    assert_eq!(api.put("/models/m?min_worker=2&synchronous=true").await.0, 200);
    assert_eq!(api.put("/models/m/1.0/set-default").await.0, 200);
}

#[actix_web::test]
async fn every_route_takes_its_methods_and_no_others() {
    let api = Api::new();
    api.bench.register("m", "sum", 1);
    let table = [
        ("/", "OPTIONS", 200),
        ("/", "GET", 405),
        ("/api-description", "GET", 200),
        ("/models", "HEAD", 200),
        ("/models", "OPTIONS", 405),
        ("/models", "PUT", 405),
        ("/models", "DELETE", 405),
        ("/models/m", "HEAD", 200),
        ("/models/m", "OPTIONS", 200),
        ("/models/m/1.0", "OPTIONS", 200),
        ("/models/none", "OPTIONS", 404),
        ("/models/m/2.0", "OPTIONS", 404),
        ("/models/m", "POST", 405),
        ("/models/m", "PATCH", 405),
        ("/models/m/1.0/set-default", "POST", 405),
        ("/models/m/1.0/set-default", "GET", 200),
        ("/x/m/1.0/set-default", "PUT", 404),
        ("/v1/models/m", "GET", 200),
        ("/v1/models/none", "GET", 404),
        ("/v1/models/m", "OPTIONS", 405),
        ("/v1/models/m", "POST", 405),
        ("/workflows", "GET", 200),
        ("/workflows", "POST", 400),
        ("/workflows", "PUT", 405),
        ("/workflows/w", "GET", 404),
        ("/workflows/w", "DELETE", 404),
        ("/workflows/w", "PUT", 405),
        ("/InvalidUrl", "GET", 404),
    ];
    for (path, method, status) in table {
        let got = api.call(method.parse().unwrap(), path).await;
        assert_eq!(got.0, status, "{method} {path}: {got:?}");
    }
    assert_eq!(api.get("/v1/models/m").await, Got(200, json!({"name": "m", "ready": true})));
    assert_eq!(api.get("/workflows").await, Got(200, json!({"workflows": []})));
    let text = "Registering new workflows is disabled.";
    assert_eq!(api.post("/workflows?url=x.war").await, refused(400, "BadRequestException", text));
    let text = "Workflow not found: w";
    assert_eq!(api.get("/workflows/w").await, refused(404, "WorkflowNotFoundException", text));
    let Got(200, described) = api.call(Method::OPTIONS, "/models/m").await else { panic!() };
    assert_eq!(described["openapi"], "3.0.1");
    assert!(described["paths"]["/models/m/{model_version}"]["delete"].is_object(), "{described}");
}

#[actix_web::test]
async fn a_model_without_workers_is_not_ready_and_answers_503_to_any_body() {
    let api = Api::new();
    api.bench.register("m", "sum", 1);
    assert_eq!(api.put("/models/m?min_worker=0&synchronous=true").await.0, 200);
    assert_eq!(api.get("/v1/models/m").await, Got(200, json!({"name": "m", "ready": false})));
    let text = "Model \"m\" has no worker to serve inference request. Please use scale workers API \
                to add workers. If this is a sequence inference, please check if it is closed, or \
                expired; or exceeds maxSequenceJobQueueSize";
    for (content_type, body) in [
        ("application/json", "{}"),
        ("multipart/form-data", "no boundary"),
        ("application/octet-stream", &*"x".repeat(2 << 20)),
    ] {
        let request = TestRequest::post().uri("/predictions/m");
        let request = request.insert_header(("Content-Type", content_type));
        let got = api.send(Role::Inference, request.set_payload(body.to_owned())).await;
        assert_eq!(got, refused(503, "ServiceUnavailableException", text), "{content_type}");
    }
    assert_eq!(api.put("/models/m?min_worker=1&synchronous=true").await.0, 200);
    let request = TestRequest::post().uri("/predictions/m").set_payload("[1, 2]");
    assert_eq!(api.send(Role::Inference, request).await, Got(200, json!([3.0])));
}

#[actix_web::test]
async fn models_are_listed_by_name_in_pages() {
    let api = Api::new();
    for name in ["c", "a", "b"] {
        api.bench.register(name, "sum", 0);
    }
    let names = async |query: &str| {
        let Got(200, page) = api.get(&format!("/models?{query}")).await else { panic!() };
        let names: Vec<String> = page["models"]
            .as_array()
            .unwrap()
            .iter()
            .map(|model| model["modelName"].as_str().unwrap().to_owned())
            .collect();
        (names.concat(), page["nextPageToken"].as_str().map(str::to_owned))
    };
    let token = |text: &str| Some(text.to_owned());
    assert_eq!(names("").await, ("abc".to_owned(), None));
    assert_eq!(names("limit=2").await, ("ab".to_owned(), token("2")));
    assert_eq!(names("limit=2&next_page_token=2").await, ("c".to_owned(), None));
    // TorchServe gives a token with an exactly full last page, too.
    assert_eq!(names("limit=3").await, ("abc".to_owned(), token("3")));
    assert_eq!(names("limit=101").await, ("abc".to_owned(), None));
    assert_eq!(names("limit=-1&next_page_token=99").await, (String::new(), None));
}

#[actix_web::test]
async fn a_description_has_torchserves_fields_in_its_order() {
    let api = Api::new();
    api.bench.register("m", "sum", 1);
    let request = TestRequest::with_uri("/models/m?customized=true").to_request();
    let response = call_service(&api.service(Role::Management).await, request).await;
    let text = String::from_utf8(read_body(response).await.to_vec()).unwrap();
    let fields: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("    \""))
        .filter_map(|line| line.split('"').nth(1))
        .collect();
    let expected = "modelName modelVersion modelUrl runtime minWorkers maxWorkers batchSize \
                    maxBatchDelay responseTimeout startupTimeout maxRetryTimeoutInSec \
                    clientTimeoutInMills parallelType parallelLevel deviceType \
                    continuousBatching useJobTicket useVenv stateful sequenceMaxIdleMSec \
                    sequenceTimeoutMSec maxNumSequence maxSequenceJobQueueSize loadedAtStartup \
                    workers jobQueueStatus customizedMetadata";
    assert_eq!(fields.join(" "), expected);
    assert!(text.ends_with("]\n"));
}
