//! Every error that a client may read: status, TorchServe's type and the message.
//!
//! The rooms have errors of their own; this is their union at the edge, and the one place where a
//! status is chosen. `http/response.rs` writes it as TorchServe's JSON.

use crate::archive::{ArchiveError, ArchiveErrorKind};
use crate::batching::PredictError;
use crate::download::DownloadError;
use crate::engine::EngineError;
use crate::registry::{ModelError, RegisterError, ScaleError, SetDefaultError, UnregisterError};

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeError {
    /// The HTTP status.
    pub status: u16,
    /// TorchServe's `type`: the simple name of the Java exception.
    pub kind: &'static str,
    /// TorchServe's `message`.
    pub message: String,
}

// === impl ServeError ===

impl ServeError {
    fn new(status: u16, kind: &'static str, message: impl Into<String>) -> ServeError {
        ServeError { status, kind, message: message.into() }
    }

    /// 404 for a path that is no route.
    pub fn no_such_route() -> ServeError {
        let message = "Requested resource is not found, please refer to API document.";
        ServeError::new(404, "ResourceNotFoundException", message)
    }

    /// 404: no earlier CORS policy, or none of this hash.
    pub fn no_such_policy() -> ServeError {
        let message = "There is no such policy among the last 16; GET /cors/policy lists them.";
        ServeError::new(404, "ResourceNotFoundException", message)
    }

    /// 405 for a route that does not take this method.
    pub fn method_not_allowed() -> ServeError {
        let message = "Requested method is not allowed, please refer to API document.";
        ServeError::new(405, "MethodNotAllowedException", message)
    }

    /// 403: a page of another origin asks for what is the console's own.
    pub fn foreign_page() -> ServeError {
        let message = "Only the console's own page may ask for this.";
        ServeError::new(403, "ForbiddenException", message)
    }

    /// 400 with a reason.
    pub fn bad_request(message: impl Into<String>) -> ServeError {
        ServeError::new(400, "BadRequestException", message)
    }

    /// 400: `/invocations` names no model, and there is not just one.
    pub fn model_name_required() -> ServeError {
        ServeError::bad_request("Parameter model_name is required.")
    }

    /// 413: the body is larger than `max_request_size`.
    pub fn body_too_large(limit: usize) -> ServeError {
        let message = format!(
            "The request body is larger than {limit} bytes; send less, or raise max_request_size"
        );
        ServeError::new(413, "RequestEntityTooLargeException", message)
    }

    /// 414: the target is longer than `url_max_length`.
    pub fn url_too_long(limit: usize) -> ServeError {
        let message = format!(
            "The request's target is longer than {limit} bytes; send a body, or raise url_max_length"
        );
        ServeError::new(414, "TooLongFrameException", message)
    }

    /// 503: as many bytes of bodies are in memory as may be.
    pub fn no_body_memory() -> ServeError {
        let message = "The server holds as many bytes of requests as it may; try again later, or \
                       raise body_memory_max";
        ServeError::new(503, "ServiceUnavailableException", message)
    }

    /// 413: a compressed body whose content is out of proportion to what was sent.
    pub fn body_inflates_too_far(ratio: usize) -> ServeError {
        let message = format!(
            "The compressed request body inflates to more than {ratio} times its size; send it \
             plain, or raise max_request_ratio"
        );
        ServeError::new(413, "RequestEntityTooLargeException", message)
    }

    /// 415: the body is compressed in a way that is not known, or more than once.
    pub fn coding_not_supported() -> ServeError {
        let message = "Content-Encoding must be gzip, deflate or identity, and one of them alone";
        ServeError::new(415, "UnsupportedMediaTypeException", message)
    }

    /// 500 as in TorchServe, whose worker ends then: the answer is larger than `max_response_size`.
    pub fn response_too_large(limit: usize) -> ServeError {
        let message = format!(
            "The answer is larger than {limit} bytes; ask for less, or raise max_response_size"
        );
        ServeError::new(500, "InternalServerException", message)
    }

