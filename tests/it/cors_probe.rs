//! `cors probe` through the binary, against servers that are sound and servers that are not.

use std::net::SocketAddr;
use std::process::Output;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::cors_commands::{text, torchfront};
use crate::support::edge::{self, Edge, Fault, Request};
use crate::support::{Answer, TestServer};

const PAGE: &str = "https://app.example.com";
const POLICY: &[&str] = &[
    "cors.allowed.origin=https://app.example.com, https://*.preview.example.com",
    "cors.allowed.methods=GET, POST, PUT, OPTIONS",
    "cors.allowed.headers=Content-Type, Authorization",
    "cors.exposed.headers=X-Request-Id",
];

fn probe(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let command = &[&["cors", "probe"], arguments].concat();
    torchfront(folder.path()).args(command).output().unwrap()
}

/// The report of a probe, and whether it passed.
#[track_caller]
fn report(arguments: &[&str]) -> (bool, Value) {
    let output = probe(&[arguments, &["--json"]].concat());
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output)));
    assert_eq!(report["passed"], output.status.success(), "{report:#}");
    (output.status.success(), report)
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/ping")
}

/// The flows with this outcome.
fn flows(report: &Value, outcome: &str) -> Vec<String> {
    let checks = report["checks"].as_array().unwrap().iter();
    let mut flows: Vec<String> = checks
        .filter(|check| check["outcome"] == outcome)
        .map(|check| check["flow"].as_str().unwrap().to_owned())
        .collect();
    flows.sort();
    flows.dedup();
    flows
}

/// A file with a policy.
fn file(folder: &tempfile::TempDir, lines: &[&str]) -> String {
    let path = folder.path().join("policy.properties");
    std::fs::write(&path, lines.join("\n")).unwrap();
    path.display().to_string()
}

#[test]
fn a_sound_server_passes_every_check_against_its_own_policy() {
    let server = TestServer::start(&["mlp"], POLICY);
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, POLICY);
    let (passed, report) = report(&[&url(server.inference), "--ts-config", &policy]);
    assert!(passed, "{report:#}");
    assert_eq!(flows(&report, "warn"), [""; 0], "{report:#}");
    let seen = flows(&report, "pass");
    for flow in [
        "actual",
        "duplicate",
        "exposed",
        "foreign",
        "latency",
        "limits",
        "look_alike",
        "null",
        "preflight",
        "reachable",
        "vary",
    ] {
        assert!(seen.iter().any(|seen| seen == flow), "no check of {flow}: {seen:?}");
    }
}

#[test]
fn without_a_policy_the_flags_say_what_pages_need() {
    let server = TestServer::start(&["mlp"], POLICY);
    let url = url(server.inference);
    let page = ["--origin", PAGE];
    let with = |more: &[&str]| report(&[&[url.as_str()], &page[..], more].concat());
    assert!(with(&["--method", "PUT", "--headers", "Authorization", "--expose", "X-Request-Id"]).0);
    for (more, flow) in [
        (["--method", "DELETE"], "preflight"),
        (["--headers", "X-New"], "preflight"),
        (["--expose", "ETag"], "exposed"),
        (["--origin", "https://new.example.com"], "preflight"),
    ] {
        let (passed, report) = with(&more);
        assert!(!passed && flows(&report, "fail").contains(&flow.to_owned()), "{report:#}");
    }
    let (passed, report) = with(&["--credentials"]);
    assert!(!passed, "{report:#}");
    assert_eq!(flows(&report, "fail"), ["actual", "preflight"]);
}

#[test]
fn a_server_that_does_more_or_less_than_the_policy_fails() {
    let server = TestServer::start(&["mlp"], POLICY);
    let folder = tempfile::tempdir().unwrap();
    let url = url(server.inference);
    let against = |lines: &[&str]| {
        let policy = file(&folder, lines);
        report(&[&url, "--ts-config", &policy])
    };
    // The list in force is older than the one in the repository.
    let newer = POLICY[0].replace("https://app.", "https://new.example.com, https://app.");
    let (passed, stale) = against(&[&[newer.as_str()], &POLICY[1..]].concat());
    assert!(!passed);
    let failed: Vec<&Value> =
        stale["checks"].as_array().unwrap().iter().filter(|c| c["outcome"] == "fail").collect();
    assert!(
        failed.iter().all(|c| c["text"].as_str().unwrap().contains("new.example.com")),
        "{failed:?}"
    );
    // The policy has fewer methods than the server.
    let fewer = [POLICY[0], "cors.allowed.methods=GET, POST", POLICY[2], POLICY[3]];
    let (passed, wider) = against(&fewer);
    assert!(!passed);
    assert_eq!(flows(&wider, "fail"), ["limits"], "{wider:#}");
}

