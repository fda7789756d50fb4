//! `cors.allowed.headers`: the request headers that pages of allowed origins may set.
//!
//! `Content-Type` is always among them. `*` covers every name except `Authorization`, which has to
//! be named (Fetch), and except the literal `*`. What a preflight asks for is parsed with bounds,
//! in place, and never reflected (B16, B29).

use super::{
    diagnostic::{Finding, Parsed},
    syntax,
    wire::HeaderValue,
};

/// Most bytes of `Access-Control-Request-Headers`, all lines together.
pub const MAX_REQUEST_HEADERS_BYTES: usize = 4096;
/// Most names in it, repeated ones counted again.
pub const MAX_REQUEST_HEADERS_NAMES: usize = 64;
/// Most empty elements in it.
pub const MAX_REQUEST_HEADERS_EMPTY: usize = 64;

/// A list of header names, `*`, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHeaders {
    any: bool,
    /// As written, for the answer; `Content-Type` first when it was not written.
    listed: Vec<String>,
}

/// Why the headers that a preflight asks for are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadersFault {
    /// A name is not in the list.
    NotListed,
    /// An element is no header name.
    Malformed,
    /// A bound was passed.
    TooLarge,
}

/// Request headers that scripts cannot set (Fetch "forbidden request-header"), besides the
/// `Proxy-` and `Sec-` families.
const FORBIDDEN: [&str; 21] = [
    "accept-charset",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "access-control-request-private-network",
    "connection",
    "content-length",
    "cookie",
    "cookie2",
    "date",
    "dnt",
    "expect",
    "host",
    "keep-alive",
    "origin",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];
/// Names that only answers carry.
const RESPONSE_ONLY: [&str; 10] = [
    "access-control-expose-headers",
    "access-control-max-age",
    "etag",
    "location",
    "retry-after",
    "server",
    "set-cookie",
    "set-cookie2",
    "vary",
    "www-authenticate",
];

// === impl AllowedHeaders ===

impl Default for AllowedHeaders {
    /// `Content-Type` alone.
    fn default() -> Self {
        Self { any: false, listed: vec!["Content-Type".to_owned()] }
    }
}

impl AllowedHeaders {
    /// Reads a comma list that may contain `*`.
    pub fn parse(value: &str) -> Parsed<Self> {
        let mut any = false;
        let mut listed: Vec<String> = Vec::new();
        let mut findings = Vec::new();
        for name in syntax::config_list(value) {
            if name == "*" {
                any = true;
            } else if let Err(finding) = check_name(name) {
                findings.push(finding);
            } else if !listed.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                listed.push(name.to_owned());
            }
        }
        // `*` covers it; otherwise the list extends the standard headers.
        if !any && !listed.iter().any(|name| name.eq_ignore_ascii_case("content-type")) {
            listed.insert(0, "Content-Type".to_owned());
        }
        Parsed { value: Self { any, listed }, findings }
    }

    /// `*` is in the list.
    pub fn is_any(&self) -> bool {
        self.any
    }

    /// The named headers as written.
    pub fn listed(&self) -> &[String] {
        &self.listed
    }

    /// Whether a page may set this header; case does not matter.
    pub fn allows(&self, name: &[u8]) -> bool {
        self.listed.iter().any(|listed| listed.as_bytes().eq_ignore_ascii_case(name))
            || (self.any && !name.eq_ignore_ascii_case(b"authorization") && name != b"*")
    }

    /// Whether everything that `other` allows is allowed here too.
    pub fn covers(&self, other: &Self) -> bool {
        (self.any || !other.any) && other.listed.iter().all(|name| self.allows(name.as_bytes()))
    }

    /// Checks all lines of `Access-Control-Request-Headers`: they are one list, in any case and
    /// order, with repeated and empty elements.
    ///
    /// # Errors
    /// The first fault, malformed before not listed.
    pub fn check(&self, lines: &[HeaderValue]) -> Result<(), HeadersFault> {
        // Joining the lines would put one comma between each two.
        let bytes = lines.iter().map(|line| line.len() + 1).sum::<usize>();
        if bytes > MAX_REQUEST_HEADERS_BYTES + 1 {
            return Err(HeadersFault::TooLarge);
        }
        let (mut names, mut empty, mut listed) = (0, 0, true);
        for element in lines.iter().flat_map(|line| line.as_bytes().split(|&byte| byte == b',')) {
            let name = syntax::trim_ows(element);
            if name.is_empty() {
                empty += 1;
            } else if syntax::is_token(name) {
                names += 1;
                listed = listed && self.allows(name);
            } else {
                return Err(HeadersFault::Malformed);
            }
            if names > MAX_REQUEST_HEADERS_NAMES || empty > MAX_REQUEST_HEADERS_EMPTY {
                return Err(HeadersFault::TooLarge);
            }
        }
        if listed { Ok(()) } else { Err(HeadersFault::NotListed) }
    }

    /// The value of `Access-Control-Allow-Headers`.
    pub fn header_value(&self) -> String {
        let names =
            self.any.then_some("*").into_iter().chain(self.listed.iter().map(String::as_str));
        names.collect::<Vec<_>>().join(", ")
    }
}

