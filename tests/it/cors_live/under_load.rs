//! Policies that change while requests come in: every answer is of one policy, none is lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::*;
use crate::support::Client;

/// Two policies that differ in everything that an answer shows.
const ONE: &str = "cors.allowed.origin=https://app.example.com\ncors.max.age=11\n\
    cors.allowed.headers=X-One\ncors.allowed.methods=GET, POST\n";
const TWO: &str = "cors.allowed.origin=https://app.example.com, https://other.example.com\n\
    cors.max.age=22\ncors.allowed.headers=X-Two\ncors.allowed.methods=GET, POST, PUT\n";

/// What a preflight of the first origin is answered under each.
fn belongs(answer: &Answer) -> Option<usize> {
    let header = |name: &str| answer.header(name).unwrap_or_default();
    let found = (
        header("access-control-max-age"),
        header("access-control-allow-headers"),
        header("access-control-allow-methods"),
        header("access-control-allow-origin"),
    );
    let known = [("11", "X-One", "GET, POST"), ("22", "X-Two", "GET, POST, PUT")];
    known.iter().position(|(age, headers, methods)| {
        let headers = format!("Content-Type, {headers}");
        (found.0.as_str(), &found.1, found.2.as_str(), found.3.as_str())
            == (*age, &headers, *methods, APP)
    })
}

#[test]
fn no_request_is_answered_by_a_mixed_policy_and_none_fails() {
    let server = TestServer::start(&["mlp"], &["cors.selftest=off", ONE]);
    let stop = AtomicBool::new(false);
    let answered = [AtomicU64::new(0), AtomicU64::new(0)];
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = Client::connect(server.inference);
                let headers = [
                    ("Origin", APP),
                    ("Access-Control-Request-Method", "POST"),
                    ("Access-Control-Request-Headers", "content-type"),
                ];
                while !stop.load(Relaxed) {
                    let answer = client.request("OPTIONS", "/predictions/mlp", &headers, b"");
                    assert_eq!(answer.status, 204);
                    let policy = belongs(&answer).unwrap_or_else(|| panic!("{:?}", answer.headers));
                    answered[policy].fetch_add(1, Relaxed);
                    let answer = client.request("GET", "/ping", &[("Origin", APP)], b"");
                    assert_eq!((answer.status, allowed(&answer).as_deref()), (200, Some(APP)));
                }
            });
        }
        let mut texts = [ONE, TWO];
        for _ in 0..20 {
            edit(&server, texts[0], texts[1]);
            texts.reverse();
            let answer = reload(&server);
            assert_eq!((answer.status, &answer.json()["result"]), (200, &"applied".into()));
            // Both policies are met.
            let at = usize::from(texts[0] == TWO);
            let seen = answered[at].load(Relaxed);
            crate::support::eventually("an answer under the new policy", || {
                answered[at].load(Relaxed) > seen
            });
        }
        stop.store(true, Relaxed);
    });
    let text = metrics(&server);
    let decided =
        sum(&text, "ts_cors_decisions_total", &["\"preflight\"", "\"inference\"", "\"ok\""]);
    let both = answered[0].load(Relaxed) + answered[1].load(Relaxed);
    // What the policies before have counted is not lost.
    assert_eq!(decided, both as f64);
}
