//! The folder of the snapshots: each file is written whole or not at all.
//!
//! A file is written under a hidden name, forced to the disk, and only then given its own name, which
//! is forced to the disk too: a process that is killed, or a machine that loses power, leaves the
//! snapshots that were there before, and at most a hidden file that a later write clears away.
//! Everything here blocks on the disk.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::model_snapshot::{ModelSnapshot, SnapshotModel};
use super::name::{Moment, SnapshotName};
use super::properties_text::{self, SIGNATURE};
use crate::unfinished;

/// A folder of snapshots; it need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFolder(PathBuf);

/// The newest snapshots that are kept. TorchServe keeps all; a server whose models change every
/// minute would fill the disk.
pub const KEPT: usize = 100;

/// The hidden names of files that are being written.
const UNFINISHED: (&str, &str) = (".snapshot-", ".tmp");
/// How often a name that another server takes first is replaced by the next one.
const ATTEMPTS: usize = 100;

// === impl SnapshotFolder ===

impl SnapshotFolder {
    /// The folder at `path`.
    pub fn new(path: impl Into<PathBuf>) -> SnapshotFolder {
        SnapshotFolder(path.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The newest snapshot; none when there is no snapshot, or no folder.
    ///
    /// # Errors
    /// The folder is there and cannot be read.
    pub fn latest(&self) -> io::Result<Option<PathBuf>> {
        let latest = self.names()?.into_iter().max();
        Ok(latest.map(|name| self.0.join(name.to_string())))
    }

    /// Writes a snapshot of these models with these settings, and removes the oldest beyond
    /// [`KEPT`]. Only this user can read it: settings may hold a password.
    ///
    /// # Errors
    /// The operating system's: the disk is full, the folder cannot be written. Nothing is changed
    /// then.
    pub fn write(
        &self,
        moment: Moment,
        now: SystemTime,
        properties: &BTreeMap<String, String>,
        models: &BTreeMap<String, BTreeMap<String, SnapshotModel>>,
    ) -> io::Result<SnapshotName> {
        fs::create_dir_all(&self.0)?;
        let mut names = self.names()?;
        names.sort_unstable();
        let mut latest = names.last().copied();
        for _ in 0..ATTEMPTS {
            let name = SnapshotName::after(latest, now, moment);
            let snapshot = ModelSnapshot::new(name.to_string(), name.created(), models.clone());
            let mut properties = properties.clone();
            properties.insert("model_snapshot".to_owned(), snapshot.to_json());
            match self.write_whole(name, &properties_text::write(&properties)) {
                Ok(()) => {
                    names.push(name);
                    self.tidy(&names);
                    return Ok(name);
                }
                // Another server that shares the folder was faster.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => latest = Some(name),
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn write_whole(&self, name: SnapshotName, text: &str) -> io::Result<()> {
        // Made for this user alone (0600), and removed when anything below fails.
        let mut file = tempfile::Builder::new()
            .prefix(UNFINISHED.0)
            .suffix(UNFINISHED.1)
            .tempfile_in(&self.0)?;
        unfinished::claim(file.as_file());
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist_noclobber(self.0.join(name.to_string())).map_err(|error| error.error)?;
        // Without this the name may be gone after a loss of power; the file systems that cannot do
        // it say so, and need it not.
        match File::open(&self.0)?.sync_all() {
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes the snapshots of this program beyond the newest [`KEPT`], and what killed processes
    /// left. What cannot be removed is tried again after the next write.
    fn tidy(&self, names: &[SnapshotName]) {
        for name in &names[..names.len().saturating_sub(KEPT)] {
            let path = self.0.join(name.to_string());
            if is_own(&path) {
                let _left = fs::remove_file(path);
            }
        }
        let is_ours = |name: &str| name.starts_with(UNFINISHED.0) && name.ends_with(UNFINISHED.1);
        unfinished::sweep(&self.0, is_ours);
    }

    /// Every snapshot; other files are no concern of ours.
    fn names(&self) -> io::Result<Vec<SnapshotName>> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry?.file_name().to_str().and_then(SnapshotName::parse));
        }
        Ok(names)
    }
}

/// True when this program wrote the file: TorchServe's are the operator's to remove.
fn is_own(path: &Path) -> bool {
    let mut line = String::new();
    let Ok(file) = File::open(path) else { return false };
    let mut start = BufReader::new(file.take(SIGNATURE.len() as u64 + 1));
    start.read_line(&mut line).is_ok() && line.trim_end() == SIGNATURE
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use std::time::Duration;

    use super::*;
    use crate::config::Properties;

    fn properties() -> BTreeMap<String, String> {
        BTreeMap::from([("job_queue_size".to_owned(), "7".to_owned())])
    }

    fn models() -> BTreeMap<String, BTreeMap<String, SnapshotModel>> {
        let model = SnapshotModel { mar_name: "m.mar".to_owned(), ..SnapshotModel::default() };
        BTreeMap::from([("m".to_owned(), BTreeMap::from([("1.0".to_owned(), model)]))])
    }

    fn write(folder: &SnapshotFolder) -> io::Result<SnapshotName> {
        folder.write(Moment::Snapshot, SystemTime::now(), &properties(), &models())
    }

    fn files(folder: &SnapshotFolder) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_snapshot_is_a_private_properties_file_that_names_itself() {
        let temp = tempfile::tempdir().unwrap();
        let folder = SnapshotFolder::new(temp.path().join("logs/config"));
        assert_eq!(folder.latest().unwrap(), None);
        let name = write(&folder).unwrap();
        let path = folder.latest().unwrap().unwrap();
        assert_eq!(path, folder.path().join(name.to_string()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Properties::read(&fs::read_to_string(&path).unwrap());
        let keys: Vec<&str> = read.entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["job_queue_size", "model_snapshot"]);
        let json = serde_json::from_str(&read.entries[1].value).unwrap();
        let snapshot = ModelSnapshot::read(&json).unwrap();
        assert_eq!((snapshot.name, snapshot.models), (name.to_string(), models()));
        assert_eq!(files(&folder).len(), 1);
    }

    #[test]
    fn snapshots_of_one_millisecond_have_names_in_their_order() {
        let temp = tempfile::tempdir().unwrap();
        let folder = SnapshotFolder::new(temp.path());
        let now = SystemTime::now();
        let names: Vec<SnapshotName> = (0..5)
            .map(|_| folder.write(Moment::Snapshot, now, &properties(), &models()).unwrap())
            .collect();
        assert!(names.is_sorted() && files(&folder).len() == 5, "{names:?}");
    }

    #[test]
    fn old_snapshots_of_this_program_are_removed_and_nothing_else() {
        let temp = tempfile::tempdir().unwrap();
        let folder = SnapshotFolder::new(temp.path());
        let others = ["20010101000000000-startup.cfg", "notes.txt", ".snapshot-new.tmp"];
        for other in others {
            fs::write(temp.path().join(other), "#Saving snapshot\n").unwrap();
        }
        let new = File::open(temp.path().join(".snapshot-new.tmp")).unwrap();
        unfinished::claim(&new);
        drop(unfinished::tests::old_file(&temp.path().join(".snapshot-old.tmp")));
        for second in 0..KEPT as u64 + 5 {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000 + second);
            folder.write(Moment::Snapshot, now, &properties(), &models()).unwrap();
        }
        let files = files(&folder);
        assert_eq!(files.len(), KEPT + others.len());
        assert!(others.iter().all(|other| files.iter().any(|file| file == other)));
        assert!(!files.iter().any(|file| file == ".snapshot-old.tmp"));
        let latest = folder.latest().unwrap().unwrap();
        assert!(latest.to_string_lossy().contains("/20200913122824000-"), "{latest:?}");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error_that_leaves_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(write(&SnapshotFolder::new(file.join("config"))).is_err());
        // A file system that takes no new file.
        assert!(write(&SnapshotFolder::new("/proc/self")).is_err());
    }
}
