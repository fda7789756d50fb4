//! Attacks 22, 25, 26, 29, 30, 35 and 36: names, paths and headers that mean something to who reads
//! them next: a metrics store, a log, a browser, a cache.

use std::io::BufRead;

use super::{ROW, connect, is_alive, rest, serve};
use crate::process;
use crate::support::{Answer, TestServer, request};

/// For a query.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn attack_22_a_model_has_a_name_that_is_safe_wherever_it_is_written() {
    let server = TestServer::start(&["mlp"], &["enable_model_api=true"]);
    let register = |name: &str| {
        let path = format!("/models?url=mlp.mar&model_name={}", encoded(name));
        request(server.management, "POST", &path, &[], b"")
    };
    for name in [
        ".",
        "..",
        ".hidden",
        "a/b",
        "../mlp",
        "a%2fb",
        "a\\b",
        "a b",
        "a\nb",
        "a\0b",
        "a\"b",
        "a{b}",
        "a=b",
        "<script>",
        "\u{202e}a",
        "a\u{200b}",
        "modèle",
        "🦀",
        &"x".repeat(129),
        &"x".repeat(4000),
    ] {
        let answer = register(name);
        assert_eq!(answer.status, 400, "{name:?}: {}", answer.text());
        assert!(answer.text().len() < 1000 && !answer.text().contains('\u{202e}'));
    }
    // Names that are words of routes are names.
    for name in ["all", "set-default", "token", "token-classifier", "models", "con", "v2"] {
        assert_eq!(register(name).status, 200, "{name}");
        let described = server.manage(&format!("/models/{name}"));
        assert_eq!(described.json()[0]["modelName"], name);
        let gone = request(server.management, "DELETE", &format!("/models/{name}"), &[], b"");
        assert_eq!(gone.status, 200, "{name}: {}", gone.text());
    }
    is_alive(server.inference);
}

#[test]
fn attack_25_what_clients_write_makes_no_series() {
    let server = serve(&[]);
    let series = || {
        let text = request(server.metrics, "GET", "/metrics", &[], b"").text();
        let names = text.lines().filter(|line| !line.starts_with('#'));
        names.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect::<Vec<_>>()
    };
    let ask = |n: usize| {
        let name: &str = &format!("never{n}");
        let header = [("X-Request-Id", name), ("User-Agent", name), ("Origin", name)];
        let path = format!("/predictions/{name}");
        assert_eq!(request(server.inference, "POST", &path, &header, b"").status, 404);
        let path = format!("/predictions/mlp/{name}");
        assert_eq!(request(server.inference, "POST", &path, &header, b"").status, 404);
        let method = format!("BREW{n}");
        request(server.inference, &method, &format!("/{name}"), &header, b"");
        request(server.management, "GET", &format!("/models/{name}"), &header, b"");
        request(server.metrics, "GET", &format!("/metrics?name[]={name}"), &header, b"");
    };
    is_alive(server.inference);
    ask(0);
    let before = series();
    (1..60).for_each(ask);
    let after = series();
    assert!(after.iter().all(|line| !line.contains("never")), "{after:?}");
    assert_eq!(before.len(), after.len());
}

#[test]
fn attack_26_a_line_of_the_log_stays_one_line_and_holds_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = process::command(folder.path(), &process::properties("load_models=mlp.mar"));
    let (mut child, inference, log) = process::start(&mut command);
    let secret = "s3cr3t-of-a-client";
    let escape = "%0d%0a%1b%5b31mINFO%20forged";
    let paths = [
        format!("/predictions/{escape}"),
        format!("/{}?token={secret}", "x".repeat(10_000)),
        format!("/predictions/mlp?sig={secret}"),
        "/\u{1b}[2J".to_owned(),
    ];
    for path in &paths {
        let bearer: &str = &format!("Bearer {secret}");
        let headers = [
            ("Authorization", bearer),
            ("Cookie", bearer),
            ("Origin", "http://a.example%1b%5b31m"),
            ("X-Request-Id", "a b"),
        ];
        let mut stream = connect(inference);
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{lines}\r\n");
        std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
        rest(&mut stream);
    }
    is_alive(inference);
    process::signal(&child, "-TERM");
    child.wait().unwrap();
    let lines: Vec<String> = log.lines().map(Result::unwrap).collect();
    assert!(lines.iter().any(|line| line.contains("forged")), "the paths are logged: {lines:#?}");
    for line in &lines {
        // Each begins with the time.
        assert!(line.starts_with("20") && line.contains('Z'), "{line}");
        assert!(!line.contains(secret) && !line.contains('\u{1b}') && line.len() < 2000, "{line}");
    }
}

