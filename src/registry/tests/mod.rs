//! The registry with a fake engine whose loads and forwards can be held up.

mod answering;
mod leaving_nothing;
mod registering;
mod scaling;
mod state_machine;
mod supervising;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use zip::write::SimpleFileOptions;

use super::*;
use crate::archive::ArchiveLimits;
use crate::batching::{DecodePool, Filling, PredictError};
use crate::download::{DownloadPolicy, Downloads};
use crate::engine::fake::FakeEngine;
use crate::engine::{Device, Engine, EngineError, Module, Signature, Value};
use crate::handlers::{
    Asked, Catalog, Envelope, Handler, HandlerError, Prediction, RequestInput, Sample,
};
use crate::metrics::Metrics;

/// No test waits longer for what should happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A registry, a model store of its own, and a hold on its engine.
pub(crate) struct Bench {
    pub(crate) registry: Arc<Registry>,
    pub(crate) metrics: Metrics,
    /// Loads of `load-held` models wait here.
    pub(crate) loads: Arc<Gate>,
    /// Forwards of `forward-held` models wait here.
    pub(crate) forwards: Arc<Gate>,
    /// Requests to a model with the handler `photographs` wait here in the decode pool.
    pub(crate) decodes: Arc<Gate>,
    pub(crate) decode_pool: Arc<DecodePool>,
    /// Modules in memory.
    pub(crate) modules: Arc<AtomicUsize>,
    folder: TempDir,
}

/// Something that whoever passes may have to wait at.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    open: bool,
    waiting: usize,
    passed: usize,
}

/// Takes its time over any input, panics over `panic`, and asks the model for `[1, 2]`.
struct Photographs(Arc<Gate>, Arc<dyn Handler>);

/// Runs `sum` models; the words before it in the file say what is held up.
struct HeldEngine {
    loads: Arc<Gate>,
    forwards: Arc<Gate>,
    modules: Arc<AtomicUsize>,
    sum: Arc<dyn Module>,
}

struct HeldModule {
    sum: Arc<dyn Module>,
    forwards: Option<Arc<Gate>>,
    /// The gate is for the first forward only.
    first: Option<AtomicBool>,
    modules: Arc<AtomicUsize>,
    /// Refuses copies beyond the first so many.
    copies: Option<AtomicUsize>,
}

// === impl Gate ===

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        self.changed.notify_all();
        while !state.open {
            state = self.changed.wait(state).unwrap();
        }
        state.waiting -= 1;
        state.passed += 1;
    }

    /// How many have gone through.
    fn passed(&self) -> usize {
        self.state.lock().unwrap().passed
    }

    /// Lets everybody through from now on.
    pub(crate) fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.changed.notify_all();
    }

    /// Waits until so many wait.
    #[track_caller]
    pub(crate) fn wait_for(&self, waiting: usize) {
        let state = self.state.lock().unwrap();
        let (state, time) = self
            .changed
            .wait_timeout_while(state, PATIENCE, |state| state.waiting < waiting)
            .unwrap();
        assert!(!time.timed_out(), "{} of {waiting} came", state.waiting);
    }
}

// === impl Photographs ===

impl Handler for Photographs {
    fn preprocess(&self, input: RequestInput) -> Result<Sample, HandlerError> {
        self.0.pass();
        assert_ne!(input.payload().unwrap().value, "panic");
        self.1.preprocess(RequestInput::body(None, "[1, 2]".into()))
    }

    fn collate(&self, samples: Vec<Sample>) -> Result<Vec<Value>, HandlerError> {
        self.1.collate(samples)
    }

    fn postprocess(&self, output: Value, asked: &[Asked]) -> Result<Vec<Prediction>, HandlerError> {
        self.1.postprocess(output, asked)
    }
}

// === impl HeldEngine ===

impl Engine for HeldEngine {
    fn load(&self, _: &str, file: &Path, _: Device) -> Result<Arc<dyn Module>, EngineError> {
        let text = fs::read_to_string(file).map_err(|e| EngineError::Failed(e.to_string()))?;
        let words: Vec<&str> = text.split_whitespace().collect();
        if words.contains(&"load-held") {
            self.loads.pass();
        }
        assert!(!words.contains(&"panic"), "a load that panics");
        if words.contains(&"broken") {
            return Err(EngineError::Failed("broken".into()));
        }
        self.modules.fetch_add(1, Ordering::SeqCst);
        Ok(Arc::new(HeldModule {
            sum: Arc::clone(&self.sum),
            forwards: words.contains(&"forward-held").then(|| Arc::clone(&self.forwards)),
            first: words.contains(&"first").then(|| AtomicBool::new(true)),
            modules: Arc::clone(&self.modules),
            copies: words.contains(&"one-copy").then(|| AtomicUsize::new(1)),
        }))
    }

    fn enter_worker_thread(&self, _: usize) {}
}

impl Module for HeldModule {
    fn forward(&self, arguments: Vec<Value>) -> Result<Value, EngineError> {
        if let Some(gate) = &self.forwards
            && self.first.as_ref().is_none_or(|first| first.swap(false, Ordering::SeqCst))
        {
            gate.pass();
        }
        self.sum.forward(arguments)
    }

