//! What a prediction costs, part by part, from the bytes of a request to those of its answer; no
//! socket. Floors are what libtorch takes alone.
//!
//! `make bench`, or `cargo bench --bench inference -- request` for a part. It begins with the number
//! of allocations a request. Sockets and other servers are measured by `make compare WHAT=inference`.

#![allow(unsafe_code, reason = "an allocator that counts must be one")]

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_http::Request;
use actix_web::dev::{AppConfig, Service, ServiceFactory};
use actix_web::rt::System;
use actix_web::test::TestRequest;
use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use torchfront::Config;
use torchfront::config::{ListenAddress, LoadModel, LoadModels};
use torchfront::engine::fake::FakeEngine;
use torchfront::engine::options::{MemoryFormat, Optimize, Precision};
use torchfront::engine::{
    Device, Elements, Engine, HostTensor, LoadOptions, Module, TorchEngine, Value,
};
use torchfront::handlers::{
    Envelope, Handler, HandlerSettings, NoFiles, RequestInput, Sample, built_in,
};
use torchfront::registry::Model;
use torchfront::server::{AppState, Parts, Phase, Role, Server, create_service};

/// The server's allocator, counted.
#[global_allocator]
static ALLOCATOR: Counting = Counting(mimalloc::MiMalloc);

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

struct Counting(mimalloc::MiMalloc);

// SAFETY: every call is handed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { self.0.dealloc(pointer, layout) }
    }
}

const SAMPLE: &[u8] = b"[0.1, -0.2, 0.3, 0.4]";
const PHOTOGRAPH: &str = "models/samples/photos/flower.jpg";

criterion_group!(benches, preprocess, collate, forward, convolutions, queue, request);
criterion_main!(benches);

// === the parts ===

