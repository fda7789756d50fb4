//! The integration tests: one binary, real libtorch, real sockets.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod architecture;
mod archive_command;
mod archives;
mod attacks;
mod auth;
mod bench;
mod canary;
mod compression;
mod console;
mod cors;
mod cors_commands;
mod cors_engine;
mod cors_files;
mod cors_guide;
mod cors_live;
mod cors_probe;
mod cors_seed;
#[cfg(feature = "torch")]
mod cuda;
mod doctor;
mod downloads;
mod engine;
mod envelopes;
mod explanations;
#[cfg(feature = "torch")]
mod faults;
mod fuzz_corpus;
mod game_day;
mod goldens;
mod images;
mod keys;
mod lifecycle;
mod listeners;
mod load;
mod log_files;
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
mod scheduling;
mod sequences;
mod snapshots;
mod supply;
mod support;
mod timing;
mod tls;
mod torchserve_rows;
mod traces;
