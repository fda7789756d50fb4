//! Snapshots: which models are registered and how, kept on disk, so that a server can be started again
//! with them.
//!
//! A snapshot is a `config.properties` with the key `model_snapshot`: TorchServe's format, names and
//! moments, so that either server starts from the other's. Written by `server/snapshots.rs`, read by
//! `config/snapshot.rs`; this room knows the format and the folder, nothing of models or settings.
//!
//! | file | what it does |
//! |---|---|
//! | `model_snapshot.rs` | the JSON of the key `model_snapshot` |
//! | `properties_text.rs` | the file: Java's escapes |
//! | `name.rs` | `20200329045334828-startup.cfg` |
//! | `folder.rs` | the folder: write whole or not at all, find the latest, remove old ones |
//!
//! Invariant: a file in the folder with a snapshot's name is whole, whenever the power went.

mod folder;
mod model_snapshot;
mod name;
mod properties_text;

pub use folder::{KEPT, SnapshotFolder};
pub use model_snapshot::{ModelSnapshot, SnapshotModel};
pub use name::{Moment, SnapshotName};
