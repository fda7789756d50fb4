//! Token authorization: what is open, what a key opens, what a refusal looks like, and the key file
//! of a real process. In front of the routes through `create_app`, where not said otherwise.

use std::collections::HashMap;
use std::fs;
use std::io::BufRead;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix_web::http::Method;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use tempfile::TempDir;
use torchfront::archive::ArchiveLimits;
use torchfront::auth::{PublishedKeys, Refusal, RefusalReason, Scope, TokenAuthorization};
use torchfront::batching::{DecodePool, Filling};
use torchfront::cli::Overrides;
use torchfront::config::Config;
use torchfront::cors_live::LiveCors;
use torchfront::download::{DownloadPolicy, Downloads};
use torchfront::engine::TorchEngine;
use torchfront::handlers::Catalog;
use torchfront::http::{BodyLimits, Compression, State};
use torchfront::metrics::Metrics;
use torchfront::registry::{Defaults, Loader, Registry};
use torchfront::server::{AppState, Role, create_app};

use crate::process::{command, properties, signal, start, text};
use crate::support::{TestServer, request};

const HOUR: Duration = Duration::from_secs(3600);
const FAILED: &str = "{\n  \"code\": 400,\n  \"type\": \"InvalidKeyException\",\n  \"message\": \
    \"Token Authorization failed. Token either incorrect, expired, or not provided correctly\"\n}\n";
const TOKEN_FAILED: &str = "{\n  \"code\": 400,\n  \"type\": \"InvalidKeyException\",\n  \
    \"message\": \"Token Authentication failed. Token either incorrect, expired, or not provided \
    correctly\"\n}\n";

