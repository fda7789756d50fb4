//! Why a model archive is refused: the cause, where it is, and what to do.
//!
//! `http/` maps [`ArchiveError::kind`] to statuses. Texts begin with TorchServe's wording where it
//! has one, and never hold a path of this machine: names of entries and files only.

use std::fmt;
use std::io;

use super::limits::Limit;
use super::printable::Printable;

/// What kind of answer an [`ArchiveError`] calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveErrorKind {
    /// The model store has no such model (TorchServe's `ModelNotFoundException`, 404).
    NotFound,
    /// What the caller asked for cannot be meant: a URL scheme, a name (400).
    BadRequest,
    /// The archive is damaged, hostile or inconsistent (`InvalidModelException`, 400).
    InvalidModel,
    /// The archive is sound but its model cannot run without Python or another runtime.
    ModelNotSupported,
    /// The archive brings, or asks for, a handler that is not built in.
    HandlerNotSupported,
    /// A configured limit was passed; the text names its key.
    LimitExceeded,
    /// This machine failed: disk full, permission, a file that vanished (500).
    Io,
}

/// One entry of an archive, for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRef {
    /// Position in the archive, from 0.
    pub index: u64,
    /// The name as the archive has it.
    pub name: Printable,
}

/// Why a model archive is refused.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// No url at all.
    #[error("empty url")]
    EmptyUrl,
    /// The url has `..` in it.
    #[error("Relative path is not allowed in url: {url}")]
    RelativePath {
        /// The url as it was given.
        url: Printable,
    },
    /// Nothing of that name in the model store.
    #[error("Model not found at: {url}")]
    ModelNotFound {
        /// The url as it was given.
        url: Printable,
    },
    /// A real URL; its host, path and query are not repeated, they may hold a secret.
    #[error(
        "Models are not fetched from {scheme}: URLs, only from http: and https: ones that \
         allowed_urls lists. Put the archive into the model store and register it by its file name"
    )]
    UrlNotSupported {
        /// For example `https`.
        scheme: Printable,
    },
    /// A symbolic link points out of the directory that holds it.
    #[error(
        "`{name}` is a symbolic link that leaves {inside}. Copy what it points to into {inside}"
    )]
    SymbolicLinkLeaves {
        /// The link's name.
        name: Printable,
        /// The directory it must stay in.
        inside: &'static str,
    },
    /// Neither an archive nor a directory.
    #[error(
        "`{name}` is not a model archive: {problem}. Archives are .mar (zip), .tar.gz, .tgz or \
         .model (gzipped tar), or a directory; torch-model-archiver makes them"
    )]
    NotAnArchive {
        /// The file's name.
        name: Printable,
        /// What it is instead.
        problem: &'static str,
    },
    /// The content is of another format than the name says.
    #[error("`{name}` holds {found}, but its name says {expected}. Rename it to end in {fix}")]
    WrongFormat {
        /// The file's name.
        name: Printable,
        /// What the first bytes show.
        found: &'static str,
        /// What the extension promises.
        expected: &'static str,
        /// The extension that fits the content.
        fix: &'static str,
    },
    /// Truncated, corrupted, or headers that contradict each other.
    #[error("The archive is damaged: {detail}. Make it again, or copy it again in full")]
    Damaged {
        /// What is wrong and where.
        detail: String,
    },
    /// An entry that no honest archiver writes.
    #[error(
        "Archive entry {entry} {problem}; the whole archive is refused. Make it again with torch-model-archiver"
    )]
    BadEntry {
        /// The entry.
        entry: EntryRef,
        /// The rule it breaks.
        problem: &'static str,
    },
    /// A limit of the configuration was passed.
    #[error(
        "The archive {} ({max}){}. If it is to be trusted, raise {} in config.properties",
        .limit.description(),
        AtEntry(.entry.as_ref()),
        .limit.key()
    )]
    LimitExceeded {
        /// Which limit.
        limit: Limit,
        /// Its configured value.
        max: u64,
        /// The entry at which it was passed, if it was one.
        entry: Option<EntryRef>,
    },
    /// A file that is read whole is too large. The limit is fixed.
    #[error("`{name}` is larger than {max} bytes, the most that is read of such a file")]
    FileTooLarge {
        /// The file.
        name: Printable,
        /// Bytes allowed.
        max: u64,
    },
    /// `MAR-INF/MANIFEST.json` cannot be read.
    #[error("Failed to parse signature.json. MAR-INF/MANIFEST.json: {detail}")]
    ManifestUnreadable {
        /// The parser's reason with line and column.
        detail: String,
    },
    /// The manifest has no `model`.
    #[error(
        "Missing Model entry in manifest file. MAR-INF/MANIFEST.json needs a `model` object with \
         `modelName`, `serializedFile` and `handler`"
    )]
    MissingModelEntry,
    /// `runtime` is none of TorchServe's.
    #[error(
        "Runtime is not defined or invalid. `runtime` in MAR-INF/MANIFEST.json is {found}; it must \
         be \"python\", \"python3\" or \"LSP\""
    )]
    RuntimeInvalid {
        /// What stands there.
        found: Printable,
    },
    /// Nobody named the model.
    #[error(
        "Model name is not defined. Give `model_name` when registering it, or set `modelName` in \
         MAR-INF/MANIFEST.json"
    )]
    ModelNameMissing,
    /// A name or version outside the allowed alphabet.
    #[error(
        "{what} `{name}` is not valid: it must be 1 to 128 letters, digits, `.`, `_` or `-`, and \
         must not start with a dot"
    )]
    InvalidName {
        /// `Model name` or `Model version`.
        what: &'static str,
        /// The name.
        name: Printable,
    },
    /// A file reference of the manifest is not a plain name.
    #[error(
        "`{field}` in MAR-INF/MANIFEST.json is `{value}`; it must be the plain name of a file at \
         the top of the archive"
    )]
    BadReference {
        /// The manifest's field.
        field: &'static str,
        /// Its value.
        value: Printable,
    },
    /// A file that the manifest names is not there.
    #[error("`{field}` in MAR-INF/MANIFEST.json names `{name}`, which is not in the archive")]
    MissingFile {
        /// The manifest's field.
        field: &'static str,
        /// The file's name.
        name: Printable,
    },
    /// A file of the model is a directory, a device, a pipe.
    #[error("`{name}` in the model archive is not a regular file")]
    NotAFile {
        /// The file's name.
        name: Printable,
    },
    /// No TorchScript file is named, and none can be guessed.
    #[error(
        "The archive holds no model: {found}. Set `serializedFile` in MAR-INF/MANIFEST.json to a \
         TorchScript file, or call it model.pt"
    )]
    NoSerializedFile {
        /// What was found instead.
        found: &'static str,
    },
    /// An eager model needs its Python class.
    #[error(
        "The model is an eager one: `modelFile` is `{model_file}`, which needs Python. Python is \
         not run here; save the model with torch.jit.script or torch.jit.trace and make the \
         archive without --model-file"
    )]
    EagerModel {
        /// The Python file.
        model_file: Printable,
    },
    /// A serialized file of a kind that libtorch cannot run as it is.
    #[error("The serialized file `{name}` is {what}. {fix}")]
    SerializedFileNotSupported {
        /// The file's name.
        name: Printable,
        /// What such a file is.
        what: &'static str,
        /// What to do instead.
        fix: &'static str,
    },
    /// No handler anywhere.
    #[error(
        "No handler is defined. Set `handler` in MAR-INF/MANIFEST.json, give `handler` when \
         registering the model, or set default_service_handler in config.properties. Built-in \
         handlers: {built_in}"
    )]
    HandlerMissing {
        /// The built-in handlers' names.
        built_in: String,
    },
    /// The handler is Python, or unknown.
    #[error(
        "Handler `{handler}` {reason}. Register the model with one of the built-in handlers \
         (`handler=NAME`): {built_in}"
    )]
    HandlerNotSupported {
        /// The handler as it was asked for.
        handler: Printable,
        /// Why it cannot be used.
        reason: &'static str,
        /// The built-in handlers' names.
        built_in: String,
    },
    /// The model's YAML cannot be read. TorchServe only logs it and serves with defaults.
    #[error("`{file}` cannot be read: {detail}")]
    ModelConfigUnreadable {
        /// The file's name.
        file: Printable,
        /// The reason with line and column.
        detail: String,
    },
    /// The file system of this machine failed.
    #[error("Cannot {action} `{name}`: {}", .source.kind())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file's name, without its path.
        name: Printable,
        /// The cause, for the log: it may hold a path.
        source: io::Error,
    },
}

