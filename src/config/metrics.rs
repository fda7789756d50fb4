//! The keys of TorchServe's metrics: `metrics_mode`, `metrics_config`, and where files go.
//!
//! Called by `mod.rs`. The file that `metrics_config` names is read here, so that its mistakes are
//! reported with all others before a port is opened.

use std::io::Read;
use std::path::Path;

use super::error::Note;
use super::source::{Environment, Gathered};
use super::typed::Typed;
use crate::metrics::{Definitions, MetricsFiles, MetricsMode, MetricsSettings};

/// Bytes of a `metrics.yaml`; TorchServe's own has two thousand.
const MAX_FILE: u64 = 1 << 20;

/// What needs no file.
pub(super) fn settings(typed: &Typed) -> MetricsSettings {
    let mode = match typed.choice("metrics_mode") {
        "log" => MetricsMode::Log,
        "legacy" => MetricsMode::Legacy,
        _ => MetricsMode::Prometheus,
    };
    MetricsSettings { mode, ..MetricsSettings::default() }
}

/// The folder of the environment, and what the file says.
pub(super) fn read(
    settings: &mut MetricsSettings,
    typed: &Typed,
    environment: &dyn Environment,
    found: &mut Gathered,
) {
    if let Some(folder) = environment.get("METRICS_LOCATION").filter(|path| !path.is_empty()) {
        settings.files = MetricsFiles::in_folder(Path::new(&folder));
    }
    let Some(path) = typed.path("metrics_config") else { return };
    let Some(setting) = found.settings.get("metrics_config") else { return };
    let shown = path.display();
    match text(&path).and_then(|text| Definitions::parse(&text)) {
        Ok(definitions) => {
            let warning = |text: &String| Note::warning(format!("{shown}: {text}"));
            found.notes.extend(definitions.warnings.iter().map(warning));
            settings.definitions = definitions;
        }
        Err(problem) => found.errors.push(setting.error(format!("{shown}: {problem}"))),
    }
}

fn text(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| {
        format!("cannot be read: {error}; without metrics_config TorchServe's own set is used")
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE {
        return Err(format!("is larger than {MAX_FILE} bytes: it is no metrics.yaml"));
    }
    Ok(text)
}
