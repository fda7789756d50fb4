//! What browsers report, and the seven indicators computed from `/metrics` alone.

use std::path::Path;

use super::*;

const LINES: [&str; 5] = [
    "cors.allowed.origin=https://app.example.com",
    "cors.exposed.headers=X-Request-Id",
    "cors.report.enabled=true",
    "cors.report.max.per.s=6",
    "cors.block.disallowed=all",
];

fn report(server: &TestServer, origin: &str, body: &str) -> Answer {
    let headers = [("Origin", origin), ("Content-Type", "text/plain;charset=UTF-8")];
    request(server.inference, "POST", "/cors/report", &headers, body.as_bytes())
}

#[test]
fn without_the_setting_there_is_no_beacon() {
    let server = TestServer::start(&["mlp"], &["cors.allowed.origin=https://app.example.com"]);
    assert_eq!(ask(server.inference, "/cors/rum.js", APP).status, 404);
    assert_eq!(report(&server, APP, "{\"v\":1,\"counts\":{\"ok\":1}}").status, 404);
    let text = metrics(&server);
    assert_eq!(sum(&text, "ts_cors_client_reports_rejected_total", &["disabled"]), 1.0);
    assert_eq!(sum(&text, "ts_cors_client_events_total", &[]), 0.0);
}

#[test]
fn the_first_report_of_a_listed_origin_is_an_increase() {
    let server = TestServer::start(&["mlp"], &LINES);
    let series = |origin: &str| {
        let text = metrics(&server);
        let lines = text.lines().filter(|line| line.starts_with("ts_cors_client_events_total{"));
        let own: Vec<_> = lines.filter(|line| line.contains(&format!("\"{origin}\""))).collect();
        assert!(own.iter().all(|line| line.ends_with(" 0.0")), "{own:?}");
        own.len()
    };
    // By outcome, and no more for an origin that nobody configured.
    assert_eq!((series(APP), series("_unlisted"), series("_other")), (6, 6, 6));
    edit(&server, APP, OTHER);
    assert_eq!(reload(&server).json()["result"], "applied");
    assert_eq!(series(OTHER), 6);
    crate::support::eventually("the origin of the policy before is forgotten", || series(APP) == 0);
}

#[test]
fn the_script_may_be_loaded_by_every_page_and_names_its_address() {
    let lines = [&LINES[..], &["cors.report.path=/seen", "disable_token_authorization=false"]];
    let server = TestServer::start(&["mlp"], &lines.concat());
    let answer = ask(server.inference, "/cors/rum.js", EVIL);
    assert_eq!((answer.status, allowed(&answer).as_deref()), (200, Some("*")));
    assert_eq!(answer.header("content-type").as_deref(), Some("text/javascript; charset=utf-8"));
    let script = answer.text();
    assert!(script.contains("'/seen'") && script.contains("'X-Request-Id'"), "{script}");
    assert!(!script.contains("__"), "{script}");
    // It is asked for without the key that other paths need.
    let headers = [("Origin", EVIL), ("Content-Type", "text/plain")];
    let body = b"{\"v\":1,\"counts\":{\"blocked\":1}}";
    assert_eq!(request(server.inference, "POST", "/seen", &headers, body).status, 204);
    assert_eq!(sum(&metrics(&server), "ts_cors_client_events_total", &["\"blocked\""]), 1.0);
}

#[test]
fn reports_are_counted_by_configured_origin_within_their_bounds_and_always_answered_alike() {
    let server = TestServer::start(&["mlp"], &LINES);
    let counts = |counts: &str| format!("{{\"v\":1,\"counts\":{{{counts}}}}}");
    assert_eq!(report(&server, APP, &counts("\"ok\":97,\"blocked\":1")).status, 204);
    // A page that is refused, and one that lies: no more than 1000 for a report.
    let foreign = report(&server, EVIL, &counts("\"preflight_blocked\":2"));
    assert_eq!((foreign.status, foreign.body.len(), allowed(&foreign)), (204, 0, None));
    report(&server, EVIL, &counts("\"network\":999999999"));
    report(&server, APP, "{\"v\":1,\"counts\":{\"ok\":1}");
    report(&server, APP, &"x".repeat(5000));
    let text = metrics(&server);
    let events = |labels: &[&str]| sum(&text, "ts_cors_client_events_total", labels);
    assert_eq!((events(&[APP, "\"ok\""]), events(&[APP, "\"blocked\""])), (97.0, 1.0));
    assert_eq!(events(&["\"_unlisted\"", "\"preflight_blocked\""]), 2.0);
    assert_eq!(events(&["\"_unlisted\"", "\"network\""]), 1000.0);
    assert!(!text.contains("evil.example"));
    let rejected = |text: &str, why| sum(text, "ts_cors_client_reports_rejected_total", &[why]);
    assert_eq!((rejected(&text, "\"syntax\""), rejected(&text, "\"size\"")), (1.0, 1.0));
    for _ in 0..60 {
        assert_eq!(report(&server, APP, &counts("\"ok\":1")).status, 204);
    }
    assert!(rejected(&metrics(&server), "\"rate\"") > 0.0);
}

