//! The game day of docs/runbook-cors.md: an edge breaks CORS, and the two tools that look from outside
//! find it, the probe and the beacon of the pages.
//!
//! A page is played by the Fetch standard's steps on what arrives through the edge; what it then
//! reports goes through the same edge, as a browser sends it. `tests/browsers` has the script itself.

use std::net::SocketAddr;

use serde_json::Value;
use torchfront::cors::{
    HeaderMap, HeaderName, HeaderValue, PageHeader, PageRequest, Refusal, StatusCode,
};

use crate::cors_commands::{text, torchfront};
use crate::support::edge::{Edge, Fault};
use crate::support::{Answer, TestServer, request};

const PAGE: &str = "https://app.example.com";
const NEW_PAGE: &str = "https://new.example.com";
const POLICY: &[&str] = &[
    "cors.allowed.origin=https://app.example.com",
    "cors.allowed.methods=GET, POST, PUT, OPTIONS",
    "cors.allow.credentials=true",
    "cors.report.enabled=true",
];
/// A page's visits; enough for the alerts' guard of 100 events.
const VISITS: usize = 120;
/// The budget of M1 times 14.4: the fast page of deploy/prometheus.
const FAST_BURN: f64 = 0.0144;

/// The server, and what stands in front of it.
struct Scene {
    server: TestServer,
    edge: Edge,
}

impl Scene {
    fn new() -> Scene {
        let server = TestServer::start(&["mlp"], POLICY);
        let edge = Edge::before(server.inference);
        Scene { server, edge }
    }

    /// `VISITS` pages of `origin` call the API and report.
    fn visits(&self, origin: &str) {
        let outcome = call(self.edge.address, origin);
        let counts = format!("{{\"v\":1,\"counts\":{{\"{outcome}\":{VISITS}}}}}");
        let headers = [("Origin", origin), ("Content-Type", "text/plain")];
        let answer =
            request(self.edge.address, "POST", "/cors/report", &headers, counts.as_bytes());
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    /// M1 of everything that was reported since `before`, and the reports by outcome and origin.
    fn blocked_since(&self, before: &Reports) -> (f64, Reports) {
        let now = self.reports();
        let since = |(key, count): (&(String, String), &f64)| {
            (key.clone(), count - before.get(key).copied().unwrap_or(0.0))
        };
        let new: Reports = now.iter().map(since).filter(|(_, count)| *count > 0.0).collect();
        let blocked =
            |outcome: &str| matches!(outcome, "blocked" | "preflight_blocked" | "credentials");
        let hit: f64 =
            new.iter().filter(|((outcome, _), _)| blocked(outcome)).map(|(_, count)| count).sum();
        let all: f64 = new.values().sum();
        (hit / all, new)
    }

    fn reports(&self) -> Reports {
        let metrics = request(self.server.metrics, "GET", "/metrics", &[], b"").text();
        let line = |line: &str| {
            let rest = line.strip_prefix("ts_cors_client_events_total{")?;
            let (labels, value) = rest.rsplit_once("} ")?;
            let label = |name: &str| {
                let (_, rest) = labels.split_once(&format!("{name}=\""))?;
                Some(rest.split('"').next()?.to_owned())
            };
            Some(((label("outcome")?, label("origin")?), value.parse().ok()?))
        };
        metrics.lines().filter_map(line).collect()
    }

    /// `cors probe` of the server and its edge, with more flags.
    fn probe(&self, more: &[&str]) -> (bool, Value) {
        let folder = tempfile::tempdir().unwrap();
        let url = |address: SocketAddr| format!("http://{address}/ping");
        let (server, edge) = (url(self.server.inference), url(self.edge.address));
        let mut command = torchfront(folder.path());
        command.args(["cors", "probe", &server, "--edge", &edge, "--json"]).args(more);
        let output = command.output().unwrap();
        let report = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", text(&output)));
        (output.status.success(), report)
    }

    /// Both tools are content: what they find later is new.
    #[track_caller]
    fn is_sound(&self) -> Reports {
        let before = self.reports();
        self.visits(PAGE);
        let (blocked, new) = self.blocked_since(&before);
        assert_eq!(blocked, 0.0, "{new:?}");
        let (passed, report) = self.probe(PROBE);
        assert!(passed, "{report:#}");
        self.reports()
    }
}

/// Outcome and origin to how often.
type Reports = std::collections::BTreeMap<(String, String), f64>;

/// What the pages need.
const PROBE: &[&str] = &["--origin", PAGE, "--method", "PUT", "--credentials"];

/// A page of `origin` sends a PUT with its cookies: what its script sees.
fn call(address: SocketAddr, origin: &str) -> &'static str {
    let page = PageRequest {
        origin: origin.to_owned(),
        method: "PUT".to_owned(),
        headers: vec![PageHeader::parse("Content-Type: application/json")],
        credentials: true,
    };
    let headers = [
        ("Origin", origin),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "content-type"),
    ];
    let preflight = request(address, "OPTIONS", "/predictions/mlp", &headers, b"");
    let status = StatusCode::from_u16(preflight.status).unwrap();
    match page.check_preflight(status, &map(&preflight)) {
        Ok(()) => {}
        Err(Refusal::WildcardWithCredentials | Refusal::NoCredentials) => return "credentials",
        Err(Refusal::Method(_) | Refusal::Header(_)) => return "preflight_blocked",
        Err(_) => return "blocked",
    }
    let headers = [("Origin", origin), ("Content-Type", "application/json"), ("Cookie", "a=b")];
    let answer = request(address, "PUT", "/predictions/mlp", &headers, b"[1,2,3,4]");
    match page.check_sharing(&map(&answer)) {
        Ok(()) => "ok",
        Err(_) => "blocked",
    }
}

