//! `cors diff`, `cors export` and `cors vectors` through the binary, with their exit statuses.

use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::cors_commands::{text, torchfront};
use crate::support::{TestServer, checkout};

fn run(folder: &TempDir, arguments: &[&str]) -> Output {
    torchfront(folder.path()).args(arguments).output().unwrap()
}

fn write(folder: &TempDir, name: &str, lines: &str) {
    std::fs::write(folder.path().join(name), lines).unwrap();
}

/// `cors diff` of two policies: the exit status and the report.
#[track_caller]
fn diff(old: &str, new: &str) -> (i32, Value, String) {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "old", old);
    write(&folder, "new", new);
    let json = run(&folder, &["cors", "diff", "--json", "old", "new"]);
    let report = serde_json::from_slice(&json.stdout).unwrap_or_else(|_| panic!("{}", text(&json)));
    let said = run(&folder, &["cors", "diff", "old", "new"]);
    assert_eq!(said.status.code(), json.status.code());
    (json.status.code().unwrap(), report, text(&said))
}

#[test]
fn diff_ends_with_0_where_no_verdict_changes() {
    let old = "cors.allowed.origin=https://a.example, http://localhost:*\ncors.allowed.methods=GET,POST\n";
    for new in [
        old,
        "cors_allowed_origin=http://localhost:*,https://a.example\ncors.allowed.methods=POST, get\n",
        // Covered by the pattern already.
        "cors.allowed.origin=https://a.example, http://localhost:*, http://localhost:3000\n\
         cors.allowed.methods=GET,POST\ncors.allowed.headers=Content-Type\n",
    ] {
        let (status, report, said) = diff(old, new);
        assert_eq!(status, 0, "{said}");
        assert_eq!(report["changes"], Value::Array(vec![]));
        assert!(said.contains("same: no verdict changes"));
    }
    let (status, report, _) = diff(old, &format!("{old}cors.max.age=60\n"));
    assert_eq!(status, 0);
    assert_eq!(report["notes"][0], "inference: max-age 600 s -> 60 s");
}

#[test]
fn diff_ends_with_4_where_pages_get_more_and_names_it() {
    let old = "cors.allowed.origin=https://a.example\n";
    for (more, origin, what) in [
        (
            "cors.allowed.origin=https://a.example, https://b.example",
            "https://b.example",
            "read the answer to POST",
        ),
        (
            "cors.allowed.origin=https://a.example, https://*.b.example",
            "https://any-subdomain.b.example",
            "read the answer to GET",
        ),
        ("cors.allowed.origin=*", "https://stranger.example", "read the answer to GET"),
        ("cors.allowed.origin=*", "null", "read the answer to GET"),
        (
            "cors.allowed.origin=https://a.example\ncors.allowed.methods=GET, POST, DELETE",
            "https://a.example",
            "read the answer to DELETE",
        ),
        (
            "cors.allowed.origin=https://a.example\ncors.allowed.methods=*",
            "https://a.example",
            "read the answer to X-UNLISTED",
        ),
        (
            "cors.allowed.origin=https://a.example\ncors.allowed.headers=X-New",
            "https://a.example",
            "send the header x-new",
        ),
        (
            "cors.allowed.origin=https://a.example\ncors.exposed.headers=ETag",
            "https://a.example",
            "read the header etag",
        ),
        (
            "cors.allowed.origin=https://a.example\ncors.allow.credentials=true",
            "https://a.example",
            "send credentials",
        ),
        (
            "cors.allowed.origin=https://a.example\ncors.allow.private.network=true",
            "https://a.example",
            "reach it from a public network",
        ),
        (
            "cors.allowed.origin=https://a.example\nmanagement_cors.block.disallowed=off",
            "https://stranger.example",
            "send DELETE",
        ),
        (
            "cors.allowed.origin=https://a.example\ncors.model.m.allowed.origin=*",
            "https://stranger.example",
            "read the answer to POST",
        ),
        (
            "cors.allowed.origin=https://a.example\ncors.route.r.path=/x/*\ncors.route.r.allowed.origin=https://c.example",
            "https://c.example",
            "read the answer to POST",
        ),
    ] {
        let (status, report, said) = diff(old, more);
        assert_eq!(status, 4, "{more}: {said}");
        let found = report["changes"].as_array().unwrap().iter().any(|change| {
            let named = change["what"].as_array().unwrap().iter().any(|named| named == what);
            change["origin"] == origin && change["direction"] == "widened" && named
        });
        assert!(found, "{more}: {report:#}");
        assert!(said.contains(&format!("+ {origin}: ")), "{said}");
        // The other way round less is allowed; a route's own origin replaces the listener's.
        let (status, _, said) = diff(more, old);
        assert_eq!(status, if more.contains("route") { 4 } else { 5 }, "{more}: {said}");
    }
}