fn check_name(name: &str) -> Result<(), Finding> {
    if !syntax::is_token(name.as_bytes()) {
        return Err(Finding::new("CORS-E040", format!("`{name}` is not a header name"))
            .fix("separate names with commas"));
    }
    let lower = name.to_ascii_lowercase();
    if RESPONSE_ONLY.contains(&lower.as_str()) || lower.starts_with("access-control-allow-") {
        return Err(Finding::new("CORS-E042", format!("`{name}` is a response header"))
            .fix("to let pages read it, list it in the exposed headers instead"));
    }
    if FORBIDDEN.contains(&lower.as_str())
        || lower.starts_with("sec-")
        || lower.starts_with("proxy-")
    {
        let fix = match lower.as_str() {
            "cookie" | "cookie2" => "for cookies use `cors.allow.credentials`".to_owned(),
            _ => format!("remove `{name}`"),
        };
        return Err(Finding::new(
            "CORS-E041",
            format!("`{name}`: browsers set it themselves, scripts cannot"),
        )
        .fix(fix));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> (AllowedHeaders, Vec<&'static str>) {
        let parsed = AllowedHeaders::parse(value);
        (parsed.value, parsed.findings.iter().map(|finding| finding.code).collect())
    }

    fn check(list: &str, lines: &[&str]) -> Result<(), HeadersFault> {
        let lines: Vec<_> =
            lines.iter().map(|line| HeaderValue::from_bytes(line.as_bytes()).unwrap()).collect();
        parse(list).0.check(&lines)
    }

    #[test]
    fn b29_content_type_is_always_in_the_list() {
        assert_eq!(parse("").0, AllowedHeaders::default());
        assert_eq!(parse("X-A").0.header_value(), "Content-Type, X-A");
        assert_eq!(parse("X-A, content-type").0.header_value(), "X-A, content-type");
        assert_eq!(check("X-A", &["content-type,x-a"]), Ok(()));
    }

    #[test]
    fn b29_case_order_blanks_repeats_and_empty_elements_do_not_matter() {
        for line in ["x-b,x-a", "X-A, X-B", " x-a ,\tx-b ", ",x-a,,x-b,", "x-a,x-a", "", " ,\t,"] {
            assert_eq!(check("X-A, X-B", &[line]), Ok(()), "{line:?}");
        }
    }

    #[test]
    fn b29_all_lines_are_one_list() {
        assert_eq!(check("X-A, X-B", &["x-a", "x-b"]), Ok(()));
        assert_eq!(check("X-A", &["x-a", "x-b"]), Err(HeadersFault::NotListed));
        assert_eq!(check("X-A", &[]), Ok(()));
    }

    #[test]
    fn b29_only_tokens_are_names() {
        for line in ["x a", "x-a;x-b", "x-a:", "\"x-a\"", "x-a\u{a0}", "x\u{e9}"] {
            assert_eq!(check("*", &[line]), Err(HeadersFault::Malformed), "{line:?}");
        }
        assert_eq!(check("X-A", &["x-evil, x a"]), Err(HeadersFault::Malformed));
    }

    #[test]
    fn b29_prefixes_and_extensions_of_a_name_are_other_names() {
        for line in ["x-custom", "x-custom-token2", "-token", "*"] {
            assert_eq!(check("X-Custom-Token", &[line]), Err(HeadersFault::NotListed), "{line:?}");
        }
    }

    #[test]
    fn b29_any_header_never_covers_authorization_or_a_literal_asterisk() {
        assert_eq!(check("*", &["x-a, X-Anything"]), Ok(()));
        for line in ["authorization", "AUTHORIZATION", "x-a, Authorization", "*"] {
            assert_eq!(check("*", &[line]), Err(HeadersFault::NotListed), "{line:?}");
        }
        assert_eq!(check("*, Authorization", &["authorization,x-a"]), Ok(()));
        assert_eq!(parse("*, Authorization").0.header_value(), "*, Authorization");
        assert_eq!(parse("*").0.header_value(), "*");
    }

    #[test]
    fn b29_bounds_bytes_names_and_empty_elements() {
        let names = |count: usize| vec!["a"; count].join(",");
        assert_eq!(check("*", &[&names(64)]), Ok(()));
        assert_eq!(check("*", &[&names(65)]), Err(HeadersFault::TooLarge));
        assert_eq!(check("*", &[&",".repeat(63)]), Ok(()));
        assert_eq!(check("*", &[&",".repeat(64)]), Err(HeadersFault::TooLarge));
        let long = "a".repeat(MAX_REQUEST_HEADERS_BYTES);
        assert_eq!(check("*", &[&long]), Ok(()));
        assert_eq!(check("*", &[&long, ""]), Err(HeadersFault::TooLarge));
        assert_eq!(check("*", &[&format!("{long}a")]), Err(HeadersFault::TooLarge));
    }

    #[test]
    fn e040_to_e042_tell_which_names_are_no_request_headers() {
        assert_eq!(parse("Content-Type, X Custom").1, ["CORS-E040"]);
        for name in ["Cookie", "host", "Origin", "Sec-Fetch-Site", "Proxy-Foo", "Via"] {
            assert_eq!(parse(name).1, ["CORS-E041"], "{name}");
        }
        for name in ["Access-Control-Allow-Origin", "Set-Cookie", "access-control-max-age"] {
            assert_eq!(parse(name).1, ["CORS-E042"], "{name}");
        }
        assert!(parse("Authorization, X-Request-Id, Accept, *").1.is_empty());
    }
}
