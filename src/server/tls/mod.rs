//! TLS: the certificate of this server, and the listeners that show it.
//!
//! One certificate for all `https://` addresses, as in TorchServe. TLS 1.2 and 1.3, HTTP/2 and
//! HTTP/1.1.
//!
//! | file | what it does |
//! |---|---|
//! | `identity.rs` | files to a certified key, or a key of its own |
//! | `renewal.rs` | a renewed file takes effect without a connection being dropped |
//! | `listener.rs` | the handshake, and the answer to who speaks plain HTTP |
//! | `connection.rs` | one connection, and its end at a stop |
//! | `stream_limits.rs` | what one HTTP/2 connection may ask for |
//!
//! Invariant: the key in force and its certificate belong together.

mod connection;
mod identity;
mod listener;
mod renewal;
mod stream_limits;

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

pub use identity::TlsError;
pub(super) use listener::serve;

use crate::config::TlsIdentity;
use identity::Loaded;
use renewal::Stamp;

/// The certificate in force, and where the next one comes from.
pub(super) struct Tls {
    source: TlsIdentity,
    /// Who a certificate of our own is for.
    names: Vec<String>,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    /// The files as they were when `current` was read.
    stamp: Option<Stamp>,
}

/// What new connections are shown.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

// === impl Tls ===

impl Tls {
    /// Reads the files. `names` are the hosts of a certificate that this server makes for itself.
    ///
    /// # Errors
    /// [`TlsError`]: nothing can be served.
    pub(super) fn load(source: TlsIdentity, names: Vec<String>) -> Result<Tls, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let stamp = Stamp::of(&source);
        let Loaded { key, warnings } = identity::load(&source, &names, &provider)?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let current = Arc::new(Current(ArcSwap::from_pointee(key)));
        Ok(Tls { source, names, provider, current, stamp })
    }

    /// What each listener's handshakes follow; they share sessions.
    ///
    /// # Errors
    /// None that can be met: the versions are those of the provider.
    pub(super) fn server_config(&self) -> Result<ServerConfig, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::protocol)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = ["h2", "http/1.1"].map(|name| name.as_bytes().to_vec()).into();
        Ok(config)
    }

    /// True when clients have to be told to trust the certificate.
    pub(super) fn is_self_signed(&self) -> bool {
        self.source == TlsIdentity::SelfSigned
    }
}

// === impl Current ===

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}