/// The listeners of a server without models, whose keys were made at a time of the test's choice.
struct Listeners {
    app: AppState,
    folder: TempDir,
    _published: Option<PublishedKeys>,
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Listeners {
    fn new() -> Listeners {
        Listeners::with_keys_made(SystemTime::now(), &[])
    }

    fn with_keys_made(then: SystemTime, lines: &[&str]) -> Listeners {
        let folder = tempfile::tempdir().unwrap();
        let authorization = TokenAuthorization::new(HOUR, then).unwrap();
        let published = authorization.publish(&folder.path().join("key_file.json")).unwrap();
        let app = app(folder.path(), Some(authorization), lines);
        Listeners { app, folder, _published: Some(published) }
    }

    fn without_authorization() -> Listeners {
        let folder = tempfile::tempdir().unwrap();
        Listeners { app: app(folder.path(), None, &[]), folder, _published: None }
    }

    /// A key as the key file has it now.
    fn key(&self, name: &str) -> String {
        key(self.folder.path(), name)
    }

    fn bearer(&self, name: &str) -> String {
        format!("Bearer {}", self.key(name))
    }

    /// The status; of the two refusals of a wrong token (400, then 429) the first.
    async fn get(&self, role: Role, path: &str, bearer: &str) -> u16 {
        match self.send(role, Method::GET, path, &[("Authorization", bearer)]).await.status {
            429 => 400,
            status => status,
        }
    }

    async fn send(
        &self,
        role: Role,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let service = init_service(create_app(role, &self.app)).await;
        let mut request = TestRequest::with_uri(path).method(method);
        for header in headers {
            request = request.append_header(*header);
        }
        let response = call_service(&service, request.to_request()).await;
        let text =
            |value: &actix_web::http::header::HeaderValue| value.to_str().unwrap().to_owned();
        let headers = response.headers().iter();
        Answer {
            status: response.status().as_u16(),
            headers: headers.map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: String::from_utf8(read_body(response).await.to_vec()).unwrap(),
        }
    }
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

fn key(folder: &Path, name: &str) -> String {
    let text = fs::read_to_string(folder.join("key_file.json")).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    file[name]["key"].as_str().unwrap().to_owned()
}

fn app(
    folder: &Path,
    authorization: Option<Arc<TokenAuthorization>>,
    cors_lines: &[&str],
) -> AppState {
    let file = folder.join("config.properties");
    fs::write(&file, cors_lines.join("\n")).unwrap();
    let overrides = Overrides {
        ts_config: Some(file),
        model_store: Some(folder.to_owned()),
        ..Overrides::default()
    };
    let config = Config::load(&overrides, &std::collections::BTreeMap::new()).unwrap();
    let metrics = Metrics::new("test").unwrap();
    let loader = Loader {
        engine: Arc::new(TorchEngine),
        defaults: Defaults {
            workers: 1,
            registered_workers: 0,
            workers_max: 1,
            response_timeout: HOUR,
            startup_timeout: HOUR,
            job_queue_size: 1,
            filling: Filling::WorkConserving,
            limit_max_image_pixels: true,
            max_response_size: usize::MAX,
            default_service_handler: None,
            service_envelope: torchfront::handlers::Envelope::None,
        },
        model_store: None,
        downloads: Downloads::new(DownloadPolicy::default(), metrics.downloads()),
        unpack_dir: folder.to_owned(),
        limits: ArchiveLimits { max_size: 1, max_entries: 1, max_ratio: 1 },
        gpus: 0,
        metrics: metrics.clone(),
        decode_pool: Arc::new(DecodePool::start(NonZeroUsize::MIN, 1).expect("a thread")),
        handlers: Catalog::default(),
    };
    let registry = Arc::new(Registry::new(loader, HashMap::new()));
    let cors = LiveCors::fixed(config.policies, &metrics).unwrap();
    let state = State {
        registry,
        metrics,
        tracer: None,
        server_timing: true,
        sequence_headers: Default::default(),
        body_limits: BodyLimits { size: 1 << 20, ratio: 100 },
        compression: Compression::Off,
        cors,
        bounds: Default::default(),
        max_response_size: 1 << 20,
        authorization,
        enable_model_api: false,
        unregister_model_timeout: HOUR,
    };
    AppState { state, access_log: true }
}

#[actix_web::test]
async fn a_web_page_needs_the_key_for_health_too() {
    let lines = ["cors.allowed.origin=https://app.example"];
    let listeners = Listeners::with_keys_made(SystemTime::now(), &lines);
    for (origin, shared) in [("https://app.example", true), ("https://evil.example", false)] {
        let headers = [("Origin", origin)];
        let answer = listeners.send(Role::Inference, Method::GET, "/ping", &headers).await;
        assert_eq!(answer.status, 400, "{origin}");
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, shared.then_some(origin));
    }
}

#[actix_web::test]
async fn without_a_key_health_and_descriptions_are_answered_and_nothing_else() {
    let listeners = Listeners::new();
    let (inference, management) = (Role::Inference, Role::Management);
    let both = Role::InferenceAndManagement;
    for (role, method, path, status) in [
        (inference, Method::GET, "/ping", 500), // Unhealthy: nothing was loaded yet.
        (inference, Method::OPTIONS, "/ping", 500),
        (inference, Method::OPTIONS, "/", 200),
        (inference, Method::GET, "/", 405),
        (inference, Method::GET, "/api-description", 200),
        (inference, Method::POST, "/predictions/nope", 400),
        (inference, Method::OPTIONS, "/predictions/nope", 400),
        (inference, Method::GET, "/nope", 400),
        (inference, Method::GET, "//ping", 400),
        (inference, Method::GET, "/predictions/ping", 400),
        (management, Method::OPTIONS, "/", 200),
        (management, Method::GET, "/api-description", 200),
        (management, Method::GET, "/models", 400),
        (management, Method::GET, "/%6dodels", 400),
        (management, Method::OPTIONS, "/models", 400),
        (management, Method::GET, "/models/nope", 400),
        (management, Method::GET, "/ping", 400),
        (management, Method::GET, "/token?type=inference", 400),
        (management, Method::OPTIONS, "/token?type=inference", 400),
        (both, Method::GET, "/ping", 500),
        (both, Method::OPTIONS, "/", 200),
        (both, Method::POST, "/predictions/nope", 400),
        (both, Method::GET, "/models", 400),
        (both, Method::GET, "/token?type=inference", 400),
        (both, Method::GET, "/metrics", 400),
        (Role::Metrics, Method::GET, "/metrics", 200),
        (Role::Metrics, Method::OPTIONS, "/", 200),
        (Role::Metrics, Method::GET, "/nope", 404),
    ] {
        let answer = listeners.send(role, method.clone(), path, &[]).await;
        assert_eq!(answer.status, status, "{role:?} {method} {path}");
    }
}

#[actix_web::test]
async fn each_key_opens_its_own_api_alone() {
    let listeners = Listeners::new();
    let [inference, management, api] =
        ["inference", "management", "API"].map(|name| listeners.bearer(name));
    let (one, two, both) = (Role::Inference, Role::Management, Role::InferenceAndManagement);
    for (role, path, key, status) in [
        (one, "/predictions/nope", &inference, 404),
        (one, "/predictions/nope", &management, 400),
        (one, "/predictions/nope", &api, 400),
        (one, "/nope", &inference, 404),
        (one, "/token?type=inference", &api, 400),
        (two, "/models", &management, 200),
        (two, "/models", &inference, 400),
        (two, "/models", &api, 400),
        (two, "/nope", &management, 404),
        (two, "/token?type=inference", &management, 400),
        (two, "/token?type=inference", &inference, 400),
        // One address, two APIs: TorchServe's management API cannot be reached there.
        (both, "/predictions/nope", &inference, 404),
        (both, "/predictions/nope", &management, 400),
        (both, "/models", &management, 200),
        (both, "/models", &inference, 400),
        (both, "/models/nope/invoke", &management, 400),
        (both, "/token?type=x", &management, 400),
    ] {
        assert_eq!(listeners.get(role, path, key).await, status, "{role:?} {path} {key}");
    }
}

#[actix_web::test]
async fn only_torchserves_form_of_the_header_is_a_token() {
    let listeners = Listeners::new();
    let key = listeners.key("inference");
    let path = "/predictions/nope";
    for (lines, status) in [
        (vec![format!("Bearer {key}")], 404),
        (vec![format!("Bearer \t  {key}")], 404),
        (vec![format!("bearer {key}")], 400),
        (vec![format!("Bearer{key}")], 400),
        (vec![format!("Bearer {key} x")], 400),
        (vec![format!("Bearer {key},")], 400),
        (vec![format!("Basic {key}")], 400),
        (vec![key.clone()], 400),
        (vec!["Bearer ".to_owned()], 400),
        (vec![format!("Bearer {}", &key[1..])], 400),
        (vec![format!("Bearer {key}="), format!("Bearer {key}")], 400),
        (vec![format!("Bearer {key}"), format!("Bearer {key}")], 400),
    ] {
        let headers: Vec<_> = lines.iter().map(|line| ("Authorization", line.as_str())).collect();
        let answer = listeners.send(Role::Inference, Method::GET, path, &headers).await;
        assert_eq!(answer.status, status, "{lines:?}");
    }
    // A key in the query is in every log on the way.
    let query = format!("{path}?token={key}&Authorization=Bearer%20{key}");
    assert_eq!(listeners.send(Role::Inference, Method::GET, &query, &[]).await.status, 400);
}

#[actix_web::test]
async fn a_refusal_is_torchserves_and_readable_for_the_allowed_page_alone() {
    let lines = ["cors.allowed.origin=https://app.example", "cors.allowed.headers=Authorization"];
    let listeners = Listeners::with_keys_made(SystemTime::now(), &lines);
    let path = "/predictions/nope";
    let page = [("Origin", "https://app.example"), ("Authorization", "Bearer wrong")];
    let answer = listeners.send(Role::Inference, Method::POST, path, &page).await;
    assert_eq!((answer.status, answer.body.as_str()), (400, FAILED));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
    assert!(answer.header("x-request-id").is_some());
    let other = [("Origin", "https://evil.example")];
    let answer = listeners.send(Role::Inference, Method::POST, path, &other).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (400, None));
    assert_eq!(answer.header("vary"), Some("Origin"));