    /// 408: the client sent its body too slowly, or stopped.
    pub fn body_too_slow() -> ServeError {
        ServeError::new(408, "RequestTimeoutException", "The request body did not arrive in time")
    }

    /// 400 as in TorchServe (not 401): no key, a wrong or an expired one.
    pub fn invalid_key() -> ServeError {
        let message = "Token Authorization failed. Token either incorrect, expired, or not \
                       provided correctly";
        ServeError::new(400, "InvalidKeyException", message)
    }

    /// The same of `/token`, where TorchServe has another word; also for a `type` that is no key.
    pub fn invalid_api_key() -> ServeError {
        let message = "Token Authentication failed. Token either incorrect, expired, or not \
                       provided correctly";
        ServeError::new(400, "InvalidKeyException", message)
    }

    /// 429: a wrong key, and many others before it in the same second.
    pub fn too_many_keys() -> ServeError {
        let message =
            "Too many wrong tokens in this second; send the right one, or try again later";
        ServeError::new(429, "TooManyRequestsException", message)
    }

    /// 500 for what should not happen; the reason is in the log only.
    pub fn internal() -> ServeError {
        ServeError::new(
            500,
            "InternalServerException",
            "Internal server error; the log has the reason",
        )
    }

    /// 507: a model does not fit in memory.
    pub fn out_of_resources() -> ServeError {
        ServeError::new(507, "InternalServerException", "Out of resources")
    }

    /// 500 with TorchServe's type for a negative `min_worker`.
    pub fn negative_workers(asked: i32) -> ServeError {
        let message = format!("min_worker is {asked}; it must be 0 or more");
        ServeError::new(500, "IndexOutOfBoundsException", message)
    }

    /// 503: the model has no worker that could be asked to describe itself.
    pub fn no_worker_to_describe(model: &str) -> ServeError {
        let message = format!(
            "Model \"{model}\" has no worker to serve describe request. Please use scale workers \
             API to add workers."
        );
        ServeError::new(503, "ServiceUnavailableException", message)
    }

    /// 404: no workflow can be registered, so none is there.
    pub fn workflow_not_found(name: &str) -> ServeError {
        ServeError::new(404, "WorkflowNotFoundException", format!("Workflow not found: {name}"))
    }

    /// 501 for an API of TorchServe that this version does not have.
    pub fn not_implemented(what: &str) -> ServeError {
        let message = format!("{what} is not supported in this version of Torchfront");
        ServeError::new(501, "NotImplementedException", message)
    }
}

impl From<ModelError> for ServeError {
    fn from(error: ModelError) -> Self {
        let message = error.to_string();
        match error {
            ModelError::NotFound { .. } => ServeError::new(404, "ModelNotFoundException", message),
            ModelError::VersionNotFound { .. } => {
                ServeError::new(404, "ModelVersionNotFoundException", message)
            }
            ModelError::Unavailable { .. } => {
                ServeError::new(503, "ServiceUnavailableException", message)
            }
            ModelError::BadInput(reason) => ServeError::bad_request(reason),
            ModelError::Preprocess => ServeError::internal(),
            ModelError::Predict(error) => error.into(),
        }
    }
}

impl From<PredictError> for ServeError {
    /// Texts as TorchServe's; the reasons are in the log only, but for a bad input.
    fn from(error: PredictError) -> Self {
        let (status, message) = match error {
            PredictError::BadInput(reason) => return ServeError::bad_request(reason),
            PredictError::Failed(_) => (503, "Prediction failed"),
            PredictError::OutOfMemory(_) => (507, "Out of resources"),
            PredictError::DeadlinePassed => (504, "No answer within the response timeout"),
            PredictError::WorkerDied => (500, "Worker died."),
        };
        ServeError::new(status, "InternalServerException", message)
    }
}

