//! What the command line can do, one file each. Called by `main.rs` alone.

mod archive;
mod background;
mod bench;
mod cors;
mod cors_probe;
mod cors_vectors;
mod doctor;
mod migrate;
mod notify;
mod serve;

pub use archive::archive;
pub use background::{start_in_background, stop};
pub use bench::bench;
pub use cors::{cors_check, cors_diff, cors_explain, cors_export};
pub use cors_probe::cors_probe;
pub use cors_vectors::cors_vectors;
pub use doctor::doctor;
pub use migrate::migrate;
pub use serve::serve;

/// The exit status of a configuration that is wrong (`EX_CONFIG` of sysexits.h).
const EX_CONFIG: u8 = 78;
/// The exit status for wrong flags, which is clap's.
const USAGE: u8 = 2;
