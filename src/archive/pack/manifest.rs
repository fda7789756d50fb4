//! `MAR-INF/MANIFEST.json` as `torch-model-archiver` writes it: fields, order, indentation.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::Serialize;
use time::macros::format_description;

use super::{Pack, PackError, io_error, stage};

/// The version of `torch-model-archiver` whose format this is.
const ARCHIVER_VERSION: &str = "0.12.0";

/// The file; the order of the fields is the order in it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ManifestFile {
    created_on: String,
    runtime: &'static str,
    model: ModelEntry,
    archiver_version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelEntry {
    model_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    serialized_file: Option<String>,
    handler: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_file: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    model_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    requirements_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config_file: Option<String>,
}

/// Writes the manifest below `folder`.
pub(super) fn write(pack: &Pack, folder: &Path) -> Result<(), PackError> {
    let inf = folder.join("MAR-INF");
    fs::create_dir_all(&inf).map_err(io_error("cannot make", &inf))?;
    let path = inf.join("MANIFEST.json");
    fs::write(&path, text(pack)).map_err(io_error("cannot write", &path))
}

fn text(pack: &Pack) -> String {
    let name = |path: &Option<std::path::PathBuf>| path.as_deref().and_then(stage::file_name);
    let now = time::OffsetDateTime::now_utc();
    let format = format_description!("[day]/[month]/[year] [hour]:[minute]:[second]");
    let file = ManifestFile {
        created_on: now.format(format).unwrap_or_default(),
        runtime: pack.runtime.as_str(),
        model: ModelEntry {
            model_name: pack.model_name.clone(),
            serialized_file: name(&pack.serialized_file),
            // The last component, with its function: Python's `os.path.basename`.
            handler: pack.handler.rsplit('/').next().unwrap_or_default().to_owned(),
            model_file: name(&pack.model_file),
            model_version: pack.version.clone(),
            requirements_file: name(&pack.requirements_file),
            config_file: name(&pack.config_file),
        },
        archiver_version: ARCHIVER_VERSION,
    };
    // Structs of strings always serialise.
    ascii(&serde_json::to_string_pretty(&file).unwrap_or_default())
}

/// Everything but ASCII as `\uXXXX`, as Python's `json.dumps`.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            text.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    text
}
