//! `POST /models`: what may be written, what is refused, what goes on behind the answer.

use super::*;

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
