//! Lists as regular expressions that PCRE (nginx) and RE2 (Envoy) read alike. PURE.
//!
//! They match the whole of a value; the caller anchors. No look-around, no back-references.

use crate::cors::{
    headers::{AllowedHeaders, MAX_REQUEST_HEADERS_NAMES},
    methods::AllowedMethods,
    origin,
    pattern::{HostPattern, OriginPattern, PortPattern},
};

/// One or more labels, each with its dot.
const LABELS: &str = "(?:[a-z0-9_-]+[.])+";
/// RFC 9110's token.
pub(super) const TOKEN: &str = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
/// Optional white space.
const OWS: &str = "[ \\t]*";

/// A text that matches itself.
pub(super) fn literal(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            // A class of one needs no backslash, which nginx and JSON would read, too.
            '.' | '*' | '+' | '?' | '$' | '|' | '(' | ')' | '{' | '}' => {
                escaped.push_str(&format!("[{c}]"));
            }
            '[' => escaped.push_str("\\["),
            ']' => escaped.push_str("\\]"),
            '^' => escaped.push_str("\\^"),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// The origins that an entry covers.
pub(super) fn origin(entry: &OriginPattern) -> String {
    let host = match entry.host() {
        HostPattern::Exact(host) => literal(host),
        HostPattern::Subdomains(base) => format!("{LABELS}{}", literal(base)),
    };
    let port = match entry.port() {
        PortPattern::Default => String::new(),
        PortPattern::Number(port) => format!(":{port}"),
        PortPattern::Any => format!("(?::(?:{}))?", ports(entry.scheme())),
    };
    format!("{}://{host}{port}", literal(entry.scheme()))
}

/// 1 to 65535 without the default of the scheme, which origins do not spell.
fn ports(scheme: &str) -> &'static str {
    match origin::default_port(scheme.as_bytes()) {
        Some(80) => {
            "[1-9]|[1-79][0-9]|8[1-9]|[1-9][0-9]{2,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|\
             655[0-2][0-9]|6553[0-5]"
        }
        Some(443) => {
            "[1-9][0-9]?|[1-35-9][0-9]{2}|4[0-35-9][0-9]|44[0-24-9]|[1-9][0-9]{3}|[1-5][0-9]{4}|\
             6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
        }
        _ => "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]",
    }
}

/// The methods that are allowed; of `*` any token, see [`FORBIDDEN_METHODS`].
pub(super) fn methods(methods: &AllowedMethods) -> String {
    if methods.is_any() {
        return TOKEN.to_owned();
    }
    let mut listed: Vec<String> = methods.listed().iter().map(|method| literal(method)).collect();
    let head = methods.allows(b"HEAD") && !methods.listed().iter().any(|method| method == "HEAD");
    listed.extend(head.then(|| "HEAD".to_owned()));
    listed.join("|")
}

/// An origin whose host is no longer than a name can be.
pub(super) const BOUNDED_ORIGIN: &str =
    "[a-z][a-z0-9+.-]*://(?:\\[[0-9a-f:.]+\\]|[^:]{1,253})(?::[0-9]{1,5})?";

/// What `*` does not cover.
pub(super) const FORBIDDEN_METHODS: &str = "CONNECT|TRACE|TRACK|[*]";

/// A whole `Access-Control-Request-Headers`, case aside: listed names and empty elements, as many
/// together as this server takes names. Of `*` any token, see [`uncovered_headers`]. Every round takes
/// a comma, so that nothing is tried twice.
pub(super) fn request_headers(headers: &AllowedHeaders) -> String {
    let name = match headers.is_any() {
        true => TOKEN.to_owned(),
        false => {
            let names: Vec<String> = headers.listed().iter().map(|name| literal(name)).collect();
            format!("(?:{})", names.join("|"))
        }
    };
    let element = format!("{OWS}(?:{name}{OWS})?");
    format!("{element}(?:,{element}){{0,{}}}", MAX_REQUEST_HEADERS_NAMES - 1)
}

/// A list with a name that `*` does not cover; `None` where there is none of those.
pub(super) fn uncovered_headers(headers: &AllowedHeaders) -> Option<String> {
    if !headers.is_any() {
        return None;
    }
    let names: &str = match headers.allows(b"authorization") {
        true => "[*]",
        false => "authorization|[*]",
    };
    Some(format!("(?:.*,)?{OWS}(?:{names}){OWS}(?:,.*)?"))
}
