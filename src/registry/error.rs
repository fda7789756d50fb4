//! Why a model could not be found, asked, registered or changed. Texts are TorchServe's where it has
//! one.

use crate::archive::{ArchiveError, Printable};
use crate::batching::PredictError;
use crate::download::DownloadError;
use crate::engine::{DeviceError, EngineError};
use crate::handlers::HandlerError;

/// A request for a model that gets no prediction.
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
    /// The handler panicked over the input; the reason is in the log.
    #[error("preprocessing panicked")]
    Preprocess,
    /// The request was accepted and failed.
    #[error(transparent)]
    Predict(PredictError),
}

/// Why the number of a model's workers did not change.
#[derive(Debug, thiserror::Error)]
pub enum ScaleError {
    /// There is no such model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// More than the server allows.
    #[error(transparent)]
    TooManyWorkers(#[from] TooManyWorkers),
    /// They did not start; those that served go on. The reason is in the log.
    #[error("Failed to start workers for model {name} version: {}", .version.as_deref().unwrap_or("null"))]
    Workers {
        /// The model.
        name: String,
        /// The version, if the call named one.
        version: Option<String>,
        /// The engine's or the system's reason.
        reason: EngineError,
    },
}

/// A number of workers above `workers_max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{asked} workers are too many: a model may have {max}; ask for fewer, or raise workers_max in \
     config.properties"
)]
pub struct TooManyWorkers {
    /// The number that was asked for.
    pub asked: usize,
    /// `workers_max`.
    pub max: usize,
}

/// Why a model version was not unregistered, or not wholly.
#[derive(Debug, thiserror::Error)]
pub enum UnregisterError {
    /// There is no such model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// It answers requests that name no version, and there are others.
    #[error("Cannot remove default version for model {name}")]
    DefaultVersion {
        /// The model.
        name: String,
    },
    /// It is unregistered, but a worker still runs its last batch; memory is freed after that.
    #[error("Timed out while cleaning resources: {name}")]
    TimedOut {
        /// The model.
        name: String,
    },
}

/// Why the default version is what it was.
#[derive(Debug, thiserror::Error)]
pub enum SetDefaultError {
    /// There is no such model.
    #[error("Model not found: {name}")]
    NotFound {
        /// As asked.
        name: String,
    },
    /// There is no such version; TorchServe words it differently here than elsewhere.
    #[error("Model version {version} does not exist for model {name}")]
    VersionNotFound {
        /// As asked.
        name: String,
        /// As asked.
        version: String,
    },
}

/// `Version 1.0" ` with TorchServe's unbalanced quote, or nothing.
struct Versioned<'a>(Option<&'a str>);

/// Why a model could not be registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The archive was refused.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// It was not downloaded.
    #[error(transparent)]
    Download(#[from] DownloadError),
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
    /// A key of `model-config.yaml` that is this server's own is wrong.
    #[error("model-config.yaml: {0}")]
    ModelConfig(String),
    /// The handler does not fit the archive (its labels or its settings).
    #[error("{0}")]
    Handler(HandlerError),
    /// A device was asked for that is not there.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Its workers did not start; the reason is in the log.
    #[error("Failed to start workers for model {name} version: {version}")]
    Workers {
        /// The model.
        name: String,
        /// The version.
        version: String,
        /// The engine's or the system's reason.
        reason: EngineError,
    },
    /// `runtime` of the register call is none of TorchServe's.
    #[error("Invalid RuntimeType value: {0}")]
    Runtime(Printable),
    /// `initial_workers` is above the server's limit.
    #[error(transparent)]
    TooManyWorkers(#[from] TooManyWorkers),
    /// Too many models are being loaded at once.
    #[error("{loading} models are being loaded already; try again when some of them are done")]
    Busy {
        /// How many.
        loading: usize,
    },
    /// The server is stopping.
    #[error("The server is stopping and registers no model any more")]
    Stopping,
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