impl From<RegisterError> for ServeError {
    fn from(error: RegisterError) -> Self {
        let message = error.to_string();
        match error {
            RegisterError::Archive(error) => error.into(),
            RegisterError::Download(error) => error.into(),
            RegisterError::NoModelStore => ServeError::new(404, "ModelNotFoundException", message),
            RegisterError::Conflict { .. } => {
                ServeError::new(409, "ConflictStatusException", message)
            }
            RegisterError::Engine(EngineError::OutOfMemory(_)) => ServeError::out_of_resources(),
            RegisterError::Engine(_)
            | RegisterError::ModelConfig(_)
            | RegisterError::Handler(_)
            | RegisterError::Device(_) => ServeError::new(400, "InvalidModelException", message),
            RegisterError::Runtime(_) | RegisterError::TooManyWorkers(_) => {
                ServeError::bad_request(message)
            }
            RegisterError::Workers { reason, .. } => not_started(&reason, message),
            RegisterError::Busy { .. } | RegisterError::Stopping => {
                ServeError::new(503, "ServiceUnavailableException", message)
            }
            RegisterError::Panicked(_) => ServeError::internal(),
        }
    }
}

impl From<DownloadError> for ServeError {
    fn from(error: DownloadError) -> Self {
        let message = error.to_string();
        match error {
            DownloadError::Url(_) => ServeError::bad_request(message),
            DownloadError::RelativePath { .. } | DownloadError::NotAllowed { .. } => {
                ServeError::new(404, "ModelNotFoundException", message)
            }
            DownloadError::Forbidden { .. } => {
                ServeError::new(403, "DownloadArchiveException", message)
            }
            DownloadError::Failed { .. } => {
                ServeError::new(400, "DownloadArchiveException", message)
            }
            DownloadError::Exists { .. } | DownloadError::Store { .. } => {
                ServeError::new(500, "InternalServerException", message)
            }
            DownloadError::Stopping => ServeError::new(503, "ServiceUnavailableException", message),
        }
    }
}

impl From<ScaleError> for ServeError {
    fn from(error: ScaleError) -> Self {
        let message = error.to_string();
        match error {
            ScaleError::Model(error) => error.into(),
            ScaleError::TooManyWorkers(_) => ServeError::bad_request(message),
            ScaleError::Workers { reason, .. } => not_started(&reason, message),
        }
    }
}

impl From<UnregisterError> for ServeError {
    fn from(error: UnregisterError) -> Self {
        let message = error.to_string();
        match error {
            UnregisterError::Model(error) => error.into(),
            UnregisterError::DefaultVersion { .. } => {
                ServeError::new(403, "InvalidModelVersionException", message)
            }
            UnregisterError::TimedOut { .. } => {
                ServeError::new(408, "RequestTimeoutException", message)
            }
        }
    }
}

impl From<SetDefaultError> for ServeError {
    fn from(error: SetDefaultError) -> Self {
        let message = error.to_string();
        match error {
            SetDefaultError::NotFound { .. } => {
                ServeError::new(404, "ModelNotFoundException", message)
            }
            SetDefaultError::VersionNotFound { .. } => {
                ServeError::new(404, "ModelVersionNotFoundException", message)
            }
        }
    }
}

/// Workers did not start: TorchServe's 507 when memory is the reason.
fn not_started(reason: &EngineError, message: String) -> ServeError {
    match reason {
        EngineError::OutOfMemory(_) => ServeError::new(507, "InternalServerException", message),
        EngineError::InputRefused(_) | EngineError::Failed(_) => {
            ServeError::new(500, "InternalServerException", message)
        }
    }
}

impl From<ArchiveError> for ServeError {
    fn from(error: ArchiveError) -> Self {
        let message = error.to_string();
        match error.kind() {
            ArchiveErrorKind::NotFound => ServeError::new(404, "ModelNotFoundException", message),
            ArchiveErrorKind::BadRequest => ServeError::bad_request(message),
            ArchiveErrorKind::InvalidModel
            | ArchiveErrorKind::ModelNotSupported
            | ArchiveErrorKind::LimitExceeded => {
                ServeError::new(400, "InvalidModelException", message)
            }
            ArchiveErrorKind::HandlerNotSupported => {
                ServeError::new(400, "HandlerNotSupportedException", message)
            }
            ArchiveErrorKind::Io => ServeError::new(500, "InternalServerException", message),
        }
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
