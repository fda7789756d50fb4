//! `archive`: makes a model archive, or explains one.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::archive::pack::{Format, Pack};
use crate::archive::{ArchiveLimits, Contents, Printable, Runtime};
use crate::cli::{Archive, ArchiveFormat};
use crate::engine::{Engine, Signature};
use crate::handlers::{BUILT_IN, Effect, Envelope, ModelKey, handler_keys};
use crate::registry::{Inspector, MODEL_KEYS};

/// The names that `torch-model-archiver` takes for handlers without a file.
const TORCHSERVES_HANDLERS: [&str; 8] = [
    "base_handler",
    "text_classifier",
    "image_classifier",
    "object_detector",
    "image_segmenter",
    "dali_image_classifier",
    "vllm_handler",
    "trt_llm_handler",
];

/// What there is to say of an archive.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    manifest: Option<Value>,
    /// The built-in handler that would serve it.
    handler: Option<String>,
    /// The arguments of `forward`.
    signature: Option<String>,
    /// Why it cannot be served here.
    refused: Option<String>,
    /// `model-config.yaml`, key by key.
    config: Vec<ExplainedKey>,
    warnings: Vec<String>,
}

/// One key of `model-config.yaml`.
#[derive(Serialize)]
struct ExplainedKey {
    key: String,
    /// What is set.
    value: Option<Value>,
    /// What holds where nothing is.
    default: &'static str,
    /// What may be set.
    values: &'static str,
    /// Why it is not read.
    unread: Option<&'static str>,
}

/// Does what the flags say.
pub fn archive(flags: &Archive) -> ExitCode {
    let done = match &flags.explain {
        Some(file) => explain(file, flags.json),
        None => make(flags),
    };
    done.unwrap_or_else(|error| {
        eprintln!("torchfront archive: {error}");
        ExitCode::FAILURE
    })
}

/// The engine of this build.
#[cfg(feature = "torch")]
pub(super) fn engine() -> Option<Arc<dyn Engine>> {
    Some(Arc::new(crate::engine::TorchEngine))
}

/// The engine of this build.
#[cfg(not(feature = "torch"))]
pub(super) fn engine() -> Option<Arc<dyn Engine>> {
    None
}

fn make(flags: &Archive) -> Result<ExitCode, String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let pack = Pack {
        model_name: text(&flags.model_name),
        version: text(&flags.version),
        handler: text(&flags.handler),
        built_in: TORCHSERVES_HANDLERS
            .iter()
            .chain(BUILT_IN)
            .map(|&name| name.to_owned())
            .collect(),
        serialized_file: flags.serialized_file.clone(),
        model_file: flags.model_file.clone(),
        extra_files: flags.extra_files.clone(),
        requirements_file: flags.requirements_file.clone(),
        config_file: flags.config_file.clone(),
        runtime: Runtime::parse(&flags.runtime).unwrap_or_default(),
        format: match flags.archive_format {
            ArchiveFormat::Default => Format::Zip,
            ArchiveFormat::ZipStore => Format::ZipStore,
            ArchiveFormat::Tgz => Format::Tgz,
            ArchiveFormat::NoArchive => Format::Folder,
        },
        force: flags.force,
    };
    let staged = pack.stage(&flags.export_path).map_err(|error| error.to_string())?;
    let served = inspector(None, Envelope::None).inspect(staged.path(), &flags.export_path);
    if let Err(reason) = &served {
        if !flags.force {
            return Err(format!(
                "this server could not serve the archive: {reason}\n\
                 Give --force to make it all the same"
            ));
        }
        eprintln!("torchfront archive: warning: this server cannot serve the archive: {reason}");
    }
    let warnings =
        served.ok().and_then(|served| Some(served.archive.model_config()?.warnings.clone()));
    for warning in warnings.unwrap_or_default() {
        eprintln!("torchfront archive: warning: {warning}");
    }
    let target = staged.write().map_err(|error| error.to_string())?;
    println!("{}", target.display());
    Ok(ExitCode::SUCCESS)
}

/// What a server of this build would say.
pub(super) fn inspector(default_handler: Option<String>, envelope: Envelope) -> Inspector {
    Inspector {
        engine: engine(),
        limits: ArchiveLimits::default(),
        default_service_handler: default_handler,
        envelope,
    }
}

