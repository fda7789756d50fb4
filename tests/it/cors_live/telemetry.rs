//! Every decision in the metrics, in the log and in what the management listener shows.

use serde_json::Value;

use super::*;

/// The families of the contract: dashboards and rules are written against these names.
const FAMILIES: [&str; 21] = [
    "ts_cors_decisions_total",
    "ts_cors_responses_total",
    "ts_cors_preflight_duration_seconds",
    "ts_cors_credentialed_requests_total",
    "ts_cors_origin_requests_total",
    "ts_cors_origin_last_seen_timestamp_seconds",
    "ts_cors_unexposed_header_total",
    "ts_cors_upstream_headers_stripped_total",
    "ts_cors_client_events_total",
    "ts_cors_client_reports_rejected_total",
    "ts_cors_policy_info",
    "ts_cors_policy_wildcard",
    "ts_cors_policy_credentials",
    "ts_cors_policy_origins",
    "ts_cors_policy_warnings",
    "ts_cors_policy_changes_total",
    "ts_cors_policy_rollbacks_total",
    "ts_cors_policy_last_change_timestamp_seconds",
    "ts_cors_shadow_disagreements_total",
    "ts_cors_probe_checks_total",
    "ts_cors_probe_last_success_timestamp_seconds",
];

const LINES: [&str; 7] = [
    "cors.allowed.origin=https://app.example.com, https://*.example.org",
    "cors.allowed.headers=X-Custom",
    "cors.allow.credentials=true",
    "cors.model.mlp.max.age=5",
    "cors.selftest=off",
    "management_cors.allowed.origin=https://admin.example.com",
    "management_cors.selftest=off",
];

#[test]
fn every_family_is_there_once_with_the_labels_of_the_contract_alone() {
    let server = TestServer::start(&["mlp"], &LINES);
    ask(server.inference, "/ping", APP);
    let text = metrics(&server);
    for family in FAMILIES {
        // It has no value before the first self-test.
        if family != "ts_cors_probe_last_success_timestamp_seconds" {
            assert_eq!(text.matches(&format!("# TYPE {family} ")).count(), 1, "{family}");
        }
    }
    let labels = ["listener", "policy", "kind", "decision", "reason", "class", "origin", "header"];
    let more = ["outcome", "hash", "mode", "type", "trigger", "result", "direction", "flow", "le"];
    for line in text.lines().filter(|line| line.starts_with("ts_cors_")) {
        let (_, rest) = line.split_once('{').unwrap();
        let (all, _) = rest.rsplit_once('}').unwrap();
        for label in all.split("\",") {
            let name = label.split('=').next().unwrap();
            assert!(labels.contains(&name) || more.contains(&name), "{line}");
        }
    }
}

#[test]
fn each_request_is_counted_where_it_was_decided_and_by_nothing_that_it_says() {
    let server = TestServer::start(&["mlp"], &LINES);
    let inference = server.inference;
    assert_eq!(preflight(inference, "/ping", APP, "POST").status, 204);
    assert_eq!(preflight(inference, "/predictions/mlp", APP, "POST").status, 204);
    assert_eq!(preflight(inference, "/ping", APP, "BREW").status, 403);
    assert_eq!(preflight(inference, "/ping", EVIL, "POST").status, 403);
    ask(inference, "/ping", "https://x.example.org");
    ask(inference, "/nope", APP);
    ask(inference, "/ping", EVIL);
    request(inference, "GET", "/ping", &[("Origin", APP), ("Cookie", "a=b")], b"");
    request(inference, "PUT", "/ping", &[("Origin", APP), ("Authorization", "b")], b"");
    request(inference, "GET", "/ping", &[], b"");
    request(server.management, "POST", "/models", &[("Origin", EVIL)], b"");
    let text = metrics(&server);
    for (policy, kind, decision, reason, expected) in [
        ("inference", "preflight", "allowed", "ok", 1.0),
        ("model:mlp", "preflight", "allowed", "ok", 1.0),
        ("inference", "preflight", "denied", "method_not_listed", 1.0),
        ("inference", "preflight", "denied", "origin_not_listed", 1.0),
        ("inference", "actual", "allowed", "ok", 3.0),
        ("inference", "actual", "denied", "origin_not_listed", 1.0),
        ("inference", "actual", "denied", "method_not_listed", 1.0),
        ("inference", "none", "not_cors", "no_origin", 1.0),
        ("management", "actual", "blocked", "cross_site_write", 1.0),
    ] {
        let labels = [
            format!("policy=\"{policy}\""),
            format!("kind=\"{kind}\""),
            format!("decision=\"{decision}\""),
            format!("reason=\"{reason}\""),
        ];
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        assert_eq!(sum(&text, "ts_cors_decisions_total", &labels), expected, "{labels:?}\n{text}");
    }
    let responses = |labels: &[&str]| sum(&text, "ts_cors_responses_total", labels);
    let inference = "listener=\"inference\"";
    assert_eq!(responses(&[inference, "decision=\"allowed\"", "class=\"2xx\""]), 2.0);
    assert_eq!(responses(&[inference, "decision=\"allowed\"", "class=\"4xx\""]), 1.0);
    assert_eq!(responses(&["management", "decision=\"blocked\"", "class=\"4xx\""]), 1.0);
    let credentialed = |labels: &[&str]| sum(&text, "ts_cors_credentialed_requests_total", labels);
    assert_eq!(credentialed(&["decision=\"allowed\"", "class=\"2xx\""]), 1.0);
    assert_eq!(credentialed(&["decision=\"denied\""]), 1.0);
    let origins = |origin: &str, kind: &str| {
        let labels = [inference, &format!("origin=\"{origin}\""), &format!("kind=\"{kind}\"")];
        sum(&text, "ts_cors_origin_requests_total", &labels)
    };
    assert_eq!((origins(APP, "preflight"), origins(APP, "actual")), (3.0, 3.0));
    assert_eq!(origins("https://*.example.org", "actual"), 1.0);
    assert_eq!((origins("_unlisted", "preflight"), origins("_unlisted", "actual")), (1.0, 1.0));
    assert!(sum(&text, "ts_cors_origin_last_seen_timestamp_seconds", &[APP]) > 1.7e9);
    // Of every answer that a page of an allowed origin got.
    assert_eq!(sum(&text, "ts_cors_unexposed_header_total", &["X-Request-Id"]), 3.0);
    let durations = sum(&text, "ts_cors_preflight_duration_seconds_count", &[inference]);
    assert_eq!(durations, 4.0);
    let infinite = sum(&text, "ts_cors_preflight_duration_seconds_bucket", &[inference, "+Inf"]);
    assert_eq!(infinite, 4.0);
    let words = text.lines().filter(|line| line.starts_with("ts_cors_"));
    assert!(words.clone().all(|line| !line.contains("evil") && !line.contains("BREW")), "{text}");
}

