//! The integration tests: one binary, real libtorch, real sockets.

mod architecture;
mod archives;
mod cors;
mod goldens;
mod load;
mod predictions;
mod process;
mod support;
