//! One line a request. What the client wrote is escaped and cut; no query (it may hold a secret), no
//! cookie, no token.
//!
//! Written by the outermost layer (`middleware.rs`), by the gate in front of the application
//! (`gate.rs`) and on the way that is shorter still (`fast_path/`), in the same words.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use actix_http::RequestHead;
use actix_web::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, HeaderMap, HeaderValue, ORIGIN};
use actix_web::http::{Method, StatusCode, Version};

use super::request_id::RequestId;
use crate::cors::CorsOutcome;

/// Bytes of a path in a log line.
const MAX_PATH: usize = 256;
/// Bytes of an origin in a log line.
const MAX_ORIGIN: usize = 128;

/// What a client asked.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) version: Version,
    /// The client's address; one on a Unix socket has none.
    pub(super) peer: Option<SocketAddr>,
    pub(super) origin: Option<&'a HeaderValue>,
}

/// What a line says.
pub(super) struct AccessLine<'a> {
    pub(super) listener: &'static str,
    pub(super) asked: Asked<'a>,
    pub(super) request_id: &'a RequestId,
    pub(super) status: StatusCode,
    /// The origin that may read the answer, as the answer says.
    pub(super) allowed: Option<&'a HeaderValue>,
    /// None where CORS has nothing to say.
    pub(super) cors: Option<CorsOutcome>,
    /// None where requests are not traced.
    pub(super) trace_id: Option<&'a str>,
    pub(super) started: Instant,
}

/// A client's address; one on a Unix socket has none.
struct Peer(Option<SocketAddr>);

/// `kind/verdict/reason`.
struct CorsWords(CorsOutcome);

/// Bytes of a client, safe to write into a log line.
struct Logged<'a, const MAX: usize = MAX_PATH>(&'a [u8]);

// === impl Asked ===

impl<'a> From<&'a RequestHead> for Asked<'a> {
    fn from(head: &'a RequestHead) -> Asked<'a> {
        Asked {
            method: &head.method,
            path: head.uri.path(),
            version: head.version,
            peer: head.peer_addr,
            origin: head.headers.get(ORIGIN),
        }
    }
}

/// The origin that an answer allows.
pub(super) fn allowed(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(ACCESS_CONTROL_ALLOW_ORIGIN)
}

// === impl AccessLine ===

impl AccessLine<'_> {
    /// Writes the line.
    pub(super) fn write(&self) {
        let Asked { method, path, version, peer, origin } = self.asked;
        let origin = origin.map(|origin| Logged::<MAX_ORIGIN>(origin.as_bytes()));
        let allowed = self.allowed.map(|origin| Logged::<MAX_ORIGIN>(origin.as_bytes()));
        tracing::info!(
            target: "access_log",
            listener = self.listener,
            method = %<Logged<'_>>::new(method.as_str().as_bytes()),
            path = %<Logged<'_>>::new(path.as_bytes()),
            version = (version != Version::HTTP_11).then(|| tracing::field::debug(version)),
            status = self.status.as_u16(),
            ms = self.started.elapsed().as_micros() as f64 / 1e3,
            request_id = self.request_id.as_str(),
            trace_id = self.trace_id,
            peer = %Peer(peer),
            origin = origin.map(tracing::field::display),
            cors = self.cors.map(CorsWords).map(tracing::field::display),
            acao = allowed.map(tracing::field::display),
        );
    }
}

// === impl Peer ===

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            // Most are; the library's way takes several times as long.
            Some(SocketAddr::V4(address)) => {
                for (at, byte) in address.ip().octets().into_iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { "." })?;
                    f.write_str(itoa::Buffer::new().format(byte))?;
                }
                f.write_str(":")?;
                f.write_str(itoa::Buffer::new().format(address.port()))
            }
            Some(address) => address.fmt(f),
            None => f.write_str("unix"),
        }
    }
}

// === impl CorsWords ===

impl fmt::Display for CorsWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CorsOutcome { kind, verdict, reason } = self.0;
        write!(f, "{}/{}/{}", kind.as_str(), verdict.as_str(), reason.as_str())
    }
}

// === impl Logged ===

impl<'a> Logged<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<const MAX: usize> fmt::Display for Logged<'_, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = &self.0[..self.0.len().min(MAX)];
        match std::str::from_utf8(cut) {
            Ok(text) if text.bytes().all(is_plain) => f.write_str(text)?,
            // A blank would end the value, and what follows could pass for a field of the line.
            _ => cut.split(|byte| *byte == b' ').enumerate().try_for_each(|(at, part)| {
                f.write_str(if at == 0 { "" } else { "\\x20" })?;
                write!(f, "{}", part.escape_ascii())
            })?,
        }
        if cut.len() < self.0.len() {
            f.write_str("...")?;
        }
        Ok(())
    }
}

/// A byte that `escape_ascii` leaves as it is, and no blank.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && !matches!(byte, b'\\' | b'\'' | b'"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_reads_as_the_librarys_address() {
        for text in ["127.0.0.1:64003", "0.10.200.255:1", "[2001:db8::1]:443"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Peer(Some(address)).to_string(), text);
        }
        assert_eq!(Peer(None).to_string(), "unix");
    }

    #[test]
    fn a_logged_value_stays_on_one_line() {
        assert_eq!(<Logged<'_>>::new(b"a\r\nb\x1b[31m").to_string(), "a\\r\\nb\\x1b[31m");
        assert_eq!(<Logged<'_>>::new(b"/a'b\"\\").to_string(), "/a\\'b\\\"\\\\");
        assert_eq!(<Logged<'_>>::new(b"x status=200 ").to_string(), "x\\x20status=200\\x20");
        assert_eq!(<Logged<'_>>::new(b"/predictions/a%20b").to_string(), "/predictions/a%20b");
        assert_eq!(<Logged<'_>>::new(&[b'x'; 300]).to_string().len(), MAX_PATH + 3);
        assert_eq!(Logged::<MAX_ORIGIN>(&[b'x'; 300]).to_string().len(), MAX_ORIGIN + 3);
    }
}