fn explain(file: &Path, json: bool) -> Result<ExitCode, String> {
    let unpack_dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let contents = Contents::read(file, &ArchiveLimits::default(), unpack_dir.path())
        .map_err(|error| error.to_string())?;
    let inspected = inspector(None, Envelope::None).inspect(&contents.dir, unpack_dir.path());
    let (handler, signature, refused) = match inspected {
        Ok(found) => {
            let signature = found.signature.as_ref().map(written);
            (Some(found.archive.handler().to_owned()), signature, None)
        }
        Err(error) => (None, None, Some(error.to_string())),
    };
    let rest = contents.model_config.as_ref().map_or(&Value::Null, |config| &config.rest);
    let explanation = Explanation {
        config: explained(rest, handler.as_deref().unwrap_or_default()),
        manifest: contents.written,
        handler,
        signature,
        refused,
        warnings: contents.model_config.map(|config| config.warnings).unwrap_or_default(),
    };
    match json {
        true => println!("{}", serde_json::to_string_pretty(&explanation).unwrap_or_default()),
        false => print!("{explanation}"),
    }
    Ok(if explanation.refused.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `forward(x: Tensor, scale: float = ...)`.
fn written(signature: &Signature) -> String {
    let argument = |argument: &crate::engine::Argument| {
        let default = if argument.required { "" } else { " = ..." };
        format!("{}: {}{default}", Printable::new(&argument.name), Printable::new(&argument.kind))
    };
    let arguments: Vec<String> = signature.arguments.iter().map(argument).collect();
    format!("forward({})", arguments.join(", "))
}

/// Every key that is read for a model, set or not; then those that are set and not read.
fn explained(config: &Value, handler: &str) -> Vec<ExplainedKey> {
    let keys: Vec<&ModelKey> = MODEL_KEYS.iter().chain(handler_keys(handler)).collect();
    let value = |key: &ModelKey| match key.name.split_once('.') {
        Some((outer, inner)) => config.get(outer)?.get(inner).cloned(),
        None => config.get(key.name).cloned(),
    };
    let mut found: Vec<ExplainedKey> = Vec::new();
    for key in &keys {
        let (value, unread) = match key.effect {
            Effect::Read => (value(key), None),
            Effect::None(reason) | Effect::NotYet(reason) => match value(key) {
                Some(value) => (Some(value), Some(reason)),
                None => continue,
            },
        };
        let key_name = key.name.to_owned();
        let (default, values) = (key.default, key.values);
        found.push(ExplainedKey { key: key_name, value, default, values, unread });
    }
    let known = |name: &str| keys.iter().any(|key| key.name.split('.').next() == Some(name));
    for (name, value) in config.as_object().into_iter().flatten() {
        if !known(name) {
            found.push(ExplainedKey {
                key: Printable::new(name).to_string(),
                value: Some(value.clone()),
                default: "",
                values: "",
                unread: Some("nothing here reads this key"),
            });
        }
    }
    found
}

// === impl Explanation ===

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.manifest {
            Some(manifest) => writeln!(f, "manifest: {}", pretty(manifest))?,
            None => writeln!(f, "manifest: none")?,
        }
        if let Some(handler) = &self.handler {
            writeln!(f, "handler: {handler} (built in)")?;
        }
        if let Some(signature) = &self.signature {
            writeln!(f, "model: {signature}")?;
        }
        if let Some(refused) = &self.refused {
            writeln!(f, "cannot be served here: {refused}")?;
        }
        writeln!(f, "model-config.yaml:")?;
        for key in &self.config {
            writeln!(f, "  {key}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ExplainedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.value, self.unread) {
            (Some(value), Some(reason)) => {
                write!(f, "{}: {}   (set, not read: {reason})", self.key, shown(value))
            }
            (Some(value), None) => {
                write!(f, "{}: {}   (set; {})", self.key, shown(value), self.values)
            }
            (None, _) => write!(f, "{}: not set, {}   ({})", self.key, self.default, self.values),
        }
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// A value can be as long as the file.
fn shown(value: &Value) -> Printable {
    Printable::new(&value.to_string())
}
