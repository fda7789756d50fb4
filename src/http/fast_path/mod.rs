//! Preflights on a connection that has carried nothing else yet: granted between the socket and
//! actix, which learns nothing of them.
//!
//! actix makes a request, a table of headers and a response of whatever comes, and walks its states. A
//! granted preflight needs six lines of its head, and its answer is known but for the origin and the
//! date; browsers send preflights on connections of their own where the request itself has
//! credentials. The decision, the counters and the log line are those of the [`gate`](super::gate).
//!
//! | file | what it does |
//! |---|---|
//! | `stream.rs` | the connection, as actix reads and writes it |
//! | `wire.rs` | the head as bytes; PURE |
//!
//! Safe without a second understanding of HTTP: what is not one whole, plain preflight that is granted
//! goes to actix as it came, and so does all that follows. No answer of actix can be under way then
//! and no body of a request, as actix has not had a byte.

mod stream;
mod wire;

use std::cell::{Ref, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use actix_web::http::header::HeaderValue;
use actix_web::http::{Method, StatusCode, Version};
use rustix::time::{ClockId, clock_gettime};

pub use stream::FastPathStream;

use super::access_log::Asked;
use super::middleware::AccessLog;
use crate::cors::{Cors, Grant, PreflightLine, RequestFacts};
use wire::{REQUEST_ID, Target};

/// What grants the first preflights of a thread's connections. Cheap to clone; all clones are the
/// same.
#[derive(Clone)]
pub struct FastPath(Rc<Shared>);

struct Shared {
    cors: Cors,
    log: AccessLog,
    desk: RefCell<Desk>,
}

/// What is used again for each preflight.
#[derive(Default)]
struct Desk {
    /// Of the request.
    asked: Vec<PreflightLine>,
    /// Of the answer.
    lines: Vec<u8>,
    answer: Vec<u8>,
    date: Date,
}

/// The `Date` of answers, written once a second.
#[derive(Default)]
struct Date {
    second: u64,
    text: String,
}

// === impl FastPath ===

impl FastPath {
    pub(super) fn new(cors: Cors, log: AccessLog) -> FastPath {
        FastPath(Rc::new(Shared { cors, log, desk: RefCell::default() }))
    }

    /// The answer to a preflight, as it is sent; none when these bytes are anything but one preflight
    /// that CORS grants, and then nobody has been told of it.
    fn answer(&self, bytes: &[u8], client: Option<SocketAddr>) -> Option<Ref<'_, [u8]>> {
        let Shared { cors, log, desk } = &*self.0;
        {
            let Desk { asked, lines, answer, date } = &mut *desk.borrow_mut();
            let target = wire::read(bytes, asked)?;
            let facts = RequestFacts::preflight(target.path, target.query, asked);
            lines.clear();
            let granted = cors.grant_preflight(&facts, lines)?;
            answer.clear();
            put(answer, &[beginning(granted.status), lines]);
            if let Some(id) = logged(log, &target, asked, client, granted) {
                put(answer, &[REQUEST_ID.as_bytes(), b": ", id.as_bytes(), b"\r\n"]);
            }
            put(answer, &[b"date: ", date.now().as_bytes(), b"\r\n\r\n"]);
        }
        Some(Ref::map(desk.borrow(), |desk| &*desk.answer))
    }
}

/// Counts it and writes its line in the access log, where there is one: then it has an id.
fn logged(
    log: &AccessLog,
    target: &Target<'_>,
    asked: &[PreflightLine],
    peer: Option<SocketAddr>,
    granted: Grant,
) -> Option<HeaderValue> {
    let line = |name| asked.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
    let asked = Asked {
        method: &Method::OPTIONS,
        path: target.path,
        version: Version::HTTP_11,
        peer,
        origin: line("origin"),
    };
    let ids = line(REQUEST_ID).map_or(&[][..], std::slice::from_ref);
    let allowed = granted.allow_origin.value();
    let id = log.preflight(asked, ids, (granted.status, allowed.as_ref()), granted.outcome);
    id.map(|id| id.value())
}

/// Status line, and the length where the status does not say that there is no body.
fn beginning(status: StatusCode) -> &'static [u8] {
    match status {
        StatusCode::NO_CONTENT => b"HTTP/1.1 204 No Content\r\n",
        _ => b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n",
    }
}

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

// === impl Date ===

impl Date {
    fn now(&mut self) -> &str {
        // The kernel's last tick, which is cheap to read.
        let second = u64::try_from(clock_gettime(ClockId::RealtimeCoarse).tv_sec).unwrap_or(0);
        if self.second != second || self.text.is_empty() {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            (self.second, self.text) = (second, httpdate::fmt_http_date(time));
        }
        &self.text
    }
}

#[cfg(test)]
mod tests;
