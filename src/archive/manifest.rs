//! `MAR-INF/MANIFEST.json`: what the archive says of itself.
//!
//! Read by `model_archive.rs`. Unknown keys are ignored, as in TorchServe; duplicate keys are
//! refused, because two readers could disagree about them. serde_json's own limit (128) bounds the
//! depth.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::ArchiveError;
use super::member;
use super::printable::Printable;

/// Where the manifest lies in an archive.
pub(super) const MANIFEST_FILE: &str = "MAR-INF/MANIFEST.json";
/// Bytes of a manifest: torch-model-archiver's have a few hundred.
pub(super) const MAX_MANIFEST_SIZE: u64 = 1 << 20;
/// The version of a model that states none.
const DEFAULT_VERSION: &str = "1.0";

/// The manifest; empty fields of the file are absent here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// `runtime`.
    pub runtime: Runtime,
    /// `model.modelName`.
    pub model_name: Option<String>,
    /// `model.modelVersion`, `1.0` when it is absent; a number is taken as it is written.
    pub model_version: String,
    /// `model.serializedFile`: a plain file name.
    pub serialized_file: Option<String>,
    /// `model.handler`: `name`, `file.py` or `module:function`.
    pub handler: Option<String>,
    /// `model.modelFile`: a plain file name; present for an eager model.
    pub model_file: Option<String>,
    /// `model.sourceVocab`: a plain file name.
    pub source_vocab: Option<String>,
    /// `model.requirementsFile`: a plain file name. Never installed.
    pub requirements_file: Option<String>,
    /// `model.configFile`: a plain file name.
    pub config_file: Option<String>,
    /// `createdOn`, free text.
    pub created_on: Option<String>,
    /// `archiverVersion`, free text.
    pub archiver_version: Option<String>,
}

/// TorchServe's runtimes. Here each is only a statement: nothing is run in Python or LSP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Runtime {
    /// `python`.
    #[default]
    Python,
    /// `python3`.
    Python3,
    /// `LSP`, TorchServe's C++ backend.
    Lsp,
}

/// The file as it stands.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestFile {
    /// Absent: python. Present but null or unknown: an error, as in TorchServe.
    #[serde(default = "python")]
    runtime: Value,
    model: Option<ModelEntry>,
    created_on: Option<String>,
    archiver_version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModelEntry {
    model_name: Option<String>,
    /// Raw, so that a version written as the number 1.10 does not become 1.1.
    model_version: Option<Box<RawValue>>,
    serialized_file: Option<String>,
    handler: Option<String>,
    model_file: Option<String>,
    source_vocab: Option<String>,
    requirements_file: Option<String>,
    config_file: Option<String>,
}

// === impl Manifest ===

impl Manifest {
    /// Reads the manifest below `dir`; an archive without one has the empty manifest.
    ///
    /// # Errors
    /// Unreadable, too large (1 MiB), or one of TorchServe's rules is broken.
    pub(super) fn read(dir: &Path) -> Result<Manifest, ArchiveError> {
        match member::read(dir, MANIFEST_FILE, MAX_MANIFEST_SIZE)? {
            Some(content) => Manifest::parse(&content),
            None => Ok(Manifest::default()),
        }
    }

    /// Understands the bytes of a manifest; a byte order mark is skipped, as Gson does.
    pub(super) fn parse(content: &[u8]) -> Result<Manifest, ArchiveError> {
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        let file: ManifestFile = serde_json::from_slice(content).map_err(|error| {
            // The parser repeats strings of the file.
            let detail = Printable::new(&error.to_string()).to_string();
            ArchiveError::ManifestUnreadable { detail }
        })?;
        let runtime = file.runtime.as_str().and_then(Runtime::parse);
        let runtime = runtime.ok_or_else(|| ArchiveError::RuntimeInvalid {
            found: Printable::new(&file.runtime.to_string()),
        })?;
        let model = file.model.ok_or(ArchiveError::MissingModelEntry)?;
        Ok(Manifest {
            runtime,
            model_name: non_empty(model.model_name),
            model_version: version(model.model_version.as_deref())?,
            serialized_file: reference("serializedFile", model.serialized_file)?,
            handler: non_empty(model.handler),
            model_file: reference("modelFile", model.model_file)?,
            source_vocab: reference("sourceVocab", model.source_vocab)?,
            requirements_file: reference("requirementsFile", model.requirements_file)?,
            config_file: reference("configFile", model.config_file)?,
            created_on: non_empty(file.created_on),
            archiver_version: non_empty(file.archiver_version),
        })
    }
}

impl Default for Manifest {
    /// The manifest of an archive that has none.
    fn default() -> Manifest {
        Manifest {
            runtime: Runtime::Python,
            model_name: None,
            model_version: DEFAULT_VERSION.to_owned(),
            serialized_file: None,
            handler: None,
            model_file: None,
            source_vocab: None,
            requirements_file: None,
            config_file: None,
            created_on: None,
            archiver_version: None,
        }
    }
}

// === impl Runtime ===

impl Runtime {
    /// `python`, `python3` or `LSP`, exactly.
    pub fn parse(text: &str) -> Option<Runtime> {
        match text {
            "python" => Some(Runtime::Python),
            "python3" => Some(Runtime::Python3),
            "LSP" => Some(Runtime::Lsp),
            _ => None,
        }
    }

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Runtime::Python => "python",
            Runtime::Python3 => "python3",
            Runtime::Lsp => "LSP",
        }
    }
}

