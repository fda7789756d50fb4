//! The other side of the wire: what a browser does, by the Fetch standard. PURE.
//!
//! Used by `explain.rs` to conclude from our answers and by tests as an independent judge: nothing
//! here knows a policy. Sections are those of Fetch: "CORS-safelisted request-header", "CORS
//! check", "CORS-preflight fetch".

use std::fmt;

use super::{
    syntax,
    wire::{HeaderMap, HeaderName, StatusCode, header},
};

/// What a script asks for with `fetch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The origin of the page.
    pub origin: String,
    /// The method as written; Fetch normalises six of them.
    pub method: String,
    /// The headers that the script sets.
    pub headers: Vec<PageHeader>,
    /// `credentials: "include"`.
    pub credentials: bool,
}

/// A header that a script sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageHeader {
    /// Its name.
    pub name: String,
    /// Its value, where it is known; without it a `Content-Type` is taken for one that needs a
    /// preflight.
    pub value: Option<String>,
}

/// Why the browser gives the script an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `Access-Control-Allow-Origin` is missing.
    NoAllowOrigin,
    /// It is not the page's origin; the value it has.
    OtherOrigin(String),
    /// It is `*` and the request has credentials.
    WildcardWithCredentials,
    /// `Access-Control-Allow-Credentials` is not `true`.
    NoCredentials,
    /// The preflight has no ok status.
    PreflightStatus(u16),
    /// A list of the preflight's answer is malformed.
    MalformedList(&'static str),
    /// The method is not in `Access-Control-Allow-Methods`.
    Method(String),
    /// The header is not in `Access-Control-Allow-Headers`.
    Header(String),
}

// === impl PageRequest ===

impl PageRequest {
    /// The method as it is sent.
    pub fn sent_method(&self) -> String {
        let upper = self.method.to_ascii_uppercase();
        match upper.as_str() {
            "DELETE" | "GET" | "HEAD" | "OPTIONS" | "POST" | "PUT" => upper,
            _ => self.method.clone(),
        }
    }

