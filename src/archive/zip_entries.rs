//! The entries of a `.mar`: a zip archive, stored or deflated, nothing else.
//!
//! Called by `unpack.rs`. First everything that headers show is checked: names, types, methods,
//! claimed sizes, and that local headers agree with the central directory and no byte belongs to two
//! entries. So most attacks are refused before anything is written. Then the entries are written,
//! and what really comes out is counted.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use zip::CompressionMethod;
use zip::read::{ArchiveOffset, Config, ZipArchive, ZipFileEntry};
use zip::result::ZipError;

use super::entry_path::EntryPath;
use super::error::{ArchiveError, EntryRef};
use super::limits::{Budget, Exceeded};
use super::printable::Printable;
use super::tree::{EntryKind, Names, Tree, at};
use super::zip_end::ZipEnd;

/// Bytes of a central header: its 46, the longest name that is taken, and room for extra fields.
const MAX_HEADER: u64 = 4096;

/// The file type bits of a Unix mode (`S_IFMT`) and the two that are taken.
const FILE_TYPE: u32 = 0o170_000;
const REGULAR_FILE: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;

type Archive = ZipArchive<BufReader<File>>;

/// Unpacks `file` into the empty directory `root`.
///
/// # Errors
/// Damaged, hostile, too large, or the file system fails. What was written stays: the caller
/// removes `root`.
pub(super) fn unpack(file: File, budget: Budget, root: &Path) -> Result<(), ArchiveError> {
    let mut archive = open(file, &budget)?;
    check(&archive, &budget)?;
    archive.validate_header_consistency().map_err(|error| damaged(&error))?;

    let mut tree = Tree::new(root, budget);
    for index in 0..archive.len() {
        let entry = archive.by_index_data(index).map_err(|error| damaged(&error))?;
        let shown = EntryRef::new(index as u64, entry.name_raw());
        let (path, kind) = inspect(&entry, &shown)?;
        let claimed = entry.size();
        match kind {
            EntryKind::Directory => tree.directory(&shown, &path)?,
            EntryKind::File => {
                let mut content =
                    archive.by_index(index).map_err(|error| shown.damaged(shown_error(&error)))?;
                let written = tree.file(&shown, &path, &mut content)?;
                if written != claimed {
                    return Err(shown.damaged(format_args!(
                        "its header says {claimed} bytes, it holds {written}"
                    )));
                }
            }
        }
    }
    Ok(())
}

/// Reads the central directory, once the end record has shown that it is not too large.
fn open(file: File, budget: &Budget) -> Result<Archive, ArchiveError> {
    let whole = |Exceeded { limit, max }| ArchiveError::LimitExceeded { limit, max, entry: None };
    let mut reader = BufReader::new(file);
    let end =
        ZipEnd::read(&mut reader).map_err(|error| ArchiveError::damaged(error.to_string()))?;
    budget.check_entries(end.entries).map_err(whole)?;
    if end.directory_size > end.entries.saturating_mul(MAX_HEADER) {
        return Err(ArchiveError::damaged("its central directory is larger than any archiver's"));
    }
    // A zip that does not begin at byte 0 is something else as well (a script, an image).
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    ZipArchive::with_config(config, reader).map_err(|error| damaged(&error))
}

/// Everything that the central directory alone shows.
fn check(archive: &Archive, budget: &Budget) -> Result<(), ArchiveError> {
    // The library keeps only the last of several entries of one name, but says that there were.
    if archive.has_duplicate_names() {
        return Err(ArchiveError::damaged("two of its entries have the same name"));
    }
    let mut names = Names::default();
    let mut entries: u64 = 0;
    let mut bytes: u64 = 0;
    for index in 0..archive.len() {
        let entry = archive.by_index_data(index).map_err(|error| damaged(&error))?;
        let shown = EntryRef::new(index as u64, entry.name_raw());
        let (path, kind) = inspect(&entry, &shown)?;
        entries = entries.saturating_add(names.take(&shown, &path, kind)?);
        budget.check_entries(entries).map_err(at(&shown))?;
        bytes = bytes.saturating_add(entry.size());
        budget.check_bytes(bytes).map_err(at(&shown))?;
    }
    Ok(())
}

/// What one header says: a checked path and kind.
fn inspect(
    entry: &ZipFileEntry<'_>,
    shown: &EntryRef,
) -> Result<(EntryPath, EntryKind), ArchiveError> {
    let path = EntryPath::parse(entry.name_raw()).map_err(|problem| shown.bad(problem))?;
    let named_directory = entry.name_raw().ends_with(b"/");
    // Read from the attributes as they stand, whatever system the entry says it was made on.
    let kind = match (entry.external_attributes() >> 16) & FILE_TYPE {
        0 if named_directory => EntryKind::Directory,
        0 => EntryKind::File,
        REGULAR_FILE if !named_directory => EntryKind::File,
        DIRECTORY if named_directory => EntryKind::Directory,
        REGULAR_FILE | DIRECTORY => {
            return Err(
                shown.bad("is a file by its name and a directory by its mode, or the reverse")
            );
        }
        _ => return Err(shown.bad("is a symbolic link, a device or another special file")),
    };
    if entry.encrypted() {
        return Err(shown.bad("is encrypted"));
    }
    if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
        return Err(shown.bad("is compressed by another method than deflate"));
    }
    // Some archivers deflate even a directory's nothing: two bytes that are never read.
    if kind == EntryKind::Directory && entry.size() != 0 {
        return Err(shown.bad("is a directory with content"));
    }
    Ok((path, kind))
}

fn damaged(error: &ZipError) -> ArchiveError {
    ArchiveError::damaged(shown_error(error).to_string())
}

/// The library's texts may repeat names of the archive.
fn shown_error(error: &ZipError) -> Printable {
    Printable::new(&error.to_string())
}
