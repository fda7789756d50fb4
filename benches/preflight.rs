//! What a preflight costs, from the decision alone to a whole connection; no socket, no libtorch.
//!
//! `make bench`, or `cargo bench --bench preflight -- decide` for a part. Sockets and other servers
//! are measured by `make compare WHAT=preflight`.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_http::{HttpService, KeepAlive, Protocol, Request};
use actix_service::{IntoServiceFactory, ServiceFactoryExt, map_config};
use actix_web::dev::{AppConfig, Service, ServiceFactory};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, ORIGIN,
};
use actix_web::rt::System;
use actix_web::test::TestRequest;
use actix_web::{App, Error, HttpResponse, web};
use criterion::{Bencher, Criterion, criterion_group, criterion_main};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use torchfront::batching::{DecodePool, Filling};
use torchfront::cors::{
    Action, Cors, CorsPolicy, ListenerFacts, ListenerPolicies, RequestSketch, Setting, compile,
    decide,
};
use torchfront::cors_live::LiveCors;
use torchfront::download::{DownloadPolicy, Downloads};
use torchfront::engine::fake::FakeEngine;
use torchfront::handlers::{Catalog, Envelope};
use torchfront::http::{BodyLimits, Compression, FastPathStream, State};
use torchfront::metrics::Metrics;
use torchfront::registry::{Defaults, Loader, Registry};
use torchfront::server::{AppState, Role, create_app, create_service};

/// As the server itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LISTED: &str = "https://app0.example";
const FOREIGN: &str = "https://evil.test";
const PATH: &str = "/predictions/mlp";

criterion_group!(benches, decisions, compiling, middleware, application, connection);
criterion_main!(benches);

// === the core ===

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    let lists = [
        ("1 origin", origins(1)),
        ("1,000 origins", origins(1_000)),
        ("100,000 origins", origins(100_000)),
        ("1 pattern", patterns(1)),
        ("1,000 patterns", patterns(1_000)),
        ("any origin", "*".to_owned()),
    ];
    for (list, value) in &lists {
        let policies = policies(value);
        let policy = policies.inference.base();
        for (what, request) in [
            ("preflight", preflight(LISTED)),
            ("actual", actual(LISTED)),
            ("foreign preflight", preflight(FOREIGN)),
        ] {
            expect(policy, &request, what, list);
            group.bench_function(format!("{what}, {list}"), |bencher| {
                bencher.iter(|| decide(black_box(policy), black_box(&request.facts())));
            });
        }
    }
    group.finish();
}

/// A bench of the wrong decision measures nothing.
fn expect(policy: &CorsPolicy, request: &RequestSketch, what: &str, list: &str) {
    let action = decide(policy, &request.facts()).action;
    let as_meant = match what {
        "preflight" => action == Action::Grant,
        "actual" => action == Action::Pass,
        _ => matches!(action, Action::Refuse(_)) || list == "any origin",
    };
    assert!(as_meant, "{what}, {list}: {action:?}");
}

fn compiling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for (count, name) in [(1, "1 origin"), (100_000, "100,000 origins")] {
        let settings = settings(&origins(count));
        let facts = ListenerFacts::default();
        group.bench_function(name, |bencher| {
            bencher.iter(|| compile(black_box(&settings), &facts));
        });
    }
    group.finish();
}

// === the layer ===

fn middleware(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("middleware");
    for (what, request) in requests() {
        group.bench_function(format!("{what}, no CORS layer"), |bencher| {
            run(bencher, |_| App::new().default_service(web::to(HttpResponse::Ok)), &request);
        });
        group.bench_function(format!("{what}, torchfront"), |bencher| {
            run(
                bencher,
                |policies| {
                    let cors = Cors::new(Arc::clone(&policies.inference));
                    App::new().default_service(web::to(HttpResponse::Ok)).wrap(cors)
                },
                &request,
            );
        });
        group.bench_function(format!("{what}, actix-cors"), |bencher| {
            run(
                bencher,
                |policies| {
                    let cors = policies.inference.base().to_actix_cors();
                    App::new().default_service(web::to(HttpResponse::Ok)).wrap(cors)
                },
                &request,
            );
        });
    }
    group.finish();
}

// === the application ===

fn application(criterion: &mut Criterion) {
    // Lines are formatted, not written.
    tracing_subscriber::fmt().with_writer(std::io::sink).init();
    let mut group = criterion.benchmark_group("application");
    for access_log in [false, true] {
        let state = app_state(access_log);
        let log = if access_log { "on" } else { "off" };
        for (what, request) in requests() {
            group.bench_function(format!("{what}, access log {log}, no gate"), |bencher| {
                run(bencher, |_| create_app(Role::Inference, &state), &request);
            });
            group.bench_function(format!("{what}, access log {log}"), |bencher| {
                run(bencher, |_| create_service(Role::Inference, &state), &request);
            });
        }
    }
    group.finish();
}

// === a connection ===

/// A granted preflight from its first byte to the last of its answer, over a pipe in memory.
fn connection(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("connection");
    let state = app_state(false);
    for (name, is_fast) in [("preflight, fast path", true), ("preflight, through actix", false)] {
        let system = System::new();
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| system.block_on(exchanges(&state, is_fast, times)));
        });
    }
    group.finish();
}