    /// The names for `Access-Control-Request-Headers`: lower case, sorted, each once.
    pub fn unsafe_header_names(&self) -> Vec<String> {
        let size: usize = self
            .headers
            .iter()
            .filter(|header| header.is_safelisted())
            .map(|header| header.value.as_ref().map_or(0, String::len))
            .sum();
        let mut names: Vec<String> = self
            .headers
            .iter()
            .filter(|header| !header.is_safelisted() || size > 1024)
            .map(|header| header.name.to_ascii_lowercase())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Why a preflight is sent first; empty when none is.
    pub fn preflight_reasons(&self) -> Vec<String> {
        let method = self.sent_method();
        let mut reasons = Vec::new();
        if !is_safelisted_method(&method) {
            reasons.push(format!("the method {method}"));
        }
        reasons.extend(self.unsafe_header_names().iter().map(|name| format!("the header {name}")));
        reasons
    }

    /// Judges the answer to the preflight.
    ///
    /// # Errors
    /// The first step of "CORS-preflight fetch" that fails.
    pub fn check_preflight(&self, status: StatusCode, answer: &HeaderMap) -> Result<(), Refusal> {
        self.check_sharing(answer)?;
        if !status.is_success() {
            return Err(Refusal::PreflightStatus(status.as_u16()));
        }
        let methods = list(answer, &header::ACCESS_CONTROL_ALLOW_METHODS)
            .ok_or(Refusal::MalformedList("Access-Control-Allow-Methods"))?;
        let headers = list(answer, &header::ACCESS_CONTROL_ALLOW_HEADERS)
            .ok_or(Refusal::MalformedList("Access-Control-Allow-Headers"))?;
        let any = |list: &[String]| !self.credentials && list.iter().any(|name| name == "*");
        let method = self.sent_method();
        if !methods.contains(&method) && !is_safelisted_method(&method) && !any(&methods) {
            return Err(Refusal::Method(method));
        }
        for name in self.unsafe_header_names() {
            let listed = headers.iter().any(|known| known.eq_ignore_ascii_case(&name));
            if !listed && (name == "authorization" || !any(&headers)) {
                return Err(Refusal::Header(name));
            }
        }
        Ok(())
    }

    /// Judges whether an answer may be shown to the script: the CORS check.
    ///
    /// # Errors
    /// The step that fails.
    pub fn check_sharing(&self, answer: &HeaderMap) -> Result<(), Refusal> {
        let Some(allowed) = combined(answer, &header::ACCESS_CONTROL_ALLOW_ORIGIN) else {
            return Err(Refusal::NoAllowOrigin);
        };
        if allowed == "*" {
            return match self.credentials {
                true => Err(Refusal::WildcardWithCredentials),
                false => Ok(()),
            };
        }
        if allowed != self.origin {
            return Err(Refusal::OtherOrigin(allowed));
        }
        let credentials = combined(answer, &header::ACCESS_CONTROL_ALLOW_CREDENTIALS);
        match self.credentials && credentials.as_deref() != Some("true") {
            true => Err(Refusal::NoCredentials),
            false => Ok(()),
        }
    }
}

// === impl PageHeader ===

impl PageHeader {
    /// `Name` or `Name: value`.
    pub fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some((name, value)) => {
                Self { name: name.trim().to_owned(), value: Some(value.trim().to_owned()) }
            }
            None => Self { name: text.trim().to_owned(), value: None },
        }
    }

    /// Fetch "CORS-safelisted request-header".
    fn is_safelisted(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        let Some(value) = &self.value else {
            return matches!(name.as_str(), "accept" | "accept-language" | "content-language");
        };
        let value = value.as_bytes();
        if value.len() > 128 {
            return false;
        }
        match name.as_str() {
            "accept" => !value.iter().copied().any(is_unsafe_byte),
            "accept-language" | "content-language" => value.iter().all(|byte| {
                byte.is_ascii_alphanumeric()
                    || matches!(byte, b' ' | b'*' | b',' | b'-' | b'.' | b';' | b'=')
            }),
            "content-type" => {
                let essence = value.split(|&byte| byte == b';').next().unwrap_or_default();
                let essence = syntax::trim_ows(essence).to_ascii_lowercase();
                !value.iter().copied().any(is_unsafe_byte)
                    && matches!(
                        &essence[..],
                        b"application/x-www-form-urlencoded"
                            | b"multipart/form-data"
                            | b"text/plain"
                    )
            }
            "range" => is_simple_range(value),
            _ => false,
        }
    }
}

/// GET, HEAD and POST need no permission of their own.
fn is_safelisted_method(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "POST")
}

/// Fetch "CORS-unsafe request-header byte".
fn is_unsafe_byte(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t')
        || matches!(byte, b'"' | b'(' | b')' | b':' | b'<' | b'>' | b'?' | b'@' | b'[' | b'\\')
        || matches!(byte, b']' | b'{' | b'}' | 0x7f)
}

/// `bytes=<digits>-[<digits>]`
fn is_simple_range(value: &[u8]) -> bool {
    let Some((first, last)) = value
        .strip_prefix(b"bytes=")
        .and_then(|range| range.iter().position(|&b| b == b'-').map(|dash| range.split_at(dash)))
    else {
        return false;
    };
    !first.is_empty() && first.iter().chain(&last[1..]).all(u8::is_ascii_digit)
}

