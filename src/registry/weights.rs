//! The files and the loaded modules of one model version: one copy of the weights for each device
//! that its workers run on.
//!
//! Owned by `workers.rs`. A copy is loaded when the first worker needs it and dropped when the last
//! worker is gone; dropping the whole removes the unpacked archive.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::raw_forward;
use super::workers::Equipment;
use crate::archive::ModelArchive;
use crate::engine::{Device, Engine, EngineError, HostTensor, Module, Value};

/// What a model version has on disk and in memory.
pub(super) struct Weights {
    archive: ModelArchive,
    modules: Vec<OnDevice>,
}

/// The copy of the weights on one device.
struct OnDevice {
    device: Device,
    module: Arc<dyn Module>,
    /// Optimised and warmed up.
    is_ready: bool,
    /// What all that took.
    took: Duration,
}

/// Warming up that nobody asked for takes no longer than this, if the first runs are no longer:
/// readiness waits for it.
const WARM_UP_BUDGET: Duration = Duration::from_millis(250);
/// Bytes of arguments of a warm-up call; a larger batch is met cold.
pub(super) const MAX_WARM_UP_BYTES: usize = 256 << 20;

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

    /// The module on `device` as it was saved, or as it serves already; loaded if it is not there
    /// yet. `name` is for log lines. Blocks.
    ///
    /// # Errors
    /// [`EngineError`] when the file is no model of the engine, or does not fit in memory.
    pub(super) fn load(
        &mut self,
        device: Device,
        name: &str,
        engine: &dyn Engine,
    ) -> Result<Arc<dyn Module>, EngineError> {
        if let Some(found) = self.modules.iter().find(|found| found.device == device) {
            return Ok(Arc::clone(&found.module));
        }
        let started = Instant::now();
        let module = engine.load(name, self.archive.serialized_file(), device)?;
        let took = started.elapsed();
        self.modules.push(OnDevice { device, module: Arc::clone(&module), is_ready: false, took });
        Ok(module)
    }

    /// The module on `device` as it is to serve: loaded, optimised and warmed up, each once. Blocks.
    ///
    /// # Errors
    /// As [`Weights::load`]; and when the engine refuses what `model-config.yaml` asks for.
    pub(super) fn ready(
        &mut self,
        device: Device,
        equipment: &Equipment,
    ) -> Result<Arc<dyn Module>, EngineError> {
        let saved = self.load(device, &equipment.model, &*equipment.engine)?;
        let Some(place) = self.modules.iter_mut().find(|found| found.device == device) else {
            return Ok(saved); // not reached: `load` put it there
        };
        if place.is_ready {
            return Ok(saved);
        }
        let started = Instant::now();
        // The loading thread is one of the blocking pool: it is given back as a worker's would be.
        equipment.engine.enter_worker_thread(1);
        let example = equipment.handler.example(1);
        let prepared = saved.prepared(&equipment.model, &equipment.execution.options, example)?;
        let module = prepared.unwrap_or(saved);
        if let Some(row) = equipment.handler.example(1) {
            // Where a call changes the module a copy is run, so that the module serves from the state
            // that was saved.
            let own = module.replica()?;
            let tried = own.as_deref().unwrap_or(&*module);
            let row = bytes(&row);
            warm_up(equipment, tried, row);
            equipment.raw_forward.get_or_init(|| raw_forward::measure(equipment, tried, row));
        } else if equipment.execution.warm_up.as_ref().is_some_and(|sizes| !sizes.is_empty()) {
            tracing::warn!(
                model = equipment.model,
                "warm_up is not done: the shapes are not known; declare datatype and shape of each \
                 input under `inputs`"
            );
        }
        (place.module, place.is_ready) = (Arc::clone(&module), true);
        place.took += started.elapsed();
        Ok(module)
    }

    /// What it took to load the module on `device` and to make it ready; nothing where none is.
    pub(super) fn load_time(&self, device: Device) -> Duration {
        let found = self.modules.iter().find(|found| found.device == device);
        found.map_or(Duration::ZERO, |found| found.took)
    }

    /// Gives the memory back; the files stay for the next worker.
    pub(super) fn unload(&mut self) {
        self.modules.clear();
    }
}

/// Runs the model before its first request does: libtorch prepares itself during the first two calls,
/// and a little for each shape. That little is as much for a large batch as for a small one, so that a
/// batch which takes long is not worth the wait, unless the operator asked for it. A model whose shapes
/// are not known, or that refuses the example, is served cold, with a warning if the operator asked for
/// it. `row`: bytes of one row's arguments.
fn warm_up(equipment: &Equipment, module: &dyn Module, row: usize) {
    let Equipment { model, handler, .. } = equipment;
    let asked = equipment.execution.warm_up.as_deref();
    let batch_size = equipment.queue.policy().batch_size.get();
    let by_default = [1, batch_size];
    let sizes = asked.unwrap_or(if batch_size == 1 { &[1] } else { &by_default });
    let (mut used, mut latest) = (Duration::ZERO, None);
    for rows in sizes.first().into_iter().chain(sizes) {
        if asked.is_none() && !is_worth_it(*rows, used, latest) {
            break;
        }
        if rows.saturating_mul(row) > MAX_WARM_UP_BYTES {
            if asked.is_some() {
                tracing::warn!(model, rows, "not warmed up: the arguments are too large");
            }
            continue;
        }
        let Some(arguments) = handler.example(*rows) else { continue };
        let started = Instant::now();
        match module.forward(arguments) {
            Ok(_) => {
                let took = started.elapsed();
                (used, latest) = (used + took, Some((*rows, took)));
            }
            Err(error) if asked.is_some() => {
                tracing::warn!(model, rows, %error, "not warmed up");
                break;
            }
            Err(error) => {
                tracing::debug!(model, rows, %error, "not warmed up");
                break;
            }
        }
    }
}

/// Does one more run fit into the budget, each row as long as in the `latest`?
fn is_worth_it(rows: usize, used: Duration, latest: Option<(usize, Duration)>) -> bool {
    let Some((warmed, took)) = latest else { return true };
    let expected = took.as_secs_f64() / warmed.max(1) as f64 * rows as f64;
    used.as_secs_f64() + expected <= WARM_UP_BUDGET.as_secs_f64()
}

/// Bytes of the tensors among these arguments.
fn bytes(arguments: &[Value]) -> usize {
    let of = |tensor: &HostTensor| tensor.as_bytes().len();
    let sizes = arguments.iter().map(|value| match value {
        Value::Tensor(tensor) => of(tensor),
        _ => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_warmed_up_when_it_is_expected_to_fit_and_the_first_always() {
        let millis = Duration::from_millis;
        assert!(is_worth_it(1, Duration::ZERO, None));
        // resnet18 on one thread: 35 ms a row.
        assert!(is_worth_it(1, millis(60), Some((1, millis(60)))));
        assert!(!is_worth_it(8, millis(95), Some((1, millis(35)))));
        assert!(is_worth_it(8, millis(20), Some((1, millis(10)))));
        assert!(!is_worth_it(1, millis(2_000), Some((1, millis(2_000)))));
        assert!(is_worth_it(64, millis(1), Some((2, millis(1)))));
    }
}