/// A server with traffic of every sort, then each indicator from one scrape, as the documentation
/// defines them.
#[test]
fn m1_to_m7_are_computed_from_the_metrics_alone() {
    let lines = [&LINES[..], &["cors.allow.credentials=true"]].concat();
    let server = TestServer::start(&["mlp"], &lines);
    report(&server, APP, "{\"v\":1,\"counts\":{\"ok\":998,\"blocked\":1,\"credentials\":1}}");
    for _ in 0..8 {
        assert_eq!(preflight(server.inference, "/ping", APP, "POST").status, 204);
    }
    preflight(server.inference, "/ping", APP, "BREW");
    preflight(server.inference, "/ping", APP, "PUT");
    preflight(server.inference, "/ping", EVIL, "PUT");
    let cookie = |method: &str| {
        request(server.inference, method, "/ping", &[("Origin", APP), ("Cookie", "a=b")], b"")
    };
    for _ in 0..3 {
        assert_eq!(cookie("GET").status, 200);
    }
    cookie("DELETE");
    edit(&server, "cors.allow.credentials=true", "cors.allow.credentials=false");
    assert_eq!(reload(&server).json()["result"], "applied");
    assert_eq!(request(server.management, "POST", "/cors/rollback", &[], b"").status, 200);
    let finished = || sum(&metrics(&server), "ts_cors_probe_checks_total", &["\"pass\""]) == 3.0;
    crate::support::eventually("the self-test", finished);
    let text = metrics(&server);
    let of = |name: &str, labels: &[&str]| sum(&text, &format!("ts_cors_{name}"), labels);
    // M1: what browsers blocked.
    let outcomes = ["\"blocked\"", "\"preflight_blocked\"", "\"credentials\""];
    let blocked: f64 = outcomes.iter().map(|name| of("client_events_total", &[name])).sum();
    assert_eq!(blocked / of("client_events_total", &[]), 0.002);
    // M2: preflights of listed origins that our configuration refuses; and the foreign ones apart. The
    // self-test asks with one of each.
    let preflights =
        |reason: &str| of("decisions_total", &["\"preflight\"", "\"inference\"", reason]);
    let refused = preflights("reason=\"method_") + preflights("reason=\"headers_");
    assert_eq!(refused / (refused + preflights("reason=\"ok\"")), 2.0 / 11.0);
    assert_eq!(preflights("reason=\"origin_"), 2.0);
    // M3: requests with credentials.
    let credentialed = |labels: &[&str]| of("credentialed_requests_total", labels);
    let denied = credentialed(&[]) - credentialed(&["\"allowed\""]);
    assert_eq!(denied / credentialed(&[]), 0.25);
    // M4: headers that pages cannot read.
    assert_eq!(of("unexposed_header_total", &["\"inference\""]), 0.0);
    // M5: how long preflights take.
    let bucket = |le: &str| of("preflight_duration_seconds_bucket", &["\"inference\"", le]);
    assert_eq!(bucket("le=\"+Inf\""), 13.0);
    assert_eq!(of("preflight_duration_seconds_count", &["\"inference\""]), 13.0);
    // M6: changes that were taken back.
    let applied = of("policy_changes_total", &["\"inference\"", "\"applied\"", "\"api\""]);
    assert_eq!(of("policy_rollbacks_total", &["\"inference\""]) / applied, 0.5);
    // M7: synthetic checks.
    let (passed, all) = (of("probe_checks_total", &["\"pass\""]), of("probe_checks_total", &[]));
    assert_eq!(passed / all, 1.0);
    assert!(of("probe_last_success_timestamp_seconds", &["flow=\"self\""]) > 1.7e9);
}

