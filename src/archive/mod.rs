//! From a name in the model store to checked files on disk: `.mar`, `.tar.gz` and directories.
//!
//! No torch, no HTTP; imports no other room. The registry calls it when a model is registered:
//!
//! ```text
//! url  -> store.rs          resolve(): a bare name inside the model store
//!      -> model_archive.rs  ModelArchive::open()
//!           unpack.rs         content sniffed, into a fresh private directory
//!             zip_end.rs zip_entries.rs   tar_entries.rs    the two formats
//!             entry_path.rs   tree.rs  limits.rs  metered.rs    what every entry must pass
//!           manifest.rs       MAR-INF/MANIFEST.json
//!           handler.rs        built-in handler, or the archive's own Python
//!           model_config.rs   model-config.yaml
//!      -> contents.rs       Contents::read(): what it says, served or not
//!      <- pack/             the other way: files to an archive
//! ```
//!
//! Invariants: a [`ModelArchive`] that exists can be served by this binary as far as its files
//! tell; a refused archive leaves nothing on disk; no entry is ever written outside its directory;
//! no message that may reach a client holds a path of this machine.

mod contents;
mod entry_path;
mod error;
mod handler;
mod limits;
mod manifest;
mod member;
mod metered;
mod model_archive;
mod model_config;
mod name;
pub mod pack;
mod printable;
mod store;
mod tar_entries;
mod tree;
mod unpack;
mod zip_end;
mod zip_entries;

#[cfg(test)]
mod tests;

pub use contents::Contents;
pub use error::{ArchiveError, ArchiveErrorKind, EntryRef};
pub use handler::{Handler, HandlerChoice};
pub use limits::{ArchiveLimits, Limit};
pub use manifest::{Manifest, Runtime};
pub use model_archive::{ModelArchive, Unnamed};
pub use model_config::{DeviceType, ModelConfig};
pub use name::{check_model_name, check_model_version, default_model_name};
pub use printable::Printable;
pub use store::{resolve, scan};
