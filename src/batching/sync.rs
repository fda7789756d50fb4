//! The queue's locks. `interleavings.rs` compiles the queue with shuttle's in their place.

pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
