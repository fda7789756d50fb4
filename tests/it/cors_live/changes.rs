//! Policies that change while the server runs: by a file, a signal and the API.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::support::eventually;

const LIST: [&str; 4] = [
    "cors.allowed.origin=https://app.example.com",
    "cors.allowed.origin.file=origins.txt",
    "cors.allowed.origin.file.reload.s=1",
    "cors.selftest=off",
];

fn with_list(list: &str) -> TestServer {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("origins.txt"), list).unwrap();
    let store = folder.path().join("store");
    fs::create_dir(&store).unwrap();
    TestServer::start_in(folder, &store, &LIST)
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

fn shares(server: &TestServer, origin: &str) -> bool {
    allowed(&ask(server.inference, "/ping", origin)).as_deref() == Some(origin)
}

fn changes(server: &TestServer, trigger: &str, result: &str) -> f64 {
    let labels = ["inference", &format!("\"{trigger}\""), &format!("\"{result}\"")];
    sum(&metrics(server), "ts_cors_policy_changes_total", &labels)
}

#[test]
fn a_list_that_is_replaced_takes_effect_and_a_bad_one_does_not() {
    let server = with_list("https://a.example\n");
    let file = server.folder.path().join("origins.txt");
    assert!(shares(&server, APP) && shares(&server, "https://a.example"));
    replace(&file, "# tenants\nhttps://b.example\n");
    eventually("the new list", || shares(&server, "https://b.example"));
    assert!(shares(&server, APP) && !shares(&server, "https://a.example"));
    assert_eq!(changes(&server, "file", "applied"), 1.0);
    replace(&file, "https://c.example\n*\n");
    eventually("the bad list is noticed", || changes(&server, "file", "rejected") == 1.0);
    assert!(shares(&server, "https://b.example") && !shares(&server, "https://c.example"));
    let shown = server.manage("/cors/policy").json();
    assert_eq!(shown["last_change"]["result"], "rejected");
    assert_eq!(shown["last_change"]["problems"][0]["code"], "CORS-E091");
    // Put right, and gone.
    replace(&file, "https://c.example\n");
    eventually("the mended list", || shares(&server, "https://c.example"));
    fs::remove_file(&file).unwrap();
    eventually("the loss is noticed", || changes(&server, "file", "rejected") == 2.0);
    assert!(shares(&server, "https://c.example"));
    replace(&file, "https://d.example\n");
    eventually("it is back", || shares(&server, "https://d.example"));
    let text = metrics(&server);
    assert_eq!(sum(&text, "ts_cors_policy_origins", &["inference", "\"file\""]), 1.0);
}

#[test]
fn a_list_behind_links_as_in_a_config_map_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (version, origin) in [("v1", "https://a.example"), ("v2", "https://b.example")] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("origins.txt"), origin).unwrap();
    }
    std::os::unix::fs::symlink("v1", at("..data")).unwrap();
    std::os::unix::fs::symlink("..data/origins.txt", at("origins.txt")).unwrap();
    let store = at("store");
    fs::create_dir(&store).unwrap();
    let server = TestServer::start_in(folder, &store, &LIST);
    assert!(shares(&server, "https://a.example"));
    let at = |name: &str| server.folder.path().join(name);
    std::os::unix::fs::symlink("v2", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    eventually("the other version", || shares(&server, "https://b.example"));
    assert!(!shares(&server, "https://a.example"));
}