    let preflight = |origin| {
        [
            ("Origin", origin),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "authorization"),
        ]
    };
    let page = preflight("https://app.example");
    let answer = listeners.send(Role::Inference, Method::OPTIONS, path, &page).await;
    assert_eq!(answer.status, 204, "a preflight needs no token");
    let evil = preflight("https://evil.example");
    let answer = listeners.send(Role::Inference, Method::OPTIONS, path, &evil).await;
    assert_eq!(answer.status, 403, "a refused preflight is refused by CORS");
}

#[actix_web::test]
async fn many_wrong_tokens_wait_while_the_right_one_passes() {
    let lines = ["cors.allowed.origin=https://app.example"];
    let listeners = Listeners::with_keys_made(SystemTime::now(), &lines);
    let right = listeners.bearer("inference");
    let wrong = [("Authorization", "Bearer wrong"), ("Origin", "https://app.example")];
    let mut waiting = None;
    for _ in 0..200 {
        let answer = listeners.send(Role::Inference, Method::POST, "/predictions/x", &wrong).await;
        if answer.status == 429 {
            waiting = Some(answer);
            break;
        }
        assert_eq!(answer.status, 400);
    }
    let waiting = waiting.expect("200 wrong tokens were answered one by one");
    assert_eq!(waiting.header("retry-after"), Some("1"));
    assert_eq!(waiting.header("access-control-allow-origin"), Some("https://app.example"));
    let body: serde_json::Value = serde_json::from_str(&waiting.body).unwrap();
    assert_eq!((&body["code"], &body["type"]), (&429.into(), &"TooManyRequestsException".into()));
    assert_eq!(listeners.get(Role::Inference, "/predictions/x", &right).await, 404);
    assert_eq!(listeners.get(Role::Inference, "/ping", "Bearer wrong").await, 500);
}