#[test]
fn what_an_edge_does_to_the_headers_is_found_and_named() {
    let server = TestServer::start(&["mlp"], POLICY);
    let edge = Edge::before(server.inference);
    let (url, public) = (url(server.inference), url(edge.address));
    let look = || report(&[&url, "--edge", &public, "--origin", PAGE, "--method", "PUT"]);
    let (passed, sound) = look();
    assert!(passed && sound["differences"] == Value::Array(vec![]), "{sound:#}");
    for (fault, name, kind, flow) in [
        (
            Fault::Strip("access-control-allow-origin"),
            "access-control-allow-origin",
            "stripped",
            "actual",
        ),
        (Fault::Strip("vary"), "vary", "stripped", "vary"),
        (
            Fault::Strip("access-control-allow-headers"),
            "access-control-allow-headers",
            "stripped",
            "preflight",
        ),
        (
            Fault::WildcardWithCredentials,
            "access-control-allow-credentials",
            "added",
            "credentials",
        ),
        (Fault::RemoveMethod("PUT"), "access-control-allow-methods", "changed", "preflight"),
    ] {
        edge.set(fault);
        let (passed, report) = look();
        assert!(!passed, "{fault:?}: {report:#}");
        let differences = report["differences"].as_array().unwrap();
        assert!(
            differences.iter().any(|found| found["name"] == name && found["kind"] == kind),
            "{fault:?}: {differences:?}"
        );
        let failed = flows(&report, "fail");
        assert!(failed.contains(&"edge".to_owned()), "{fault:?}: {failed:?}");
        assert!(failed.contains(&flow.to_owned()), "{fault:?}: {failed:?}");
        // The server itself is as it was.
        let checks = report["checks"].as_array().unwrap().iter();
        let server = checks.filter(|check| check["endpoint"] == "server");
        assert!(server.clone().all(|check| check["outcome"] != "fail"), "{fault:?}: {report:#}");
    }
}

#[test]
fn an_edge_that_owns_the_headers_alone_passes() {
    let silent = edge::serve(|_| edge::answer(200, &[]));
    let owner = edge::serve(|request| list(&request, &[PAGE]));
    let (passed, report) =
        report(&[&url(silent), "--edge", &url(owner), "--origin", PAGE, "--method", "PUT"]);
    assert!(passed, "{report:#}");
}

/// A sound answer of a server with a list.
fn list(request: &Request, origins: &[&str]) -> Answer {
    let origin = request.header("origin").unwrap_or_default();
    let mut headers = vec![("vary", "Origin")];
    if origins.contains(&origin) {
        headers.push(("access-control-allow-origin", origin));
        headers.push(("access-control-allow-methods", "GET, POST, PUT"));
        headers.push(("access-control-allow-headers", "content-type, authorization"));
    }
    let preflight = request.header("access-control-request-method");
    let asked = matches!(preflight, None | Some("GET" | "POST" | "PUT"));
    edge::answer(if asked { 200 } else { 403 }, &headers)
}

/// A server whose answer has these headers; `{}` is the origin of the request.
fn naive(headers: &'static [(&'static str, &'static str)]) -> SocketAddr {
    naive_for(|_| true, headers)
}

/// The same, for origins that `matches`.
fn naive_for(
    matches: fn(&str) -> bool,
    headers: &'static [(&'static str, &'static str)],
) -> SocketAddr {
    edge::serve(move |request| {
        let origin = request.header("origin").unwrap_or_default().to_owned();
        if origin.is_empty() || !matches(&origin) {
            return edge::answer(200, &[("vary", "Origin")]);
        }
        let headers: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.replace("{}", &origin)))
            .collect();
        Answer { status: 200, headers, body: Vec::new() }
    })
}

