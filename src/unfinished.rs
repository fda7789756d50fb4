//! What a process was writing when it was killed: how others can tell, and clear it away.
//!
//! Whoever writes a hidden file, or unpacks into a folder, holds a lock on it (`flock`), which the kernel
//! gives back when the process ends, however it ends. What is there and not locked belongs to nobody.
//! Process ids tell less: in a container every start has the same one.
//!
//! Called by `auth/key_file.rs`, `download/part_file.rs`, `snapshot/folder.rs` and
//! `server/unpack_dir.rs`.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

/// Between making a file and locking it.
const MOMENT: Duration = Duration::from_secs(1);

/// Says that this process is writing it, for as long as the file is open. File systems that have no locks
/// say so; what is left there stays.
pub(crate) fn claim(file: &File) {
    if let Err(error) = file.try_lock() {
        tracing::debug!(%error, "a file that is being written could not be locked");
    }
}

/// True when nobody is writing it any more. A folder is opened as a file is.
pub(crate) fn is_abandoned(path: &Path) -> bool {
    // Not what a link of somebody else points to.
    let Ok(metadata) = fs::symlink_metadata(path) else { return false };
    let is_plain = metadata.is_file() || metadata.is_dir();
    // A clock that was set back makes it look as if it came from the future.
    let age = metadata.modified().ok().and_then(|made| made.elapsed().ok());
    let is_old = age.is_none_or(|age| age > MOMENT);
    is_plain && is_old && File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

/// Removes the files of a folder whose names are ours and which nobody is writing any more.
pub(crate) fn sweep(folder: &Path, is_ours: impl Fn(&str) -> bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        let ours = entry.file_name().to_str().is_some_and(&is_ours);
        if is_file && ours && is_abandoned(&entry.path()) {
            // Somebody else may have removed it just now.
            let _left = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::symlink;
    use std::time::SystemTime;

    use super::*;

    /// Makes a file that was written an hour ago.
    pub(crate) fn old_file(path: &Path) -> File {
        let file = File::create(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
        file
    }

    #[test]
    fn only_what_nobody_holds_any_more_and_is_ours_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        drop(old_file(&path(".own-dead")));
        drop(old_file(&path(".other-dead")));
        let held = old_file(&path(".own-alive"));
        claim(&held);
        File::create(path(".own-new")).unwrap();
        let from_the_future = File::create(path(".own-future")).unwrap();
        from_the_future.set_modified(SystemTime::now() + Duration::from_secs(3600)).unwrap();
        drop(from_the_future);
        drop(old_file(&path("precious")));
        symlink(path("precious"), path(".own-link")).unwrap();
        sweep(folder.path(), |name| name.starts_with(".own-"));
        let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut left: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, [".other-dead", ".own-alive", ".own-link", ".own-new", "precious"]);
        drop(held);
        sweep(folder.path(), |name| name == ".own-alive");
        assert!(!path(".own-alive").exists());
    }
}