/// ` at entry N (NAME)`, or nothing.
struct AtEntry<'a>(Option<&'a EntryRef>);

// === impl ArchiveError ===

impl ArchiveError {
    /// What kind of answer this error calls for.
    pub fn kind(&self) -> ArchiveErrorKind {
        match self {
            ArchiveError::EmptyUrl
            | ArchiveError::RelativePath { .. }
            | ArchiveError::ModelNotFound { .. } => ArchiveErrorKind::NotFound,
            ArchiveError::UrlNotSupported { .. } | ArchiveError::InvalidName { .. } => {
                ArchiveErrorKind::BadRequest
            }
            ArchiveError::SymbolicLinkLeaves { .. }
            | ArchiveError::NotAnArchive { .. }
            | ArchiveError::WrongFormat { .. }
            | ArchiveError::Damaged { .. }
            | ArchiveError::BadEntry { .. }
            | ArchiveError::ManifestUnreadable { .. }
            | ArchiveError::MissingModelEntry
            | ArchiveError::RuntimeInvalid { .. }
            | ArchiveError::ModelNameMissing
            | ArchiveError::BadReference { .. }
            | ArchiveError::MissingFile { .. }
            | ArchiveError::NotAFile { .. }
            | ArchiveError::NoSerializedFile { .. }
            | ArchiveError::HandlerMissing { .. }
            | ArchiveError::ModelConfigUnreadable { .. } => ArchiveErrorKind::InvalidModel,
            ArchiveError::EagerModel { .. } | ArchiveError::SerializedFileNotSupported { .. } => {
                ArchiveErrorKind::ModelNotSupported
            }
            ArchiveError::HandlerNotSupported { .. } => ArchiveErrorKind::HandlerNotSupported,
            ArchiveError::LimitExceeded { .. } | ArchiveError::FileTooLarge { .. } => {
                ArchiveErrorKind::LimitExceeded
            }
            ArchiveError::Io { .. } => ArchiveErrorKind::Io,
        }
    }

