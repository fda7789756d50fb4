//! The middleware in front of a router: what reaches it, what its answers look like afterwards.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use actix_web::{
    App, Error, HttpMessage, HttpRequest, HttpResponse,
    body::MessageBody,
    dev::{Service, ServiceRequest, ServiceResponse},
    error, http,
    middleware::{Next, from_fn},
    test, web,
};

use super::*;

const LINES: [&str; 3] = [
    "cors.allowed.origin=https://app.example.com",
    "cors.allow.credentials=true",
    "cors.exposed.headers=X-Request-Id",
];

/// An app whose router counts the requests that it sees.
async fn app(
    cors: Cors,
    reached: Arc<AtomicUsize>,
) -> impl Service<actix_http::Request, Response = ServiceResponse<impl MessageBody>, Error = Error>
{
    let handler = move |request: HttpRequest| {
        reached.fetch_add(1, Ordering::Relaxed);
        async move {
            if let Some(model) = request.headers().get("x-serve") {
                let model = model.to_str().unwrap().to_owned();
                request.extensions_mut().insert(ServedModel(model));
            }
            let status = request.match_info().query("status").parse().unwrap_or(200);
            HttpResponse::build(http::StatusCode::from_u16(status).unwrap())
                .append_header(("vary", "accept-encoding"))
                .append_header(("vary", "x-other"))
                .append_header(("access-control-allow-origin", "*"))
                .body("body")
        }
    };
    let service = App::new()
        .wrap(from_fn(fail_on_demand))
        .wrap(cors)
        .route("/status/{status}", web::to(handler.clone()))
        .default_service(web::to(handler));
    test::init_service(service).await
}

/// An inner layer that gives an error instead of a response.
async fn fail_on_demand(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if request.headers().contains_key("x-fail") {
        return Err(error::ErrorUnauthorized("no"));
    }
    next.call(request).await
}

fn call(start: &str, headers: &[(&str, &str)]) -> test::TestRequest {
    let (method, uri) = start.split_once(' ').unwrap();
    let request = test::TestRequest::with_uri(uri).method(method.parse().unwrap());
    headers.iter().fold(request, |request, header| request.append_header(*header))
}

fn lines(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[actix_web::test]
async fn b17_b20_preflights_never_reach_the_router() {
    let reached = Arc::new(AtomicUsize::new(0));
    let app = app(Cors::new(policies(&LINES).inference), Arc::clone(&reached)).await;
    for (origin, status) in [(APP, 204), (EVIL, 403)] {
        let request =
            call("OPTIONS /predictions/m", &[(ORIGIN, origin), (ACRM, "POST"), ("x-fail", "1")]);
        let response = test::call_service(&app, request.to_request()).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.headers().contains_key("access-control-allow-origin"), status == 204);
        assert_eq!(lines(response.headers(), "vary").len(), 1);
        let body = test::read_body(response).await;
        assert_eq!(body.is_empty(), status == 204);
    }
    assert_eq!(reached.load(Ordering::Relaxed), 0);
}

#[actix_web::test]
async fn b18_b22_b23_b39_every_answer_is_finished_whatever_its_status() {
    let reached = Arc::new(AtomicUsize::new(0));
    let app = app(Cors::new(policies(&LINES).inference), reached).await;
    for method in ["GET", "HEAD", "POST"] {
        for status in [200, 204, 304, 400, 401, 404, 405, 413, 429, 500, 503] {
            let start = format!("{method} /status/{status}");
            let response =
                test::call_service(&app, call(&start, &[(ORIGIN, APP)]).to_request()).await;
            assert_eq!(response.status(), status);
            let headers = response.headers();
            assert_eq!(lines(headers, "access-control-allow-origin"), [APP]);
            assert_eq!(lines(headers, "access-control-allow-credentials"), ["true"]);
            assert_eq!(lines(headers, "access-control-expose-headers"), ["X-Request-Id"]);
            assert_eq!(lines(headers, "vary"), ["accept-encoding, x-other, Origin"]);
            let response =
                test::call_service(&app, call(&start, &[(ORIGIN, EVIL)]).to_request()).await;
            let cors = |name: &HeaderName| name.as_str().starts_with("access-control-");
            assert!(!response.headers().keys().any(cors), "{start}");
            assert_eq!(lines(response.headers(), "vary"), ["accept-encoding, x-other, Origin"]);
        }
    }
}