fn python() -> Value {
    Value::from(Runtime::Python.as_str())
}

fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn reference(field: &'static str, name: Option<String>) -> Result<Option<String>, ArchiveError> {
    match non_empty(name) {
        Some(name) if !member::is_plain_name(&name) => {
            Err(ArchiveError::BadReference { field, value: Printable::new(&name) })
        }
        name => Ok(name),
    }
}

/// A string, or a number as it is written (Gson reads both into a string).
fn version(raw: Option<&RawValue>) -> Result<String, ArchiveError> {
    let Some(raw) = raw.map(RawValue::get) else { return Ok(DEFAULT_VERSION.to_owned()) };
    let text = match serde_json::from_str::<Value>(raw) {
        Ok(Value::String(text)) => Some(text),
        Ok(Value::Number(_)) => Some(raw.to_owned()),
        _ => None,
    };
    let text = text.ok_or_else(|| ArchiveError::ManifestUnreadable {
        detail: format!("`modelVersion` is {}; it must be a string", Printable::new(raw)),
    })?;
    super::name::check_model_version(&text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Manifest, ArchiveError> {
        Manifest::parse(text.as_bytes())
    }

    fn message(text: &str) -> String {
        parse(text).expect_err(text).to_string()
    }

    #[test]
    fn reads_every_field_that_torch_model_archiver_writes() {
        let manifest = parse(
            r#"{"createdOn": "25/07/2020 00:48:08", "runtime": "python3", "extra": [1],
                "model": {"modelName": "d", "serializedFile": "d.pt", "handler": "h.py:f",
                          "modelFile": "m.py", "modelVersion": "2.1", "sourceVocab": "v.pt",
                          "requirementsFile": "r.txt", "configFile": "c.yaml", "extensions": {}},
                "archiverVersion": "0.12.0"}"#,
        )
        .expect("a valid manifest");
        let text = |text: &str| Some(text.to_owned());
        let expected = Manifest {
            runtime: Runtime::Python3,
            model_name: text("d"),
            model_version: "2.1".to_owned(),
            serialized_file: text("d.pt"),
            handler: text("h.py:f"),
            model_file: text("m.py"),
            source_vocab: text("v.pt"),
            requirements_file: text("r.txt"),
            config_file: text("c.yaml"),
            created_on: text("25/07/2020 00:48:08"),
            archiver_version: text("0.12.0"),
        };
        assert_eq!(manifest, expected);
    }

    #[test]
    fn an_empty_model_entry_is_the_empty_manifest() {
        assert_eq!(parse(r#"{"model": {}}"#).expect("valid"), Manifest::default());
        let empty = r#"{"model": {"modelName": "", "modelFile": "", "modelVersion": null}}"#;
        assert_eq!(parse(empty).expect("valid"), Manifest::default());
    }

    #[test]
    fn skips_a_byte_order_mark() {
        let manifest = Manifest::parse(b"\xef\xbb\xbf{\"model\": {\"modelName\": \"x\"}}");
        assert_eq!(manifest.expect("valid").model_name.as_deref(), Some("x"));
    }

    #[test]
    fn keeps_a_version_that_is_written_as_a_number() {
        let version = |text: &str| parse(text).expect(text).model_version;
        assert_eq!(version(r#"{"model": {"modelVersion": 1.10}}"#), "1.10");
        assert_eq!(version(r#"{"model": {"modelVersion": 3}}"#), "3");
        assert_eq!(version(r#"{"model": {"modelVersion": "a-1"}}"#), "a-1");
        assert!(message(r#"{"model": {"modelVersion": true}}"#).contains("modelVersion"));
        assert!(message(r#"{"model": {"modelVersion": "../1"}}"#).contains("Model version"));
    }

    #[test]
    fn begins_its_errors_with_torchserves_words() {
        for text in ["{}", r#"{"model": null}"#] {
            assert!(message(text).starts_with("Missing Model entry in manifest file."));
        }
        for runtime in ["null", "\"python2\"", "\"Python\"", "3"] {
            let text = format!(r#"{{"runtime": {runtime}, "model": {{}}}}"#);
            assert!(message(&text).starts_with("Runtime is not defined or invalid."), "{text}");
        }
        for text in ["", "{", "[]", "{\"model\": 3}", "{\"model\": {}} x", "\u{0}"] {
            assert!(message(text).starts_with("Failed to parse signature.json."), "{text}");
        }
    }

    #[test]
    fn says_where_the_json_is_wrong() {
        let text = message("{\n  \"model\": {\"modelName\": tru}\n}");
        assert!(text.contains("line 2 column"), "{text}");
    }

    #[test]
    fn refuses_repeated_keys_and_endless_depth() {
        assert!(message(r#"{"model": {}, "model": {}}"#).contains("duplicate field"));
        let deep = format!(r#"{{"model": {{}}, "runtime": {}"#, "[".repeat(100_000));
        assert!(message(&deep).contains("recursion limit"));
    }

    #[test]
    fn refuses_references_that_are_not_plain_names() {
        for value in ["../model.pt", "/etc/passwd", "a/b.pt", "a\\\\b", "..", ".", "a\\u0000b"] {
            for field in ["serializedFile", "modelFile", "configFile", "sourceVocab"] {
                let text = format!(r#"{{"model": {{"{field}": "{value}"}}}}"#);
                assert!(message(&text).contains(field), "{text}");
            }
        }
    }
}
