//! The folder where this process unpacks archives, and the clearing away of what a killed one left.
//!
//! `TEMP/torchfront-PID-NUMBER/`: private to the user, locked, removed when the server ends. At start the
//! folders that nobody holds are removed: in a container the process before had the same id.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, test_kill_process};

use crate::unfinished;

/// Names of these folders start so.
const PREFIX: &str = "torchfront-";

/// This process's folder, removed when dropped.
pub(super) struct UnpackDir {
    path: PathBuf,
    /// Locked for as long as it is open.
    _claimed: File,
}

// === impl UnpackDir ===

impl UnpackDir {
    /// Makes the folder, and removes those of processes that are gone.
    pub(super) fn create(temp_dir: &Path) -> std::io::Result<UnpackDir> {
        fs::create_dir_all(temp_dir)?;
        sweep(temp_dir);
        // Several servers of one process (an embedding program, tests) have a folder each.
        let name = format!("{PREFIX}{}", std::process::id());
        for number in 0..1000 {
            let path = temp_dir.join(format!("{name}-{number}"));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    let claimed = File::open(&path)?;
                    unfinished::claim(&claimed);
                    return Ok(UnpackDir { path, _claimed: claimed });
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(std::io::ErrorKind::AlreadyExists.into())
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for UnpackDir {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next start.
        let _left = fs::remove_dir_all(&self.path);
    }
}

/// Removes the folders of processes that are gone. Another user's cannot be removed; that is no
/// error.
fn sweep(temp_dir: &Path) {
    for entry in fs::read_dir(temp_dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(owner);
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let is_dead = |pid| test_kill_process(pid).is_err();
        let path = entry.path();
        if is_folder && owner.is_some_and(|pid| is_dead(pid) || unfinished::is_abandoned(&path)) {
            let _left = fs::remove_dir_all(path);
        }
    }
}

/// The process of `PID-NUMBER`.
fn owner(name: &str) -> Option<Pid> {
    Pid::from_raw(name.split_once('-')?.0.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn removes_its_own_folder_and_those_of_dead_processes_only() {
        let temp = tempfile::tempdir().unwrap();
        let alive = temp.path().join(format!("{PREFIX}{}-7", std::process::id()));
        // Of an earlier process with the id of this one.
        let earlier = temp.path().join(format!("{PREFIX}{}-8", std::process::id()));
        // Above the kernel's largest process id.
        let dead = temp.path().join(format!("{PREFIX}2000000000-0"));
        let other = temp.path().join("torchfront-notes");
        for folder in [&alive, &earlier, &dead, &other] {
            fs::create_dir(folder).unwrap();
            let hour_ago = SystemTime::now() - Duration::from_secs(3600);
            File::open(folder).unwrap().set_modified(hour_ago).unwrap();
        }
        let held = File::open(&alive).unwrap();
        unfinished::claim(&held);
        let dir = UnpackDir::create(temp.path()).unwrap();
        assert!(alive.exists() && other.exists() && !dead.exists() && !earlier.exists());
        let path = dir.path().to_owned();
        assert!(path.is_dir());
        drop(dir);
        assert!(!path.exists());
    }
}