#[actix_web::test]
async fn b22_errors_of_inner_layers_are_readable_however_often_they_are_rendered() {
    let app = app(Cors::new(policies(&LINES).inference), Arc::default()).await;
    for (origin, allowed) in [(APP, true), (EVIL, false)] {
        let request = call("GET /", &[(ORIGIN, origin), ("x-fail", "1")]).to_request();
        let Err(error) = app.call(request).await else { panic!("an error was expected") };
        for _ in 0..2 {
            let response = error.error_response();
            assert_eq!(response.status(), 401);
            let headers = response.headers();
            assert_eq!(headers.contains_key("access-control-allow-origin"), allowed);
            assert_eq!(lines(headers, "vary"), ["Origin"]);
        }
    }
}

#[actix_web::test]
async fn b30_blocked_requests_never_reach_the_router() {
    let reached = Arc::new(AtomicUsize::new(0));
    let app = app(Cors::new(ListenerPolicies::default().management), Arc::clone(&reached)).await;
    let write =
        |origin| call("POST /models", &[(ORIGIN, origin), ("host", "127.0.0.1:8081")]).to_request();
    let response = test::call_service(&app, write(EVIL)).await;
    assert_eq!(response.status(), 403);
    assert_eq!(response.headers().get("content-type").unwrap(), "application/json");
    let body: serde_json::Value = test::read_body_json(response).await;
    assert_eq!(body["type"], "CorsDeniedException");
    assert_eq!(reached.load(Ordering::Relaxed), 0);
    let response = test::call_service(&app, write("http://127.0.0.1:8081")).await;
    assert_eq!((response.status().as_u16(), reached.load(Ordering::Relaxed)), (200, 1));
    // CORS is off here: what a handler sets is its own affair.
    assert_eq!(lines(response.headers(), "access-control-allow-origin"), ["*"]);
}

#[actix_web::test]
async fn b33_one_socket_for_all_keeps_the_policies_apart() {
    let policies = policies(&[
        "cors.allowed.origin=https://app.example.com",
        "management_cors.allowed.origin=https://admin.example.com",
        "management_cors.allowed.methods=GET,DELETE",
    ]);
    let app = app(Cors::shared_fixed(&policies), Arc::default()).await;
    let admin = "https://admin.example.com";
    for (start, origin, shared) in [
        ("GET /ping", APP, true),
        ("GET /ping", admin, false),
        ("GET /models", admin, true),
        ("GET /%6dodels", APP, false),
        ("GET /models/m/invoke", APP, true),
        ("GET /metrics", APP, false),
    ] {
        let response =
            test::call_service(&app, call(start, &[(ORIGIN, origin)]).to_request()).await;
        let found = lines(response.headers(), "access-control-allow-origin");
        // The metrics policy is off, and the handler's own header stays.
        let expected = match (shared, start) {
            (true, _) => vec![origin],
            (false, "GET /metrics") => vec!["*"],
            (false, _) => vec![],
        };
        assert_eq!(found, expected, "{start} {origin}");
    }
    let request = call("DELETE /models/m", &[(ORIGIN, APP)]).to_request();
    assert_eq!(test::call_service(&app, request).await.status(), 403);
}

#[actix_web::test]
async fn b34_a_model_found_in_the_body_is_answered_under_its_own_policy() {
    let policies = policies(&[
        "cors.allowed.origin=*",
        "cors.model.secret.allowed.origin=https://app.example.com",
    ]);
    let app = app(Cors::new(policies.inference), Arc::default()).await;
    for (model, origin, expected) in
        [("open", EVIL, Some("*")), ("secret", EVIL, None), ("secret", APP, Some(APP))]
    {
        let request = call("POST /invocations", &[(ORIGIN, origin), ("x-serve", model)]);
        let response = test::call_service(&app, request.to_request()).await;
        let found = lines(response.headers(), "access-control-allow-origin");
        assert_eq!(found.first().map(String::as_str), expected, "{model} {origin}");
    }
}

