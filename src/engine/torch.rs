//! TorchScript through libtorch: load, look at what a call writes, run.
//!
//! Created by `server/startup.rs`, called by the registry (load) and by worker threads (forward).
//! One module serves all workers unless a call writes to its attributes; then each worker gets a
//! replica of its own, as TorchServe's processes have. `prepare.rs` optimises it before it serves.

use std::path::Path;
use std::sync::Arc;

use super::cuda;
use super::ivalue::{Owned, from_ivalue, to_ivalue};
use super::options::{Precision, Variant};
use super::shim::{self, Conversion, ModuleHandle, Writes};
use super::{Device, Engine, EngineError, LoadOptions, Module, Signature, Value};

/// Runs TorchScript files (`torch.jit.save`).
#[derive(Clone, Copy, Debug, Default)]
pub struct TorchEngine;

/// A loaded TorchScript module on one device.
pub(super) struct TorchModule {
    pub(super) handle: Arc<ModuleHandle>,
    pub(super) signature: Signature,
    pub(super) device: Device,
    pub(super) writes: Writes,
    /// The graph has no loop and reads no number from a tensor.
    pub(super) time_follows_shapes: bool,
    /// How the weights were changed, and the arguments of each call must be.
    pub(super) variant: Variant,
}

// === impl TorchEngine ===

impl TorchEngine {
    /// The number of CUDA devices that libtorch sees; 0 without a CUDA libtorch. To be called before
    /// the first tensor is made: it opens libtorch's CUDA part.
    pub fn cuda_devices() -> usize {
        if !cuda::open() {
            return 0;
        }
        usize::try_from(tch::Cuda::device_count()).unwrap_or(0)
    }
}

impl Engine for TorchEngine {
    fn load(
        &self,
        name: &str,
        file: &Path,
        device: Device,
    ) -> Result<Arc<dyn Module>, EngineError> {
        let handle = ModuleHandle::load(file, device.index()).map_err(|error| match error {
            EngineError::Failed(text) => EngineError::Failed(not_torchscript(file, &text)),
            other => other,
        })?;
        // The signature is read first: freezing drops the defaults of arguments.
        let signature = handle.signature()?;
        // Nobody has looked yet what a call writes: the safe answer, until it is prepared.
        let (handle, writes) = (Arc::new(handle), Writes { attributes: true, inputs: true });
        let (time_follows_shapes, variant) = (false, Variant::PLAIN);
        tracing::debug!(model = name, "loaded");
        let module =
            TorchModule { handle, signature, device, writes, time_follows_shapes, variant };
        Ok(Arc::new(module))
    }

    fn enter_worker_thread(&self, intra_op_threads: usize) {
        shim::set_num_threads(intra_op_threads);
    }

    fn enter_device(&self, device: Device) -> Result<(), EngineError> {
        match device {
            Device::Cpu => Ok(()),
            Device::Cuda(index) => cuda::use_own_stream(index),
        }
    }

    fn give_back_when_idle(&self) {
        shim::give_back_when_idle();
    }
}

/// libtorch's own text for a wrong file starts with the zip reader's; this says what to do.
fn not_torchscript(file: &Path, text: &str) -> String {
    let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let reason = text.lines().next().unwrap_or_default();
    format!(
        "{name} is not a TorchScript file that libtorch can load ({reason}); save the model with \
         torch.jit.save(torch.jit.script(model)) or torch.jit.trace"
    )
}

// === impl TorchModule ===

impl Module for TorchModule {
    fn forward(&self, arguments: Vec<Value>) -> Result<Value, EngineError> {
        // Memory that the module keeps or writes must be libtorch's own.
        let copy = self.writes.inputs || self.writes.attributes;
        let owned: Vec<Owned> = arguments
            .iter()
            .enumerate()
            .map(|(position, value)| {
                let declared = self.signature.arguments.get(position);
                let kind = declared.map_or("", |argument| argument.kind.as_str());
                to_ivalue(value, kind, self.device, copy)
            })
            .collect::<Result<_, _>>()?;
        let pointers: Vec<_> = owned.iter().map(Owned::as_ptr).collect();
        let conversion = Conversion::new(self.variant.memory_format, self.variant.precision);
        let result = Owned::from_raw(self.handle.forward(&pointers, conversion)?);
        // `arguments` lives until here: a result may be a view of it.
        from_ivalue(&result, self.variant.precision == Precision::Bfloat16)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn time_follows_shapes(&self) -> bool {
        self.time_follows_shapes && self.device == Device::Cpu && !self.writes.attributes
    }

    fn replica(&self) -> Result<Option<Arc<dyn Module>>, EngineError> {
        if !self.writes.attributes {
            return Ok(None);
        }
        Ok(Some(Arc::new(TorchModule {
            handle: Arc::new(self.handle.deepcopy()?),
            signature: self.signature.clone(),
            device: self.device,
            writes: self.writes,
            time_follows_shapes: self.time_follows_shapes,
            variant: self.variant,
        })))
    }

    fn prepared(
        &self,
        name: &str,
        options: &LoadOptions,
        example: Option<Vec<Value>>,
    ) -> Result<Option<Arc<dyn Module>>, EngineError> {
        let prepared = super::prepare::prepare(name, self, options, example)?;
        Ok(Some(Arc::new(prepared)))
    }
}
