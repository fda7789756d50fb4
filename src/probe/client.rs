//! One request and the head of its answer, over HTTP/1.1 with or without TLS.
//!
//! A connection is kept between requests. Bodies are read to a bound, so that the connection can be used
//! again, and thrown away. No redirect is followed: a browser follows none of a preflight.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use url::Host;

use super::exchange::Answer;
use super::target::Target;
use crate::cors::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use crate::download::system_config;

/// Talks to one target.
pub(super) struct Client<'a> {
    target: &'a Target,
    timeout: Duration,
    connection: Option<Connection>,
}

struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    /// Moves the bytes; ends with this.
    driver: JoinHandle<()>,
}

/// The head of an answer may be this long.
const MAX_HEAD: usize = 256 << 10;
/// Of a body this much is read before the connection is given up.
const MAX_BODY: usize = 64 << 10;
const AGENT: &str = concat!("torchfront-cors-probe/", env!("CARGO_PKG_VERSION"));

// === impl Client ===

impl<'a> Client<'a> {
    pub(super) fn new(target: &'a Target, timeout: Duration) -> Client<'a> {
        Client { target, timeout, connection: None }
    }

    /// Sends a request without a body.
    ///
    /// # Errors
    /// Why there is no answer, in words.
    pub(super) async fn send(
        &mut self,
        method: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, String> {
        // A connection that was closed while it was idle is opened again, once.
        let reused = self.connection.is_some();
        let exchange = tokio::time::timeout(self.timeout, self.exchange(method, headers));
        match exchange.await.unwrap_or_else(|_| Err(self.late())) {
            Err(_) if reused => {
                self.connection = None;
                let exchange = tokio::time::timeout(self.timeout, self.exchange(method, headers));
                exchange.await.unwrap_or_else(|_| Err(self.late()))
            }
            result => result,
        }
        .inspect_err(|_| self.connection = None)
    }

    fn late(&self) -> String {
        format!("no answer within {:?}", self.timeout)
    }

    async fn exchange(&mut self, method: &str, headers: &[(&str, &str)]) -> Result<Answer, String> {
        let request = self.request(method, headers)?;
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(open(self.target).await?),
        };
        connection.sender.ready().await.map_err(|error| error.to_string())?;
        let begin = Instant::now();
        let response = connection.sender.send_request(request).await;
        let response = response.map_err(|error| error.to_string())?;
        let latency = begin.elapsed();
        let (head, mut body) = response.into_parts();
        let mut read = 0;
        let mut keep = true;
        while let Some(frame) = body.frame().await {
            // What comes after the head decides nothing.
            let Ok(frame) = frame else {
                keep = false;
                break;
            };
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > MAX_BODY {
                keep = false;
                break;
            }
        }
        if !keep {
            self.connection = None;
        }
        let status =
            StatusCode::from_u16(head.status.as_u16()).map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::new();
        for (name, value) in &head.headers {
            if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_str().as_bytes()),
                HeaderValue::from_bytes(value.as_bytes()),
            ) {
                headers.append(name, value);
            }
        }
        Ok(Answer { status, headers, latency })
    }

    fn request(
        &self,
        method: &str,
        headers: &[(&str, &str)],
    ) -> Result<Request<Empty<Bytes>>, String> {
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?)
            .uri(self.target.path_and_query())
            .header("host", self.target.authority())
            .header("user-agent", AGENT)
            .header("accept", "*/*");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Empty::new()).map_err(|error| error.to_string())
    }
}

async fn open(target: &Target) -> Result<Connection, String> {
    let failed = |error: io::Error| format!("no connection: {error}");
    let port = target.port();
    let host = target.host().ok_or("there is no host")?;
    let (stream, name) = match host {
        Host::Domain(name) => (
            TcpStream::connect((name, port)).await.map_err(failed)?,
            ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?,
        ),
        Host::Ipv4(address) => (
            TcpStream::connect((address, port)).await.map_err(failed)?,
            ServerName::from(IpAddr::V4(address)),
        ),
        Host::Ipv6(address) => (
            TcpStream::connect((address, port)).await.map_err(failed)?,
            ServerName::from(IpAddr::V6(address)),
        ),
    };
    if !target.is_tls() {
        return handshake(TokioIo::new(stream)).await;
    }
    // Reading the certificates of the system takes a while.
    static TLS: OnceLock<Result<Arc<rustls::ClientConfig>, String>> = OnceLock::new();
    let tls = TLS.get_or_init(system_config).clone()?;
    let tls = TlsConnector::from(tls).connect(name, stream).await;
    handshake(TokioIo::new(tls.map_err(|error| format!("TLS: {error}"))?)).await
}

async fn handshake<S>(stream: S) -> Result<Connection, String>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(stream)
        .await
        .map_err(|error| error.to_string())?;
    let driver = tokio::spawn(async move {
        // An error is the sender's, too.
        let _ended = connection.await;
    });
    Ok(Connection { sender, driver })
}

// === impl Connection ===

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
