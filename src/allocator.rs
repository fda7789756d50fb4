//! The allocator of the binary: mimalloc, told to give back sooner what lies idle.
//!
//! Pictures, tensors and bodies of hundreds of kilobytes come in bursts and are freed by other threads
//! than made them. mimalloc keeps such memory for a second before the system has it back. A quarter of
//! that is as fast and holds half as much.

use std::ffi::c_long;

use libmimalloc_sys::{mi_option_get, mi_option_set, mi_option_t};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of `mimalloc.h`, which the crate gives no name.
const PURGE_DELAY: mi_option_t = 15;
/// What mimalloc takes where the environment (`MIMALLOC_PURGE_DELAY`) says nothing, milliseconds.
const USUAL: c_long = 1000;
/// What is taken instead.
const OURS: c_long = 250;

/// Sets the delay, unless the environment has. Called once, before the first thread.
#[allow(unsafe_code)]
pub fn give_back_sooner() {
    // SAFETY: reads and writes a number of mimalloc's; it asks for no other thread to do so meanwhile.
    // Were the options numbered anew, the usual value would not be found and nothing be set.
    unsafe {
        if mi_option_get(PURGE_DELAY) == USUAL {
            mi_option_set(PURGE_DELAY, OURS);
        }
    }
}
