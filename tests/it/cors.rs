//! The three scenarios of the CORS properties over real listeners, with separate policies.

use crate::support::{Answer, TestServer, request};

fn preflight(address: std::net::SocketAddr, path: &str, origin: &str, method: &str) -> Answer {
    let headers = [("Origin", origin), ("Access-Control-Request-Method", method)];
    request(address, "OPTIONS", path, &headers, b"")
}

fn allowed(answer: &Answer) -> Option<String> {
    answer.header("access-control-allow-origin")
}

#[test]
fn one_origin_may_call_inference_and_nothing_else() {
    let server = TestServer::start(&["mlp"], &["cors.allowed.origin=https://mywebapp.com"]);
    let path = "/predictions/mlp";
    let yes = preflight(server.inference, path, "https://mywebapp.com", "POST");
    assert_eq!((yes.status, allowed(&yes).as_deref()), (204, Some("https://mywebapp.com")));
    let no = preflight(server.inference, path, "https://evil.example", "POST");
    assert_eq!((no.status, allowed(&no)), (403, None));
    assert_eq!(
        allowed(&preflight(server.management, "/models", "https://mywebapp.com", "GET")),
        None
    );
    let headers = [("Origin", "https://mywebapp.com"), ("Content-Type", "application/json")];
    let answer = request(server.inference, "POST", path, &headers, b"[0.1, -0.2, 0.3, 0.4]");
    assert_eq!((answer.status, allowed(&answer).as_deref()), (200, Some("https://mywebapp.com")));
    assert_eq!(answer.header("vary").as_deref(), Some("Origin"));
}

#[test]
fn two_origins_are_echoed_one_at_a_time_with_methods_and_headers() {
    let server = TestServer::start(
        &["mlp"],
        &[
            "cors.allowed.origin=https://mywebapp.com, https://anotherapp.net",
            "cors.allowed.methods=GET,POST",
            "cors.allowed.headers=Content-Type,X-Custom-Token",
            "management_cors.allowed.origin=https://admin.mywebapp.com",
        ],
    );
    for origin in ["https://mywebapp.com", "https://anotherapp.net"] {
        let answer = preflight(server.inference, "/predictions/mlp", origin, "POST");
        assert_eq!(allowed(&answer).as_deref(), Some(origin));
        let header = |name| answer.header(name).unwrap_or_default();
        assert_eq!(header("access-control-allow-methods"), "GET, POST");
        assert_eq!(header("access-control-allow-headers"), "Content-Type, X-Custom-Token");
    }
    let put = preflight(server.inference, "/predictions/mlp", "https://mywebapp.com", "PUT");
    assert_eq!(put.status, 403);
    let admin = preflight(server.management, "/models", "https://admin.mywebapp.com", "GET");
    assert_eq!(allowed(&admin).as_deref(), Some("https://admin.mywebapp.com"));
    let not_admin = preflight(server.inference, "/ping", "https://admin.mywebapp.com", "GET");
    assert_eq!(allowed(&not_admin), None);
}

#[test]
fn any_origin_is_a_star_on_errors_too() {
    let server = TestServer::start(&["mlp"], &["cors.allowed.origin=*"]);
    for (method, path) in
        [("GET", "/ping"), ("POST", "/predictions/nope"), ("GET", "/nope"), ("GET", "/")]
    {
        let answer =
            request(server.inference, method, path, &[("Origin", "https://a.example")], b"");
        assert_eq!(allowed(&answer).as_deref(), Some("*"), "{method} {path}");
    }
    let large = vec![b'x'; 7_000_000];
    let headers = [("Origin", "https://a.example")];
    let answer = request(server.inference, "POST", "/predictions/mlp", &headers, &large);
    assert_eq!((answer.status, allowed(&answer).as_deref()), (413, Some("*")));
}

#[test]
fn options_without_a_request_method_is_the_api_description() {
    let server = TestServer::start(&["mlp"], &["cors.allowed.origin=https://mywebapp.com"]);
    let headers = [("Origin", "https://mywebapp.com")];
    let answer = request(server.inference, "OPTIONS", "/", &headers, b"");
    assert_eq!((answer.status, &answer.json()["openapi"]), (200, &"3.0.1".into()));
    assert_eq!(allowed(&answer).as_deref(), Some("https://mywebapp.com"));
}

#[test]
fn a_foreign_page_cannot_write_to_the_management_api_even_with_cors_off() {
    let server = TestServer::start(&["mlp"], &[]);
    let post = |headers: &[(&str, &str)]| {
        request(server.management, "POST", "/models?url=x.mar", headers, b"").status
    };
    assert_eq!(post(&[("Origin", "https://evil.example")]), 403);
    assert_eq!(post(&[("Sec-Fetch-Site", "cross-site")]), 403);
    assert_ne!(post(&[]), 403, "curl is no browser");
}

#[test]
fn b34_a_model_that_a_form_names_is_not_run_for_a_page_that_its_policy_blocks() {
    let server = TestServer::start(
        &["mlp", "echo"],
        &[
            "cors.allowed.origin=https://app.example.com, https://other.example.com",
            "cors.model.echo.allowed.origin=https://app.example.com",
            "cors.model.echo.block.disallowed=all",
        ],
    );
    let form = |origin: &str| {
        let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Origin", origin)];
        request(server.inference, "POST", "/invocations", &headers, b"model_name=echo&data=[7]")
    };
    let refused = form("https://other.example.com");
    assert_eq!(
        (refused.status, refused.json()["type"].as_str()),
        (403, Some("CorsDeniedException"))
    );
    assert_eq!(refused.header("access-control-allow-origin"), None);
    let accepted =
        "ts_predictions_total{model_name=\"echo\",model_version=\"1.0\",outcome=\"accepted\"";
    assert_eq!(server.metric(accepted), 0.0);
    let served = form("https://app.example.com");
    assert_eq!((served.status, served.json()), (200, serde_json::json!([7])));
    let granted = served.header("access-control-allow-origin");
    assert_eq!(granted.as_deref(), Some("https://app.example.com"));
    assert_eq!(server.metric(accepted), 1.0);
}
