//! The life of a model: workers, versions, its end.

use super::*;

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