#[test]
fn the_mistakes_that_servers_make_are_found() {
    const METHODS: (&str, &str) = ("access-control-allow-methods", "POST");
    const HEADERS: (&str, &str) = ("access-control-allow-headers", "content-type");
    const ECHO: (&str, &str) = ("access-control-allow-origin", "{}");
    const VARY: (&str, &str) = ("vary", "Origin");
    const CREDENTIALS: (&str, &str) = ("access-control-allow-credentials", "true");
    const ANY: (&str, &str) = ("access-control-allow-origin", "*");
    for (what, server, wanted) in [
        (
            "reflects everybody",
            naive(&[ECHO, VARY, METHODS, HEADERS]),
            &["foreign", "null", "look_alike"][..],
        ),
        ("`*` with credentials", naive(&[ANY, CREDENTIALS, METHODS, HEADERS]), &["credentials"]),
        ("no Vary", naive_for(|origin| origin == PAGE, &[ECHO, METHODS, HEADERS]), &["vary"]),
        (
            "two values",
            naive_for(|origin| origin == PAGE, &[ECHO, ECHO, VARY, METHODS, HEADERS]),
            &["duplicate", "actual"],
        ),
        (
            "a list as a value",
            naive(&[
                ("access-control-allow-origin", "https://app.example.com, https://b.example"),
                VARY,
            ]),
            &["duplicate", "actual"],
        ),
        (
            "matches the end",
            naive_for(
                |origin| origin.ends_with("app.example.com"),
                &[ECHO, VARY, METHODS, HEADERS],
            ),
            &["look_alike"],
        ),
        (
            "matches the beginning",
            naive_for(|origin| origin.starts_with(PAGE), &[ECHO, VARY, METHODS, HEADERS]),
            &["look_alike"],
        ),
        (
            "a dot that matches anything",
            naive_for(
                |origin| origin == PAGE || origin == "https://appxexample.com",
                &[ECHO, VARY, METHODS, HEADERS],
            ),
            &["look_alike"],
        ),
        (
            "lets `null` in",
            naive_for(|origin| origin == PAGE || origin == "null", &[ECHO, VARY, METHODS, HEADERS]),
            &["null"],
        ),
        (
            "a wrong word",
            naive_for(
                |origin| origin == PAGE,
                &[ECHO, VARY, METHODS, HEADERS, ("access-control-allow-credentials", "false")],
            ),
            &["credentials"],
        ),
        ("no CORS at all", naive(&[]), &["actual", "preflight"]),
    ] {
        let (passed, report) = report(&[&url(server), "--origin", PAGE]);
        assert!(!passed, "{what}: {report:#}");
        let failed = flows(&report, "fail");
        for flow in wanted {
            assert!(failed.contains(&(*flow).to_owned()), "{what}: {failed:?} without {flow}");
        }
    }
}

#[test]
fn every_origin_is_a_warning_and_a_failure_where_the_policy_has_a_list() {
    let exposed = "cors.exposed.headers=X-Request-Id";
    let server = TestServer::start(&["mlp"], &["cors.allowed.origin=*", exposed]);
    let url = url(server.inference);
    let (passed, open) = report(&[&url, "--origin", PAGE]);
    assert!(passed && flows(&open, "warn").contains(&"foreign".to_owned()), "{open:#}");
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, &["cors.allowed.origin=*", exposed]);
    let (passed, meant) = report(&[&url, "--ts-config", &policy]);
    assert!(passed && flows(&meant, "warn").is_empty(), "{meant:#}");
    let policy = file(&folder, &[&format!("cors.allowed.origin={PAGE}")]);
    let (passed, report) = report(&[&url, "--ts-config", &policy]);
    assert!(!passed, "{report:#}");
    assert_eq!(flows(&report, "fail"), ["foreign", "look_alike", "null"]);
}