#[actix_web::test]
async fn b34_a_model_found_in_the_body_is_blocked_by_its_own_policy() {
    let policies = policies(&[
        "cors.allowed.origin=*",
        "cors.model.secret.allowed.origin=https://app.example.com",
        "cors.model.secret.block.disallowed=all",
    ]);
    let app = app(Cors::new(policies.inference), Arc::default()).await;
    for (model, origin, status) in
        [("open", EVIL, 200), ("secret", EVIL, 403), ("secret", APP, 200)]
    {
        let request = call("POST /invocations", &[(ORIGIN, origin), ("x-serve", model)]);
        let response = test::call_service(&app, request.to_request()).await;
        assert_eq!(response.status(), status, "{model} {origin}");
        if status == 403 {
            let noted = *response.request().extensions().get::<CorsOutcome>().unwrap();
            assert_eq!(noted.verdict, Verdict::Blocked);
            let head = response.headers().clone();
            assert!(lines(&head, "access-control-allow-origin").is_empty());
            let body = test::read_body(response).await;
            assert!(String::from_utf8_lossy(&body).contains("CorsDeniedException"), "{body:?}");
        }
    }
}

#[actix_web::test]
async fn a_replaced_policy_holds_from_the_next_request_on() {
    let handle = PolicyHandle::new(policies(&LINES).inference);
    let app = app(Cors::new(handle.clone()), Arc::default()).await;
    let read = || call("GET /", &[(ORIGIN, APP)]).to_request();
    let before = test::call_service(&app, read()).await;
    handle.replace(policies(&["cors.allowed.origin=https://other.example"]).inference);
    let after = test::call_service(&app, read()).await;
    assert_eq!(lines(before.headers(), "access-control-allow-origin"), [APP]);
    assert!(lines(after.headers(), "access-control-allow-origin").is_empty());
}

#[actix_web::test]
async fn the_observer_and_the_access_log_learn_of_every_decision() {
    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);
    impl CorsObserver for Notes {
        fn decided(&self, taken: &Taken<'_>) {
            let Taken { policy, decision, facts, .. } = taken;
            let (verdict, reason) = (decision.verdict.as_str(), decision.reason.as_str());
            let note = format!("{} {} {verdict} {reason}", facts.path, policy.label());
            self.0.lock().unwrap().push(note);
        }
        fn answered(&self, _: &CorsPolicy, decision: &Decision, answer: &AnswerFacts<'_>) {
            let (kind, status) = (decision.kind.as_str(), answer.status.as_u16());
            let note = format!("{kind} {status} {}", answer.stripped);
            self.0.lock().unwrap().push(note);
        }
    }
    let notes = Arc::new(Notes::default());
    let cors = Cors::new(policies(&LINES).inference).observed_by(notes.clone());
    let app = app(cors, Arc::default()).await;
    let response = test::call_service(&app, call("GET /a", &[(ORIGIN, EVIL)]).to_request()).await;
    let noted = *response.request().extensions().get::<CorsOutcome>().unwrap();
    assert_eq!((noted.verdict, noted.reason), (Verdict::Denied, Reason::OriginNotListed));
    let preflight = call("OPTIONS /b", &[(ORIGIN, APP), (ACRM, "POST")]).to_request();
    let response = test::call_service(&app, preflight).await;
    let noted = *response.request().extensions().get::<CorsOutcome>().unwrap();
    assert_eq!((noted.kind, noted.verdict), (Kind::Preflight, Verdict::Allowed));
    let response = test::call_service(&app, call("GET /c", &[]).to_request()).await;
    assert!(response.request().extensions().get::<CorsOutcome>().is_none());
    assert_eq!(
        *notes.0.lock().unwrap(),
        [
            "/a inference denied origin_not_listed",
            "actual 200 1",
            "/b inference allowed ok",
            "preflight 204 0",
            "/c inference not_cors no_origin",
            "none 200 1",
        ]
    );
}
