//! A model archive, opened: unpacked, its manifest understood, everything it names found.
//!
//! The registry opens one per registered model version and keeps it for as long as the model
//! lives: an unpacked archive's directory is removed when it is dropped.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::error::ArchiveError;
use super::handler::HandlerChoice;
use super::limits::ArchiveLimits;
use super::manifest::Manifest;
use super::model_config::{MAX_MODEL_CONFIG_SIZE, ModelConfig};
use super::printable::Printable;
use super::{member, name, unpack};

/// Bytes of `index_to_name.json`: ImageNet's has 35 thousand.
const MAX_INDEX_TO_NAME_SIZE: u64 = 16 << 20;
/// The YAML that is read when the manifest names none.
const MODEL_CONFIG_FILE: &str = "model-config.yaml";
/// The model that is loaded when the manifest names none.
const SERIALIZED_FILE: &str = "model.pt";
/// The vocabulary of old text models: a `.pt` that is no model.
const SOURCE_VOCAB: &str = "source_vocab.pt";
/// Most names that are looked at in a directory that is served in place.
const MAX_DIRECTORY_NAMES: usize = 10_000;

/// A model whose files are on disk and which this binary can serve, as far as they tell.
#[derive(Debug)]
pub struct ModelArchive {
    dir: PathBuf,
    file_name: String,
    manifest: Manifest,
    handler: String,
    serialized_file: PathBuf,
    model_config: Option<ModelConfig>,
    /// Removes the directory; `None` for a directory that is served in place.
    _unpacked: Option<TempDir>,
}

/// What to do when neither the caller nor the manifest names the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unnamed {
    /// Name it after its file, as TorchServe does at start-up.
    UseFileName,
    /// Refuse, as TorchServe does for `POST /models`.
    Refuse,
}

/// The files of an archive or a directory.
#[derive(Debug)]
pub(super) struct Files {
    /// Where they are, canonical, so that `member` can tell what lies inside.
    pub(super) dir: PathBuf,
    /// The archive's own name.
    pub(super) file_name: String,
    /// Removes the directory; `None` for a directory that is served in place.
    pub(super) unpacked: Option<TempDir>,
}

// === impl Files ===

impl Files {
    /// Unpacks an archive, finds a directory.
    pub(super) fn of(
        source: &Path,
        limits: &ArchiveLimits,
        unpack_dir: &Path,
    ) -> Result<Files, ArchiveError> {
        let file_name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let kind = match source.metadata() {
            Ok(metadata) => metadata.file_type(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ArchiveError::ModelNotFound { url: Printable::new(&file_name) });
            }
            Err(error) => return Err(ArchiveError::io("read", &file_name)(error)),
        };
        let (dir, unpacked) = if kind.is_dir() {
            (served_directory(source, &file_name)?, None)
        } else if kind.is_file() {
            let unpacked = unpack::unpack(source, &file_name, *limits, unpack_dir)?;
            (unpacked.path().to_path_buf(), Some(unpacked))
        } else {
            let name = Printable::new(&file_name);
            return Err(ArchiveError::NotAnArchive { name, problem: "it is a special file" });
        };
        let dir = dir.canonicalize().map_err(ArchiveError::io("read", &file_name))?;
        Ok(Files { dir, file_name, unpacked })
    }
}

// === impl ModelArchive ===

impl ModelArchive {
    /// Opens `source`, an archive or a directory, normally found by
    /// [`resolve`](super::store::resolve). Blocks on the disk: not for an async thread.
    ///
    /// An archive is unpacked into a new private directory below `unpack_dir`; a directory is used
    /// where it is.
    ///
    /// # Errors
    /// Everything that keeps the model from being served. Nothing is left on disk then.
    pub fn open(
        source: &Path,
        limits: &ArchiveLimits,
        unpack_dir: &Path,
        choice: &HandlerChoice<'_>,
    ) -> Result<ModelArchive, ArchiveError> {
        let Files { dir, file_name, unpacked } = Files::of(source, limits, unpack_dir)?;
        let manifest = Manifest::read(&dir)?;
        // The handler before the model: who wrote Python needs to hear that first.
        let in_archive = |name: &str| member::is_plain_name(name) && dir.join(name).is_file();
        let handler = choice.choose(manifest.handler.as_deref(), in_archive)?;
        let serialized_file = serialized_file(&dir, &manifest)?;
        let model_config = model_config(&dir, &manifest)?;
        Ok(ModelArchive {
            dir,
            file_name,
            manifest,
            handler,
            serialized_file,
            model_config,
            _unpacked: unpacked,
        })
    }

    /// The directory that holds the model's files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The manifest; the empty one when the archive has none.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The built-in handler that serves this model.
    pub fn handler(&self) -> &str {
        &self.handler
    }

    /// The TorchScript file.
    pub fn serialized_file(&self) -> &Path {
        &self.serialized_file
    }

    /// `model-config.yaml`; `None` when the archive has none, which TorchServe's precedence tells
    /// from an empty one.
    pub fn model_config(&self) -> Option<&ModelConfig> {
        self.model_config.as_ref()
    }

    /// The model's version, valid by [`check_model_version`](super::check_model_version).
    pub fn version(&self) -> &str {
        &self.manifest.model_version
    }

    /// The model's name: what the caller asked for, else the manifest's, else as `unnamed` says.
    ///
    /// # Errors
    /// [`ArchiveError::ModelNameMissing`] or [`ArchiveError::InvalidName`].
    pub fn model_name(
        &self,
        requested: Option<&str>,
        unnamed: Unnamed,
    ) -> Result<String, ArchiveError> {
        let given = requested.filter(|name| !name.is_empty());
        let model_name = match (given.or(self.manifest.model_name.as_deref()), unnamed) {
            (Some(model_name), _) => model_name.to_owned(),
            (None, Unnamed::UseFileName) => name::default_model_name(&self.file_name),
            (None, Unnamed::Refuse) => return Err(ArchiveError::ModelNameMissing),
        };
        name::check_model_name(&model_name)?;
        Ok(model_name)
    }

