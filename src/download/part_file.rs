//! A model's file while it is written: hidden in the store, removed unless it is finished.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::error::DownloadError;
use crate::unfinished;

/// A file that has no name of its own yet. Dropping it removes it.
pub(super) struct PartFile {
    file: NamedTempFile,
    target: PathBuf,
}

/// A model's file in the store. Dropping it removes it, unless it is kept.
#[derive(Debug)]
pub struct Downloaded {
    path: PathBuf,
    kept: bool,
}

/// `load_models=all` and registering leave hidden names alone.
const PREFIX: &str = ".torchfront-download-";

// === impl PartFile ===

impl PartFile {
    /// Begins a file that will be `name` in `store`.
    ///
    /// # Errors
    /// [`DownloadError::Exists`], or the store cannot be written.
    pub(super) fn create(store: &Path, name: &str) -> Result<PartFile, DownloadError> {
        let target = store.join(name);
        if target.symlink_metadata().is_ok() {
            return Err(DownloadError::Exists { file: name.to_owned() });
        }
        let file = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o666)) // less what the umask takes
            .tempfile_in(store)
            .map_err(|error| DownloadError::store("write to", error))?;
        unfinished::claim(file.as_file());
        Ok(PartFile { file, target })
    }

    /// Removes what a process that was killed has left.
    pub(super) fn sweep(store: &Path) {
        unfinished::sweep(store, |name| name.starts_with(PREFIX));
    }

    /// Appends. Blocks on the disk.
    ///
    /// # Errors
    /// The store cannot be written, for example because it is full.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), DownloadError> {
        self.file.write_all(bytes).map_err(|error| DownloadError::store("write to", error))
    }

    /// Gives the whole file its name, which nobody else has meanwhile taken.
    ///
    /// # Errors
    /// [`DownloadError::Exists`], or the store cannot be written.
    pub(super) fn publish(self) -> Result<Downloaded, DownloadError> {
        let PartFile { file, target } = self;
        let stored = |error| DownloadError::store("write to", error);
        file.as_file().sync_all().map_err(stored)?;
        file.persist_noclobber(&target).map_err(|refused| match refused.error.kind() {
            io::ErrorKind::AlreadyExists => {
                let file = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
                DownloadError::Exists { file }
            }
            _ => DownloadError::store("write to", refused.error),
        })?;
        let downloaded = Downloaded { path: target, kept: false };
        if let Some(store) = downloaded.path.parent() {
            File::open(store).and_then(|store| store.sync_all()).map_err(stored)?;
        }
        Ok(downloaded)
    }
}

// === impl Downloaded ===

impl Downloaded {
    /// The file in the store.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The model is registered: its file stays until it is unregistered.
    pub fn keep(mut self) -> PathBuf {
        self.kept = true;
        std::mem::take(&mut self.path)
    }
}

impl Drop for Downloaded {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed is in the way of the next try, which will say so.
            let _left = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let store = tempfile::tempdir().unwrap();
        let count = || fs::read_dir(store.path()).unwrap().count();
        let mut part = PartFile::create(store.path(), "m.mar").unwrap();
        part.write(b"half").unwrap();
        assert!(!store.path().join("m.mar").exists());
        drop(part);
        assert_eq!(count(), 0);
        let mut part = PartFile::create(store.path(), "m.mar").unwrap();
        let other = PartFile::create(store.path(), "m.mar").unwrap();
        part.write(b"whole").unwrap();
        let downloaded = part.publish().unwrap();
        assert!(matches!(other.publish(), Err(DownloadError::Exists { .. })));
        assert!(matches!(
            PartFile::create(store.path(), "m.mar"),
            Err(DownloadError::Exists { .. })
        ));
        assert_eq!(fs::read(downloaded.path()).unwrap(), b"whole");
        drop(downloaded);
        assert_eq!(count(), 0);
        let path = PartFile::create(store.path(), "m.mar").unwrap().publish().unwrap().keep();
        assert!(path.exists() && count() == 1);
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_is_being_written_is_not() {
        let store = tempfile::tempdir().unwrap();
        let dead = store.path().join(format!("{PREFIX}dead"));
        drop(unfinished::tests::old_file(&dead));
        drop(unfinished::tests::old_file(&store.path().join("m.mar")));
        let part = PartFile::create(store.path(), "n.mar").unwrap();
        PartFile::sweep(store.path());
        assert!(!dead.exists());
        assert_eq!(fs::read_dir(store.path()).unwrap().count(), 2);
        drop(part);
    }
}
