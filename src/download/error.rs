//! Why a model was not downloaded. Texts are TorchServe's where it has one; none holds a query, an
//! address that the client did not write, or a path of this machine.

use std::io;

use super::model_url::ModelUrl;
use super::networks::AddressClass;

/// Why a model was not downloaded; nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The URL itself is refused.
    #[error("The URL cannot be downloaded: {0}")]
    Url(&'static str),
    /// The URL climbs.
    #[error("Relative path is not allowed in url: {url}")]
    RelativePath {
        /// Without its query.
        url: String,
    },
    /// `allowed_urls` does not match.
    #[error(
        "Given URL {url} does not match any allowed URL(s){}",
        if *.is_empty { NONE_ALLOWED } else { "" }
    )]
    NotAllowed {
        /// Without its query.
        url: String,
        /// The list is empty.
        is_empty: bool,
    },
    /// The host's address must not be connected to.
    #[error(
        "{url}: the host's address is {class}; downloads come from public addresses only, unless \
         download_allowed_networks in config.properties names the network"
    )]
    Forbidden {
        /// Without its query.
        url: String,
        /// What is against it.
        class: AddressClass,
    },
    /// The store has a file of this name.
    #[error("Model file already exists {file}")]
    Exists {
        /// Its name.
        file: String,
    },
    /// The host, the network or the file does not do.
    #[error("Failed to download archive from: {url} ({reason})")]
    Failed {
        /// Without its query.
        url: String,
        /// What happened, and which key has to do with it.
        reason: String,
    },
    /// The model store cannot be used.
    #[error("Cannot {action} the model store{}; the log has the reason", remedy(.source))]
    Store {
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The server is stopping.
    #[error("The server is stopping and downloads nothing any more")]
    Stopping,
}

const NONE_ALLOWED: &str = "; allowed_urls in config.properties lists what may be downloaded, for \
                            example https://models\\.example\\.com/.*";

/// What the operator can do, without the folder's place: that is in the log.
fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            " (model_store in config.properties): make the folder writable for the server, or copy the \
             archive into it and register its file name"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            " (model_store in config.properties): no room is left on its disk"
        }
        _ => "",
    }
}

// === impl DownloadError ===

impl DownloadError {
    pub(super) fn failed(url: &ModelUrl, reason: impl Into<String>) -> DownloadError {
        DownloadError::Failed { url: url.shown().to_owned(), reason: reason.into() }
    }

    pub(super) fn store(action: &'static str, source: io::Error) -> DownloadError {
        DownloadError::Store { action, source }
    }
}