#[test]
fn the_token_goes_with_requests_only_and_is_never_printed() {
    const TOKEN: &str = "s3cr3t-t0k3n";
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let server = edge::serve(move |request| {
        let token = request.header("authorization").map(str::to_owned);
        log.lock().unwrap().push((request.method.clone(), token.clone()));
        let mut answer = list(&request, &[PAGE]);
        // A server that sends back what it got.
        answer.headers.push(("access-control-allow-origin".to_owned(), token.unwrap_or_default()));
        answer
    });
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("token");
    std::fs::write(&secret, format!("{TOKEN}\n")).unwrap();
    let from_file = format!("@{}", secret.display());
    for (token, json) in [(TOKEN, "--json"), (from_file.as_str(), "--timeout=5s")] {
        let output = probe(&[&url(server), "--origin", PAGE, "--token", token, json]);
        let said = text(&output);
        assert!(!said.contains(TOKEN) && said.contains("***"), "{said}");
    }
    let seen = seen.lock().unwrap();
    let bearer = Some(format!("Bearer {TOKEN}"));
    assert!(seen.iter().any(|(method, token)| method == "GET" && *token == bearer));
    assert!(
        seen.iter().filter(|(method, _)| method == "OPTIONS").all(|(_, token)| token.is_none())
    );
    let output = probe(&[&url(server), "--origin", PAGE, "--token", "two words"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!text(&output).contains("two words"));
}

#[test]
fn redirects_are_not_followed_and_a_silent_server_is_given_up() {
    let called = Arc::new(Mutex::new(0));
    let count = Arc::clone(&called);
    let other = edge::serve(move |_| {
        *count.lock().unwrap() += 1;
        edge::answer(200, &[])
    });
    let to = Box::leak(format!("http://{other}/").into_boxed_str());
    let server = edge::serve(move |_| edge::answer(302, &[("location", to)]));
    let (passed, _) = report(&[&url(server), "--origin", PAGE]);
    assert!(!passed);
    assert_eq!(*called.lock().unwrap(), 0);
    // A listener that nobody accepts from.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = url(silent.local_addr().unwrap());
    let (passed, report) = report(&[&address, "--origin", PAGE, "--timeout", "100ms"]);
    assert!(!passed);
    assert_eq!(flows(&report, "fail"), ["reachable"], "{report:#}");
}

#[test]
fn results_are_added_to_a_file_for_prometheus_and_no_other_file_is_overwritten() {
    let server = edge::serve(|request| list(&request, &[PAGE]));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cors.prom");
    let metrics = path.display().to_string();
    for _ in 0..2 {
        let output = probe(&[&url(server), "--origin", PAGE, "--metrics-textfile", &metrics]);
        assert!(output.status.success(), "{}", text(&output));
    }
    let written = std::fs::read_to_string(&path).unwrap();
    let target = url(server);
    for line in [
        "# TYPE ts_cors_probe_checks_total counter".to_owned(),
        format!(
            "ts_cors_probe_checks_total{{flow=\"preflight\",result=\"pass\",target=\"{target}\"}} 2"
        ),
        format!(
            "ts_cors_probe_checks_total{{flow=\"preflight\",result=\"fail\",target=\"{target}\"}} 0"
        ),
    ] {
        assert!(written.lines().any(|known| known == line), "{written}\nhas no {line}");
    }
    assert!(written.contains("ts_cors_probe_last_success_timestamp_seconds{flow=\"actual\""));
    std::fs::write(&path, "node_load1 0.5\n").unwrap();
    let output = probe(&[&url(server), "--origin", PAGE, "--metrics-textfile", &metrics]);
    assert!(!output.status.success());
    assert!(text(&output).contains("not a line of a probe"), "{}", text(&output));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "node_load1 0.5\n");
}

#[test]
fn a_server_with_tls_is_probed_when_its_certificate_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let (key, certificate) = (
        format!("private_key_file={}", path("key.pem")),
        format!("certificate_file={}", path("cert.pem")),
    );
    let own = ["inference_address=https://127.0.0.1:0", &key, &certificate];
    let server = TestServer::start(&["mlp"], &[&own[..], POLICY].concat());
    let url = format!("https://localhost:{}/ping", server.inference.port());
    let run = |trusted: bool| {
        let mut command = torchfront(folder.path());
        command.args(["cors", "probe", &url, "--origin", PAGE, "--method", "PUT"]);
        if trusted {
            command.env("SSL_CERT_FILE", path("cert.pem"));
        }
        command.output().unwrap()
    };
    let trusted = run(true);
    assert!(trusted.status.success(), "{}", text(&trusted));
    let strange = run(false);
    assert!(!strange.status.success() && text(&strange).contains("TLS"), "{}", text(&strange));
}

#[test]
fn flags_that_make_no_sense_end_with_2() {
    for arguments in [
        &["http://127.0.0.1:1/"][..],
        &["ftp://127.0.0.1/", "--origin", PAGE],
        &["http://127.0.0.1:1/", "--origin", "app.example.com"],
        &["http://127.0.0.1:1/", "--origin", "https://app.example.com/"],
        &["http://127.0.0.1:1/", "--origin", PAGE, "--method", "P T"],
        &["http://127.0.0.1:1/", "--origin", PAGE, "--edge", "nowhere"],
    ] {
        let output = probe(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
    }
    let folder = tempfile::tempdir().unwrap();
    let off = file(&folder, &["cors.mode=off"]);
    let output = probe(&["http://127.0.0.1:1/", "--ts-config", &off]);
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
}
