//! What a decision needs to know of a request: method, target and the header lines it asks for.
//!
//! Made from a request head of the server, from the few lines of a preflight that matter, or from plain
//! values with [`RequestSketch`] (`explain`, tests). Nothing is copied; a header is looked up when the
//! decision needs it and not before.

use super::{
    path,
    policy::CorsPolicy,
    syntax,
    wire::{HeaderMap, HeaderName, HeaderValue, Method, header},
};

/// One request, as far as CORS is concerned.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as it came over the wire, percent-encoded, without the query.
    pub path: &'a str,
    /// The query without `?`.
    pub query: Option<&'a str>,
    /// The authority of the request target, where `Host` is missing (HTTP/2).
    pub authority: Option<&'a str>,
    headers: Headers<'a>,
}

/// A header line of a preflight.
pub type PreflightLine = (&'static str, HeaderValue);

/// The header lines that a decision on a preflight may ask for.
pub const PREFLIGHT_LINES: [&str; 6] = [
    "host",
    "origin",
    "access-control-request-method",
    "access-control-request-headers",
    "access-control-request-private-network",
    "sec-fetch-site",
];

#[derive(Clone, Copy, Debug)]
enum Headers<'a> {
    All(&'a HeaderMap),
    OfPreflight(&'a [PreflightLine]),
}

/// A request written down by hand.
#[derive(Clone, Debug)]
pub struct RequestSketch {
    method: Method,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
}

// === impl RequestFacts ===

impl<'a> RequestFacts<'a> {
    /// The facts of a request of which only these parts matter.
    pub fn new(method: &'a Method, path: &'a str, headers: &'a HeaderMap) -> Self {
        Self { method, path, query: None, authority: None, headers: Headers::All(headers) }
    }

    /// The facts of an OPTIONS request. `lines` has each of [`PREFLIGHT_LINES`] that the client sent, and
    /// none of them twice; what else it holds is not looked at.
    pub fn preflight(path: &'a str, query: Option<&'a str>, lines: &'a [PreflightLine]) -> Self {
        let headers = Headers::OfPreflight(lines);
        Self { method: &Method::OPTIONS, path, query, authority: None, headers }
    }

    /// All lines of a header in their order.
    pub fn lines(&self, name: &HeaderName) -> &'a [HeaderValue] {
        match self.headers {
            Headers::All(headers) => headers.get_all(name).as_slice(),
            Headers::OfPreflight(lines) => {
                let name = name.as_str();
                debug_assert!(PREFLIGHT_LINES.contains(&name), "{name} decides on preflights");
                let found = lines.iter().find(|(known, _)| *known == name);
                found.map_or(&[], |(_, value)| std::slice::from_ref(value))
            }
        }
    }

    /// The host that the request is meant for, `None` when it is missing or said twice.
    pub fn host(&self) -> Option<&'a [u8]> {
        match self.lines(&header::HOST) {
            [] => self.authority.map(str::as_bytes),
            [host] => Some(host.as_bytes()),
            [_, _, ..] => None,
        }
    }

    /// It carries a cookie or an authorization.
    pub fn has_credentials(&self) -> bool {
        match self.headers {
            Headers::All(headers) => {
                headers.contains_key(header::COOKIE) || headers.contains_key(header::AUTHORIZATION)
            }
            // Of no interest to anybody: a browser sends none.
            Headers::OfPreflight(_) => false,
        }
    }

    /// The first line of `Origin`, as the client wrote it.
    pub fn origin(&self) -> Option<&'a [u8]> {
        self.lines(&header::ORIGIN).first().map(HeaderValue::as_bytes)
    }

    /// The first line of `Access-Control-Request-Method`, as the client wrote it.
    pub fn requested_method(&self) -> Option<&'a [u8]> {
        self.lines(&header::ACCESS_CONTROL_REQUEST_METHOD).first().map(HeaderValue::as_bytes)
    }

    /// The first header that a preflight asks for and the policy does not allow.
    pub fn first_refused_header(&self, policy: &CorsPolicy) -> Option<&'a [u8]> {
        let lines = self.lines(&header::ACCESS_CONTROL_REQUEST_HEADERS).iter();
        lines
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .map(syntax::trim_ows)
            .find(|name| !name.is_empty() && !policy.spec().headers.allows(name))
    }

    /// The model that the router will choose, with the router's own reading of path and query.
    pub fn model(&self) -> Option<std::borrow::Cow<'a, str>> {
        path::model_of_target(self.path, self.query)
    }
}

impl<'a> From<&'a actix_web::dev::RequestHead> for RequestFacts<'a> {
    fn from(head: &'a actix_web::dev::RequestHead) -> Self {
        Self {
            method: &head.method,
            path: head.uri.path(),
            query: head.uri.query(),
            authority: head.uri.authority().map(|authority| authority.as_str()),
            headers: Headers::All(&head.headers),
        }
    }
}

// === impl RequestSketch ===

impl RequestSketch {
    /// A request without headers; the target may have a query.
    pub fn new(method: Method, target: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        Self { method, path: path.to_owned(), query, headers: HeaderMap::new() }
    }

    /// The same with one more header line.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// To decide upon.
    pub fn facts(&self) -> RequestFacts<'_> {
        RequestFacts {
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            authority: None,
            headers: Headers::All(&self.headers),
        }
    }
}
