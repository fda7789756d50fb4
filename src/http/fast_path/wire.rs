//! A preflight's head out of its bytes. PURE.
//!
//! The parser is actix's. What follows it here is only ever stricter than actix: a head that could be
//! read in two ways is none of ours.

use std::mem::MaybeUninit;

use httparse::{Request, Status};

use crate::cors::{HeaderValue, PREFLIGHT_LINES, PreflightLine};

/// Lines of a head; a browser's preflight has some fifteen.
const MAX_LINES: usize = 64;
/// A line that no decision asks for, but the access log.
pub(super) const REQUEST_ID: &str = "x-request-id";
/// Some clients say that there is no body.
const CONTENT_LENGTH: &str = "content-length";
/// Bytes of a target; a longer one is for actix to refuse.
const MAX_TARGET: usize = 8 << 10;
/// What every one begins with: `OPTIONS *` is none.
const BEGINNING: &[u8] = b"OPTIONS /";
const END: &[u8] = b"\r\n\r\n";
/// Lines that change where the request ends, or what becomes of the connection.
const FRAMING: [&str; 3] = ["transfer-encoding", "expect", "upgrade"];

/// What a request is for.
pub(super) struct Target<'a> {
    /// Percent-encoded.
    pub(super) path: &'a str,
    /// Without `?`.
    pub(super) query: Option<&'a str>,
}

/// The target, if these bytes are a whole OPTIONS request of HTTP/1.1 without a body, after which the
/// connection stays open. `kept` gets [`PREFLIGHT_LINES`], [`REQUEST_ID`] and what says that there is no
/// body, none of them twice.
pub(super) fn read<'a>(bytes: &'a [u8], kept: &mut Vec<PreflightLine>) -> Option<Target<'a>> {
    kept.clear();
    if !bytes.starts_with(BEGINNING) || !bytes.ends_with(END) {
        return None;
    }
    let mut lines = [const { MaybeUninit::uninit() }; MAX_LINES];
    let mut parsed = Request::new(&mut []);
    let whole = parsed.parse_with_uninit_headers(bytes, &mut lines);
    if whole != Ok(Status::Complete(bytes.len())) || parsed.version != Some(1) {
        return None;
    }
    let target = parsed.path?;
    if target.len() > MAX_TARGET || !target.bytes().all(is_plain) {
        return None;
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    for line in parsed.headers.iter() {
        let is = |name: &str| line.name.eq_ignore_ascii_case(name);
        let mut names = PREFLIGHT_LINES.into_iter().chain([REQUEST_ID, CONTENT_LENGTH]);
        if let Some(name) = names.find(|name| is(name)) {
            let is_repeated = kept.iter().any(|(known, _)| *known == name);
            if is_repeated || (name == CONTENT_LENGTH && line.value != b"0") {
                return None;
            }
            kept.push((name, HeaderValue::from_bytes(line.value).ok()?));
        } else if FRAMING.into_iter().any(is)
            || (is("connection") && !line.value.eq_ignore_ascii_case(b"keep-alive"))
        {
            return None;
        }
    }
    let has_host = kept.iter().any(|(name, _)| *name == "host");
    has_host.then_some(Target { path, query })
}

/// Of a path or a query that nobody reads in another way (RFC 3986).
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%/?".contains(&byte)
}
