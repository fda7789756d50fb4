//! CUDA beside the CPU, in the same binary: opened at start where it is installed.
//!
//! The binary links libtorch's CPU part. `libtorch_cuda.so` registers itself with that part when it
//! is opened, so it must be before the first tensor is made. Called by `torch.rs` and `ivalue.rs`.

#![expect(
    unsafe_code,
    reason = "opens a library and calls into C++; each block says why it is sound"
)]

use std::ffi::{CStr, c_int};
use std::sync::OnceLock;

use tch::Tensor;

use super::EngineError;

/// From this size on a tensor goes to the device through pinned memory, so that its copy overlaps
/// with the work of other streams; below, the detour costs more than it gains.
const PINNED_FROM: usize = 16 << 10;

unsafe extern "C" {
    fn torchfront_use_own_stream(device: c_int, error: *mut super::shim::RawError) -> c_int;
}

/// Opens `libtorch_cuda.so` next to the libtorch that this binary runs with. True when it is there.
pub(super) fn open() -> bool {
    static OPENED: OnceLock<bool> = OnceLock::new();
    *OPENED.get_or_init(|| {
        // SAFETY: the name is NUL-terminated; the library's initialisers are libtorch's own, and it
        // is never closed.
        let library = unsafe {
            libc::dlopen(c"libtorch_cuda.so".as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL)
        };
        if library.is_null() {
            // SAFETY: `dlerror` gives null or a NUL-terminated string that lives until the next call.
            let reason = unsafe { libc::dlerror().cast_const().as_ref() }
                .map(|text| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned());
            tracing::debug!(reason, "no CUDA: libtorch_cuda.so was not opened");
        }
        !library.is_null()
    })
}

/// Gives the calling thread a stream of its own on this device: what it runs waits for no other
/// worker's kernels.
pub(super) fn use_own_stream(device: usize) -> Result<(), EngineError> {
    let device = c_int::try_from(device)
        .map_err(|_| EngineError::Failed(format!("there is no CUDA device {device}")))?;
    super::shim::checked(|error| {
        // SAFETY: `error` is live; the call changes state of this thread alone.
        let done = unsafe { torchfront_use_own_stream(device, error) };
        (done == 0).then_some(())
    })
}

/// A copy of a host tensor on the device, on the calling thread's stream. The host's memory may go
/// when this returns.
pub(super) fn to_device(
    host: &Tensor,
    bytes: usize,
    device: usize,
) -> Result<Tensor, tch::TchError> {
    let device = tch::Device::Cuda(device);
    if bytes < PINNED_FROM {
        return host.f_to_device(device);
    }
    // libtorch keeps the pinned block until the copy has been made.
    let pinned = host.f_pin_memory(device)?;
    pinned.f_to_device_(device, host.f_kind()?, true, true)
}
