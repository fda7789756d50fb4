//! The integration tests: one binary, real libtorch, real sockets.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod architecture;
mod archive_command;
mod archives;
mod attacks;
mod auth;
mod bench;
mod cors;
mod cors_commands;
mod cors_engine;
mod cors_seed;
#[cfg(feature = "torch")]
mod cuda;
mod doctor;
mod downloads;
mod engine;
mod envelopes;
mod explanations;
mod fuzz_corpus;
mod goldens;
mod lifecycle;
mod listeners;
mod load;
mod management;
mod metrics;
mod notify;
mod open_inference;
mod openapi;
mod own_handlers;
mod predictions;
mod process;
mod promises;
mod routes;
mod snapshots;
mod supply;
mod support;
mod tls;
