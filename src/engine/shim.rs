//! The C++ shim, made safe: every call owns its pointers, every exception is an [`EngineError`].
//!
//! Called by `torch.rs` alone. The C++ side is `shim.cpp`.

#![expect(unsafe_code, reason = "calls into C++; each block says why it is sound")]

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::Path;
use std::ptr::NonNull;

use torch_sys::{CIValue, CModule_};

use super::options::{MemoryFormat, Precision};
use super::{Argument, EngineError, Signature};

/// A `torch::jit::Module` of our own.
pub(super) struct ModuleHandle(NonNull<CModule_>);

/// What one call of `forward` writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Writes {
    /// Its own attributes or buffers: it must not be shared by threads.
    pub(super) attributes: bool,
    /// Its arguments: it must be given copies.
    pub(super) inputs: bool,
}

/// How the weights of a module, and the arguments of each call, differ from what was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Conversion(c_int);

/// Filled by the shim when a call fails.
#[repr(C)]
pub(super) struct RawError {
    message: *mut c_char,
    kind: c_int,
}

const OUT_OF_MEMORY: c_int = 2;
const INPUT_REFUSED: c_int = 3;

unsafe extern "C" {
    fn torchfront_free_string(text: *mut c_char);
    fn torchfront_set_num_threads(count: c_int);
    fn torchfront_load(path: *const c_char, device: c_int, error: *mut RawError) -> *mut CModule_;
    fn torchfront_freeze(module: *const CModule_, error: *mut RawError) -> *mut CModule_;
    fn torchfront_freeze_exactly(module: *const CModule_, error: *mut RawError) -> *mut CModule_;
    fn torchfront_freeze_winograd(
        module: *const CModule_,
        conversion: c_int,
        count: *mut c_int,
        error: *mut RawError,
    ) -> *mut CModule_;
    fn torchfront_optimize_for_inference(
        module: *const CModule_,
        error: *mut RawError,
    ) -> *mut CModule_;
    fn torchfront_convert(
        module: *const CModule_,
        conversion: c_int,
        error: *mut RawError,
    ) -> *mut CModule_;
    fn torchfront_convolves_in_2d(module: *const CModule_, error: *mut RawError) -> c_int;
    fn torchfront_time_depends_on_values(module: *const CModule_, error: *mut RawError) -> c_int;
    fn torchfront_deepcopy(module: *const CModule_, error: *mut RawError) -> *mut CModule_;
    fn torchfront_free_module(module: *mut CModule_);
    fn torchfront_give_back_when_idle();
    fn torchfront_forward(
        module: *mut CModule_,
        arguments: *const *mut CIValue,
        count: usize,
        conversion: c_int,
        error: *mut RawError,
    ) -> *mut CIValue;
    fn torchfront_signature(module: *const CModule_, error: *mut RawError) -> *mut c_char;
    fn torchfront_writes(module: *const CModule_, error: *mut RawError) -> c_int;
}

// SAFETY: a module is reference-counted with atomics, and calling `forward` from several threads is
// what libtorch documents for inference; `torch.rs` gives a module that writes its own attributes to
// one worker only.
unsafe impl Send for ModuleHandle {}
// SAFETY: as above.
unsafe impl Sync for ModuleHandle {}

/// The intra-op threads of the calling thread.
pub(super) fn set_num_threads(count: usize) {
    let count = c_int::try_from(count).unwrap_or(c_int::MAX).max(1);
    // SAFETY: no pointer is passed.
    unsafe { torchfront_set_num_threads(count) }
}

/// Gives the system back what nobody uses, if no call was made for a second.
pub(super) fn give_back_when_idle() {
    // SAFETY: no pointer is passed.
    unsafe { torchfront_give_back_when_idle() }
}

// === impl Conversion ===

impl Conversion {
    const CHANNELS_LAST: c_int = 1;
    const BFLOAT16: c_int = 2;

