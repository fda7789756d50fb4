//! Whether a model could be served, without serving it: the steps of `load.rs` up to its handler.
//!
//! Called by the commands `archive` and `migrate`. No worker is started and nothing is registered.

use std::path::Path;
use std::sync::Arc;

use super::archive_files::ArchiveFiles;
use super::error::RegisterError;
use super::execution::Execution;
use crate::archive::{ArchiveLimits, HandlerChoice, ModelArchive, Unnamed};
use crate::engine::{Device, Engine, Signature};
use crate::handlers::{BUILT_IN, Catalog, Envelope, HandlerSettings};

/// What a server would say of every model.
pub struct Inspector {
    /// Loads the serialized file; without one, the file is not looked into.
    pub engine: Option<Arc<dyn Engine>>,
    /// Bounds of unpacking.
    pub limits: ArchiveLimits,
    /// `default_service_handler`.
    pub default_service_handler: Option<String>,
    /// `service_envelope`.
    pub envelope: Envelope,
}

/// A model that could be served.
#[derive(Debug)]
pub struct Inspection {
    /// Its files.
    pub archive: ModelArchive,
    /// The name that it would have.
    pub name: String,
    /// The arguments of its `forward`; none when there was no engine.
    pub signature: Option<Signature>,
}

// === impl Inspector ===

impl Inspector {
    /// Opens `source`, an archive or a folder, and does everything that a start would do before its
    /// workers. Unpacks below `unpack_dir`. Blocks.
    ///
    /// # Errors
    /// What a start would say.
    pub fn inspect(&self, source: &Path, unpack_dir: &Path) -> Result<Inspection, RegisterError> {
        let choice = HandlerChoice {
            handler_override: None,
            default_service_handler: self.default_service_handler.as_deref(),
            built_in: BUILT_IN,
        };
        let archive = ModelArchive::open(source, &self.limits, unpack_dir, &choice)?;
        let name = archive.model_name(None, Unnamed::UseFileName)?;
        let null = serde_json::Value::Null;
        let model_config = archive.model_config().map_or(&null, |config| &config.rest);
        Execution::read(model_config)?;
        let mut signature = None;
        if let Some(engine) = &self.engine {
            let module = engine.load(&name, archive.serialized_file(), Device::Cpu)?;
            let index_to_name = archive.index_to_name()?;
            let settings = HandlerSettings {
                model: &name,
                version: archive.version(),
                index_to_name: index_to_name.as_deref(),
                model_config,
                signature: module.signature().clone(),
                limit_max_image_pixels: true,
                max_response_size: usize::MAX,
                envelope: self.envelope,
                files: &ArchiveFiles(&archive),
            };
            Catalog::default().make(archive.handler(), settings).map_err(RegisterError::Handler)?;
            signature = Some(module.signature().clone());
        }
        Ok(Inspection { archive, name, signature })
    }
}