/// How long it takes to ask so many times on one connection.
async fn exchanges(state: &AppState, is_fast: bool, times: u64) -> Duration {
    let gate = create_service(Role::Inference, state);
    let path = is_fast.then(|| gate.fast_path()).flatten();
    let gate = map_config(gate, |()| AppConfig::default());
    let http = HttpService::build()
        .keep_alive(KeepAlive::Os)
        .client_request_timeout(Duration::ZERO)
        .finish(gate.map_err(|error: Error| error.error_response()));
    let http = http.new_service(()).await.expect("nothing of it can fail");
    let (mut client, server) = duplex(4096);
    let stream = FastPathStream::new(server, None, path);
    let served = actix_web::rt::spawn(http.call((stream, Protocol::Http1, None)));
    let head = format!(
        "OPTIONS {PATH} HTTP/1.1\r\nHost: a.example\r\nOrigin: {LISTED}\r\n\
         Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n\r\n"
    );
    let mut answer = [0; 4096];
    let started = Instant::now();
    for _ in 0..times {
        client.write_all(head.as_bytes()).await.expect("it is served");
        let length = client.read(&mut answer).await.expect("it is answered");
        assert!(answer[..length].starts_with(b"HTTP/1.1 204"), "it is granted");
    }
    let took = started.elapsed();
    drop(client);
    let _ended = served.await;
    took
}

/// Everything that a server shares, without a model.
fn app_state(access_log: bool) -> AppState {
    let metrics = Metrics::new("bench").expect("names are registered once");
    let loader = Loader {
        engine: Arc::new(FakeEngine),
        defaults: Defaults {
            max_response_size: usize::MAX,
            workers: 1,
            workers_max: 1,
            registered_workers: 1,
            response_timeout: Duration::from_secs(120),
            startup_timeout: Duration::from_secs(120),
            job_queue_size: 100,
            filling: Filling::WorkConserving,
            limit_max_image_pixels: true,
            default_service_handler: None,
            service_envelope: Envelope::None,
        },
        model_store: None,
        downloads: Downloads::new(DownloadPolicy::default(), metrics.downloads()),
        unpack_dir: std::env::temp_dir(),
        limits: Default::default(),
        gpus: 0,
        metrics: metrics.clone(),
        decode_pool: Arc::new(DecodePool::start(NonZeroUsize::MIN, 1).expect("a thread")),
        handlers: Catalog::default(),
    };
    let cors = LiveCors::fixed(policies(LISTED), &metrics).expect("names are registered once");
    AppState {
        state: State {
            registry: Arc::new(Registry::new(loader, Default::default())),
            metrics,
            tracer: None,
            server_timing: true,
            sequence_headers: Default::default(),
            body_limits: BodyLimits { size: 6_553_500, ratio: 200 },
            compression: Compression::Off,
            cors,
            bounds: Default::default(),
            max_response_size: 6_553_500,
            authorization: None,
            enable_model_api: false,
            unregister_model_timeout: Duration::from_secs(120),
        },
        access_log,
    }
}

// === requests and how they are run ===

/// Calls the application in this process, one request after the other.
fn run<F, S>(bencher: &mut Bencher<'_>, app: impl FnOnce(&ListenerPolicies) -> F, request: &Sketch)
where
    F: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig, Error = Error, InitError = ()>,
{
    let system = System::new();
    let factory = app(&policies(LISTED)).into_factory();
    let service = system.block_on(factory.new_service(AppConfig::default()));
    let service = service.expect("nothing of it can fail");
    let (method, headers) = request;
    bencher.iter_batched(
        || {
            let made = TestRequest::with_uri(PATH).method(method.clone());
            let made = headers.iter().fold(made, |made, (name, value)| {
                made.append_header((name.clone(), HeaderValue::from_static(value)))
            });
            made.to_request()
        },
        |request| system.block_on(service.call(request)).is_ok(),
        criterion::BatchSize::SmallInput,
    );
}

/// A method and headers.
type Sketch = (Method, &'static [(HeaderName, &'static str)]);

fn requests() -> [(&'static str, Sketch); 3] {
    const GRANTED: &[(HeaderName, &str)] = &[
        (ORIGIN, LISTED),
        (ACCESS_CONTROL_REQUEST_METHOD, "POST"),
        (ACCESS_CONTROL_REQUEST_HEADERS, "content-type"),
    ];
    const REFUSED: &[(HeaderName, &str)] =
        &[(ORIGIN, FOREIGN), (ACCESS_CONTROL_REQUEST_METHOD, "POST")];
    const SHARED: &[(HeaderName, &str)] = &[(ORIGIN, LISTED)];
    [
        ("preflight", (Method::OPTIONS, GRANTED)),
        ("foreign preflight", (Method::OPTIONS, REFUSED)),
        ("actual", (Method::GET, SHARED)),
    ]
}

fn preflight(origin: &str) -> RequestSketch {
    sketch(Method::OPTIONS, origin)
        .header(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"))
        .header(ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("content-type"))
}

fn actual(origin: &str) -> RequestSketch {
    sketch(Method::POST, origin)
}

fn sketch(method: Method, origin: &str) -> RequestSketch {
    let origin = HeaderValue::try_from(origin).expect("origins are ASCII");
    RequestSketch::new(method, PATH).header(ORIGIN, origin)
}

// === policies ===

fn origins(count: usize) -> String {
    let list: Vec<String> = (0..count).map(|n| format!("https://app{n}.example")).collect();
    list.join(",")
}

/// Of which the last one covers [`LISTED`].
fn patterns(count: usize) -> String {
    let others = (1..count).map(|n| format!("https://*.tenant{n}.test:*,"));
    others.collect::<String>() + "https://*.example"
}

fn settings(origins: &str) -> Vec<Setting> {
    let line = |key, value, line| Setting::in_file(key, value, "config.properties", line);
    vec![
        line("cors.allowed.origin", origins, 1),
        line("cors.allowed.methods", "GET, POST", 2),
        line("cors.allowed.headers", "Content-Type, Authorization", 3),
    ]
}

fn policies(origins: &str) -> ListenerPolicies {
    let compiled = compile(&settings(origins), &ListenerFacts::default());
    compiled.policies.unwrap_or_else(|| panic!("{:?}", compiled.problems))
}