#[test]
fn diff_of_a_policy_that_does_both_ends_with_4() {
    let (status, report, said) =
        diff("cors.allowed.origin=https://a.example", "cors.allowed.origin=https://b.example");
    assert_eq!(status, 4, "{said}");
    assert_eq!((&report["widened"], &report["narrowed"]), (&Value::Bool(true), &Value::Bool(true)));
    assert!(said.contains("- https://a.example") && said.contains("+ https://b.example"), "{said}");
}

#[test]
fn diff_of_a_hundred_thousand_tenants_names_the_one_that_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let tenants: String = (0..100_000).map(|n| format!("https://t{n}.example\n")).collect();
    write(&folder, "old.txt", &tenants);
    write(&folder, "new.txt", &format!("{tenants}https://new.example\n"));
    for name in ["old", "new"] {
        write(&folder, name, &format!("cors.allowed.origin.file={name}.txt\n"));
    }
    let output = run(&folder, &["cors", "diff", "--json", "old", "new"]);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["changes"].as_array().unwrap().len(), 1);
    assert_eq!(report["changes"][0]["origin"], "https://new.example");
}

#[test]
fn diff_of_a_wrong_file_ends_with_78() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "good", "cors.allowed.origin=https://a.example");
    write(&folder, "bad", "cors.allowed.origin=null");
    for files in [["good", "bad"], ["bad", "good"], ["good", "nowhere"]] {
        let output = run(&folder, &["cors", "diff", files[0], files[1]]);
        assert_eq!(output.status.code(), Some(78), "{}", text(&output));
    }
}

#[test]
fn export_writes_for_each_target_and_ends_with_1_and_the_reason_where_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "good", "cors.allowed.origin=https://a.example\ncors.allow.credentials=true\n");
    for (target, part) in [
        ("nginx", "listen 127.0.0.1:9000;"),
        ("ingress-nginx", "nginx.ingress.kubernetes.io/cors-allow-credentials: \"true\""),
        ("envoy", "\"port_value\": 9000"),
        ("curl", "-H 'origin: https://a.example'"),
    ] {
        let output =
            run(&folder, &["cors", "export", "--to", target, "--listen", "127.0.0.1:9000", "good"]);
        assert!(output.status.success() && text(&output).contains(part), "{}", text(&output));
    }
    write(&folder, "bad", "cors.allowed.origin=https://*.a.example\ncors.allowed.methods=GET\n");
    let output = run(&folder, &["cors", "export", "--to", "ingress-nginx", "bad"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    assert!(said.contains("one label only") && said.contains("POST is not allowed"), "{said}");
    assert!(output.stdout.is_empty(), "half an export: {said}");
    for address in ["here", "127.0.0.1:99999", "a;b:80"] {
        let output =
            run(&folder, &["cors", "export", "--to", "nginx", "--upstream", address, "good"]);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    }
}

#[test]
fn annotations_are_yaml_with_every_default_of_the_controller_overridden() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "file", "cors.allowed.origin=https://a.example,https://b.example:8443\n");
    let output = run(&folder, &["cors", "export", "--to", "ingress-nginx", "file"]);
    let yaml: Value = serde_saphyr::from_str(&String::from_utf8_lossy(&output.stdout)).unwrap();
    let annotations = yaml["metadata"]["annotations"].as_object().unwrap();
    let value =
        |name: &str| annotations[&format!("nginx.ingress.kubernetes.io/{name}")].as_str().unwrap();
    assert_eq!(value("enable-cors"), "true");
    assert_eq!(value("cors-allow-origin"), "https://a.example, https://b.example:8443");
    assert_eq!(value("cors-allow-methods"), "GET, POST, OPTIONS");
    assert_eq!(value("cors-allow-headers"), "Content-Type");
    assert_eq!(value("cors-allow-credentials"), "false");
    assert_eq!(value("cors-max-age"), "600");
}

