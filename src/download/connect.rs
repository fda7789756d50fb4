//! From a URL to a connection with a vetted address.
//!
//! The host is resolved once, each of its addresses is vetted, and only those are connected to:
//! between the vetting and the connection no name is looked up again.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;

use super::TlsConfig;
use super::error::DownloadError;
use super::model_url::ModelUrl;
use super::networks::AllowedNetworks;

/// Makes connections.
pub(super) struct Connector {
    networks: AllowedNetworks,
    /// The system's certificates, or why there are none; read when they are needed.
    tls: OnceLock<Result<TlsConfig, String>>,
}

/// A connection.
pub(super) enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Addresses of a host that are tried.
const MAX_ADDRESSES: usize = 4;
/// One address has this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

// === impl Connector ===

impl Connector {
    pub(super) fn new(networks: AllowedNetworks) -> Connector {
        Connector { networks, tls: OnceLock::new() }
    }

    /// With these certificates in place of the system's.
    #[cfg(test)]
    pub(super) fn trusting(networks: AllowedNetworks, roots: RootCertStore) -> Connector {
        let connector = Connector::new(networks);
        connector.tls.set(config(roots)).expect("nothing is set yet");
        connector
    }

    /// Connects to the host of `url`.
    ///
    /// # Errors
    /// [`DownloadError::Forbidden`] before any connection is made, or [`DownloadError::Failed`].
    pub(super) async fn connect(&self, url: &ModelUrl) -> Result<Connection, DownloadError> {
        let addresses = self.vetted(url).await?;
        let mut last = None;
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return self.secured(url, stream).await,
                Ok(Err(error)) => last = Some(error),
                Err(_) => last = Some(io::ErrorKind::TimedOut.into()),
            }
        }
        let error = last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into());
        Err(DownloadError::failed(url, format!("no connection: {}", error.kind())))
    }

    /// The host's addresses, all of them allowed.
    async fn vetted(&self, url: &ModelUrl) -> Result<Vec<SocketAddr>, DownloadError> {
        let port = url.port();
        let addresses = match url.host() {
            Some(Host::Ipv4(address)) => vec![SocketAddr::new(IpAddr::V4(address), port)],
            Some(Host::Ipv6(address)) => vec![SocketAddr::new(IpAddr::V6(address), port)],
            Some(Host::Domain(name)) => {
                let found =
                    tokio::time::timeout(CONNECT_TIMEOUT, tokio::net::lookup_host((name, port)));
                match found.await {
                    Ok(Ok(found)) => found.collect(),
                    _ => return Err(DownloadError::failed(url, "the host is not known")),
                }
            }
            None => Vec::new(),
        };
        for address in &addresses {
            // A name that means a forbidden address beside a public one is not trusted at all.
            self.networks.vet(address.ip()).map_err(|class| {
                tracing::warn!(
                    url = url.shown(), address = %address.ip(), %class,
                    "a download was refused: the address is not public"
                );
                DownloadError::Forbidden { url: url.shown().to_owned(), class }
            })?;
        }
        Ok(addresses)
    }

    async fn secured(
        &self,
        url: &ModelUrl,
        stream: TcpStream,
    ) -> Result<Connection, DownloadError> {
        let failed = |reason: String| DownloadError::failed(url, reason);
        if !url.is_tls() {
            return Ok(Connection::Plain(stream));
        }
        let name = match url.host() {
            Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).ok(),
            Some(Host::Ipv4(address)) => Some(ServerName::from(IpAddr::V4(address))),
            Some(Host::Ipv6(address)) => Some(ServerName::from(IpAddr::V6(address))),
            None => None,
        };
        let name = name.ok_or_else(|| failed("the host is no name for TLS".to_owned()))?;
        let tls = self.tls.get_or_init(system_config).clone().map_err(failed)?;
        let handshake = TlsConnector::from(tls).connect(name, stream);
        match tokio::time::timeout(CONNECT_TIMEOUT, handshake).await {
            Ok(Ok(stream)) => Ok(Connection::Tls(Box::new(stream))),
            Ok(Err(error)) => Err(failed(format!("TLS: {error}"))),
            Err(_) => Err(failed("TLS: no answer in time".to_owned())),
        }
    }
}

/// The system's certificates (or those that `SSL_CERT_FILE` names).
pub(crate) fn system_config() -> Result<TlsConfig, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _unreadable) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err("this machine has no certificates of authorities; install ca-certificates or \
                    set SSL_CERT_FILE"
            .to_owned());
    }
    config(roots)
}

fn config(roots: RootCertStore) -> Result<TlsConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

// === impl Connection ===

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Connection::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Connection::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_flush(context),
            Connection::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Connection::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