    pub(super) fn new(format: MemoryFormat, precision: Precision) -> Conversion {
        let format = match format {
            MemoryFormat::Contiguous => 0,
            MemoryFormat::ChannelsLast => Conversion::CHANNELS_LAST,
        };
        let precision = match precision {
            Precision::Float32 => 0,
            Precision::Bfloat16 => Conversion::BFLOAT16,
        };
        Conversion(format | precision)
    }

    /// True when weights and arguments stay as they are.
    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }
}

// === impl ModuleHandle ===

impl ModuleHandle {
    /// Loads a TorchScript file onto a device (-1: the CPU).
    pub(super) fn load(path: &Path, device: i32) -> Result<ModuleHandle, EngineError> {
        let path = path.to_str().and_then(|path| CString::new(path).ok()).ok_or_else(|| {
            EngineError::Failed(format!("the path {} is not plain text", path.display()))
        })?;
        // SAFETY: the path is NUL-terminated and outlives the call.
        ModuleHandle::made(|error| unsafe { torchfront_load(path.as_ptr(), device, error) })
    }

    /// A frozen copy.
    pub(super) fn freeze(&self) -> Result<ModuleHandle, EngineError> {
        // SAFETY: the module lives while `self` does.
        ModuleHandle::made(|error| unsafe { torchfront_freeze(self.0.as_ptr(), error) })
    }

    /// A frozen copy that gives the same numbers.
    pub(super) fn freeze_exactly(&self) -> Result<ModuleHandle, EngineError> {
        // SAFETY: the module lives while `self` does.
        ModuleHandle::made(|error| unsafe { torchfront_freeze_exactly(self.0.as_ptr(), error) })
    }

    /// A frozen copy with converted weights, whose 3 x 3 convolutions are Winograd's where they are suited;
    /// and whether there was one. [`ModuleHandle::forward`] must be given the same conversion.
    pub(super) fn freeze_winograd(
        &self,
        conversion: Conversion,
    ) -> Result<(ModuleHandle, bool), EngineError> {
        let mut count = 0;
        // SAFETY: the module lives while `self` does, `count` until the call returns.
        let handle = ModuleHandle::made(|error| unsafe {
            torchfront_freeze_winograd(self.0.as_ptr(), conversion.0, &raw mut count, error)
        })?;
        Ok((handle, count > 0))
    }

    /// A frozen copy, laid out and fused for this machine.
    pub(super) fn optimize_for_inference(&self) -> Result<ModuleHandle, EngineError> {
        // SAFETY: the module lives while `self` does.
        ModuleHandle::made(|error| unsafe {
            torchfront_optimize_for_inference(self.0.as_ptr(), error)
        })
    }

    /// A copy with converted weights; [`ModuleHandle::forward`] must be given the same conversion.
    pub(super) fn convert(&self, conversion: Conversion) -> Result<ModuleHandle, EngineError> {
        // SAFETY: the module lives while `self` does.
        ModuleHandle::made(|error| unsafe {
            torchfront_convert(self.0.as_ptr(), conversion.0, error)
        })
    }

    /// Does `forward` have a convolution over two dimensions?
    pub(super) fn convolves_in_2d(&self) -> Result<bool, EngineError> {
        checked(|error| {
            // SAFETY: the module lives while `self` does.
            let answer = unsafe { torchfront_convolves_in_2d(self.0.as_ptr(), error) };
            (answer >= 0).then_some(answer == 1)
        })
    }

    /// Do the shapes of the arguments alone not tell how long a call takes?
    pub(super) fn time_depends_on_values(&self) -> Result<bool, EngineError> {
        checked(|error| {
            // SAFETY: the module lives while `self` does.
            let answer = unsafe { torchfront_time_depends_on_values(self.0.as_ptr(), error) };
            (answer >= 0).then_some(answer == 1)
        })
    }

