//! TorchScript through libtorch: load, freeze, look at what a call writes, run.
//!
//! Created by `server/startup.rs`, called by the registry (load) and by worker threads (forward).
//! One module serves all workers unless a call writes to its attributes; then each worker gets a
//! replica of its own, as TorchServe's processes have.

use std::path::Path;
use std::sync::Arc;

use super::ivalue::{Owned, from_ivalue, to_ivalue};
use super::shim::{self, ModuleHandle, Writes};
use super::{Device, Engine, EngineError, Module, Signature, Value};

/// Runs TorchScript files (`torch.jit.save`).
#[derive(Clone, Copy, Debug, Default)]
pub struct TorchEngine;

/// A loaded TorchScript module on one device.
struct TorchModule {
    handle: ModuleHandle,
    signature: Signature,
    device: Device,
    writes: Writes,
}

// === impl TorchEngine ===

impl TorchEngine {
    /// The number of CUDA devices that libtorch sees; 0 without a CUDA libtorch.
    pub fn cuda_devices() -> usize {
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
        let handle = match handle.freeze() {
            Ok(frozen) => frozen,
            Err(error) => {
                tracing::info!(model = name, %error, "served as it is: libtorch does not freeze it");
                handle
            }
        };
        let writes = handle.writes()?;
        if writes.attributes {
            tracing::info!(
                model = name,
                "a call changes the module's own attributes: each worker gets its own copy"
            );
        }
        Ok(Arc::new(TorchModule { handle, signature, device, writes }))
    }

    fn enter_worker_thread(&self, intra_op_threads: usize) {
        shim::set_num_threads(intra_op_threads);
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
        let result = Owned::from_raw(self.handle.forward(&pointers)?);
        // `arguments` lives until here: a result may be a view of it.
        from_ivalue(&result)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn replica(&self) -> Result<Option<Arc<dyn Module>>, EngineError> {
        if !self.writes.attributes {
            return Ok(None);
        }
        Ok(Some(Arc::new(TorchModule {
            handle: self.handle.deepcopy()?,
            signature: self.signature.clone(),
            device: self.device,
            writes: self.writes,
        })))
    }
}
