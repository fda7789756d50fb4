//! Runs models. The only room that may say `tch`.
//!
//! `tensor.rs` and `value.rs` are the words that the other rooms use: handlers build and read
//! host tensors and never see libtorch. `Engine` loads a serialized file, `Module` runs it; the
//! real ones are in `torch.rs` (feature `torch`), `fake.rs` has one without libtorch for tests and
//! benches of the rooms above.

#[cfg(feature = "torch")]
mod cuda;
mod device;
#[cfg(feature = "torch")]
mod difference;
pub mod fake;
#[cfg(feature = "torch")]
mod ivalue;
pub mod options;
#[cfg(feature = "torch")]
mod prepare;
mod scheduling;
#[cfg(feature = "torch")]
mod shim;
mod storage;
mod tensor;
mod threads;
#[cfg(feature = "torch")]
mod torch;
mod value;

use std::path::Path;
use std::sync::Arc;

pub use device::{Device, DeviceError, Devices};
pub use options::LoadOptions;
pub use scheduling::{BatchInHand, enter_reactor, give_way_to_reactors, rest, take_batch_in_hand};
pub use tensor::{DType, Elements, HostTensor, ShapeError, element_count};
pub use threads::{available_cores, share_heaps};
#[cfg(feature = "torch")]
pub use torch::TorchEngine;
pub use value::{Argument, Signature, Value};

/// Loads serialized models.
pub trait Engine: Send + Sync + 'static {
    /// Loads `file` onto `device`. `name` is for log lines.
    ///
    /// # Errors
    /// [`EngineError`] when the file is not a model of this engine or does not fit in memory.
    fn load(&self, name: &str, file: &Path, device: Device)
    -> Result<Arc<dyn Module>, EngineError>;

    /// Prepares the calling thread for forwards with `intra_op_threads` threads each. Called once
    /// by each worker, on its own thread.
    fn enter_worker_thread(&self, intra_op_threads: usize);

    /// Prepares the calling thread for forwards on `device`. Called once by each worker, on its own
    /// thread, before its first batch.
    ///
    /// # Errors
    /// [`EngineError`] when the device is gone; the worker then serves without what was to be
    /// prepared.
    fn enter_device(&self, device: Device) -> Result<(), EngineError> {
        let _ = device;
        Ok(())
    }

    /// Gives the system back the memory that is kept for the next forward, unless there was one just now.
    /// Called by workers that have had nothing to do for a while; may take milliseconds.
    fn give_back_when_idle(&self) {}
}

/// A loaded model. One copy of the weights serves any number of threads.
pub trait Module: Send + Sync {
    /// Calls `forward`.
    ///
    /// # Errors
    /// [`EngineError`] when the model refuses the arguments or runs out of memory.
    fn forward(&self, arguments: Vec<Value>) -> Result<Value, EngineError>;

    /// The arguments of `forward`.
    fn signature(&self) -> &Signature;

    /// True when every call with arguments of equal shapes takes about the same time on the calling
    /// thread, and any thread may make it: a module on the CPU without loops, without a state, and
    /// without a size that is read from a tensor.
    fn time_follows_shapes(&self) -> bool {
        false
    }

    /// A copy with a state of its own for one more worker, or none when a call changes nothing in
    /// the module and all workers may share it.
    ///
    /// # Errors
    /// [`EngineError`] when the copy does not fit in memory.
    fn replica(&self) -> Result<Option<Arc<dyn Module>>, EngineError>;

    /// This module as it is to serve on the CPU or device it is on, or none when it serves as it is.
    /// What `options` leave open is chosen: the fastest whose results on `example` are those of the
    /// module as it was saved. `name` is for log lines.
    ///
    /// # Errors
    /// [`EngineError`] when the engine refuses what `options` ask for.
    fn prepared(
        &self,
        name: &str,
        options: &LoadOptions,
        example: Option<Vec<Value>>,
    ) -> Result<Option<Arc<dyn Module>>, EngineError> {
        let _ = (name, options, example);
        Ok(None)
    }
}

/// Why a model could not be loaded or run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// An operator refused the arguments (a shape or an element type that does not fit); the text
    /// is libtorch's reason.
    #[error("{0}")]
    InputRefused(String),
    /// The model raised, or the runtime failed; the text is libtorch's.
    #[error("{0}")]
    Failed(String),
    /// No memory, on the host or on the device.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
}
