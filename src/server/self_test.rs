//! Asks the listeners of this server, over their own sockets, whether they answer pages as their
//! policies say: `cors.selftest`.
//!
//! What is wrong is an error in the log and a number in the metrics; the server serves on. A broken
//! assembly is found here, where a test of the parts would pass.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use super::Role;
use super::listeners::Listener;
use crate::config::{Config, ListenAddress};
use crate::cors::{self, SelfTest};
use crate::cors_live::{LiveCors, SelfCheck};

/// A listener to be asked.
pub(super) struct Target {
    apis: &'static [cors::Listener],
    address: Address,
    tls: bool,
}

enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Our own certificate is not in question: which one it is, is TLS's matter.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

/// An answer has this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer's head.
const MAX_HEAD: usize = 16 << 10;

/// The listeners, as they can be reached from here.
pub(super) fn targets(config: &Config, listeners: &[Listener]) -> Vec<Target> {
    let of = |listener: &Listener| {
        use cors::Listener as Api;
        let (apis, configured): (&[Api], _) = match listener.role {
            Role::Inference => (&[Api::Inference], &config.inference),
            Role::Management => (&[Api::Management], &config.management),
            Role::Metrics => (&[Api::Metrics], &config.metrics),
            Role::InferenceAndManagement => (&[Api::Inference, Api::Management], &config.inference),
        };
        let address = match configured {
            ListenAddress::Unix(path) => Address::Unix(path.clone()),
            ListenAddress::Tcp { .. } => Address::Tcp(reachable(*listener.addresses.first()?)),
        };
        Some(Target { apis, address, tls: configured.is_tls() })
    };
    listeners.iter().filter_map(of).collect()
}

/// Where all addresses are listened to, loopback is.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Asks as often as the settings want, until the task is dropped.
pub(super) async fn run(targets: Vec<Target>, live: Arc<LiveCors>) {
    let operations = live.operations();
    let each = targets.iter().flat_map(|target| target.apis.iter().map(move |api| (target, *api)));
    let loops = each.map(|(target, api)| {
        let (live, when) = (&live, operations[api as usize].selftest);
        async move {
            loop {
                if when != SelfTest::Off {
                    check(target, api, live).await;
                }
                let SelfTest::Every(seconds) = when else { return };
                sleep(Duration::from_secs(seconds.into())).await;
            }
        }
    });
    futures_util::future::join_all(loops).await;
}

async fn check(target: &Target, api: cors::Listener, live: &LiveCors) {
    let host = match target.address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(_) => "localhost".to_owned(),
    };
    let checks = live.self_checks(api, &host);
    let (mut passed, mut failed) = (0, 0);
    for check in &checks {
        let answer = timeout(PATIENCE, target.ask(check)).await;
        let problem = match answer {
            Ok(Ok((status, allowed))) => check.judge(status, &allowed).err(),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer".to_owned()),
        };
        match problem {
            None => passed += 1,
            Some(problem) => {
                failed += 1;
                tracing::error!(
                    target: "torchfront::cors",
                    listener = api.as_str(),
                    policy = check.policy,
                    path = check.path,
                    "CORS self-test: {} is answered wrongly: {problem}",
                    check.what
                );
            }
        }
    }
    if !checks.is_empty() {
        live.self_checked(passed, failed);
    }
}

// === impl Target ===

impl Target {
    /// Status and lines of `Access-Control-Allow-Origin`.
    async fn ask(&self, check: &SelfCheck) -> io::Result<(u16, Vec<String>)> {
        match &self.address {
            Address::Unix(path) => exchange(UnixStream::connect(path).await?, check).await,
            Address::Tcp(address) if self.tls => {
                let stream = TcpStream::connect(address).await?;
                let connector = TlsConnector::from(Arc::new(client_config()?));
                let name = ServerName::IpAddress(address.ip().into());
                exchange(connector.connect(name, stream).await?, check).await
            }
            Address::Tcp(address) => exchange(TcpStream::connect(address).await?, check).await,
        }
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    check: &SelfCheck,
) -> io::Result<(u16, Vec<String>)> {
    let mut request = format!("OPTIONS {} HTTP/1.1\r\nConnection: close\r\n", check.path);
    for (name, value) in &check.headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += "User-Agent: torchfront-selftest\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 2048];
        let read = stream.read(&mut piece).await?;
        if read == 0 || head.len() > MAX_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.extend_from_slice(&piece[..read]);
    }
    parse(&String::from_utf8_lossy(&head)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse(head: &str) -> Option<(u16, Vec<String>)> {
    let mut lines = head.split("\r\n").take_while(|line| !line.is_empty());
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let fields = lines.filter_map(|line| line.split_once(':'));
    let wanted = fields
        .filter(|(name, _)| name.eq_ignore_ascii_case("access-control-allow-origin"))
        .map(|(_, value)| value.trim().to_owned());
    Some((status, wanted.collect()))
}

fn client_config() -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let builder =
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)));
    Ok(builder.with_no_client_auth())
}

// === impl AnyCertificate ===

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_with_all_its_lines() {
        let head = "HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Origin: a\r\nx: y\r\n\
            access-control-allow-origin:b \r\n\r\nAccess-Control-Allow-Origin: c\r\n";
        assert_eq!(parse(head), Some((204, vec!["a".to_owned(), "b".to_owned()])));
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        for (bound, asked) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:2", "[::1]:2"), ("192.0.2.1:3", "192.0.2.1:3")]
        {
            assert_eq!(reachable(bound.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
