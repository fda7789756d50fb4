//! `key_file.json`: how the holders learn their keys. TorchServe's form and place.
//!
//! Written by `authorization.rs` at the start and whenever a key is replaced. The file under its name
//! is always whole, and nobody but the owner of the process could read it at any moment: a new file
//! is made with mode 0600 under another name, filled, and renamed.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

use super::keys::{ExpiringToken, Keys};
use crate::unfinished;

/// Read and write for the owner, nothing for anybody else.
const MODE: u32 = 0o600;
/// The hidden names of files that are being written.
const UNFINISHED: &str = ".key_file-";
/// More than any key file has.
const MAX_SIZE: u64 = 4096;

/// The place of the file.
#[derive(Debug)]
pub(super) struct KeyFile {
    path: PathBuf,
}

/// The keys cannot be handed out.
#[derive(Debug, thiserror::Error)]
#[error(
    "{path}, the file for the access tokens, cannot be written: {reason}; start in a folder that can \
     be written, or switch token authorization off with disable_token_authorization=true or \
     --disable-token-auth"
)]
pub struct KeyFileError {
    /// The file.
    pub path: String,
    /// The system's reason.
    pub reason: io::Error,
}

/// The file's content; the order is TorchServe's.
#[derive(Serialize)]
struct Content<'a> {
    management: Entry<'a>,
    inference: Entry<'a>,
    #[serde(rename = "API")]
    api: Entry<'a>,
}

#[derive(Serialize)]
struct Entry<'a> {
    key: &'a str,
    #[serde(rename = "expiration time", skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

// === impl KeyFile ===

impl KeyFile {
    /// A file at `path`, which need not exist.
    ///
    /// # Errors
    /// A relative path, and the working directory is gone.
    pub(super) fn at(path: &Path) -> Result<KeyFile, KeyFileError> {
        match std::path::absolute(path) {
            Ok(path) => Ok(KeyFile { path }),
            Err(reason) => Err(KeyFileError { path: path.display().to_string(), reason }),
        }
    }

    /// The absolute path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces whatever is there, a link included, by a file with these keys.
    ///
    /// # Errors
    /// [`KeyFileError`]; what was there before is still there.
    pub(super) fn write(&self, keys: &Keys) -> Result<(), KeyFileError> {
        self.try_write(keys)
            .map_err(|reason| KeyFileError { path: self.path.display().to_string(), reason })
    }

    fn try_write(&self, keys: &Keys) -> io::Result<()> {
        let text = text(keys)?;
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        // Of a process that was killed: it holds keys.
        unfinished::sweep(folder, |name| name.starts_with(UNFINISHED));
        // O_CREAT | O_EXCL with the mode: there is no moment at which others could open it.
        let mut file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .permissions(Permissions::from_mode(MODE))
            .tempfile_in(folder)?;
        unfinished::claim(file.as_file());
        let mode = file.as_file().metadata()?.permissions().mode() & 0o777;
        if mode & !MODE != 0 {
            let reason = format!("its file system lets others read it (mode {mode:o}, not 600)");
            return Err(io::Error::other(reason));
        }
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }

    /// Removes the file if it is the one with `keys`: another server that was started in the same
    /// folder may have put its own there.
    pub(super) fn remove(&self, keys: &Keys) {
        let read = || -> io::Result<String> {
            let mut text = String::new();
            File::open(&self.path)?.take(MAX_SIZE).read_to_string(&mut text)?;
            Ok(text)
        };
        if read().is_ok_and(|text| text.contains(keys.api.reveal())) {
            let _gone = fs::remove_file(&self.path);
        }
    }
}

/// Two spaces of indent, as Gson writes it.
fn text(keys: &Keys) -> io::Result<String> {
    let content = Content {
        management: Entry::of(&keys.management)?,
        inference: Entry::of(&keys.inference)?,
        api: Entry { key: keys.api.reveal(), expires: None },
    };
    let mut text = serde_json::to_string_pretty(&content)?;
    text.push('\n');
    Ok(text)
}

// === impl Entry ===

