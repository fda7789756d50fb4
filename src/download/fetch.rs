//! One download: hops, the head of each answer, the body into the file.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, HOST, LOCATION,
    USER_AGENT,
};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use super::connect::Connector;
use super::error::DownloadError;
use super::model_url::ModelUrl;
use super::pace::Pace;
use super::part_file::PartFile;
use super::{DownloadLimits, DownloadPolicy};
use crate::metrics::DownloadMetrics;

/// Answers that may send elsewhere.
const MAX_REDIRECTS: usize = 5;
/// A connection has this long to give the head of its answer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes and lines of a head.
const MAX_HEAD: usize = 64 << 10;
const MAX_HEADERS: usize = 100;
/// How often a line of the log tells how far it is.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Writes what `url` answers into `file`.
///
/// # Errors
/// [`DownloadError`].
pub(super) async fn fetch(
    url: &ModelUrl,
    policy: &DownloadPolicy,
    connector: &Connector,
    file: &mut PartFile,
    metrics: &DownloadMetrics,
) -> Result<(), DownloadError> {
    let mut from = url.clone();
    for _ in 0..=MAX_REDIRECTS {
        let response = ask(&from, connector).await?;
        if !is_redirect(response.status()) {
            return body(&from, response, policy.limits, file, metrics).await;
        }
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let no_location = || DownloadError::failed(&from, "it redirects to nowhere");
        let next = from.redirected(location.ok_or_else(no_location)?)?;
        policy.urls.check_redirect(&next)?;
        tracing::info!(from = from.shown(), to = next.shown(), "a download is redirected");
        from = next;
    }
    Err(DownloadError::failed(url, format!("more than {MAX_REDIRECTS} redirects")))
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// One request on a connection of its own.
async fn ask(url: &ModelUrl, connector: &Connector) -> Result<Response<Incoming>, DownloadError> {
    let connection = TokioIo::new(connector.connect(url).await?);
    let failed = |reason: String| DownloadError::failed(url, reason);
    let asking = async {
        let (mut sender, driver) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .handshake::<_, Empty<Bytes>>(connection)
            .await?;
        // Its errors are those of the body; it ends with this download's runtime.
        tokio::spawn(driver);
        let request = Request::get(url.target())
            .header(HOST, url.authority())
            .header(USER_AGENT, concat!("torchfront/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "*/*")
            .header(ACCEPT_ENCODING, "identity")
            .header(CONNECTION, "close")
            .body(Empty::new());
        match request {
            Ok(request) => Ok(Some(sender.send_request(request).await?)),
            Err(_) => Ok(None),
        }
    };
    match tokio::time::timeout(HEAD_TIMEOUT, asking).await {
        Ok(Ok(Some(response))) => Ok(response),
        Ok(Ok(None)) => Err(DownloadError::Url("it cannot stand in a request")),
        Ok(Err(error)) => Err(failed(describe(&error))),
        Err(_) => Err(failed(format!("no answer in {} s", HEAD_TIMEOUT.as_secs()))),
    }
}

async fn body(
    url: &ModelUrl,
    response: Response<Incoming>,
    limits: DownloadLimits,
    file: &mut PartFile,
    metrics: &DownloadMetrics,
) -> Result<(), DownloadError> {
    let failed = |reason: String| DownloadError::failed(url, reason);
    let total = check_head(&response, limits).map_err(failed)?;
    let mut body = response.into_body();
    let started = Instant::now();
    let (mut pace, mut told) = (Pace::new(limits.min_rate, started), started);
    let mut received: u64 = 0;
    loop {
        let frame = tokio::time::timeout_at(pace.ends().into(), body.frame()).await;
        let came = match frame {
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(failed(describe(&error))),
            // Trailers say nothing of a file.
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            Err(_) => Bytes::new(),
        };
        received = received.saturating_add(came.len() as u64);
        if received > limits.max_size {
            return Err(failed(too_large(limits.max_size)));
        }
        metrics.received(came.len());
        file.write(&came)?;
        let now = Instant::now();
        pace.came(came.len() as u64, now).map_err(|_| {
            let rate = limits.min_rate;
            failed(format!("slower than {rate} bytes a second; download_min_rate allows no less"))
        })?;
        if now.duration_since(told) >= TELL_EVERY {
            told = now;
            tracing::info!(url = url.shown(), received, total, "downloading");
        }
    }
    // hyper has seen that a body of a known length is whole.
    let seconds = started.elapsed().as_secs_f64();
    tracing::info!(url = url.shown(), received, seconds, "downloaded");
    Ok(())
}

/// The length that the answer gives itself, if it does.
fn check_head(
    response: &Response<Incoming>,
    limits: DownloadLimits,
) -> Result<Option<u64>, String> {
    if response.status() != StatusCode::OK {
        return Err(format!("it answered {}", response.status().as_u16()));
    }
    let encoding = response.headers().get(CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err("it answered with a Content-Encoding, which was not asked for".to_owned());
    }
    let length = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let length = length.and_then(|length| length.parse().ok());
    match length {
        Some(length) if length > limits.max_size => Err(too_large(limits.max_size)),
        length => Ok(length),
    }
}

fn too_large(limit: u64) -> String {
    format!("larger than {limit} bytes; download_max_size allows no more")
}

/// What went wrong, without hyper's inner workings.
fn describe(error: &hyper::Error) -> String {
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let ended = io.is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof);
    if ended || error.is_incomplete_message() || error.is_closed() {
        return "the connection ended before the answer was whole".to_owned();
    }
    if error.is_parse() {
        return "the answer is not HTTP".to_owned();
    }
    io.map_or("the connection broke".to_owned(), |io| format!("the connection: {}", io.kind()))
}