#[test]
fn a_reload_changes_everything_that_the_file_says_or_nothing() {
    let lines = ["cors.allowed.origin=https://app.example.com", "cors.selftest=off"];
    let server = TestServer::start(&["mlp"], &lines);
    let before = server.manage("/cors/policy").json()["hash"].clone();
    let same = reload(&server);
    assert_eq!((same.status, &same.json()["result"]), (200, &"unchanged".into()));
    edit(
        &server,
        lines[0],
        "cors.allowed.origin=https://other.example.com\ncors.max.age=60\n\
         management_cors.allowed.origin=https://admin.example.com",
    );
    let answer = reload(&server);
    let report = answer.json();
    assert_eq!((answer.status, &report["result"]), (200, &"applied".into()), "{report}");
    assert_eq!(report["previous_hash"], before);
    let properties: Vec<&str> = report["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["property"].as_str().unwrap())
        .collect();
    assert_eq!(properties, ["allowed.origin", "max.age", "allowed.origin"]);
    assert!(report["warnings"].is_array() && report["policies"][0]["matrix"].is_array());
    assert!(shares(&server, OTHER) && !shares(&server, APP));
    let answer = preflight(server.inference, "/predictions/mlp", OTHER, "POST");
    assert_eq!(answer.header("access-control-max-age").as_deref(), Some("60"));
    let admin = ask(server.management, "/models", "https://admin.example.com");
    assert!(allowed(&admin).is_some());
    // One mistake, and nothing of it is applied.
    edit(&server, "cors.max.age=60", "cors.max.age=never\ncors.allow.credential=true");
    edit(&server, "https://other.example.com", "https://app.example.com");
    let answer = reload(&server);
    let (status, kind, message) = answer.error();
    assert_eq!((status, kind.as_str()), (400, "CorsReloadException"), "{message}");
    let codes: Vec<Value> = answer.json()["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| problem["code"].clone())
        .collect();
    assert_eq!(codes, ["CORS-E060", "CORS-E001"]);
    assert!(shares(&server, OTHER) && !shares(&server, APP));
    assert_eq!(changes(&server, "api", "rejected"), 1.0);
}

#[test]
fn a_configuration_that_cannot_be_read_changes_nothing() {
    let server = TestServer::start(&["mlp"], &["cors.allowed.origin=https://app.example.com"]);
    let file = server.folder.path().join("config.properties");
    fs::rename(&file, file.with_extension("gone")).unwrap();
    let answer = reload(&server);
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["problems"][0]["code"], "CORS-E093", "{}", answer.text());
    assert!(shares(&server, APP));
}

#[test]
fn a_signal_reloads_and_what_needs_a_restart_is_said() {
    let server = TestServer::start(&["mlp"], &["cors.allowed.origin=https://app.example.com"]);
    edit(&server, "https://app.example.com", "https://other.example.com");
    server.reload();
    eventually("the reload", || shares(&server, OTHER));
    assert_eq!(changes(&server, "signal", "applied"), 1.0);
    edit(
        &server,
        "cors.allowed.origin=",
        "job_queue_size=7\ncors.report.enabled=true\ncors.allowed.origin=",
    );
    let report = reload(&server).json();
    let said = report["restart_required"].to_string();
    assert_eq!(said, "[\"job_queue_size\",\"cors.report.enabled\"]");
}

#[test]
fn a_policy_of_the_last_sixteen_comes_back() {
    let line = "cors.allowed.origin=https://app.example.com";
    let server = TestServer::start(&["mlp"], &[line]);
    let roll_back = |query: &str| {
        let path = format!("/cors/rollback{query}");
        request(server.management, "POST", &path, &[], b"")
    };
    assert_eq!(roll_back("").status, 404);
    let first = server.manage("/cors/policy").json()["hash"].as_str().unwrap().to_owned();
    let mut before = line.to_owned();
    let mut hashes = vec![first.clone()];
    for number in 0..17 {
        let line = format!("cors.allowed.origin=https://app{number}.example.com");
        edit(&server, &before, &line);
        let report = reload(&server).json();
        hashes.push(report["hash"].as_str().unwrap().to_owned());
        before = line;
    }
    let history = server.manage("/cors/policy").json()["history"].clone();
    let known: Vec<&str> =
        history.as_array().unwrap().iter().map(|one| one["hash"].as_str().unwrap()).collect();
    let expected: Vec<&str> = hashes[1..17].iter().rev().map(String::as_str).collect();
    assert_eq!(known, expected);
    assert_eq!(roll_back(&format!("?hash={first}")).status, 404);
    let answer = roll_back("");
    assert_eq!((answer.status, &answer.json()["hash"]), (200, &hashes[16].clone().into()));
    assert!(shares(&server, "https://app15.example.com"));
    let answer = roll_back(&format!("?hash={}", hashes[3]));
    assert_eq!(answer.status, 200);
    assert!(shares(&server, "https://app2.example.com"));
    let text = metrics(&server);
    assert_eq!(sum(&text, "ts_cors_policy_rollbacks_total", &["inference"]), 2.0);
    assert_eq!(sum(&text, "ts_cors_policy_rollbacks_total", &["management"]), 0.0);
    // The file still says what it said: the next reload brings that.
    assert_eq!(reload(&server).json()["hash"], hashes[17]);
}

#[test]
fn a_rollback_brings_back_the_list_as_it_was() {
    let server = with_list("https://a.example\n");
    replace(&server.folder.path().join("origins.txt"), "https://b.example\n");
    eventually("the new list", || shares(&server, "https://b.example"));
    let answer = request(server.management, "POST", "/cors/rollback", &[], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(shares(&server, "https://a.example") && !shares(&server, "https://b.example"));
    // And the file is followed as before.
    replace(&server.folder.path().join("origins.txt"), "https://c.example\n");
    eventually("the next list", || shares(&server, "https://c.example"));
}

#[test]
fn a_hundred_thousand_origins_are_followed_and_their_use_is_known() {
    let list: String = (0..100_000).map(|n| format!("https://t{n}.example\n")).collect();
    let server = with_list(&list);
    assert!(shares(&server, "https://t99999.example"));
    replace(&server.folder.path().join("origins.txt"), &(list + "https://new.example\n"));
    eventually("the longer list", || shares(&server, "https://new.example"));
    let origins = server.manage("/cors/origins?limit=2&next_page_token=100000").json();
    let origins = &origins["listeners"][0]["origins"];
    assert_eq!(origins[0]["origin"], "https://t99999.example");
    // Kept over the change.
    assert!(origins[0]["last_seen"].is_u64() && origins[1]["last_seen"].is_u64(), "{origins}");
    let text = metrics(&server);
    // 50 slots, and those that share one.
    assert_eq!(
        text.matches("ts_cors_origin_requests_total{kind=\"actual\",listener=\"inf").count(),
        52
    );
}
