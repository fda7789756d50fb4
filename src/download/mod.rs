//! Models from `http:` and `https:` URLs into the model store.
//!
//! Called by the registry when a model is registered by URL. A client of the management API chooses
//! the URL and must not reach through this server what it cannot reach itself, nor fill its disk:
//!
//! ```text
//! url       model_url.rs   scheme, host, file name; no user, no password     -> ModelUrl   400 404
//! allowed   allowed.rs     allowed_urls, anchored                                          404
//! file      part_file.rs   not there yet                                                   500
//! host      connect.rs     resolved once; every address vetted by networks.rs              403
//! answer    fetch.rs       at most five hops, each from `allowed` on; size, time, rate     400
//! model     part_file.rs   written whole, then named                         -> Downloaded
//! ```
//!
//! Invariant: the connection goes to an address that was vetted, not to a name; whatever fails leaves
//! no file. No credential of this server is ever sent, and a query, which may be one of the client's
//! (a signed URL), is neither logged nor shown.

mod allowed;
mod connect;
mod error;
mod fetch;
mod model_url;
mod networks;
mod pace;
mod part_file;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use allowed::AllowedUrls;
pub use error::DownloadError;
pub use model_url::ModelUrl;
pub use networks::{AddressClass, AllowedNetworks};
pub use part_file::Downloaded;

use crate::metrics::DownloadMetrics;
pub(crate) use connect::system_config;

use connect::Connector;
use part_file::PartFile;

/// What may be downloaded, and how much of it.
#[derive(Clone, Debug, Default)]
pub struct DownloadPolicy {
    /// `allowed_urls`.
    pub urls: AllowedUrls,
    /// `download_allowed_networks`: addresses that may be connected to although they are not public.
    pub networks: AllowedNetworks,
    /// The bounds of one download.
    pub limits: DownloadLimits,
}

/// The bounds of one download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DownloadLimits {
    /// `download_max_size`, in bytes.
    pub max_size: u64,
    /// `download_timeout`: from the first connection to the last byte.
    pub timeout: Duration,
    /// `download_min_rate`, in bytes per second over ten seconds.
    pub min_rate: u64,
}

/// Downloads models for one server.
pub struct Downloads {
    policy: DownloadPolicy,
    connector: Connector,
    metrics: DownloadMetrics,
    stop: watch::Sender<bool>,
}

// === impl DownloadLimits ===

impl Default for DownloadLimits {
    /// 8 GiB, an hour, 10 KiB a second.
    fn default() -> DownloadLimits {
        DownloadLimits { max_size: 8 << 30, timeout: Duration::from_secs(3600), min_rate: 10 << 10 }
    }
}

// === impl Downloads ===

impl Downloads {
    /// Nothing is downloaded yet.
    pub fn new(policy: DownloadPolicy, metrics: DownloadMetrics) -> Downloads {
        let connector = Connector::new(policy.networks.clone());
        Downloads { policy, connector, metrics, stop: watch::Sender::new(false) }
    }

    /// Removes what downloads of a process that was killed have left in `store`.
    pub fn tidy(store: &Path) {
        PartFile::sweep(store);
    }

    /// Downloads `url` into `store`, under the name of its last segment. Blocks, for as long as
    /// `download_timeout`; call it on a thread that may.
    ///
    /// # Errors
    /// [`DownloadError`]; nothing is left in the store then.
    pub fn fetch(&self, url: &ModelUrl, store: &Path) -> Result<Downloaded, DownloadError> {
        self.policy.urls.check(url)?;
        if *self.stop.borrow() {
            return Err(DownloadError::Stopping);
        }
        Downloads::tidy(store);
        let mut file = PartFile::create(store, url.file_name())?;
        let counted = self.metrics.begin();
        // A runtime of its own: that of the caller may be stopped meanwhile.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| DownloadError::store("start the download", error))?;
        let result = runtime.block_on(async {
            let mut stop = self.stop.subscribe();
            let stopped = async {
                // An error means that this server is gone.
                let _gone = stop.wait_for(|stop| *stop).await;
            };
            tokio::select! {
                result = self.run(url, &mut file) => result,
                () = stopped => Err(DownloadError::Stopping),
            }
        });
        // A name server that does not answer is not waited for.
        runtime.shutdown_background();
        result?;
        let downloaded = file.publish()?;
        counted.succeeded();
        Ok(downloaded)
    }

    async fn run(&self, url: &ModelUrl, file: &mut PartFile) -> Result<(), DownloadError> {
        let limits = self.policy.limits;
        let fetching = fetch::fetch(url, &self.policy, &self.connector, file, &self.metrics);
        tokio::time::timeout(limits.timeout, fetching).await.unwrap_or_else(|_| {
            let took = limits.timeout.as_secs();
            let reason = format!("not done after {took} s; download_timeout allows no more");
            Err(DownloadError::failed(url, reason))
        })
    }

    /// Ends what is under way and begins nothing more.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

/// The text of a URL without what may be secret: no user, no password, no query, no fragment. A text
/// that is no URL is given back.
pub fn without_secrets(url: &str) -> String {
    match ModelUrl::parse(url) {
        Some(Ok(url)) => url.shown().to_owned(),
        // Whatever it is, a part of it may be a password.
        Some(Err(_)) => format!("{}://...", url.split("://").next().unwrap_or_default()),
        None => url.to_owned(),
    }
}

/// Shared by all servers of a process: reading the system's certificates takes a while.
type TlsConfig = Arc<rustls::ClientConfig>;