fn map(answer: &Answer) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in &answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    map
}

/// Whether a check of `flow` failed, on the edge.
fn failed(report: &Value, flow: &str) -> bool {
    report["checks"].as_array().unwrap().iter().any(|check| {
        check["flow"] == flow && check["outcome"] == "fail" && check["endpoint"] == "edge"
    })
}

/// An edge breaks, both tools find it, the edge is mended, both are content.
#[track_caller]
fn found(fault: Fault, flow: &str, outcome: &str) {
    let scene = Scene::new();
    let before = scene.is_sound();
    scene.edge.set(fault);
    scene.visits(PAGE);
    let (blocked, new) = scene.blocked_since(&before);
    assert!(blocked > FAST_BURN, "{fault:?}: {new:?}");
    assert!(new.contains_key(&(outcome.to_owned(), PAGE.to_owned())), "{fault:?}: {new:?}");
    let (passed, report) = scene.probe(PROBE);
    assert!(!passed && failed(&report, flow) && failed(&report, "edge"), "{fault:?}: {report:#}");
    scene.edge.set(Fault::None);
    scene.is_sound();
}

#[test]
fn the_probe_and_the_beacon_find_a_stripped_header() {
    found(Fault::Strip("access-control-allow-origin"), "actual", "blocked");
}

#[test]
fn the_probe_and_the_beacon_find_a_wildcard_with_credentials() {
    found(Fault::WildcardWithCredentials, "credentials", "credentials");
}

#[test]
fn the_probe_and_the_beacon_find_a_removed_method() {
    found(Fault::RemoveMethod("PUT"), "preflight", "preflight_blocked");
}

#[test]
fn the_probe_and_the_beacon_find_a_stale_list() {
    let scene = Scene::new();
    let before = scene.is_sound();
    // The new page is in the repository's policy; the server still has the old one.
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("config.properties");
    let newer = format!("cors.allowed.origin={PAGE}, {NEW_PAGE}");
    std::fs::write(&policy, [&[newer.as_str()], &POLICY[1..]].concat().join("\n")).unwrap();
    scene.visits(NEW_PAGE);
    let (blocked, new) = scene.blocked_since(&before);
    assert!(blocked > FAST_BURN, "{new:?}");
    assert!(new.contains_key(&("blocked".to_owned(), "_unlisted".to_owned())), "{new:?}");
    let (passed, report) = scene.probe(&["--ts-config", &policy.display().to_string()]);
    assert!(!passed && failed(&report, "preflight") && failed(&report, "actual"), "{report:#}");
    // The edge changes nothing: it is the server's list.
    assert!(!failed(&report, "edge"), "{report:#}");
}