    /// A copy with attributes of its own.
    pub(super) fn deepcopy(&self) -> Result<ModuleHandle, EngineError> {
        // SAFETY: the module lives while `self` does.
        ModuleHandle::made(|error| unsafe { torchfront_deepcopy(self.0.as_ptr(), error) })
    }

    /// Calls `forward`; the arguments stay the caller's, the result becomes the caller's.
    pub(super) fn forward(
        &self,
        arguments: &[*mut CIValue],
        conversion: Conversion,
    ) -> Result<NonNull<CIValue>, EngineError> {
        checked(|error| {
            // SAFETY: the module lives while `self` does; the caller owns live arguments.
            let result = unsafe {
                torchfront_forward(
                    self.0.as_ptr(),
                    arguments.as_ptr(),
                    arguments.len(),
                    conversion.0,
                    error,
                )
            };
            NonNull::new(result)
        })
    }

    /// The arguments of `forward`.
    pub(super) fn signature(&self) -> Result<Signature, EngineError> {
        let text = checked(|error| {
            // SAFETY: the module lives while `self` does.
            NonNull::new(unsafe { torchfront_signature(self.0.as_ptr(), error) })
        })?;
        // SAFETY: the shim gives a NUL-terminated string, which is freed once, below.
        let lines = unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().into_owned();
        // SAFETY: it came from `strdup` and is not used after this.
        unsafe { torchfront_free_string(text.as_ptr()) };
        let arguments = lines.lines().filter_map(|line| {
            let mut fields = line.split('\t');
            let (name, kind, required) = (fields.next()?, fields.next()?, fields.next()?);
            Some(Argument {
                name: name.to_owned(),
                kind: kind.to_owned(),
                required: required == "1",
            })
        });
        Ok(Signature { arguments: arguments.collect() })
    }

    /// What a call writes to.
    pub(super) fn writes(&self) -> Result<Writes, EngineError> {
        let bits = checked(|error| {
            // SAFETY: the module lives while `self` does.
            let bits = unsafe { torchfront_writes(self.0.as_ptr(), error) };
            (bits >= 0).then_some(bits)
        })?;
        Ok(Writes { attributes: bits & 1 != 0, inputs: bits & 2 != 0 })
    }

    fn made(make: impl FnOnce(*mut RawError) -> *mut CModule_) -> Result<Self, EngineError> {
        checked(|error| NonNull::new(make(error))).map(ModuleHandle)
    }
}

impl Drop for ModuleHandle {
    fn drop(&mut self) {
        // SAFETY: the pointer is ours and is not used after this.
        unsafe { torchfront_free_module(self.0.as_ptr()) }
    }
}

/// Runs one call of the shim; none is turned into the error that the shim reported.
pub(super) fn checked<T>(call: impl FnOnce(*mut RawError) -> Option<T>) -> Result<T, EngineError> {
    let mut error = RawError { message: std::ptr::null_mut(), kind: 0 };
    if let Some(value) = call(&raw mut error) {
        return Ok(value);
    }
    let text = if error.message.is_null() {
        "libtorch gave no reason".to_owned()
    } else {
        // SAFETY: the shim gives a NUL-terminated string, which is freed once, here.
        let text = unsafe { CStr::from_ptr(error.message) }.to_string_lossy().into_owned();
        // SAFETY: it came from `strdup` and is not used after this.
        unsafe { torchfront_free_string(error.message) };
        text
    };
    match error.kind {
        OUT_OF_MEMORY => Err(EngineError::OutOfMemory(text)),
        INPUT_REFUSED => Err(EngineError::InputRefused(reason(&text))),
        _ => Err(EngineError::Failed(text)),
    }
}

/// The operator's own words at the end of the interpreter's traceback.
fn reason(text: &str) -> String {
    let mut lines = text.lines().rev().map(str::trim);
    let last =
        lines.find(|line| line.starts_with("RuntimeError: ")).or_else(|| text.lines().next());
    last.unwrap_or(text).trim_start_matches("RuntimeError: ").to_owned()
}
