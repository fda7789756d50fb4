//! Makes model archives as `torch-model-archiver` does: the same flags, names, places and manifest.
//!
//! Called by `torchfront archive`. In two steps, so that what is to be written can be looked at
//! first: [`Pack::stage`] collects the files in a folder of its own beside the target, laid out as the
//! archive will be; [`Staged::write`] turns that folder into the archive. Invariant: what stands at the
//! target's name is always whole, the old one or the new one.
//!
//! ```text
//! stage.rs      which file goes where
//! manifest.rs   MAR-INF/MANIFEST.json
//! write.rs      zip, gzipped tar or folder, in place at once
//! ```
//!
//! Where it differs from `torch-model-archiver`: two files of one name are an error (there the last one
//! wins), `handler.py:function` is found (there it is not), entries are sorted and carry no dates (the
//! same files give the same bytes, but for `createdOn`), and a failure leaves nothing behind.

mod manifest;
mod stage;
mod write;

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::manifest::Runtime;

/// What goes into an archive; paths are read as they are given.
#[derive(Clone, Debug)]
pub struct Pack {
    /// `--model-name`: the archive's name, and the model's.
    pub model_name: String,
    /// `--version`.
    pub version: String,
    /// `--handler`: a built-in name, or a Python file with an optional `:function`.
    pub handler: String,
    /// Handlers that need no file.
    pub built_in: Vec<String>,
    /// `--serialized-file`.
    pub serialized_file: Option<PathBuf>,
    /// `--model-file`.
    pub model_file: Option<PathBuf>,
    /// `--extra-files`: paths and patterns between commas; of a folder, what is in it.
    pub extra_files: Option<String>,
    /// `--requirements-file`.
    pub requirements_file: Option<PathBuf>,
    /// `--config-file`.
    pub config_file: Option<PathBuf>,
    /// `--runtime`.
    pub runtime: Runtime,
    /// `--archive-format`.
    pub format: Format,
    /// `--force`: an archive that is there already is replaced.
    pub force: bool,
}

/// `--archive-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `default`: `NAME.mar`, compressed.
    Zip,
    /// `zip-store`: `NAME.mar`, not compressed.
    ZipStore,
    /// `tgz`: `NAME.tar.gz` with everything below `NAME/`.
    Tgz,
    /// `no-archive`: the folder `NAME`.
    Folder,
}

/// The files of an archive in a folder, which is removed when this is dropped.
#[derive(Debug)]
pub struct Staged {
    folder: TempDir,
    target: PathBuf,
    model_name: String,
    format: Format,
    force: bool,
}

/// Why no archive was made. Nothing is left behind then.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Not `[A-Za-z0-9][A-Za-z0-9_.-]*`.
    #[error(
        "--model-name {0:?} contains special characters: it must begin with a letter or a digit, \
         and go on with letters, digits, `_`, `-` and `.`"
    )]
    ModelName(String),
    /// The target's folder is none.
    #[error("--export-path {0} is not a directory; make it, or give another")]
    ExportPath(String),
    /// The target is there.
    #[error("{0} already exists; give --force to replace it")]
    Exists(String),
    /// A file that a flag names is not there, or no file.
    #[error("{flag} {path}: {problem}")]
    File {
        /// The flag.
        flag: &'static str,
        /// As given.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// Two files would have the same name in the archive.
    #[error("{flag} {path}: the archive has a file `{name}` already; rename one of them")]
    Twice {
        /// The flag.
        flag: &'static str,
        /// The second file.
        path: String,
        /// The name in the archive.
        name: String,
    },
    /// More files than an archive may hold.
    #[error("{flag} {path}: more than {max} files and folders")]
    TooMany {
        /// The flag.
        flag: &'static str,
        /// Where the last one was found.
        path: String,
        /// The limit: `archive_max_entries` of a server that is not told otherwise.
        max: usize,
    },
    /// The disk failed.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
}

// === impl Pack ===

impl Pack {
    /// Collects the files in a new folder below `export_path`.
    ///
    /// # Errors
    /// [`PackError`].
    pub fn stage(&self, export_path: &Path) -> Result<Staged, PackError> {
        check_name(&self.model_name)?;
        if !export_path.is_dir() {
            return Err(PackError::ExportPath(export_path.display().to_string()));
        }
        let target = export_path.join(format!("{}{}", self.model_name, self.format.extension()));
        if !self.force && target.symlink_metadata().is_ok() {
            return Err(PackError::Exists(target.display().to_string()));
        }
        // Beside the target, so that it can be put in its place at once.
        let folder = tempfile::Builder::new()
            .prefix(&format!(".{}.", self.model_name))
            .tempdir_in(export_path)
            .map_err(io_error("cannot make a folder in", export_path))?;
        stage::copy_all(self, folder.path())?;
        manifest::write(self, folder.path())?;
        let (model_name, format, force) = (self.model_name.clone(), self.format, self.force);
        Ok(Staged { folder, target, model_name, format, force })
    }
}

// === impl Staged ===

impl Staged {
    /// The folder that holds the files as the archive will.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes the archive and returns its path.
    ///
    /// # Errors
    /// [`PackError::Exists`] or [`PackError::Io`].
    pub fn write(self) -> Result<PathBuf, PackError> {
        match self.format {
            Format::Folder => write::folder(self.folder, &self.target, self.force)?,
            format => {
                write::file(
                    self.folder.path(),
                    &self.target,
                    self.force,
                    |files, file| match format {
                        Format::Zip => write::zip(files, file, true),
                        Format::ZipStore => write::zip(files, file, false),
                        _ => write::tgz(files, file, &self.model_name),
                    },
                )?;
            }
        }
        Ok(self.target)
    }
}

// === impl Format ===

impl Format {
    fn extension(self) -> &'static str {
        match self {
            Format::Zip | Format::ZipStore => ".mar",
            Format::Tgz => ".tar.gz",
            Format::Folder => "",
        }
    }
}

/// `torch-model-archiver`'s rule.
fn check_name(name: &str) -> Result<(), PackError> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let goes_on = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    match starts_well && name.chars().all(goes_on) {
        true => Ok(()),
        false => Err(PackError::ModelName(name.to_owned())),
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PackError {
    let path = path.display().to_string();
    move |source| PackError::Io { action, path, source }
}

#[cfg(test)]
mod tests;
