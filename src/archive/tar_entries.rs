//! The entries of a `.tar.gz`, read once from front to back.
//!
//! Called by `unpack.rs`. As in TorchServe the first component of every path is dropped
//! (`noop/MAR-INF/MANIFEST.json` becomes `MAR-INF/MANIFEST.json`). The library keeps long names and
//! extended headers in memory; [`Metered`] bounds how much it may read for them.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use tar::EntryType;

use super::entry_path::EntryPath;
use super::error::{ArchiveError, EntryRef};
use super::limits::Budget;
use super::metered::{Allowance, Metered};
use super::printable::Printable;
use super::tree::Tree;

/// Bytes between the contents of two files: headers, long names, PAX records, padding; and after
/// the last file, where tar fills up to a record.
const MAX_METADATA: u64 = 1 << 20;

/// Unpacks `file` into the empty directory `root`.
///
/// # Errors
/// Damaged, hostile, too large, or the file system fails. What was written stays: the caller
/// removes `root`.
pub(super) fn unpack(file: File, budget: Budget, root: &Path) -> Result<(), ArchiveError> {
    let allowance = Allowance::new(MAX_METADATA);
    let content = MultiGzDecoder::new(BufReader::new(file));
    let mut archive = tar::Archive::new(Metered::new(content, &allowance));

    let mut tree = Tree::new(root, budget);
    let entries = archive.entries().map_err(damaged_archive)?;
    for (index, entry) in (0..).zip(entries) {
        let mut entry = entry.map_err(damaged_archive)?;
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            // Comments for the whole archive (git's commit id); read past by the next turn.
            continue;
        }
        let raw = entry.path_bytes().into_owned();
        let shown = EntryRef::new(index, &raw);
        match kind {
            // Old archives mark a directory only by its name.
            EntryType::Regular if !raw.ends_with(b"/") => {
                let path = without_first(&raw, &shown)?
                    .ok_or_else(|| shown.bad("has no name below the top directory"))?;
                let claimed = entry.size();
                allowance.lift();
                let written = tree.file(&shown, &path, &mut entry)?;
                if written != claimed {
                    return Err(shown.damaged("it is cut short"));
                }
            }
            EntryType::Regular | EntryType::Directory => {
                if entry.size() != 0 {
                    return Err(shown.bad("is a directory with content"));
                }
                if let Some(path) = without_first(&raw, &shown)? {
                    tree.directory(&shown, &path)?;
                }
            }
            _ => return Err(shown.bad("is a link, a device or another special file")),
        }
        allowance.set(MAX_METADATA);
    }
    // The rest must be padding; reading it is also what checks the gzip's own checksum.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(damaged_archive)?;
    Ok(())
}

/// The path without its first component; `None` for the top directory itself. A file that lies
/// beside the top directory keeps its name.
fn without_first(raw: &[u8], shown: &EntryRef) -> Result<Option<EntryPath>, ArchiveError> {
    let bad = |problem| shown.bad(problem);
    let (first, rest) = match raw.iter().position(|byte| *byte == b'/') {
        Some(slash) => (raw.get(..slash).unwrap_or_default(), raw.get(slash + 1..)),
        None => (raw, None),
    };
    // `.` is what `tar -C directory .` writes; anything else must be a name like the others.
    if first != b"." {
        EntryPath::parse(raw).map_err(bad)?;
    }
    match rest {
        Some([]) => Ok(None),
        Some(rest) => EntryPath::parse(rest).map(Some).map_err(bad),
        None if first == b"." => Ok(None),
        None => EntryPath::parse(raw).map(Some).map_err(bad),
    }
}

fn damaged_archive(error: io::Error) -> ArchiveError {
    // The library's texts may repeat names of the archive.
    ArchiveError::damaged(Printable::new(&error.to_string()).to_string())
}