    /// Turns the failure of a file operation into an [`ArchiveError::Io`].
    pub(super) fn io(action: &'static str, name: &str) -> impl FnOnce(io::Error) -> ArchiveError {
        let name = Printable::new(name);
        move |source| ArchiveError::Io { action, name, source }
    }

    /// Shorthand for [`ArchiveError::Damaged`].
    pub(super) fn damaged(detail: impl Into<String>) -> ArchiveError {
        ArchiveError::Damaged { detail: detail.into() }
    }
}

// === impl EntryRef ===

impl EntryRef {
    pub(super) fn new(index: u64, name: &[u8]) -> EntryRef {
        EntryRef { index, name: Printable::from_bytes(name) }
    }

    /// This entry breaks a rule.
    pub(super) fn bad(&self, problem: &'static str) -> ArchiveError {
        ArchiveError::BadEntry { entry: self.clone(), problem }
    }

    /// This entry's content cannot be read.
    pub(super) fn damaged(&self, detail: impl fmt::Display) -> ArchiveError {
        ArchiveError::damaged(format!("entry {self}: {detail}"))
    }
}

impl fmt::Display for EntryRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (`{}`)", self.index, self.name)
    }
}

// === impl AtEntry ===

impl fmt::Display for AtEntry<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(entry) => write!(formatter, " at entry {entry}"),
            None => Ok(()),
        }
    }
}
