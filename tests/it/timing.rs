//! `Server-Timing`: what a prediction tells of its time, and which pages may see it.

use crate::support::{TestServer, request};

const MLP_ONE: &[u8] = b"[0.1, -0.2, 0.3, 0.4]";
const APP: &str = "https://app.example.com";

fn from(server: &TestServer, origin: Option<&str>) -> crate::support::Answer {
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(origin.map(|origin| ("Origin", origin)));
    request(server.inference, "POST", "/predictions/mlp", &headers, MLP_ONE)
}

#[test]
fn a_prediction_tells_where_its_time_went() {
    let server = TestServer::start(&["mlp", "digits"], &[]);
    // Also once the model is known to be quick, and the reactor runs it.
    for _ in 0..40 {
        let timing = from(&server, None).header("server-timing").unwrap();
        let mut steps = Vec::new();
        for entry in timing.split(", ") {
            let (name, millis) = entry.split_once(";dur=").unwrap();
            steps.push((name, millis.parse::<f64>().unwrap()));
        }
        let names: Vec<&str> = steps.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["queue", "preprocess", "forward", "postprocess", "total"]);
        let parts: f64 = steps[..4].iter().map(|(_, millis)| millis).sum();
        // Each is cut to a microsecond.
        assert!(parts <= steps[4].1 + 0.001, "{timing}");
        assert!(steps[2].1 > 0.0, "a forward takes time: {timing}");
    }
    for path in ["/ping", "/predictions/none"] {
        assert_eq!(request(server.inference, "GET", path, &[], b"").header("server-timing"), None);
    }
    let explained = request(server.inference, "PUT", "/explanations/mlp", &[], MLP_ONE);
    assert_eq!(explained.header("server-timing").is_some(), explained.status == 200);
}

#[test]
fn it_can_be_turned_off() {
    let server = TestServer::start(&["mlp"], &["server_timing=false"]);
    let answer = from(&server, None);
    assert_eq!((answer.status, answer.header("server-timing")), (200, None));
}

#[test]
fn b47_timings_are_for_allowed_origins_and_only_where_the_policy_says_so() {
    let origin = format!("cors.allowed.origin={APP}");
    let silent = TestServer::start(&["mlp"], &[&origin]);
    assert_eq!(from(&silent, Some(APP)).header("timing-allow-origin"), None);
    let open = TestServer::start(
        &["mlp"],
        &[&origin, "cors.allow.timing=true", "cors.exposed.headers=Server-Timing"],
    );
    let allowed = from(&open, Some(APP));
    assert_eq!(allowed.header("timing-allow-origin").as_deref(), Some(APP));
    assert_eq!(allowed.header("access-control-expose-headers").as_deref(), Some("Server-Timing"));
    for origin in [None, Some("https://evil.example"), Some("null")] {
        assert_eq!(from(&open, origin).header("timing-allow-origin"), None, "{origin:?}");
    }
    let any = TestServer::start(&["mlp"], &["cors.allowed.origin=*", "cors.allow.timing=true"]);
    assert_eq!(from(&any, Some(APP)).header("timing-allow-origin").as_deref(), Some("*"));
}
