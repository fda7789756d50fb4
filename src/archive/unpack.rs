//! Opens an archive of either format and unpacks it into a fresh directory.
//!
//! Called by `model_archive.rs`. The format is what the first bytes say; the file's extension must
//! agree, because TorchServe goes by the extension and both must see the same model.

use std::fs::{DirBuilder, File};
use std::io::{Read, Seek};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use tempfile::TempDir;

use super::error::ArchiveError;
use super::limits::{ArchiveLimits, Budget};
use super::printable::Printable;
use super::{tar_entries, zip_entries};

/// What a file's first bytes, or its name, say it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Zip,
    GzipTar,
}

/// Unpacks `source` into a new directory (0700) below `unpack_dir`, which is made when it is not
/// there. The directory is removed when the returned guard is dropped, and on every failure.
///
/// # Errors
/// Everything that is wrong with the archive, before or while it is unpacked.
pub(super) fn unpack(
    source: &Path,
    name: &str,
    limits: ArchiveLimits,
    unpack_dir: &Path,
) -> Result<TempDir, ArchiveError> {
    let claimed = Format::from_name(name)?;
    let mut file = File::open(source).map_err(ArchiveError::io("open", name))?;
    let size = file.metadata().map_err(ArchiveError::io("read", name))?.len();
    let found = Format::sniff(&mut file, name)?;
    if let Some(claimed) = claimed.filter(|claimed| *claimed != found) {
        return Err(ArchiveError::WrongFormat {
            name: Printable::new(name),
            found: found.description(),
            expected: claimed.description(),
            fix: found.extension(),
        });
    }

    let in_unpack_dir = "create a directory below the unpack directory for";
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(unpack_dir)
        .map_err(ArchiveError::io(in_unpack_dir, name))?;
    let directory = tempfile::Builder::new()
        .prefix("model-")
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(unpack_dir)
        .map_err(ArchiveError::io(in_unpack_dir, name))?;

    let budget = Budget::new(limits, size);
    match found {
        Format::Zip => zip_entries::unpack(file, budget, directory.path())?,
        Format::GzipTar => tar_entries::unpack(file, budget, directory.path())?,
    }
    Ok(directory)
}

// === impl Format ===

impl Format {
    /// What the file's name promises; `None` for `.model`, which has been both.
    fn from_name(name: &str) -> Result<Option<Format>, ArchiveError> {
        let lower = name.to_ascii_lowercase();
        if lower.ends_with(".mar") {
            return Ok(Some(Format::Zip));
        }
        if lower.ends_with(".tar.gz") || lower.ends_with(".tgz") {
            return Ok(Some(Format::GzipTar));
        }
        if lower.ends_with(".model") {
            return Ok(None);
        }
        // A TorchScript file is a zip itself: said here, or it would fail later for no clear reason.
        let problem = match lower.rsplit_once('.') {
            Some((_, "pt" | "pth" | "pt2" | "onnx" | "safetensors" | "bin")) => {
                "it looks like bare weights"
            }
            _ => "its name has none of the known extensions",
        };
        Err(ArchiveError::NotAnArchive { name: Printable::new(name), problem })
    }

    fn sniff(file: &mut File, name: &str) -> Result<Format, ArchiveError> {
        let mut magic = Vec::with_capacity(4);
        file.by_ref().take(4).read_to_end(&mut magic).map_err(ArchiveError::io("read", name))?;
        file.rewind().map_err(ArchiveError::io("read", name))?;
        match magic.as_slice() {
            // A first entry, or the end record of an archive without entries.
            b"PK\x03\x04" | b"PK\x05\x06" => Ok(Format::Zip),
            [0x1f, 0x8b, ..] => Ok(Format::GzipTar),
            [] => Err(ArchiveError::NotAnArchive {
                name: Printable::new(name),
                problem: "it is empty",
            }),
            _ => Err(ArchiveError::NotAnArchive {
                name: Printable::new(name),
                problem: "its first bytes are neither a zip's nor a gzip's",
            }),
        }
    }

    fn description(self) -> &'static str {
        match self {
            Format::Zip => "a zip archive",
            Format::GzipTar => "a gzipped tar archive",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Format::Zip => ".mar",
            Format::GzipTar => ".tar.gz",
        }
    }
}
