//! The files and the loaded modules of one model version: one copy of the weights for each device
//! that its workers run on.
//!
//! Owned by `workers.rs`. A copy is loaded when the first worker needs it and dropped when the last
//! worker is gone; dropping the whole removes the unpacked archive.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::archive::ModelArchive;
use crate::engine::{Device, Engine, EngineError, HostTensor, Module, Value};
use crate::handlers::Handler;

/// What a model version has on disk and in memory.
pub(super) struct Weights {
    archive: ModelArchive,
    modules: Vec<(Device, Arc<dyn Module>)>,
}

/// Warming up ends after this time, however many sizes are left.
const WARM_UP_BUDGET: Duration = Duration::from_secs(5);
/// Bytes of arguments of a warm-up call; a larger batch is met cold.
const MAX_WARM_UP_BYTES: usize = 256 << 20;

// === impl Weights ===

impl Weights {
    /// Nothing is loaded yet.
    pub(super) fn new(archive: ModelArchive) -> Weights {
        Weights { archive, modules: Vec::new() }
    }

    /// The archive's files.
    pub(super) fn archive(&self) -> &ModelArchive {
        &self.archive
    }

    /// The directory that holds the archive's files.
    pub(super) fn directory(&self) -> &Path {
        self.archive.dir()
    }

    /// The module on `device`, loaded if it is not there yet. `name` is for log lines. Blocks.
    ///
    /// # Errors
    /// [`EngineError`] when the file is no model of the engine, or does not fit in memory.
    pub(super) fn on(
        &mut self,
        device: Device,
        name: &str,
        engine: &dyn Engine,
    ) -> Result<(Arc<dyn Module>, Loading), EngineError> {
        if let Some((_, module)) = self.modules.iter().find(|(other, _)| *other == device) {
            return Ok((Arc::clone(module), Loading::Found));
        }
        let module = engine.load(name, self.archive.serialized_file(), device)?;
        self.modules.push((device, Arc::clone(&module)));
        Ok((module, Loading::Fresh))
    }

    /// Gives the memory back; the files stay for the next worker.
    pub(super) fn unload(&mut self) {
        self.modules.clear();
    }
}

/// Whether a module was in memory already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loading {
    /// Just loaded: nothing has run on it.
    Fresh,
    /// It was there.
    Found,
}

/// Runs the model before its first request does: libtorch prepares itself during the first calls
/// with a shape. A model whose shapes are not known, or that refuses zeros, is served cold.
pub(super) fn warm_up(
    name: &str,
    handler: &dyn Handler,
    module: &dyn Module,
    engine: &dyn Engine,
    batch_size: usize,
) {
    let started = Instant::now();
    let Some(row) = handler.example(1).map(|row| bytes(&row)) else { return };
    let mut sizes = vec![1];
    if batch_size > 1 && batch_size.saturating_mul(row) <= MAX_WARM_UP_BYTES {
        sizes.push(batch_size);
    }
    // The loading thread is one of the blocking pool: it is given back as a worker's would be.
    engine.enter_worker_thread(1);
    for rows in sizes {
        for _ in 0..2 {
            let Some(arguments) = handler.example(rows) else { return };
            if let Err(error) = module.forward(arguments) {
                tracing::debug!(model = name, rows, %error, "not warmed up");
                return;
            }
            if started.elapsed() > WARM_UP_BUDGET {
                return;
            }
        }
    }
}

/// Bytes of the tensors among these arguments.
fn bytes(arguments: &[Value]) -> usize {
    let of = |tensor: &HostTensor| tensor.elements().as_bytes().len();
    let sizes = arguments.iter().map(|value| match value {
        Value::Tensor(tensor) => of(tensor),
        _ => 0,
    });
    sizes.sum()
}
