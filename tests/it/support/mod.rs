//! What the tests share: a server in this process, a client that sees every byte, the goldens.

mod client;
pub mod edge;
mod goldens;
mod own_process;
mod server;
mod torchscript;

pub use client::{Answer, Client, request};
pub use goldens::{checkout, close, golden_archives};
pub use own_process::OwnProcess;
pub use server::TestServer;
pub use torchscript::altered_echo;

/// The kernel's name of this machine, as the server has it.
pub fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}

/// Waits until `condition` holds.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !condition() {
        assert!(std::time::Instant::now() < end, "never: {what}");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}