#[actix_web::test]
async fn a_key_ends_when_the_file_says_and_the_api_key_does_not() {
    let an_hour_ago = SystemTime::now() - HOUR;
    let nearly = Listeners::with_keys_made(an_hour_ago + Duration::from_secs(600), &[]);
    let path = "/predictions/nope";
    assert_eq!(nearly.get(Role::Inference, path, &nearly.bearer("inference")).await, 404);
    let over = Listeners::with_keys_made(an_hour_ago, &[]);
    assert_eq!(over.get(Role::Inference, path, &over.bearer("inference")).await, 400);
    assert_eq!(over.get(Role::Management, "/models", &over.bearer("management")).await, 400);
    let api = over.bearer("API");
    assert_eq!(over.get(Role::Management, "/token?type=inference", &api).await, 200);
    assert_eq!(over.get(Role::Inference, path, &over.bearer("inference")).await, 404);
}

#[actix_web::test]
async fn the_api_key_replaces_a_key_by_any_method_and_the_old_one_dies_at_once() {
    let listeners = Listeners::new();
    let api = listeners.bearer("API");
    let management = listeners.bearer("management");
    for (role, method) in [
        (Role::Management, Method::GET),
        (Role::Management, Method::POST),
        (Role::Management, Method::PUT),
        (Role::InferenceAndManagement, Method::GET),
    ] {
        let old = listeners.bearer("inference");
        let uri = "/token?type=inference";
        let answer = listeners.send(role, method, uri, &[("Authorization", &api)]).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "\n"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let new = listeners.bearer("inference");
        assert_ne!(new, old);
        for (key, status) in [(&new, 404), (&old, 400)] {
            assert_eq!(listeners.get(Role::Inference, "/predictions/nope", key).await, status);
        }
        assert_eq!(listeners.bearer("management"), management);
    }
    assert_eq!(listeners.get(Role::Management, "/token?type=management", &api).await, 200);
    assert_eq!(listeners.get(Role::Management, "/models", &management).await, 400);
    let new = listeners.bearer("management");
    assert_eq!(listeners.get(Role::Management, "/models", &new).await, 200);
    assert_eq!(listeners.bearer("API"), api);
}

#[actix_web::test]
async fn a_wrong_call_of_the_token_api_changes_nothing() {
    let listeners = Listeners::new();
    let before = fs::read_to_string(listeners.folder.path().join("key_file.json")).unwrap();
    let (api, inference) = (listeners.bearer("API"), listeners.bearer("inference"));
    for (path, key) in [
        ("/token?type=inference", "Bearer wrong"),
        ("/token?type=inference", &inference),
        ("/token?type=api", &api),
        ("/token?type=", &api),
        ("/token", &api),
    ] {
        let header = [("Authorization", key)];
        let answer = listeners.send(Role::Management, Method::GET, path, &header).await;
        assert_eq!((answer.status, answer.body.as_str()), (400, TOKEN_FAILED), "{path} {key}");
    }
    // What a page can make a browser send without asking first has no key in it.
    let page = [
        ("Origin", "https://evil.example"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "no-cors"),
        ("Cookie", "key=1"),
    ];
    for method in [Method::GET, Method::POST] {
        let answer = listeners.send(Role::Management, method, "/token?type=inference", &page).await;
        assert!(matches!(answer.status, 400 | 403), "{}", answer.status);
    }
    let after = fs::read_to_string(listeners.folder.path().join("key_file.json")).unwrap();
    assert_eq!(after, before);
}

#[actix_web::test]
async fn torchserve_took_any_mention_of_token_for_a_call_of_the_token_api() {
    let listeners = Listeners::new();
    let management = listeners.bearer("management");
    let referer = ("Referer", "https://docs.example/token?type=inference");
    for path in ["/models/token-classifier", "/models/token", "/models?x=/token", "/token/x"] {
        let headers = [("Authorization", management.as_str()), referer];
        let answer = listeners.send(Role::Management, Method::GET, path, &headers).await;
        assert!(matches!(answer.status, 200 | 404), "{path}: {}", answer.status);
        let api = listeners.bearer("API");
        assert_eq!(listeners.get(Role::Management, path, &api).await, 400, "{path}");
    }
}

#[actix_web::test]
async fn without_token_authorization_everything_is_open_and_there_is_no_token_api() {
    let listeners = Listeners::without_authorization();
    for (role, path, status) in [
        (Role::Inference, "/predictions/nope", 404),
        (Role::Management, "/models", 200),
        (Role::Management, "/token?type=inference", 404),
    ] {
        let answer = listeners.send(role, Method::GET, path, &[]).await;
        assert_eq!(answer.status, status, "{path}");
    }
}