#[test]
fn gauges_tell_what_is_in_force() {
    let lines = [&LINES[..], &["metrics_cors.allowed.origin=*"]].concat();
    let server = TestServer::start(&["mlp"], &lines);
    let text = metrics(&server);
    let gauge = |name: &str, labels: &[&str]| sum(&text, name, labels);
    let policies = ["policy=\"inference\"", "policy=\"model:mlp\""];
    for policy in policies {
        assert_eq!(gauge("ts_cors_policy_credentials", &[policy]), 1.0, "{text}");
        assert_eq!(gauge("ts_cors_policy_wildcard", &[policy]), 0.0);
    }
    assert_eq!(gauge("ts_cors_policy_wildcard", &["policy=\"metrics\""]), 1.0);
    let inference = "listener=\"inference\"";
    assert_eq!(gauge("ts_cors_policy_origins", &[inference, "type=\"exact\""]), 1.0);
    assert_eq!(gauge("ts_cors_policy_origins", &[inference, "type=\"pattern\""]), 1.0);
    assert_eq!(gauge("ts_cors_policy_info", &[inference, "mode=\"enforce\""]), 1.0);
    assert!(gauge("ts_cors_policy_warnings", &[inference]) >= 1.0);
    let labels = [inference, "trigger=\"start\"", "result=\"applied\""];
    assert_eq!(gauge("ts_cors_policy_changes_total", &labels), 1.0);
    assert!(gauge("ts_cors_policy_last_change_timestamp_seconds", &[inference]) > 1.7e9);
}

#[test]
fn the_management_listener_shows_policies_denials_and_use() {
    let server = TestServer::start(&["mlp"], &LINES);
    for _ in 0..3 {
        preflight(server.inference, "/ping", EVIL, "POST");
    }
    let names = ("Access-Control-Request-Headers", "x-custom, x-new");
    let method = ("Access-Control-Request-Method", "POST");
    request(server.inference, "OPTIONS", "/ping", &[("Origin", APP), method, names], b"");
    let policy = server.manage("/cors/policy").json();
    assert_eq!(policy["hash"].as_str().unwrap().len(), 8);
    let inference = &policy["listeners"][0];
    assert_eq!(inference["listener"], "inference");
    assert_eq!(inference["policies"][0]["allowed_origins"][0], APP);
    assert_eq!(inference["policies"][1]["policy"], "model:mlp");
    assert_eq!(inference["policies"][1]["max_age"], 5);
    let sources = policy["sources"].as_array().unwrap();
    let origin = sources.iter().find(|one| one["key"] == "cors.allowed.origin").unwrap();
    assert!(origin["source"].as_str().unwrap().ends_with("config.properties"));
    assert!(policy["warnings"][0]["code"].as_str().unwrap().starts_with("CORS-W"));
    assert_eq!(policy["history"], Value::Array(Vec::new()));
    let denied = server.manage("/cors/denied").json();
    assert_eq!(denied["capacity"], 100);
    let first = &denied["denied"][0];
    assert_eq!((&first["origin"], &first["reason"]), (&EVIL.into(), &"origin_not_listed".into()));
    assert_eq!((&first["count"], &first["listed"]), (&3.into(), &false.into()));
    let second = &denied["denied"][1];
    assert_eq!(
        (&second["reason"], &second["detail"]),
        (&"headers_not_listed".into(), &"x-new".into())
    );
    let origins = server.manage("/cors/origins?limit=1").json();
    let listed = &origins["listeners"][0];
    assert_eq!((&listed["total"], &listed["next_page_token"]), (&4.into(), &"1".into()));
    assert_eq!(listed["origins"][0]["origin"], APP);
    assert_eq!(listed["origins"][0]["requests"]["preflight"], 1);
    assert!(listed["origins"][0]["last_seen"].as_u64().unwrap() > 1_700_000_000);
    assert_eq!(listed["unlisted"]["requests"]["preflight"], 3);
    let next = server.manage("/cors/origins?limit=3&next_page_token=1").json();
    let next = &next["listeners"][0];
    assert_eq!(next["origins"].as_array().unwrap().len(), 3);
    assert!(next.get("next_page_token").is_none());
    assert_eq!(next["origins"][1]["policy"], "model:mlp");
}

