//! One test for every requirement on CORS, named after its number in `docs/cors.md`: `properties`
//! has the lines on `config.properties` (0.1 to 0.30), `services` and `recipes` those on front ends
//! that call services (1.1 to 1.51). Everything goes over real listeners or through the binary.

mod properties;
mod recipes;
mod services;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use torchfront::cli::Overrides;
use torchfront::config::Config;

use crate::support::{Answer, TestServer, checkout, request};

/// Properties, one a line.
type Lines = &'static [&'static str];

const APP: &str = "https://mywebapp.com";
const OTHER: &str = "https://anotherapp.net";
const ADMIN: &str = "https://admin.mywebapp.com";
const EVIL: &str = "https://evil.example";
const PREDICT: &str = "/predictions/mlp";
const BODY: &[u8] = b"[0.1, -0.2, 0.3, 0.4]";
const PREFLIGHT_VARY: &str =
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

const OFF: Lines = &[];
/// Scenario 1.
const ONE: Lines = &["cors.allowed.origin=https://mywebapp.com"];
/// Scenario 2.
const TWO: Lines = &[
    "cors.allowed.origin=https://mywebapp.com, https://anotherapp.net",
    "cors.allowed.methods=GET,POST",
    "cors.allowed.headers=Content-Type,X-Custom-Token",
];
/// Scenario 3.
const ANY: Lines = &["cors.allowed.origin=*"];
/// Pages that come with cookies.
const COOKIES: Lines = &[
    "cors.allowed.origin=https://mywebapp.com, https://anotherapp.net",
    "cors.allowed.methods=GET, POST, PUT, PATCH, DELETE, OPTIONS",
    "cors.allowed.headers=Authorization, Content-Type, X-Request-Id",
    "cors.exposed.headers=ETag, X-Request-Id",
    "cors.max.age=600",
    "cors.allow.credentials=true",
];
/// Inference and management have a policy each.
const BOTH: Lines = &[
    "cors.allowed.origin=https://mywebapp.com",
    "management_cors.allowed.origin=https://admin.mywebapp.com",
];

/// A proxy in front of the server says who may read.
const EDGE: Lines = &["cors.allowed.origin=https://mywebapp.com", "cors.mode=off"];
/// Clients need a token.
const TOKENS: Lines = &[
    "disable_token_authorization=false",
    "cors.allowed.origin=https://mywebapp.com",
    "cors.allowed.headers=Authorization",
];

/// A server of the model `mlp` with these properties: one for all tests that want it at the same
/// time, stopped with the last of them.
fn serving(lines: Lines) -> Arc<TestServer> {
    static SERVERS: Mutex<BTreeMap<Lines, Weak<TestServer>>> = Mutex::new(BTreeMap::new());
    let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = servers.get(lines).and_then(Weak::upgrade) {
        return server;
    }
    let server = Arc::new(TestServer::start(&["mlp"], lines));
    servers.insert(lines, Arc::downgrade(&server));
    server
}

/// `Authorization` with the key that `server` wrote for its inference API.
fn inference_bearer(server: &TestServer) -> String {
    let file = std::fs::read(server.folder.path().join("key_file.json")).unwrap();
    let keys: serde_json::Value = serde_json::from_slice(&file).unwrap();
    format!("Bearer {}", keys["inference"]["key"].as_str().unwrap())
}

/// What a start with these properties says: the texts of its notes, or of its errors.
fn start(lines: &[&str]) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.properties");
    let lines = lines.join("\n");
    let store = folder.path().display();
    let text = format!("disable_token_authorization=true\n{lines}\nmodel_store={store}\n");
    std::fs::write(&file, text).unwrap();
    let overrides = Overrides { ts_config: Some(file), ..Overrides::default() };
    match Config::load(&overrides, &BTreeMap::new()) {
        Ok(config) => Ok(config.notes.into_iter().map(|note| note.text).collect()),
        Err(errors) => Err(errors.to_string()),
    }
}