/// All lines of a header as one value, as "get" combines them.
fn combined(answer: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Vec<_> =
        answer.get_all(name).map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

/// The elements of a list header; `None` when one is no token.
fn list(answer: &HeaderMap, name: &HeaderName) -> Option<Vec<String>> {
    let value = combined(answer, name).unwrap_or_default();
    let elements: Vec<String> = syntax::config_list(&value).map(str::to_owned).collect();
    elements.iter().all(|element| syntax::is_token(element.as_bytes())).then_some(elements)
}

// === impl Refusal ===

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAllowOrigin => f.write_str("the answer has no Access-Control-Allow-Origin"),
            Self::OtherOrigin(value) => {
                write!(f, "Access-Control-Allow-Origin is `{value}`, not the page's origin")
            }
            Self::WildcardWithCredentials => f.write_str(
                "Access-Control-Allow-Origin is `*`, which does not do for a request with \
                 credentials",
            ),
            Self::NoCredentials => f.write_str("Access-Control-Allow-Credentials is not `true`"),
            Self::PreflightStatus(status) => write!(f, "the preflight was answered {status}"),
            Self::MalformedList(name) => write!(f, "{name} is malformed"),
            Self::Method(method) => {
                write!(f, "the method {method} is not in Access-Control-Allow-Methods")
            }
            Self::Header(name) => {
                write!(f, "the header {name} is not in Access-Control-Allow-Headers")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cors::wire::HeaderValue;

    fn page(method: &str, headers: &[&str], credentials: bool) -> PageRequest {
        PageRequest {
            origin: "https://a.example".into(),
            method: method.into(),
            headers: headers.iter().map(|text| PageHeader::parse(text)).collect(),
            credentials,
        }
    }

    fn answer(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.parse().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn simple_requests_need_no_preflight() {
        for headers in [
            &[][..],
            &["Accept: application/json"],
            &["Content-Type: text/plain;charset=UTF-8"],
            &["Content-Type: multipart/form-data; boundary=x"],
            &["Range: bytes=0-99", "Accept-Language: de, en;q=0.5"],
        ] {
            assert!(page("post", headers, false).preflight_reasons().is_empty(), "{headers:?}");
        }
        for (method, header) in [
            ("PUT", "Accept: x"),
            ("patch", "Accept: x"),
            ("POST", "Content-Type: application/json"),
            ("POST", "Content-Type"),
            ("GET", "Authorization: Bearer x"),
            ("GET", "X-Custom"),
            ("GET", "Accept: {"),
            ("GET", "Range: bytes=-5"),
        ] {
            let page = page(method, &[header], false);
            assert_eq!(page.preflight_reasons().len(), 1, "{method} {header}");
        }
        let long = format!("Accept: {}", "a".repeat(129));
        assert_eq!(page("GET", &[&long], false).unsafe_header_names(), ["accept"]);
    }

    #[test]
    fn the_cors_check_compares_bytes_and_credentials() {
        let allow = "access-control-allow-origin";
        let plain = page("GET", &[], false);
        let credentials = page("GET", &[], true);
        assert_eq!(plain.check_sharing(&answer(&[])), Err(Refusal::NoAllowOrigin));
        assert_eq!(plain.check_sharing(&answer(&[(allow, "*")])), Ok(()));
        assert_eq!(
            credentials.check_sharing(&answer(&[(allow, "*")])),
            Err(Refusal::WildcardWithCredentials)
        );
        let echoed = answer(&[(allow, "https://a.example")]);
        assert_eq!(plain.check_sharing(&echoed), Ok(()));
        assert_eq!(credentials.check_sharing(&echoed), Err(Refusal::NoCredentials));
        let twice = answer(&[(allow, "https://a.example"), (allow, "https://a.example")]);
        assert!(matches!(plain.check_sharing(&twice), Err(Refusal::OtherOrigin(_))));
    }

    #[test]
    fn the_preflight_check_takes_asterisks_literally_with_credentials() {
        let lines = [
            ("access-control-allow-origin", "https://a.example"),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "*"),
            ("access-control-allow-headers", "*"),
        ];
        let wildcard = answer(&lines);
        let ok = StatusCode::NO_CONTENT;
        assert_eq!(page("PUT", &["X-A"], false).check_preflight(ok, &wildcard), Ok(()));
        assert_eq!(
            page("PUT", &[], true).check_preflight(ok, &wildcard),
            Err(Refusal::Method("PUT".into()))
        );
        assert_eq!(
            page("GET", &["X-A"], true).check_preflight(ok, &wildcard),
            Err(Refusal::Header("x-a".into()))
        );
        assert_eq!(
            page("GET", &["Authorization"], false).check_preflight(ok, &wildcard),
            Err(Refusal::Header("authorization".into()))
        );
        assert_eq!(
            page("GET", &["X-A"], false).check_preflight(StatusCode::FORBIDDEN, &wildcard),
            Err(Refusal::PreflightStatus(403))
        );
    }
}