#[test]
fn a_refused_host_is_shown_with_its_time_though_no_page_has_sent_it() {
    let server = TestServer::start(&["mlp"], &LINES);
    let refused = request(server.management, "GET", "/models", &[("Host", "evil.example")], b"");
    assert_eq!(refused.status, 421);
    let denied = server.manage("/cors/denied").json();
    let first = &denied["denied"][0];
    assert_eq!((&first["origin"], &first["reason"]), (&"".into(), &"foreign_blocked".into()));
    assert!(first["last_seen"].as_u64().unwrap() > 1_700_000_000, "{first}");
}

#[test]
fn what_is_shown_of_cors_is_never_shown_to_another_origin() {
    let lines = [&LINES[..], &["management_cors.allowed.methods=GET, POST"]].concat();
    let server = TestServer::start(&["mlp"], &lines);
    let admin = "https://admin.example.com";
    assert_eq!(allowed(&ask(server.management, "/models", admin)).as_deref(), Some(admin));
    for path in ["/cors/policy", "/cors/denied", "/cors/origins", "/%63ors/policy/"] {
        let answer = ask(server.management, path, admin);
        assert_eq!((answer.status, allowed(&answer)), (403, None), "{path}");
        let answer = preflight(server.management, path, admin, "GET");
        assert_eq!((answer.status, allowed(&answer)), (403, None), "{path}");
        // A page of the listener itself: the console.
        let own = format!("http://{}", server.management);
        assert_eq!(ask(server.management, path, &own).status, 200, "{path}");
    }
    for path in ["/cors/reload", "/cors/rollback"] {
        let answer = request(server.management, "POST", path, &[("Origin", admin)], b"");
        assert_eq!((answer.status, allowed(&answer)), (403, None), "{path}");
        assert_eq!(server.manage(path).status, 405, "{path}");
    }
}

#[test]
fn it_is_shown_to_who_has_the_management_key() {
    let server = TestServer::start(&["mlp"], &["disable_token_authorization=false"]);
    let text = std::fs::read_to_string(server.folder.path().join("key_file.json")).unwrap();
    let keys: Value = serde_json::from_str(&text).unwrap();
    let bearer = |name: &str| format!("Bearer {}", keys[name]["key"].as_str().unwrap());
    for (method, path) in [
        ("GET", "/cors/policy"),
        ("GET", "/cors/denied"),
        ("GET", "/cors/origins"),
        ("POST", "/cors/reload"),
        ("POST", "/cors/rollback"),
    ] {
        let with = |key: &str| {
            request(server.management, method, path, &[("Authorization", key)], b"").status
        };
        assert_eq!(request(server.management, method, path, &[], b"").status, 400, "{path}");
        assert_eq!(with(&bearer("inference")), 400, "{path}");
        assert_eq!(with(&bearer("management")), if path.ends_with("k") { 404 } else { 200 });
    }
}

#[test]
fn numbers_of_a_policy_that_went_are_added_and_its_labels_go() {
    let server = TestServer::start(&["mlp"], &LINES);
    preflight(server.inference, "/predictions/mlp", APP, "POST");
    edit(&server, "cors.model.mlp.max.age=5", "cors.max.age=60");
    edit(&server, APP, OTHER);
    assert_eq!(reload(&server).status, 200);
    preflight(server.inference, "/predictions/mlp", OTHER, "POST");
    let text = metrics(&server);
    assert!(!text.contains("model:mlp") && !text.contains(APP), "{text}");
    let labels = ["policy=\"inference\"", "kind=\"preflight\"", "decision=\"allowed\""];
    assert_eq!(sum(&text, "ts_cors_decisions_total", &labels), 1.0);
    assert_eq!(sum(&text, "ts_cors_policy_info", &["listener=\"inference\""]), 1.0);
}