    fn signature(&self) -> &Signature {
        self.sum.signature()
    }

    fn replica(&self) -> Result<Option<Arc<dyn Module>>, EngineError> {
        let Some(left) = &self.copies else { return Ok(None) };
        if left.load(Ordering::SeqCst) == 0 {
            return Err(EngineError::OutOfMemory("no room for a copy".into()));
        }
        left.fetch_sub(1, Ordering::SeqCst);
        Ok(None)
    }
}

impl Drop for HeldModule {
    fn drop(&mut self) {
        self.modules.fetch_sub(1, Ordering::SeqCst);
    }
}

// === impl Bench ===

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench::with_decode_pool(DecodePool::start(NonZeroUsize::MIN, 100).unwrap())
    }

    fn with_decode_pool(decode_pool: DecodePool) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("store")).unwrap();
        let sum = folder.path().join("sum.pt");
        fs::write(&sum, "sum").unwrap();
        let (loads, forwards) = (Arc::<Gate>::default(), Arc::<Gate>::default());
        let modules = Arc::<AtomicUsize>::default();
        let engine = HeldEngine {
            loads: Arc::clone(&loads),
            forwards: Arc::clone(&forwards),
            modules: Arc::clone(&modules),
            sum: FakeEngine.load("sum", &sum, Device::Cpu).unwrap(),
        };
        let metrics = Metrics::new("test").unwrap();
        let (decodes, decode_pool) = (Arc::<Gate>::default(), Arc::new(decode_pool));
        let gate = Arc::clone(&decodes);
        let handlers = Catalog::default().with("photographs", move |settings| {
            let base = crate::handlers::built_in("base_handler", settings)?;
            Ok(Arc::new(Photographs(Arc::clone(&gate), base)))
        });
        let loader = Loader {
            engine: Arc::new(engine),
            defaults: Defaults {
                workers: 1,
                registered_workers: 0,
                workers_max: 16,
                response_timeout: PATIENCE,
                startup_timeout: PATIENCE,
                job_queue_size: 100,
                filling: Filling::WorkConserving,
                limit_max_image_pixels: true,
                max_response_size: usize::MAX,
                default_service_handler: None,
                service_envelope: Envelope::None,
            },
            model_store: Some(folder.path().join("store")),
            downloads: Downloads::new(DownloadPolicy::default(), metrics.downloads()),
            unpack_dir: folder.path().join("unpacked"),
            limits: ArchiveLimits::default(),
            gpus: 0,
            metrics: metrics.clone(),
            decode_pool: Arc::clone(&decode_pool),
            handlers,
        };
        let registry = Arc::new(Registry::new(loader, HashMap::new()));
        Bench { registry, metrics, loads, forwards, decodes, decode_pool, modules, folder }
    }

    /// Puts `file` into the store: a model of this name and version whose engine reads `behaviour`.
    pub(crate) fn put(&self, file: &str, name: &str, version: &str, behaviour: &str) {
        let file = File::create(self.folder.path().join("store").join(file)).unwrap();
        let mut zip = zip::ZipWriter::new(file);
        let manifest = format!(
            r#"{{"runtime": "python", "model": {{"modelName": "{name}",
                "serializedFile": "model.pt", "handler": "base_handler",
                "modelVersion": "{version}"}}}}"#
        );
        for (entry, content) in
            [("MAR-INF/MANIFEST.json", manifest.as_str()), ("model.pt", behaviour)]
        {
            zip.start_file(entry, SimpleFileOptions::default()).unwrap();
            zip.write_all(content.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
    }

    /// A call that asks for so many workers.
    pub(crate) fn call(&self, file: &str, workers: usize) -> LoadRequest {
        LoadRequest {
            url: file.to_owned(),
            initial_workers: Some(workers),
            ..LoadRequest::default()
        }
    }

    /// Puts a model into the store and registers it.
    #[track_caller]
    pub(crate) fn register(&self, name: &str, behaviour: &str, workers: usize) -> Arc<Model> {
        let file = format!("{name}.mar");
        self.put(&file, name, "1.0", behaviour);
        self.registry.register(self.call(&file, workers)).unwrap()
    }

    #[track_caller]
    pub(crate) fn scale(&self, name: &str, min: usize, max: usize) -> Result<Scaled, ScaleError> {
        let limits = WorkerLimits { min, max };
        let scaling = self.registry.prepare_scale(name, None, limits)?;
        self.registry.scale(scaling, PATIENCE)
    }

    /// What is unpacked now.
    pub(crate) fn unpacked(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.folder.path().join("unpacked")) else {
            return Vec::new();
        };
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// The metrics' text.
    pub(crate) fn series(&self) -> String {
        self.metrics.text(&[])
    }
}

/// A prediction on a thread of its own; its answer is without spaces.
fn predict(model: &Arc<Model>, body: &'static str) -> std::thread::JoinHandle<Outcome> {
    let model = Arc::clone(model);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let input = RequestInput::body(Some("application/json".to_owned()), body.into());
        let answer = runtime.block_on(model.predict(input, None));
        answer.map(|answer| {
            let text = String::from_utf8(answer.prediction.body.to_vec()).unwrap();
            text.split_whitespace().collect()
        })
    })
}

type Outcome = Result<String, ModelError>;

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
