//! What the tests share: a server in this process, a client that sees every byte, the goldens.

mod client;
mod goldens;
mod server;

pub use client::{Answer, Client, request};
pub use goldens::{checkout, close, golden_archives};
pub use server::TestServer;