fn preprocess(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("preprocess");
    let numbers: Vec<String> = (0..3 * 64 * 64).map(|n| format!("{}.25", n % 100)).collect();
    let large = Bytes::from(format!("[{}]", numbers.join(", ")));
    let photograph = Bytes::from(std::fs::read(PHOTOGRAPH).expect("models/samples is complete"));
    let (mlp, signature) = (handler("base_handler", "mlp"), "image_classifier");
    let images = handler(signature, "tiny_classifier");
    for (what, handler, body, content_type) in [
        ("4 numbers as JSON", &mlp, Bytes::from_static(SAMPLE), "application/json"),
        ("12,288 numbers as JSON", &mlp, large, "application/json"),
        ("a photograph", &images, photograph, "image/jpeg"),
    ] {
        let input = || RequestInput::body(Some(content_type.to_owned()), body.clone());
        handler.preprocess(input()).expect("a sound input");
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(what, |bencher| {
            bencher.iter_batched(input, |input| handler.preprocess(input), BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn collate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("collate");
    let handler = handler("base_handler", "mlp");
    for rows in [1, 8, 32] {
        let samples: Vec<Sample> = (0..rows).map(|_| sample(&*handler)).collect();
        group.throughput(Throughput::Elements(rows as u64));
        group.bench_function(format!("{rows} samples of 4 numbers"), |bencher| {
            let samples = || samples.clone();
            bencher.iter_batched(
                samples,
                |samples| handler.collate(samples),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// The floor: libtorch alone.
fn forward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("forward");
    let handler = handler("base_handler", "mlp");
    let module = module("mlp", &LoadOptions::default());
    TorchEngine.enter_worker_thread(1);
    for rows in [1, 8, 32] {
        let samples = (0..rows).map(|_| sample(&*handler)).collect();
        let arguments: Vec<Value> = handler.collate(samples).expect("they fit");
        group.throughput(Throughput::Elements(rows as u64));
        group.bench_function(format!("4-16-3 MLP, {rows} rows"), |bencher| {
            let arguments = || arguments.clone();
            bencher.iter_batched(arguments, |given| module.forward(given), BatchSize::SmallInput);
        });
    }
    group.finish();
}

/// A small network of 3 x 3 convolutions: libtorch's own, and Winograd's algorithm.
fn convolutions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("convolutions");
    TorchEngine.enter_worker_thread(1);
    for precision in [Precision::Float32, Precision::Bfloat16] {
        let direct = match precision {
            Precision::Float32 => Optimize::Exact,
            Precision::Bfloat16 => Optimize::Freeze,
        };
        for optimize in [direct, Optimize::Winograd] {
            let module = module(
                "squares",
                &LoadOptions {
                    optimize: Some(optimize),
                    memory_format: Some(MemoryFormat::ChannelsLast),
                    precision: Some(precision),
                },
            );
            let pictures = Elements::Float32(vec![0.5; 8 * 3 * 56 * 56]);
            let pictures = HostTensor::new(vec![8, 3, 56, 56], pictures).expect("they fit");
            group.throughput(Throughput::Elements(8));
            group.bench_function(format!("{optimize}, {precision}"), |bencher| {
                let given = || vec![Value::from(pictures.clone())];
                bencher.iter_batched(given, |given| module.forward(given), BatchSize::SmallInput);
            });
        }
    }
    group.finish();
}

// === the way through a model ===

fn queue(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("predict");
    for (what, engine) in [
        // The hop alone: this engine gives back what it is given.
        ("queue and worker, no model", Some(Arc::new(FakeEngine) as Arc<dyn Engine>)),
        ("4-16-3 MLP, alone", None),
    ] {
        let system = System::new();
        let (model, _app) = system.block_on(serve(engine));
        let predict = || async {
            let body =
                RequestInput::body(Some("application/json".to_owned()), Bytes::from_static(SAMPLE));
            black_box(model.predict(body, None).await).expect("a sound input");
        };
        group.bench_function(what, |bencher| bencher.iter(|| system.block_on(predict())));
    }
    group.finish();
}

fn request(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request");
    let system = System::new();
    let (_model, app) = system.block_on(serve(None));
    let service =
        system.block_on(create_service(Role::Inference, &app).new_service(AppConfig::default()));
    let service = service.expect("nothing of it can fail");
    for (what, made) in [("4-16-3 MLP", prediction as fn() -> Request), ("preflight", preflight)] {
        let call = |request| system.block_on(service.call(request)).is_ok();
        (0..1000).for_each(|_| assert!(call(made())));
        let requests: Vec<Request> = (0..100).map(|_| made()).collect();
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        requests.into_iter().for_each(|request| assert!(call(request)));
        let count = (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64 / 100.0;
        println!("{what}: {count:.1} allocations a request");
        group.bench_function(what, |bencher| {
            bencher.iter_batched(made, call, BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn prediction() -> Request {
    let request = TestRequest::post().uri("/predictions/mlp").set_payload(SAMPLE);
    request.insert_header(("content-type", "application/json")).to_request()
}

fn preflight() -> Request {
    let request =
        TestRequest::with_uri("/predictions/mlp").method("OPTIONS".parse().expect("a token"));
    let request = request.insert_header(("origin", "https://app.example"));
    request.insert_header(("access-control-request-method", "POST")).to_request()
}

// === what is measured ===

fn archives() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/archives")
}

/// A server whose `mlp` is loaded; it serves until the process ends.
async fn serve(engine: Option<Arc<dyn Engine>>) -> (Arc<Model>, AppState) {
    let mut config = Config::default();
    for address in [&mut config.inference, &mut config.management, &mut config.metrics] {
        *address = ListenAddress::loopback(0);
    }
    config.model_store = Some(archives());
    let mlp = LoadModel { name: None, archive: "mlp.mar".to_owned() };
    config.load_models = LoadModels::List(vec![mlp]);
    config.disable_token_authorization = true;
    config.access_log = false;
    let server = Server::build_with(config, Parts { engine, ..Parts::default() });
    let server = server.expect("the addresses are free");
    let (registry, app) = (Arc::clone(server.registry()), server.app().clone());
    let mut handle = server.handle();
    actix_web::rt::spawn(server.run());
    handle.reached(Phase::Serving).await;
    (registry.resolve("mlp", None).expect("it was loaded"), app)
}

fn handler(name: &str, model: &str) -> Arc<dyn Handler> {
    let settings = HandlerSettings {
        model,
        version: "1.0",
        index_to_name: None,
        model_config: &serde_json::Value::Null,
        signature: module(model, &LoadOptions::default()).signature().clone(),
        limit_max_image_pixels: true,
        max_response_size: usize::MAX,
        envelope: Envelope::default(),
        files: &NoFiles,
    };
    built_in(name, settings).expect("a built-in handler")
}

fn sample(handler: &dyn Handler) -> Sample {
    let content_type = Some("application/json".to_owned());
    let input = RequestInput::body(content_type, Bytes::from_static(SAMPLE));
    handler.preprocess(input).expect("a sound input")
}

fn module(archive: &str, options: &LoadOptions) -> Arc<dyn Module> {
    let file = std::fs::File::open(archives().join(format!("{archive}.mar"))).expect("it is there");
    let mut zip = zip::ZipArchive::new(file).expect("an archive");
    let mut content = zip.by_name("model.pt").expect("a TorchScript module");
    let unpacked = tempfile::NamedTempFile::new().expect("room for it");
    std::io::copy(&mut content, &mut unpacked.as_file()).expect("room for it");
    let loaded = TorchEngine.load(archive, unpacked.path(), Device::Cpu).expect("it loads");
    let prepared = loaded.prepared(archive, options, None).expect("it is sound");
    prepared.unwrap_or(loaded)
}