impl Entry<'_> {
    fn of(key: &ExpiringToken) -> io::Result<Entry<'_>> {
        Ok(Entry { key: key.token.reveal(), expires: Some(timestamp(key.expires)?) })
    }
}

/// UTC with microseconds, the form of Java's `Instant`.
fn timestamp(time: SystemTime) -> io::Result<String> {
    let form =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    OffsetDateTime::from(time).format(form).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn keys() -> Keys {
        // 2024-02-16T20:12:24.801167Z
        let now = UNIX_EPOCH + Duration::from_micros(1_708_114_344_801_167);
        Keys::generate(now, HOUR).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        fs::read_dir(folder).unwrap().map(|entry| name(entry).into_string().unwrap()).collect()
    }

    #[test]
    fn has_torchserves_form() {
        let folder = tempfile::tempdir().unwrap();
        let (file, keys) = (KeyFile::at(&folder.path().join("key_file.json")).unwrap(), keys());
        file.write(&keys).unwrap();
        let expected = format!(
            "{{\n  \"management\": {{\n    \"key\": \"{}\",\n    \
             \"expiration time\": \"2024-02-16T21:12:24.801167Z\"\n  }},\n  \
             \"inference\": {{\n    \"key\": \"{}\",\n    \
             \"expiration time\": \"2024-02-16T21:12:24.801167Z\"\n  }},\n  \
             \"API\": {{\n    \"key\": \"{}\"\n  }}\n}}\n",
            keys.management.token.reveal(),
            keys.inference.token.reveal(),
            keys.api.reveal(),
        );
        assert_eq!(fs::read_to_string(file.path()).unwrap(), expected);
    }

    #[test]
    fn is_for_its_owner_alone_even_where_a_readable_one_lay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key_file.json");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        let old = fs::metadata(&path).unwrap().ino();
        let spy = File::open(&path).unwrap();
        KeyFile::at(&path).unwrap().write(&keys()).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.mode() & 0o7777, MODE);
        assert_ne!(metadata.ino(), old, "written into the readable file");
        // Who had the old file open reads the old file.
        assert_eq!(io::read_to_string(spy).unwrap(), "old");
        assert_eq!(names(folder.path()), ["key_file.json"]);
    }

    #[test]
    fn a_link_is_replaced_and_its_target_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("key_file.json"), folder.path().join("target"));
        fs::write(&target, "precious").unwrap();
        symlink(&target, &path).unwrap();
        KeyFile::at(&path).unwrap().write(&keys()).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
    }

    #[test]
    fn a_file_that_cannot_be_written_says_how_to_go_on_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let missing = KeyFile::at(&folder.path().join("no/key_file.json")).unwrap();
        // A folder in the way: the last step, the rename, fails.
        let blocked = folder.path().join("key_file.json");
        fs::create_dir_all(blocked.join("full")).unwrap();
        for file in [missing, KeyFile::at(&blocked).unwrap()] {
            let keys = keys();
            let said = file.write(&keys).unwrap_err().to_string();
            let path = file.path().display().to_string();
            for part in [&*path, "a folder that can be written", "disable_token_authorization=true"]
            {
                assert!(said.contains(part), "{said}\ndoes not say {part}");
            }
            assert!(!said.contains(keys.api.reveal()));
        }
        assert_eq!(names(folder.path()), ["key_file.json"], "a temporary file was left");
    }

    #[test]
    fn only_its_own_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::at(&folder.path().join("key_file.json")).unwrap();
        let (own, other) = (keys(), keys());
        file.write(&other).unwrap();
        file.remove(&own);
        assert!(file.path().exists());
        file.remove(&other);
        assert!(!file.path().exists());
        file.remove(&other);
    }

    #[test]
    fn what_a_killed_process_was_writing_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        drop(crate::unfinished::tests::old_file(&folder.path().join(".key_file-dead")));
        KeyFile::at(&folder.path().join("key_file.json")).unwrap().write(&keys()).unwrap();
        assert_eq!(names(folder.path()), ["key_file.json"]);
    }
}
