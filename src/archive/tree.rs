//! Writes checked entries below one fresh directory, counting what is really written.
//!
//! Called by `zip_entries.rs` and `tar_entries.rs` for each entry. Invariants: every file is made
//! anew (0600, never executable) in a directory made anew (0700), so nothing can be overwritten and
//! no link can be followed; no name occurs twice, upper and lower case taken as equal.

use std::collections::HashMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::entry_path::EntryPath;
use super::error::{ArchiveError, EntryRef};
use super::limits::{Budget, Exceeded};

/// Bytes that are copied at once.
const BUFFER_SIZE: usize = 64 << 10;

/// A directory that is being filled from an archive.
pub(super) struct Tree<'a> {
    root: &'a Path,
    names: Names,
    budget: Budget,
    buffer: Box<[u8]>,
}

/// Every name seen so far. Kept apart from [`Tree`], so that a zip's names can be checked before
/// anything is written.
#[derive(Default)]
pub(super) struct Names {
    /// Lower-case name to the name as it stands and what it is.
    seen: HashMap<String, (String, Seen)>,
}

/// What a name was used for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    File,
    /// A directory with an entry of its own.
    Directory,
    /// A directory that only occurs in the paths of other entries.
    Parent,
}

/// What an entry claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Directory,
}

// === impl Names ===

impl Names {
    /// Takes a name; returns how many files and directories it adds.
    ///
    /// # Errors
    /// [`ArchiveError::BadEntry`] when the name is taken.
    pub(super) fn take(
        &mut self,
        entry: &EntryRef,
        path: &EntryPath,
        kind: EntryKind,
    ) -> Result<u64, ArchiveError> {
        let mut added = 0;
        for parent in path.parents() {
            match self.seen.get(&parent.to_lowercase()) {
                None => {
                    self.insert(parent, Seen::Parent);
                    added += 1;
                }
                Some((_, Seen::File)) => {
                    return Err(entry.bad("lies below another entry that is a file"));
                }
                Some((known, Seen::Directory | Seen::Parent)) if known == parent => {}
                Some(_) => {
                    return Err(entry.bad("has a directory that differs from another in case only"));
                }
            }
        }
        match (self.seen.get(&path.as_str().to_lowercase()), kind) {
            (None, EntryKind::File) => {
                self.insert(path.as_str(), Seen::File);
                added += 1;
            }
            (None, EntryKind::Directory) => {
                self.insert(path.as_str(), Seen::Directory);
                added += 1;
            }
            (Some((known, Seen::Parent)), EntryKind::Directory) if known == path.as_str() => {
                self.insert(path.as_str(), Seen::Directory);
            }
            (Some(_), _) => return Err(entry.bad("has the same name as another entry")),
        }
        Ok(added)
    }

    fn insert(&mut self, name: &str, seen: Seen) {
        self.seen.insert(name.to_lowercase(), (name.to_owned(), seen));
    }
}

// === impl Tree ===

impl<'a> Tree<'a> {
    /// `root` must exist, be empty and belong to nobody else.
    pub(super) fn new(root: &'a Path, budget: Budget) -> Tree<'a> {
        let buffer = vec![0; BUFFER_SIZE].into_boxed_slice();
        Tree { root, names: Names::default(), budget, buffer }
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// The name is taken, there are too many, or the file system fails.
    pub(super) fn directory(
        &mut self,
        entry: &EntryRef,
        path: &EntryPath,
    ) -> Result<(), ArchiveError> {
        self.take(entry, path, EntryKind::Directory)?;
        self.make_directory(path.as_str())
    }

    /// Writes a file and returns its size in bytes.
    ///
    /// # Errors
    /// The name is taken, a limit is passed, `content` cannot be read, or the file system fails.
    pub(super) fn file(
        &mut self,
        entry: &EntryRef,
        path: &EntryPath,
        content: &mut dyn Read,
    ) -> Result<u64, ArchiveError> {
        self.take(entry, path, EntryKind::File)?;
        if let Some(parent) = path.parents().last() {
            self.make_directory(parent)?;
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.root.join(path.as_str()))
            .map_err(ArchiveError::io("write", path.as_str()))?;
        let mut size = 0;
        loop {
            let count = match content.read(&mut self.buffer) {
                Ok(0) => return Ok(size),
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(entry.damaged(error)),
            };
            self.budget.add_bytes(count as u64).map_err(at(entry))?;
            let chunk = self.buffer.get(..count).unwrap_or_default();
            file.write_all(chunk).map_err(ArchiveError::io("write", path.as_str()))?;
            size += count as u64;
        }
    }

    fn take(
        &mut self,
        entry: &EntryRef,
        path: &EntryPath,
        kind: EntryKind,
    ) -> Result<(), ArchiveError> {
        // Counted before the name is kept, so that memory is bounded by the limit as well.
        self.budget.add_entries(1).map_err(at(entry))?;
        let added = self.names.take(entry, path, kind)?;
        self.budget.add_entries(added.saturating_sub(1)).map_err(at(entry))
    }

    fn make_directory(&self, path: &str) -> Result<(), ArchiveError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(self.root.join(path))
            .map_err(ArchiveError::io("create the directory", path))
    }
}

/// Names the entry at which a limit was passed.
pub(super) fn at(entry: &EntryRef) -> impl FnOnce(Exceeded) -> ArchiveError {
    let entry = entry.clone();
    move |Exceeded { limit, max }| ArchiveError::LimitExceeded { limit, max, entry: Some(entry) }
}