#[test]
fn a_policy_in_shadow_mode_is_counted_and_sends_nothing() {
    let lines = ["cors.allowed.origin=https://app.example.com", "cors.mode=shadow"];
    let server = TestServer::start(&["mlp"], &lines);
    for origin in [APP, EVIL] {
        let answer = preflight(server.inference, "/predictions/mlp", origin, "POST");
        // The router's, as without CORS.
        assert_eq!((answer.status, allowed(&answer)), (200, None));
        let answer = ask(server.inference, "/ping", origin);
        assert_eq!((answer.status, allowed(&answer), answer.header("vary")), (200, None, None));
    }
    let text = metrics(&server);
    let decided = |labels: &[&str]| sum(&text, "ts_cors_decisions_total", labels);
    assert_eq!(decided(&["\"allowed\"", "\"ok\""]), 2.0);
    assert_eq!(decided(&["\"denied\"", "\"shadow_denied\""]), 2.0);
    let shadow = |direction| sum(&text, "ts_cors_shadow_disagreements_total", &[direction]);
    assert_eq!((shadow("\"would_deny\""), shadow("\"would_allow\"")), (2.0, 2.0));
    assert_eq!(sum(&text, "ts_cors_policy_info", &["\"shadow\""]), 1.0);
    // The reason that it would have.
    let denied = server.manage("/cors/denied").json();
    assert_eq!(denied["denied"][0]["reason"], "origin_not_listed");
}

fn write_candidate(folder: &Path, text: &str) {
    std::fs::write(folder.join("next.properties.new"), text).unwrap();
    std::fs::rename(folder.join("next.properties.new"), folder.join("next.properties")).unwrap();
}

#[test]
fn a_candidate_is_compared_with_the_policy_in_force() {
    let folder = tempfile::tempdir().unwrap();
    write_candidate(folder.path(), "cors.allowed.origin=https://other.example.com\n");
    let store = folder.path().join("store");
    std::fs::create_dir(&store).unwrap();
    let lines = [
        "cors.allowed.origin=https://app.example.com",
        "cors.shadow.file=next.properties",
        "cors.allowed.origin.file.reload.s=1",
        "cors.selftest=off",
    ];
    let server = TestServer::start_in(folder, &store, &lines);
    assert!(allowed(&ask(server.inference, "/ping", APP)).is_some());
    assert!(allowed(&ask(server.inference, "/ping", OTHER)).is_none());
    preflight(server.inference, "/ping", OTHER, "POST");
    ask(server.inference, "/ping", EVIL);
    let shadow = |direction| {
        let labels = ["\"inference\"", direction];
        sum(&metrics(&server), "ts_cors_shadow_disagreements_total", &labels)
    };
    assert_eq!((shadow("\"would_deny\""), shadow("\"would_allow\"")), (1.0, 2.0));
    let shown = server.manage("/cors/policy").json()["listeners"][0]["shadow"].clone();
    assert_eq!(shown["policies"][0]["origins"], 1);
    // The candidate is followed; one that cannot be used is a warning.
    write_candidate(server.folder.path(), "cors.allowed.origin=https://app.example.com/\n");
    crate::support::eventually("the warning", || {
        server.manage("/cors/policy").json()["warnings"].to_string().contains("CORS-W119")
    });
    assert!(allowed(&ask(server.inference, "/ping", APP)).is_some());
    assert!(server.manage("/cors/policy").json()["listeners"][0]["shadow"].is_null());
}

#[test]
fn the_self_test_asks_every_policy_over_the_real_sockets() {
    let lines = [
        "cors.allowed.origin=https://app.example.com",
        "cors.model.mlp.allowed.origin=*",
        "management_cors.allowed.origin=https://*.example.com",
        "metrics_cors.allowed.origin=https://app.example.com",
        "metrics_cors.selftest=off",
        "inference_address=https://127.0.0.1:0",
    ];
    let server = TestServer::start(&["mlp"], &lines);
    let passed = || sum(&metrics(&server), "ts_cors_probe_checks_total", &["\"pass\""]);
    // Three of the listener, two of the model, three of management.
    crate::support::eventually("the self-test", || passed() == 8.0);
    assert_eq!(sum(&metrics(&server), "ts_cors_probe_checks_total", &["\"fail\""]), 0.0);
    // Its stranger is no news.
    assert_eq!(server.manage("/cors/denied").json()["denied"], serde_json::json!([]));
}
