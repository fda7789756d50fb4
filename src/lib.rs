//! Torchfront: an inference server for PyTorch models, compatible with TorchServe and made to be
//! called from browsers.
//!
//! This is the map. The binary is `main.rs`, which only picks a command of [`commands`]; a program
//! that embeds the server builds a [`Config`] and runs a [`Server`].
//!
//! # Rooms
//!
//! | room | serves | may import |
//! |---|---|---|
//! | [`config`] | `config.properties`, command line, environment: text to typed values | `cors` `cli` `download` `metrics` `snapshot` `telemetry` `trace` |
//! | [`snapshot`] | which models a server had, on disk | |
//! | [`cors`] | who may call us from a browser; the decision is pure | |
//! | [`cors_live`] | the policies in force: counted, logged, shown | `cors` `metrics` |
//! | [`auth`] | token authorization: keys, key file, the layer that asks for them | |
//! | [`archive`] | `.mar` files to checked files on disk | |
//! | [`download`] | models from URLs into the model store | `metrics` |
//! | [`engine`] | runs models; the only room that knows libtorch | |
//! | [`handlers`] | requests to tensors, tensors to answers; pure | `engine` |
//! | [`batching`] | the job queue, the batcher, the workers | `handlers` `engine` `metrics` `trace` |
//! | [`registry`] | which models there are; one prediction's way through a model | the four above, `archive` `download` `trace` |
//! | [`metrics`] | everything that is counted | `telemetry` |
//! | [`trace`] | OpenTelemetry: what one request went through | `metrics` |
//! | [`openapi`] | API descriptions; pure | |
//! | [`pages`] | the web pages that the program carries: console, API | |
//! | [`http`] | actix: read a request, call one room, write the answer | `registry` `handlers` `cors` `cors_live` `auth` `openapi` `pages` `metrics` `trace` |
//! | [`server`] | assembly, start, drain | all |
//! | [`mod@bench`] | the load generator of `torchfront bench`, for any HTTP server | |
//! | [`probe`] | `torchfront cors probe`: the CORS of any running server, seen from outside | `cors` `download` |
//!
//! `tests/it/architecture.rs` keeps the last column. Two files serve several rooms: `pid_file.rs` (the
//! background server) and `unfinished.rs` (what a killed process was writing).
//!
//! # One prediction
//!
//! ```text
//! bytes       http/body.rs          payload, at most max_request_size  -> RequestInput   413 400 408
//! model       registry/mod.rs       resolve(name, version)              -> Model          404
//! place       batching/queue.rs     JobQueue::admit                     -> Admission      503 queue full
//! sample      handlers/             preprocess, in the decode pool      -> Sample         400, this one alone
//! job         batching/job.rs       Admission::push                     -> Reply
//! batch       batching/queue.rs     an idle worker cuts a batch, late   -> Vec<Job>       504 too late to run
//! tensors     handlers/ + engine/   collate, forward                    -> Value          400 503 507
//! answer      handlers/             postprocess, one row a sample       -> Prediction
//! response    http/response.rs      within the response timeout                           504
//! ```
//!
//! A model that answers in microseconds is run on the thread that read the request, without the queue
//! (`batching/direct.rs`); requests that the thread reads in one turn share a forward
//! (`batching/turn.rs`).
//!
//! # One preflight
//!
//! `OPTIONS` with `Origin` and `Access-Control-Request-Method` ends at the gate in front of the
//! application (`http/gate.rs`), which asks [`cors::Cors`]: no token, no route, no queue, no lock and
//! no model is involved. On a connection of plain HTTP that has carried nothing but preflights it ends
//! before that, between the socket and actix (`http/fast_path/`), with the same answer. Every other
//! request goes on: access log, [`cors::Cors`], [`auth::TokenCheck`], its route.
#![cfg_attr(
    feature = "torch",
    doc = r#"
# Embedding

```no_run
# async fn example() -> Result<(), Box<dyn std::error::Error>> {
use torchfront::{Config, Server};

let mut config = Config::default();
config.model_store = Some("models".into());
config.load_models = torchfront::config::LoadModels::All;
Server::build(config)?.run().await?;
# Ok(())
# }
```
"#
)]

pub mod archive;
pub mod auth;
pub mod batching;
pub mod bench;
pub mod cli;
pub mod commands;
pub mod config;
pub mod cors;
pub mod cors_live;
pub mod download;
pub mod engine;
pub mod error;
pub mod handlers;
pub mod http;
pub mod metrics;
pub mod openapi;
pub mod pages;
mod pid_file;
pub mod probe;
pub mod registry;
pub mod server;
pub mod snapshot;
pub mod telemetry;
pub mod trace;
mod unfinished;

pub use config::Config;
pub use server::{Server, ServerHandle};