#[test]
fn an_embedding_program_can_judge_a_token_itself() {
    let authorization = TokenAuthorization::new(HOUR, SystemTime::now()).unwrap();
    let judged = authorization.authorize(Scope::Api, [].into_iter(), SystemTime::now());
    let refusal = Refusal { scope: Scope::Api, reason: RefusalReason::InvalidKey };
    assert_eq!(judged, Err(refusal));
}

#[test]
fn a_prediction_needs_the_key_of_the_file_and_the_file_goes_with_the_server() {
    let server = TestServer::start(&["mlp"], &["disable_token_authorization=false"]);
    let body = b"[0.1, -0.2, 0.3, 0.4]";
    let json = ("Content-Type", "application/json");
    assert_eq!(server.predict("mlp", body).status, 400);
    let bearer = format!("Bearer {}", key(server.folder.path(), "inference"));
    let headers = [json, ("Authorization", &*bearer)];
    let path = "/predictions/mlp";
    assert_eq!(request(server.inference, "POST", path, &headers, body).status, 200);
    assert_eq!(request(server.inference, "GET", "/ping", &[], b"").status, 200);
    assert_eq!(server.manage("/models").status, 400);
    // A refusal does not cost the connection, even when the body was not read.
    let mut client = crate::support::Client::connect(server.inference);
    let large = vec![b'x'; 60_000];
    assert_eq!(client.request("POST", path, &[json], &large).status, 400);
    assert_eq!(client.request("POST", path, &headers, body).status, 200);
}

#[test]
fn a_server_says_where_its_keys_are_and_never_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let lines = properties("load_models=mlp.mar\ndisable_token_authorization=false");
    let log_path = folder.path().join("log");
    let mut all = command(folder.path(), &lines);
    all.stderr(fs::File::create(&log_path).unwrap());
    let (mut child, inference, log) = start(&mut all);
    let file = folder.path().join("key_file.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let keys = ["inference", "management", "API"].map(|name| key(folder.path(), name));
    for key in &keys {
        let bearer = format!("Bearer {key}");
        request(
            inference,
            "POST",
            "/predictions/mlp",
            &[("Authorization", &*bearer)],
            b"[1,2,3,4]",
        );
    }
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let lines: Vec<String> = log.lines().map(Result::unwrap).collect();
    let log = lines.join("\n") + &fs::read_to_string(&log_path).unwrap();
    assert!(log.contains("access_log"), "{log}");
    for key in &keys {
        assert!(!log.contains(key.as_str()), "{key} is in the log:\n{log}");
    }
    assert!(!file.exists(), "the key file was left");
}

#[test]
fn the_start_says_where_the_keys_are_and_how_to_do_without() {
    let folder = tempfile::tempdir().unwrap();
    let lines = properties("disable_token_authorization=false");
    let mut child = command(folder.path(), &lines);
    let mut child = child.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut said = Vec::new();
    for line in std::io::BufReader::new(child.stdout.take().unwrap()).lines() {
        said.push(line.unwrap());
        if said.last().unwrap().contains("Model server started") {
            signal(&child, "-TERM");
        }
    }
    child.wait().unwrap();
    let said = said.join("\n");
    let file = folder.path().canonicalize().unwrap().join("key_file.json");
    for part in [&*file.display().to_string(), "disable_token_authorization=true"] {
        assert!(said.contains(part), "{said}\ndoes not say {part}");
    }
}

#[test]
fn a_key_file_that_cannot_be_written_ends_the_start_with_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    // Not a matter of permissions: tests may run as root.
    fs::create_dir_all(folder.path().join("key_file.json/in the way")).unwrap();
    let lines = properties("disable_token_authorization=false");
    let output = command(folder.path(), &lines).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    for part in
        ["key_file.json", "a folder that can be written", "disable_token_authorization=true"]
    {
        assert!(said.contains(part), "{said}\ndoes not say {part}");
    }
}

#[test]
fn a_second_server_that_finds_the_port_taken_leaves_the_keys_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let lines = properties("disable_token_authorization=false");
    let (mut child, inference, _log) = start(&mut command(folder.path(), &lines));
    let before = fs::read_to_string(folder.path().join("key_file.json")).unwrap();
    let taken = lines.replacen("127.0.0.1:0", &inference.to_string(), 1);
    let second = command(folder.path(), &taken).output().unwrap();
    assert_eq!(second.status.code(), Some(1), "{}", text(&second));
    assert_eq!(fs::read_to_string(folder.path().join("key_file.json")).unwrap(), before);
    signal(&child, "-TERM");
    child.wait().unwrap();
}