#[test]
fn attack_29_no_spelling_of_a_path_opens_what_the_path_does_not() {
    let server = TestServer::start(&["mlp"], &["disable_token_authorization=false"]);
    let status = |address, method: &str, path: &str, headers: &[(&str, &str)]| {
        request(address, method, path, headers, b"").status
    };
    for path in [
        "/models",
        "//models",
        "/%6dodels",
        "/models;x",
        "/models/",
        "/./models",
        "/ping/../models",
        "/models/mlp",
        "/models%2fmlp",
        "/MODELS",
        "/models?x=/ping",
        "/token?type=management",
        "/%74oken?type=management",
        "/models/mlp/../../ping",
        "/models#/ping",
        "/\\models",
        "http://localhost/models",
        "/ping%00/models",
    ] {
        for method in ["GET", "POST", "PUT", "DELETE", "HEAD", "BREW"] {
            let got = status(server.management, method, path, &[]);
            assert!(matches!(got, 400 | 403 | 429), "{method} {path}: {got}");
        }
    }
    for path in
        ["/predictions/mlp", "//predictions/mlp", "/x/../predictions/mlp", "/v2/models/mlp/infer"]
    {
        assert_eq!(status(server.inference, "POST", path, &[]), 400, "{path}");
        let tricks = [
            ("X-HTTP-Method-Override", "OPTIONS"),
            ("X-Original-URL", "/ping"),
            ("X-Rewrite-URL", "/ping"),
            ("X-Forwarded-For", "127.0.0.1"),
        ];
        assert_eq!(status(server.inference, "POST", path, &tricks), 400, "{path}");
    }
    // A management path on the inference listener is no management, with any key.
    let keys = std::fs::read_to_string(server.folder.path().join("key_file.json")).unwrap();
    let keys: serde_json::Value = serde_json::from_str(&keys).unwrap();
    let bearer = |name: &str| format!("Bearer {}", keys[name]["key"].as_str().unwrap());
    let inference = bearer("inference");
    let management = bearer("management");
    assert_eq!(status(server.management, "GET", "/models", &with(&inference)), 400);
    assert_eq!(status(server.management, "GET", "/models", &with(&management)), 200);
    assert_eq!(status(server.inference, "GET", "/models", &with(&inference)), 404);
    assert_eq!(status(server.inference, "POST", "/predictions/mlp", &with(&management)), 400);
}

fn with(key: &str) -> [(&str, &str); 1] {
    [("Authorization", key)]
}

fn every_answer(server: &TestServer) -> Vec<(String, Answer)> {
    let script = "/%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let ask = |address, method: &str, path: &str, body: &str| {
        let json = [("Content-Type", "application/json"), ("X-Request-Id", "<b>\"bad\"")];
        (format!("{method} {path}"), request(address, method, path, &json, body.as_bytes()))
    };
    vec![
        ask(server.inference, "GET", "/ping", ""),
        ask(server.inference, "POST", "/predictions/mlp", ROW),
        ask(server.inference, "POST", "/predictions/mlp", "[\"<script>alert(1)</script>\"]"),
        ask(server.inference, "GET", script, ""),
        ask(server.inference, "POST", &format!("/predictions{script}"), ""),
        ask(server.management, "GET", "/models", ""),
        ask(server.management, "GET", &format!("/models{script}"), ""),
        ask(server.metrics, "GET", "/metrics", ""),
        ask(server.metrics, "GET", script, ""),
    ]
}

#[test]
fn attack_30_a_request_id_is_a_word_or_is_replaced() {
    let server = serve(&[]);
    for (what, answer) in every_answer(&server) {
        let id = answer.header("x-request-id").unwrap();
        let is_word = id.len() <= 128 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        assert!(is_word, "{what}: {id}");
    }
    let long = "x".repeat(129);
    for (sent, kept) in
        [("a-b_c.1", true), (&*long, false), ("a b", false), ("é", false), ("", false)]
    {
        let answer = request(server.inference, "GET", "/ping", &[("X-Request-Id", sent)], b"");
        assert_eq!(answer.header("x-request-id").unwrap() == sent, kept, "{sent:?}");
    }
}

#[test]
fn attack_35_no_answer_is_a_page() {
    let server = serve(&[]);
    for (what, answer) in every_answer(&server) {
        assert_eq!(answer.header("x-content-type-options").as_deref(), Some("nosniff"), "{what}");
        let media = answer.header("content-type").unwrap_or_default();
        let is_data = media.starts_with("application/json") || media.starts_with("text/plain");
        assert!(is_data, "{what}: {media}");
    }
}

#[test]
fn attack_36_no_answer_is_kept_for_somebody_else() {
    let server = serve(&["cors.allowed.origin=https://a.example, https://b.example"]);
    for (what, answer) in every_answer(&server) {
        let cache = answer.header("cache-control").unwrap_or_default();
        assert!(cache.contains("no-store") && cache.contains("private"), "{what}: {cache}");
    }
    let vary = request(server.inference, "GET", "/ping", &[], b"").header("vary").unwrap();
    assert!(vary.to_ascii_lowercase().contains("origin"), "{vary}");
}

#[test]
fn attack_10_a_listener_of_this_machine_answers_for_this_machine() {
    let server = serve(&[]);
    let ask = |address, host: &str| request(address, "GET", "/ping", &[("Host", host)], b"").status;
    for host in ["evil.example", "evil.example:8081", "localhost.evil.example", "127.0.0.1.nip.io"]
    {
        for address in [server.management, server.metrics] {
            assert_eq!(ask(address, host), 421, "{host}");
        }
        // Predictions may have any name; `inference_cors.allowed.hosts` narrows that.
        assert_eq!(ask(server.inference, host), 200, "{host}");
    }
    for host in ["localhost", "127.0.0.1:1", "[::1]:8081", "LOCALHOST:8081"] {
        assert_eq!(ask(server.management, host), 404, "{host}");
    }
    let listed = serve(&["cors.allowed.hosts=models.example"]);
    assert_eq!(ask(listed.inference, "models.example"), 200);
    assert_eq!(ask(listed.inference, "localhost"), 421);
}
