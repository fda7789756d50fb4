//! `cors.engine=actix`: the same permissions through the crate actix-cors, over real listeners.

use std::net::SocketAddr;

use crate::support::{Answer, TestServer, request};

const APP: &str = "https://mywebapp.com";
const EVIL: &str = "https://evil.example";
const POLICY: [&str; 5] = [
    "cors.allowed.origin=https://mywebapp.com, https://*.mywebapp.com",
    "cors.allowed.methods=GET, POST, PUT",
    "cors.allowed.headers=Authorization, X-Custom-Token",
    "cors.exposed.headers=X-Request-Id",
    "cors.allow.credentials=true",
];

fn serving(engine: &str) -> TestServer {
    let line = format!("cors.engine={engine}");
    let management = "management_cors.allowed.origin=https://mywebapp.com";
    TestServer::start(&["mlp"], &[&POLICY[..], &[&*line, management]].concat())
}

fn preflight(to: SocketAddr, origin: &str, method: &str, headers: &str) -> Answer {
    let mut lines = vec![("Origin", origin), ("Access-Control-Request-Method", method)];
    if !headers.is_empty() {
        lines.push(("Access-Control-Request-Headers", headers));
    }
    request(to, "OPTIONS", "/predictions/mlp", &lines, b"")
}

fn allowed(answer: &Answer) -> Option<String> {
    answer.header("access-control-allow-origin")
}

#[test]
fn both_engines_permit_the_same() {
    let [native, actix] = ["native", "actix"].map(serving);
    for origin in [APP, "https://x.mywebapp.com", EVIL, "http://mywebapp.com", "null"] {
        for (method, headers) in [
            ("GET", ""),
            ("HEAD", ""),
            ("POST", "content-type"),
            ("PUT", "authorization,x-custom-token"),
            ("DELETE", ""),
            ("POST", "x-other"),
        ] {
            let [ours, theirs] = [&native, &actix]
                .map(|server| preflight(server.inference, origin, method, headers));
            let asked = format!("{origin} {method} {headers}");
            assert_eq!(allowed(&ours), allowed(&theirs), "{asked}");
            let statuses = if allowed(&ours).is_some() { (204, 200) } else { (403, 400) };
            assert_eq!((ours.status, theirs.status), statuses, "{asked}");
        }
        for path in ["/ping", "/predictions/mlp", "/predictions/nope", "/nope"] {
            let [ours, theirs] = [&native, &actix].map(|server| {
                let headers = [("Origin", origin)];
                request(server.inference, "POST", path, &headers, b"[0.1, -0.2, 0.3, 0.4]")
            });
            assert_eq!((ours.status, allowed(&ours)), (theirs.status, allowed(&theirs)), "{path}");
            assert_eq!(ours.text().len(), theirs.text().len(), "{path}");
        }
    }
}

#[test]
fn management_and_metrics_stay_with_the_native_engine() {
    let server = serving("actix");
    let granted = preflight(server.management, APP, "GET", "");
    assert_eq!((granted.status, allowed(&granted).as_deref()), (204, Some(APP)));
    assert_eq!(preflight(server.management, EVIL, "GET", "").status, 403);
    let written = request(server.management, "POST", "/models", &[("Origin", EVIL)], b"");
    assert_eq!(written.error().1, "CorsDeniedException");
    let metrics = request(server.metrics, "GET", "/metrics", &[("Origin", APP)], b"");
    assert_eq!((metrics.status, allowed(&metrics)), (200, None));
}

#[test]
fn the_other_engine_is_out_of_the_way_where_cors_is_off() {
    let server = TestServer::start(&["mlp"], &[POLICY[0], "cors.mode=off", "cors.engine=actix"]);
    let answer = request(server.inference, "GET", "/ping", &[("Origin", APP)], b"");
    assert_eq!((answer.status, allowed(&answer), answer.header("vary")), (200, None, None));
}
