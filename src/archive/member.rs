//! A file of a model's directory, by its name: found, checked, read within a bound.
//!
//! Used for everything that is read after unpacking. Directories are served in place, so a link
//! may lie there that the unpacker would have refused: a file counts only when it stays inside.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::ArchiveError;
use super::printable::Printable;

/// The regular file `name` (may hold `/`; trusted to go downwards) below `dir`, which is canonical;
/// `None` when there is none.
///
/// # Errors
/// It is not a regular file, a link leaves `dir`, or the file system fails.
pub(super) fn find(dir: &Path, name: &str) -> Result<Option<PathBuf>, ArchiveError> {
    let path = match dir.join(name).canonicalize() {
        Ok(path) => path,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ArchiveError::io("read", name)(error)),
    };
    if !path.starts_with(dir) {
        let name = Printable::new(name);
        return Err(ArchiveError::SymbolicLinkLeaves { name, inside: "the model's directory" });
    }
    if !path.metadata().map_err(ArchiveError::io("read", name))?.is_file() {
        return Err(ArchiveError::NotAFile { name: Printable::new(name) });
    }
    Ok(Some(path))
}

/// The content of that file, at most `max` bytes.
///
/// # Errors
/// As [`find`], or [`ArchiveError::FileTooLarge`].
pub(super) fn read(dir: &Path, name: &str, max: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
    let Some(path) = find(dir, name)? else { return Ok(None) };
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(max.saturating_add(1)).read_to_end(&mut content))
        .map_err(ArchiveError::io("read", name))?;
    if content.len() as u64 > max {
        return Err(ArchiveError::FileTooLarge { name: Printable::new(name), max });
    }
    Ok(Some(content))
}

/// Is `name` one plain component, so that it names a file at the top of the archive?
pub(super) fn is_plain_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() <= 255
        && !name.contains(|c: char| matches!(c, '/' | '\\') || c.is_control())
}