#[test]
fn the_script_for_curl_gets_from_the_server_what_it_says() {
    if Command::new("curl").arg("--version").output().is_err() {
        // tests/cors/edges.py asks for it.
        return;
    }
    let lines = "cors.allowed.origin=https://a.example\ncors.allowed.headers=X-A\ncors.exposed.headers=X-Request-Id";
    let server = TestServer::start(&["mlp"], &lines.lines().collect::<Vec<_>>());
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "file", lines);
    let made = run(&folder, &["cors", "export", "--to", "curl", "file"]);
    let script = String::from_utf8(made.stdout).unwrap();
    let mut compared = 0;
    for block in script.split("\n\n").skip(1) {
        let command: Vec<&str> = block.lines().filter(|line| !line.starts_with('#')).collect();
        let output = Command::new("sh")
            .args(["-c", &command.join("\n")])
            .env("url", format!("http://{}/ping", server.inference))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).to_lowercase();
        for line in block.lines() {
            if let Some(expected) = line.strip_prefix("# expect: ") {
                assert!(said.contains(&expected.to_lowercase()), "{block}\ngot {said}");
                compared += 1;
            } else if let Some(unwanted) = line.strip_prefix("# expect no: ") {
                assert!(!said.contains(unwanted), "{block}\ngot {said}");
                compared += 1;
            }
        }
    }
    assert!(compared > 10, "{script}");
}

#[test]
fn the_conformance_cases_hold_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let file = checkout("tests/cors/vectors.json").display().to_string();
    let output = run(&folder, &["cors", "vectors", "--json", &file]);
    assert!(output.status.success(), "{}", text(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["failed"], 0, "{report:#}");
    assert!(report["passed"].as_u64().unwrap() > 250, "{report:#}");
    assert!(report["skipped"].as_u64().unwrap() < 10, "{report:#}");
}

#[test]
fn cases_of_ones_own_are_held_against_ones_own_policy() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "policy", "cors.allowed.origin=https://a.example\n");
    let case = |expect: &str| {
        let case = r#"{"groups": [{"cases": [{"id": "1", "title": "the app may write",
            "request": {"method": "OPTIONS", "path": "/predictions/m", "headers": [
                ["Origin", "https://a.example"], ["Access-Control-Request-Method", "POST"]]},
            "expect": EXPECT}]}]}"#;
        write(&folder, "cases.json", &case.replace("EXPECT", expect));
        run(&folder, &["cors", "vectors", "--ts-config", "policy", "cases.json"])
    };
    let allowed =
        r#"{"status": 204, "headers_equal": {"Access-Control-Allow-Origin": "https://a.example"}}"#;
    let output = case(allowed);
    assert!(output.status.success() && text(&output).contains("1 passed"), "{}", text(&output));
    let output = case(r#"{"status": 403}"#);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("the status is 204, not 403"), "{}", text(&output));
    // A misspelt expectation must not pass.
    let output = case(r#"{"statsu": 204}"#);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("statsu"), "{}", text(&output));
    let output = run(&folder, &["cors", "vectors", "cases.json"]);
    assert_eq!(output.status.code(), Some(2));
    case(allowed);
    let output = run(&folder, &["cors", "vectors", "cases.json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("--ts-config"), "{}", text(&output));
}
