//! OTLP over HTTP, protobuf: one POST an export, on the export thread, over a connection that is
//! kept.

use std::future::poll_fn;
use std::io;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsConnector;
use url::Url;

use super::settings::{Compression, TraceSettings};
use super::tls;

/// Where spans are sent.
pub(super) struct Collector {
    runtime: Runtime,
    to: Address,
    compression: Compression,
    timeout: Duration,
    /// How often an export is tried.
    attempts: u32,
    connection: Option<SendRequest<Full<Bytes>>>,
}

struct Address {
    url: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// For `https://`.
    tls: Option<Arc<rustls::ClientConfig>>,
}

/// What one attempt came to.
enum Attempt {
    /// Taken but for so many.
    Taken(usize),
    /// Another one may be luckier, after this time if it is told.
    Again(String, Option<Duration>),
    Refused(String),
}

/// Tries of one export: the second after one second, the third after two.
const ATTEMPTS: u32 = 3;
/// The longest that a collector may ask to be left alone.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 64 << 10;

// === impl Collector ===

impl Collector {
    pub(super) fn new(settings: &TraceSettings) -> io::Result<Collector> {
        let url = Url::parse(&settings.endpoint).map_err(io::Error::other)?;
        let tls = match url.scheme() {
            "https" => Some(tls::client_config(settings.certificate.as_deref())?),
            _ => None,
        };
        let header = |(name, value): &(String, String)| {
            let name = HeaderName::try_from(name).map_err(io::Error::other)?;
            let mut value = HeaderValue::try_from(value).map_err(io::Error::other)?;
            value.set_sensitive(true);
            Ok((name, value))
        };
        let headers = settings.headers.iter().map(header).collect::<io::Result<_>>()?;
        Ok(Collector {
            runtime: Builder::new_current_thread().enable_all().build()?,
            to: Address { url, headers, tls },
            compression: settings.compression,
            timeout: settings.timeout,
            attempts: ATTEMPTS,
            connection: None,
        })
    }

    /// From now on an export is tried once.
    pub(super) fn give_up_early(&mut self) {
        self.attempts = 1;
    }

    /// Sends an `ExportTraceServiceRequest`. Gives how many of its spans were rejected. Blocks.
    ///
    /// # Errors
    /// What went wrong at last.
    pub(super) fn send(&mut self, message: Vec<u8>) -> Result<usize, String> {
        let body = match self.compression {
            Compression::None => Bytes::from(message),
            Compression::Gzip => Bytes::from(gzip(&message).map_err(|error| error.to_string())?),
        };
        let mut attempt = 1;
        loop {
            let (reason, pause) = match self.attempt(&body) {
                Attempt::Taken(rejected) => return Ok(rejected),
                Attempt::Refused(reason) => return Err(reason),
                Attempt::Again(reason, pause) => (reason, pause),
            };
            if attempt >= self.attempts {
                return Err(reason);
            }
            let usual = Duration::from_millis(1000 << (attempt - 1));
            std::thread::sleep(pause.unwrap_or(usual).min(MAX_PAUSE));
            attempt += 1;
        }
    }

    fn attempt(&mut self, body: &Bytes) -> Attempt {
        let Collector { runtime, to, connection, timeout, compression, .. } = self;
        // The clock of a timeout is the runtime's: it is made inside.
        let answer = runtime.block_on(async {
            tokio::time::timeout(*timeout, ask(to, *compression, connection, body)).await
        });
        match answer {
            Ok(Ok(attempt)) => attempt,
            Ok(Err(reason)) => {
                *connection = None;
                Attempt::Again(reason, None)
            }
            Err(_) => {
                *connection = None;
                Attempt::Again(format!("no answer in {} ms", timeout.as_millis()), None)
            }
        }
    }
}

async fn ask(
    to: &Address,
    compression: Compression,
    connection: &mut Option<SendRequest<Full<Bytes>>>,
    body: &Bytes,
) -> Result<Attempt, String> {
    let mut sender = match connection.take() {
        // The collector may have closed it meanwhile.
        Some(mut sender) => match poll_fn(|context| sender.poll_ready(context)).await {
            Ok(()) => sender,
            Err(_) => to.connect().await?,
        },
        None => to.connect().await?,
    };
    let request = to.request(compression, body.clone())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let attempt = judge(response).await;
    *connection = Some(sender);
    attempt
}

/// As OTLP says: which statuses are worth another try.
async fn judge(response: Response<Incoming>) -> Result<Attempt, String> {
    let status = response.status();
    let pause = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let pause = pause.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    Ok(match status.as_u16() {
        200..=299 => Attempt::Taken(rejected(&body)),
        429 | 502..=504 => Attempt::Again(format!("the collector answered {status}"), pause),
        _ => Attempt::Refused(format!("the collector answered {status}")),
    })
}

fn rejected(body: &Bytes) -> usize {
    let Ok(answer) = ExportTraceServiceResponse::decode(body.clone()) else { return 0 };
    let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
    usize::try_from(rejected).unwrap_or(0)
}

fn gzip(message: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(message)?;
    encoder.finish()
}

// === impl Address ===

impl Address {
    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let host = self.url.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let port = self.url.port_or_known_default().unwrap_or(4318);
        let found = tokio::net::lookup_host((bare, port)).await;
        let addresses: Vec<SocketAddr> =
            found.map_err(|error| format!("{bare}: {error}"))?.collect();
        let connected = TcpStream::connect(&*addresses).await;
        let stream = connected.map_err(|error| format!("{host}:{port}: {error}"))?;
        let _slower = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return handshake(TokioIo::new(stream)).await };
        let name = ServerName::try_from(bare.to_owned()).map_err(|error| error.to_string())?;
        let secured = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
        handshake(TokioIo::new(secured.map_err(|error| format!("TLS: {error}"))?)).await
    }

    fn request(
        &self,
        compression: Compression,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, String> {
        let authority = &self.url[url::Position::BeforeHost..url::Position::AfterPort];
        let mut request =
            Request::post(&self.url[url::Position::BeforePath..url::Position::AfterQuery])
                .header(HOST, authority)
                .header(USER_AGENT, concat!("torchfront/", env!("CARGO_PKG_VERSION")))
                .header(CONTENT_TYPE, "application/x-protobuf");
        if compression == Compression::Gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(body)).map_err(|error| error.to_string())
    }
}

async fn handshake<T>(stream: TokioIo<T>) -> Result<SendRequest<Full<Bytes>>, String>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (sender, driver) = http1::handshake(stream).await.map_err(|error| error.to_string())?;
    // Its errors are those of the request; it runs while this thread waits for an answer.
    tokio::spawn(driver);
    Ok(sender)
}
