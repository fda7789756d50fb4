//! What an archive says of itself, whether it can be served here or not.
//!
//! Called by the commands `archive --explain` and `migrate`.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::error::ArchiveError;
use super::limits::ArchiveLimits;
use super::manifest::{MANIFEST_FILE, MAX_MANIFEST_SIZE, Manifest};
use super::member;
use super::model_archive::{Files, model_config};
use super::model_config::ModelConfig;

/// The unpacked files and what was read of them.
#[derive(Debug)]
pub struct Contents {
    /// Where the files are, as long as this lives.
    pub dir: PathBuf,
    /// The manifest as it was understood.
    pub manifest: Manifest,
    /// The manifest as it is written; none when there is none.
    pub written: Option<Value>,
    /// `model-config.yaml`; none when there is none.
    pub model_config: Option<ModelConfig>,
    _unpacked: Option<TempDir>,
}

// === impl Contents ===

impl Contents {
    /// Unpacks `source` below `unpack_dir` (a directory is read where it is). Blocks on the disk.
    ///
    /// # Errors
    /// No archive, damaged, hostile, or its manifest or `model-config.yaml` cannot be read.
    pub fn read(
        source: &Path,
        limits: &ArchiveLimits,
        unpack_dir: &Path,
    ) -> Result<Contents, ArchiveError> {
        let Files { dir, unpacked, .. } = Files::of(source, limits, unpack_dir)?;
        let manifest = Manifest::read(&dir)?;
        let written = member::read(&dir, MANIFEST_FILE, MAX_MANIFEST_SIZE)?;
        let model_config = model_config(&dir, &manifest)?;
        Ok(Contents {
            // It has just been read as JSON, but for a byte order mark.
            written: written.and_then(|bytes| {
                serde_json::from_slice(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes)).ok()
            }),
            dir,
            manifest,
            model_config,
            _unpacked: unpacked,
        })
    }
}
