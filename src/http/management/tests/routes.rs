//! Which route takes which method, and what GET shows.

use super::*;

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
    assert_eq!(described["info"]["title"], "RESTful Management API for: m");
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
