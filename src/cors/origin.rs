//! The `Origin` of a request, taken apart. PURE, no allocation.
//!
//! Called by `origins.rs` when no exact entry matched, and by `cross_site.rs` to compare with
//! `Host`. The grammar is Fetch's serialised origin as browsers send it: lower case, ASCII, no
//! default port, nothing after the port. Whatever else arrives is malformed, never repaired
//! (B5-B8).

/// Longest `Origin` that is looked at: a scheme, `://`, a host of 253 bytes and a port fit easily.
pub const MAX_ORIGIN_BYTES: usize = 326;
/// Longest host name in bytes (RFC 1035).
pub const MAX_HOST_BYTES: usize = 253;

/// `scheme://host[:port]`, borrowed from the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SerializedOrigin<'a> {
    /// `https`, `http`, `chrome-extension`, ...
    pub scheme: &'a [u8],
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    pub host: &'a [u8],
    /// `None` is the default port of the scheme.
    pub port: Option<u16>,
}

/// Why a value is no single origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginFault {
    /// More than [`MAX_ORIGIN_BYTES`].
    TooLong,
    /// `null`: sandboxed frames, `data:` documents, files; anyone can produce it (B9).
    Null,
    /// A comma list or RFC 6454's blank-separated list (B6).
    Multiple,
    /// Anything else.
    Malformed,
}

// === impl SerializedOrigin ===

impl<'a> SerializedOrigin<'a> {
    /// Takes one field value apart.
    ///
    /// # Errors
    /// The first [`OriginFault`] that applies, in the order of the enumeration.
    pub fn parse(value: &'a [u8]) -> Result<Self, OriginFault> {
        if value.len() > MAX_ORIGIN_BYTES {
            return Err(OriginFault::TooLong);
        }
        if value == b"null" {
            return Err(OriginFault::Null);
        }
        if value.iter().any(|byte| matches!(byte, b',' | b' ' | b'\t')) {
            return Err(OriginFault::Multiple);
        }
        Self::parse_one(value).ok_or(OriginFault::Malformed)
    }

    fn parse_one(value: &'a [u8]) -> Option<Self> {
        let colon = value.iter().position(|&byte| byte == b':')?;
        let (scheme, rest) = value.split_at(colon);
        let authority = rest.strip_prefix(b"://")?;
        if !is_scheme(scheme) {
            return None;
        }
        let host_end = match authority {
            [b'[', ..] => authority.iter().position(|&byte| byte == b']')? + 1,
            _ => authority.iter().position(|&byte| byte == b':').unwrap_or(authority.len()),
        };
        let (host, port) = authority.split_at(host_end);
        if !is_host(host) {
            return None;
        }
        let port = match port {
            [] => None,
            [b':', digits @ ..] => Some(parse_port(digits)?),
            _ => return None,
        };
        if port.is_some() && port == default_port(scheme) {
            return None;
        }
        Some(Self { scheme, host, port })
    }
}

/// RFC 3986 3.1, lower case only.
pub fn is_scheme(scheme: &[u8]) -> bool {
    matches!(scheme, [b'a'..=b'z', rest @ ..]
        if rest.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.')))
}

/// 1-65535 without leading zero.
pub fn parse_port(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 || !matches!(digits, [b'1'..=b'9', ..]) {
        return None;
    }
    digits.iter().try_fold(0u16, |port, digit| {
        let digit = digit.is_ascii_digit().then(|| u16::from(digit - b'0'))?;
        port.checked_mul(10)?.checked_add(digit)
    })
}

/// The port that a serialised origin of this scheme leaves out.
pub fn default_port(scheme: &[u8]) -> Option<u16> {
    match scheme {
        b"http" => Some(80),
        b"https" => Some(443),
        _ => None,
    }
}

/// Non-empty labels of `[a-z0-9_-]` joined by dots.
pub fn is_dotted_labels(host: &[u8]) -> bool {
    host.split(|&byte| byte == b'.').all(|label| {
        !label.is_empty()
            && label.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
    })
}

fn is_host(host: &[u8]) -> bool {
    match host {
        [b'[', inner @ .., b']'] => {
            inner.contains(&b':')
                && inner.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b':'))
        }
        _ => host.len() <= MAX_HOST_BYTES && is_dotted_labels(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(value: &str) -> OriginFault {
        SerializedOrigin::parse(value.as_bytes()).expect_err(value)
    }

    #[test]
    fn b7_takes_scheme_host_and_port_apart() {
        let origin = SerializedOrigin::parse(b"https://a-b.example_1.com:8443").unwrap();
        assert_eq!(origin.scheme, b"https");
        assert_eq!(origin.host, b"a-b.example_1.com");
        assert_eq!(origin.port, Some(8443));
        let origin = SerializedOrigin::parse(b"http://[::1]:3000").unwrap();
        assert_eq!((origin.host, origin.port), (&b"[::1]"[..], Some(3000)));
        assert!(SerializedOrigin::parse(b"chrome-extension://abcdefghijklmnop").is_ok());
    }

    #[test]
    fn b7_refuses_whatever_a_browser_never_serialises() {
        for value in [
            "",
            "*",
            "NULL",
            "a.example",
            "https:a.example",
            "https:/a.example",
            "//a.example",
            "://a.example",
            "https://",
            "https:///",
            "file://",
            "HTTPS://a.example",
            "https://A.example",
            "https://a.example/",
            "https://a.example/x",
            "https://a.example?x",
            "https://a.example#x",
            "https://u@a.example",
            "https://u:p@a.example",
            "https://a.example.",
            "https://.a.example",
            "https://a..example",
            "https://a.example%60.b",
            "https://a.example`.b",
            "https://a.example\\.b",
            "https://a.example;",
            "https://*.a.example",
            "https://xn--\u{430}.example",
            "https://a.example:",
            "https://a.example:0",
            "https://a.example:08443",
            "https://a.example:65536",
            "https://a.example:99999999999",
            "https://a.example:80.b",
            "https://a.example:1:2",
            "http://[::1",
            "http://[]",
            "http://[::G]",
            "http://[::1]x",
            "http://[::1]:",
            "h\u{e9}://a",
            "1http://a",
        ] {
            assert_eq!(fault(value), OriginFault::Malformed, "{value}");
        }
    }

    #[test]
    fn b8_a_default_port_is_never_serialised() {
        assert_eq!(fault("https://a.example:443"), OriginFault::Malformed);
        assert_eq!(fault("http://a.example:80"), OriginFault::Malformed);
        assert!(SerializedOrigin::parse(b"http://a.example:443").is_ok());
    }

    #[test]
    fn b6_lists_are_told_from_malformed_values() {
        assert_eq!(fault("https://a.example, https://b.example"), OriginFault::Multiple);
        assert_eq!(fault("https://a.example https://b.example"), OriginFault::Multiple);
    }

    #[test]
    fn b9_null_is_its_own_case() {
        assert_eq!(fault("null"), OriginFault::Null);
    }

    #[test]
    fn b7_bounds_origin_and_host() {
        let host = vec!["ab"; 85].join(".");
        assert_eq!(host.len(), 254);
        assert_eq!(fault(&format!("https://{host}")), OriginFault::Malformed);
        assert!(SerializedOrigin::parse(format!("https://{}", &host[1..]).as_bytes()).is_ok());
        let long = "a".repeat(MAX_ORIGIN_BYTES + 1);
        assert_eq!(fault(&long), OriginFault::TooLong);
        assert_eq!(fault(&long[1..]), OriginFault::Malformed);
    }
}
