//! Repeats a call as the browser makes it, without a browser, and keeps every header.
//!
//! A script sees neither preflights nor the headers that are not exposed to it; this program is not
//! a browser and sees all. Plain sockets, so that what is shown is what went over the wire.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Marks repeated calls, so that they are not taken for the page's.
pub const REQUEST_ID: &str = "demo-replay";
/// Each read and write.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer; the server closes the connection behind it.
const MAX_ANSWER: u64 = 1 << 20;

/// How the page sends a picture. A closed set: nothing of the page's gets into a request's head.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// `image/png`, which needs a preflight.
    Image,
    /// `text/plain`, which needs none.
    Simple,
    /// `image/png` and a header that the policy may not list.
    Header,
}

/// A request and its answer, without bodies.
#[derive(Serialize)]
pub struct Exchange {
    request: String,
    response: String,
}

/// The preflight, if this form needs one, and the call, if the preflight is granted.
///
/// # Errors
/// The socket's.
pub fn call(
    api: SocketAddr,
    origin: &str,
    path: &str,
    form: Form,
    picture: &[u8],
) -> io::Result<Vec<Exchange>> {
    let common = format!(
        "Host: {api}\r\nOrigin: {origin}\r\nX-Request-Id: {REQUEST_ID}\r\nConnection: close\r\n"
    );
    let (content_type, asked, extra) = match form {
        Form::Image => ("image/png", Some("content-type"), ""),
        Form::Simple => ("text/plain", None, ""),
        Form::Header => ("image/png", Some("content-type,x-custom-token"), "X-Custom-Token: 1\r\n"),
    };
    let mut exchanges = Vec::new();
    if let Some(asked) = asked {
        let preflight = format!(
            "OPTIONS {path} HTTP/1.1\r\n{common}Access-Control-Request-Method: POST\r\n\
             Access-Control-Request-Headers: {asked}\r\n\r\n"
        );
        let exchange = exchange(api, preflight, &[])?;
        let head = exchange.response.to_ascii_lowercase();
        let granted = head.starts_with("http/1.1 2") && head.contains("\r\naccess-control-allow-o");
        exchanges.push(exchange);
        if !granted {
            return Ok(exchanges);
        }
    }
    let length = picture.len();
    let call = format!(
        "POST {path} HTTP/1.1\r\n{common}{extra}Content-Type: {content_type}\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    exchanges.push(exchange(api, call, picture)?);
    Ok(exchanges)
}

fn exchange(api: SocketAddr, request: String, body: &[u8]) -> io::Result<Exchange> {
    let mut stream = TcpStream::connect_timeout(&api, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(request.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let end = end.ok_or_else(|| io::Error::other("the answer has no end of head"))?;
    let response = String::from_utf8_lossy(&answer[..end]).into_owned();
    Ok(Exchange { request: request.trim_end().to_owned(), response })
}