    /// `index_to_name.json` as it is, if it is there; at most 16 MiB. Read anew at each call.
    ///
    /// # Errors
    /// [`ArchiveError::FileTooLarge`], or it cannot be read.
    pub fn index_to_name(&self) -> Result<Option<Vec<u8>>, ArchiveError> {
        member::read(&self.dir, "index_to_name.json", MAX_INDEX_TO_NAME_SIZE)
    }

    /// Another file at the top of the archive, by its plain name (a vocabulary, a tokenizer), at
    /// most `max` bytes.
    ///
    /// # Errors
    /// As [`ModelArchive::index_to_name`].
    pub fn read_file(&self, name: &str, max: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
        if !member::is_plain_name(name) {
            return Ok(None);
        }
        member::read(&self.dir, name, max)
    }
}

/// The directory to serve from: `source`, or its only sub-directory when it holds no model itself.
fn served_directory(source: &Path, file_name: &str) -> Result<PathBuf, ArchiveError> {
    if source.join("MAR-INF").exists() {
        return Ok(source.to_path_buf());
    }
    let mut directories = Vec::new();
    for entry in names_in(source, file_name)? {
        let path = source.join(&entry);
        if entry.ends_with(".pt") {
            return Ok(source.to_path_buf());
        }
        // Not through a link: it could leave the store that `resolve` has checked.
        if !entry.starts_with('.') && path.is_dir() && !path.is_symlink() {
            directories.push(path);
        }
    }
    match <[PathBuf; 1]>::try_from(directories) {
        Ok([only]) => Ok(only),
        Err(_) => Ok(source.to_path_buf()),
    }
}

/// The model: the file that the manifest names, else `model.pt`, else the only `.pt`.
fn serialized_file(dir: &Path, manifest: &Manifest) -> Result<PathBuf, ArchiveError> {
    if let Some(model_file) = &manifest.model_file {
        return Err(ArchiveError::EagerModel { model_file: Printable::new(model_file) });
    }
    if let Some(name) = &manifest.serialized_file {
        check_format(name)?;
        let missing =
            || ArchiveError::MissingFile { field: "serializedFile", name: Printable::new(name) };
        return member::find(dir, name)?.ok_or_else(missing);
    }
    if let Some(path) = member::find(dir, SERIALIZED_FILE)? {
        return Ok(path);
    }
    let mut candidates = Vec::new();
    for name in names_in(dir, "the model's directory")? {
        let is_vocabulary = name == SOURCE_VOCAB || Some(&name) == manifest.source_vocab.as_ref();
        if name.ends_with(".pt") && !is_vocabulary {
            candidates.push(name);
        } else {
            // An archive of another runtime: say that rather than that nothing was found.
            match check_format(&name) {
                Err(error) if is_weights(&name) => return Err(error),
                _ => {}
            }
        }
    }
    match candidates.as_slice() {
        [only] => member::find(dir, only)?
            .ok_or(ArchiveError::NoSerializedFile { found: "the only .pt file is gone" }),
        [] => Err(ArchiveError::NoSerializedFile { found: "there is no .pt file in it" }),
        _ => Err(ArchiveError::NoSerializedFile {
            found: "there are several .pt files, and none is called model.pt",
        }),
    }
}

/// Only TorchScript can be run; what the extension promises is checked here, the content at load.
fn check_format(name: &str) -> Result<(), ArchiveError> {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    let save = "Save the model with torch.jit.script or torch.jit.trace as a .pt file";
    let (what, fix) = match extension.as_deref() {
        Some("pt") => return Ok(()),
        Some("pth" | "bin" | "safetensors") => {
            ("a state dict, weights without a model, which need Python", save)
        }
        Some("onnx") => ("an ONNX model, which libtorch cannot run", save),
        Some("so" | "pt2") => ("AOTInductor's native code, which is not run here", save),
        _ => ("not a TorchScript file by its name", save),
    };
    Err(ArchiveError::SerializedFileNotSupported { name: Printable::new(name), what, fix })
}

/// Is this a file that another runtime would load as the model?
fn is_weights(name: &str) -> bool {
    [".pth", ".onnx", ".so", ".pt2", ".safetensors"].iter().any(|end| name.ends_with(end))
}

pub(super) fn model_config(
    dir: &Path,
    manifest: &Manifest,
) -> Result<Option<ModelConfig>, ArchiveError> {
    let name = manifest.config_file.as_deref().unwrap_or(MODEL_CONFIG_FILE);
    match (member::read(dir, name, MAX_MODEL_CONFIG_SIZE)?, &manifest.config_file) {
        (Some(content), _) => ModelConfig::parse(name, &content).map(Some),
        (None, None) => Ok(None),
        (None, Some(name)) => {
            Err(ArchiveError::MissingFile { field: "configFile", name: Printable::new(name) })
        }
    }
}

/// The names in a directory, sorted; those that are not UTF-8 are left out.
fn names_in(dir: &Path, shown: &str) -> Result<Vec<String>, ArchiveError> {
    let mut names = Vec::new();
    let entries = dir.read_dir().map_err(ArchiveError::io("read", shown))?;
    for entry in entries.take(MAX_DIRECTORY_NAMES) {
        let entry = entry.map_err(ArchiveError::io("read", shown))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}