/// Asserts that a start with these properties is refused, with all these parts in what is said.
#[track_caller]
fn refused(lines: &[&str], parts: &[&str]) {
    let said = start(lines).expect_err("it starts");
    for part in parts {
        assert!(said.contains(part), "{said}\ndoes not say {part}");
    }
}

/// Whether a start with these properties warns of `code`.
#[track_caller]
fn warned(lines: &[&str], code: &str) -> bool {
    let notes = start(lines).unwrap_or_else(|errors| panic!("{errors}"));
    notes.iter().any(|note| note.contains(code))
}

/// A preflight; `headers` are the names that the page wants to set.
fn preflight(to: SocketAddr, path: &str, origin: &str, method: &str, headers: &str) -> Answer {
    let mut lines = vec![("Origin", origin), ("Access-Control-Request-Method", method)];
    if !headers.is_empty() {
        lines.push(("Access-Control-Request-Headers", headers));
    }
    request(to, "OPTIONS", path, &lines, b"")
}

/// `GET /ping` of a page.
fn ping(to: SocketAddr, origin: &str) -> Answer {
    request(to, "GET", "/ping", &[("Origin", origin)], b"")
}

/// A prediction that a page of `origin` asks for, with a JSON body.
fn predict(to: SocketAddr, origin: &str, more: &[(&str, &str)]) -> Answer {
    let headers = [&[("Origin", origin), ("Content-Type", "application/json")], more].concat();
    request(to, "POST", PREDICT, &headers, BODY)
}

/// Who may read the answer.
fn allowed(answer: &Answer) -> Option<String> {
    answer.header("access-control-allow-origin")
}

/// All `Access-Control-*` lines, sorted, without that prefix.
fn cors_lines(answer: &Answer) -> Vec<String> {
    let lines = answer.headers.iter().filter_map(|(name, value)| {
        Some(format!("{}: {value}", name.strip_prefix("access-control-")?))
    });
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

/// Status and reader of an answer.
#[track_caller]
fn is(answer: &Answer, status: u16, reader: Option<&str>) {
    assert_eq!((answer.status, allowed(answer).as_deref()), (status, reader), "{answer:?}");
    if reader.is_none() {
        assert_eq!(cors_lines(answer), [] as [&str; 0], "{answer:?}");
    }
}

/// The words of a text that start with `prefix`, as far as they are names.
fn names(text: &str, prefix: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let starts = text.match_indices(prefix).map(|(at, _)| &text[at..]);
    let names = starts.map(|rest| rest.split(|c| !word(c)).next().unwrap_or_default());
    names.filter(|name| name.len() > prefix.len()).map(str::to_owned).collect()
}

#[test]
fn the_documentation_names_every_requirement_s_test_and_every_code() {
    let read = |path: &str| std::fs::read_to_string(checkout(path)).unwrap();
    let documented = read("docs/cors.md");
    let tests = ["properties", "recipes", "services"]
        .map(|file| read(&format!("tests/it/cors_seed/{file}.rs")));
    let tests = names(&tests.concat(), "seed_");
    assert_eq!(tests.len(), 30 + 51);
    assert_eq!(names(&documented, "seed_"), tests);
    let codes = ["spec", "origins", "pattern", "methods", "headers", "exposed", "hosts"]
        .map(|file| read(&format!("src/cors/{file}.rs")))
        .into_iter()
        .chain(
            ["build", "merge", "origin_file", "values", "warnings"]
                .map(|file| read(&format!("src/cors/settings/{file}.rs"))),
        )
        .chain([read("src/config/cors.rs")])
        .collect::<String>();
    for severity in ["CORS-E", "CORS-W"] {
        let codes_in = |text: &str| {
            let number = |name: &String| name[severity.len()..].bytes().all(|b| b.is_ascii_digit());
            names(text, severity).into_iter().filter(number).collect::<Vec<_>>()
        };
        assert_eq!(codes_in(&documented), codes_in(&codes));
    }
}
