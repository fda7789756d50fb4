//! One request and its answer, on a connection that is kept.
//!
//! A connection that the server closed between two requests is opened again; what it closed inside an
//! exchange is an error. Nothing is stored of a body.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::plan::Content;
use super::{BenchError, RequestPlan, Target};

/// What is sent to whom.
#[derive(Debug)]
pub struct Requests {
    target: Target,
    method: Method,
    headers: HeaderMap,
    bodies: Vec<Bytes>,
    /// The body whose turn it is.
    turn: AtomicUsize,
    timeout: Duration,
    expected: Option<StatusCode>,
}

/// How an exchange ended, with the bytes of the answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) failure: Option<Failure>,
    pub(super) received: u64,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// No connection.
    Connect,
    /// No whole answer in time.
    Timeout,
    /// The connection ended before the answer did.
    ShortRead,
    /// What came is not HTTP.
    NotHttp,
    /// An answer with a status that was not expected.
    Status(StatusCode),
}

/// One connection and what is sent on it.
pub(super) struct Caller {
    requests: Arc<Requests>,
    connection: Option<Connection>,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Moves the bytes; ends with this.
    driver: JoinHandle<()>,
}

/// How much of an unexpected answer is shown.
const SHOWN: usize = 300;

// === impl Requests ===

impl Requests {
    /// Reads the files.
    ///
    /// # Errors
    /// [`BenchError`] names the flag or the file that is wrong.
    pub fn new(target: Target, plan: &RequestPlan) -> Result<Requests, BenchError> {
        let Content { method, mut headers, bodies, expected } = plan.read()?;
        if !headers.contains_key(HOST) {
            let host = HeaderValue::from_str(&target.authority).map_err(|error| {
                BenchError::Url { url: target.url.clone(), reason: error.to_string() }
            })?;
            headers.insert(HOST, host);
        }
        let turn = AtomicUsize::new(0);
        Ok(Requests { target, method, headers, bodies, turn, timeout: plan.timeout, expected })
    }

    /// Sends one request before the load.
    ///
    /// # Errors
    /// [`BenchError::NoAnswer`] and [`BenchError::Status`]: a load would measure the wrong thing.
    pub async fn check(self: &Arc<Self>) -> Result<(), BenchError> {
        let mut caller = Caller::new(self.clone());
        let mut begin = Vec::new();
        let ending = caller
            .call(|data| {
                let left = SHOWN - begin.len().min(SHOWN);
                begin.extend_from_slice(&data[..data.len().min(left)]);
            })
            .await;
        let no_answer = |reason: &str| {
            let (url, reason) = (self.target.url.clone(), reason.to_owned());
            Err(BenchError::NoAnswer { url, reason })
        };
        match ending.failure {
            None => Ok(()),
            Some(Failure::Connect) => no_answer("no connection"),
            Some(Failure::Timeout) => no_answer(&format!("nothing within {:?}", self.timeout)),
            Some(Failure::ShortRead) => no_answer("the connection was closed"),
            Some(Failure::NotHttp) => no_answer("what came is not HTTP/1.1"),
            Some(Failure::Status(status)) => Err(BenchError::Status {
                url: self.target.url.clone(),
                status: status.as_u16(),
                expected: self.expected.map_or("2xx".to_owned(), |status| status.as_str().into()),
                body: String::from_utf8_lossy(&begin).escape_debug().to_string(),
            }),
        }
    }

    /// Method, URL and bodies, in words.
    pub(super) fn describe(&self) -> String {
        let bytes: usize = self.bodies.iter().map(Bytes::len).sum();
        let bodies = match (self.bodies.len(), bytes) {
            (1, 0) => String::new(),
            (1, _) => format!(", {bytes} bytes"),
            (count, _) => format!(", {count} bodies of {} bytes on average", bytes / count),
        };
        format!("{} {}{bodies}", self.method, self.target.url)
    }

    fn next(&self) -> Request<Full<Bytes>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let body = self.bodies[turn % self.bodies.len()].clone();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.path.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    fn is_expected(&self, status: StatusCode) -> bool {
        self.expected.map_or(status.is_success(), |expected| expected == status)
    }
}

// === impl Caller ===

impl Caller {
    pub(super) fn new(requests: Arc<Requests>) -> Caller {
        Caller { requests, connection: None }
    }

    /// Opens the connection ahead of time; a failure is left to the first request.
    pub(super) async fn connect(&mut self) {
        let opened = tokio::time::timeout(self.requests.timeout, open(&self.requests.target)).await;
        self.connection = opened.ok().flatten();
    }

    /// Sends the next request and reads the answer to its end.
    pub(super) async fn call(&mut self, on_data: impl FnMut(&[u8])) -> Ending {
        let (mut received, limit) = (0, self.requests.timeout);
        let exchange = self.exchange(&mut received, on_data);
        let failure = match tokio::time::timeout(limit, exchange).await {
            Ok(Ok(status)) if self.requests.is_expected(status) => None,
            Ok(Ok(status)) => Some(Failure::Status(status)),
            Ok(Err(failure)) => Some(failure),
            Err(_) => Some(Failure::Timeout),
        };
        if !matches!(failure, None | Some(Failure::Status(_))) {
            // Half an answer may still come on it.
            self.connection = None;
        }
        Ending { failure, received }
    }

    async fn exchange(
        &mut self,
        received: &mut u64,
        mut on_data: impl FnMut(&[u8]),
    ) -> Result<StatusCode, Failure> {
        let mut request = self.requests.next();
        let response = loop {
            let reused = self.connection.is_some();
            let connection = match &mut self.connection {
                Some(connection) => connection,
                none => none.insert(open(&self.requests.target).await.ok_or(Failure::Connect)?),
            };
            let failure = match connection.sender.ready().await {
                Err(error) => (error, Some(request)),
                Ok(()) => match connection.sender.try_send_request(request).await {
                    Ok(response) => break response,
                    Err(mut error) => {
                        let unsent = error.take_message();
                        (error.into_error(), unsent)
                    }
                },
            };
            match failure {
                // Closed while it was idle; the server saw nothing of the request.
                (_, Some(unsent)) if reused => {
                    request = unsent;
                    self.connection = None;
                }
                (error, _) if error.is_parse() => return Err(Failure::NotHttp),
                _ => return Err(Failure::ShortRead),
            }
        };
        let status = response.status();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Failure::ShortRead)?;
            if let Some(data) = frame.data_ref() {
                *received += data.len() as u64;
                on_data(data);
            }
        }
        Ok(status)
    }
}

/// A new connection, or `None` when no address takes one.
async fn open(target: &Target) -> Option<Connection> {
    for address in target.addresses() {
        let Ok(stream) = TcpStream::connect(address).await else { continue };
        // A request is written whole: waiting for more would only delay it.
        let _best_effort = stream.set_nodelay(true);
        let Ok((sender, connection)) = handshake(TokioIo::new(stream)).await else { continue };
        // What goes wrong on it is said to the request that is under way.
        let driver = tokio::spawn(async {
            let _said_elsewhere = connection.await;
        });
        return Some(Connection { sender, driver });
    }
    None
}

// === impl Connection ===

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
