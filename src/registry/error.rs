//! Why a model could not be found, registered or asked.

use crate::archive::ArchiveError;
use crate::batching::PredictError;
use crate::engine::{DeviceError, EngineError};
use crate::handlers::HandlerError;

/// A request for a model that gets no prediction. Texts are TorchServe's where it has one.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No model of this name.
    #[error("Model not found: {name}")]
    NotFound {
        /// As asked.
        name: String,
    },
    /// The model has no such version.
    #[error("Model version: {version} does not exist for model: {name}")]
    VersionNotFound {
        /// As asked.
        name: String,
        /// As asked.
        version: String,
    },
    /// No worker, or the queue is full: TorchServe says the same for both.
    #[error(
        "Model \"{name}\" {}has no worker to serve inference request. Please use scale workers API \
         to add workers. If this is a sequence inference, please check if it is closed, or \
         expired; or exceeds maxSequenceJobQueueSize", Versioned(.version.as_deref())
    )]
    Unavailable {
        /// The model.
        name: String,
        /// The version, if the request named one.
        version: Option<String>,
    },
    /// The input was refused by the handler or by the model's operators.
    #[error("{0}")]
    BadInput(String),
    /// The request was accepted and failed.
    #[error(transparent)]
    Predict(PredictError),
}

/// `Version 1.0" ` with TorchServe's unbalanced quote, or nothing.
struct Versioned<'a>(Option<&'a str>);

/// Why a model could not be registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The archive was refused.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// `model_store` is not configured.
    #[error("Model store has not been configured.")]
    NoModelStore,
    /// This version is there already.
    #[error("Model version {version} is already registered for model {name}")]
    Conflict {
        /// The model.
        name: String,
        /// The version.
        version: String,
    },
    /// The engine could not load the serialized file.
    #[error("{0}")]
    Engine(#[from] EngineError),
    /// The handler does not fit the archive (its labels or its settings).
    #[error("{0}")]
    Handler(HandlerError),
    /// A device was asked for that is not there.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The operating system granted no thread.
    #[error("Failed to start workers for model {name} version: {version}: {reason}")]
    Workers {
        /// The model.
        name: String,
        /// The version.
        version: String,
        /// The system's reason.
        reason: String,
    },
    /// Loading panicked; the model is not registered.
    #[error("loading the model failed unexpectedly: {0}")]
    Panicked(String),
}

// === impl Versioned ===

impl std::fmt::Display for Versioned<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(version) => write!(f, "Version {version}\" "),
            None => Ok(()),
        }
    }
}

// === impl ModelError ===

impl From<PredictError> for ModelError {
    fn from(error: PredictError) -> Self {
        match error {
            PredictError::BadInput(text) => ModelError::BadInput(text),
            other => ModelError::Predict(other),
        }
    }
}
