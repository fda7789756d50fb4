//! `cors.allowed.methods`: the methods that pages of allowed origins may use.
//!
//! Unlike Fetch, which never checks GET, HEAD and POST, an unlisted method is refused whatever it
//! is; HEAD rides on GET (B28). Comparison is case-sensitive, the configuration is normalised as
//! browsers normalise.

use super::{
    diagnostic::{Finding, Parsed},
    syntax,
};

/// Longest method that is compared; a longer one is malformed.
pub const MAX_METHOD_BYTES: usize = 64;

/// A list of methods, or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedMethods {
    any: bool,
    listed: Vec<String>,
}

/// Fetch normalises these, whatever their case; no other method.
const NORMALISED: [&str; 6] = ["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"];
const FORBIDDEN: [&str; 3] = ["CONNECT", "TRACE", "TRACK"];

// === impl AllowedMethods ===

impl AllowedMethods {
    /// A list known to be sound: the defaults of the listeners.
    pub fn of(methods: &[&str]) -> Self {
        Self { any: false, listed: methods.iter().map(|&method| method.to_owned()).collect() }
    }

    /// Reads a comma list or `*`.
    pub fn parse(value: &str) -> Parsed<Self> {
        let mut parsed = Parsed { value: Self::of(&[]), findings: Vec::new() };
        let findings = &mut parsed.findings;
        let list = &mut parsed.value;
        for method in syntax::config_list(value) {
            if method == "*" {
                list.any = true;
                continue;
            }
            match normalise(method, findings) {
                Some(method) if !list.listed.contains(&method) => list.listed.push(method),
                Some(_) | None => {}
            }
        }
        if !list.any && list.listed.is_empty() && findings.is_empty() {
            findings.push(
                Finding::new("CORS-E030", "no method is listed, so that nothing would be allowed")
                    .fix("name at least one method, or remove the line for the default"),
            );
        }
        parsed
    }

    /// `*`.
    pub fn is_any(&self) -> bool {
        self.any
    }

    /// The named methods, in configuration order.
    pub fn listed(&self) -> &[String] {
        &self.listed
    }

    /// Whether a page may use this method. CONNECT, TRACE and TRACK never match, nor does `*`.
    pub fn allows(&self, method: &[u8]) -> bool {
        let named = |wanted: &[u8]| self.listed.iter().any(|listed| listed.as_bytes() == wanted);
        if named(method) || (method == b"HEAD" && named(b"GET")) {
            return true;
        }
        self.any && method != b"*" && !FORBIDDEN.iter().any(|no| no.as_bytes() == method)
    }

    /// Whether everything that `other` allows is allowed here too.
    pub fn covers(&self, other: &Self) -> bool {
        self.any || (!other.any && other.listed.iter().all(|method| self.allows(method.as_bytes())))
    }

    /// The value of `Access-Control-Allow-Methods`.
    pub fn header_value(&self) -> String {
        if self.any { "*".to_owned() } else { self.listed.join(", ") }
    }
}

fn normalise(method: &str, findings: &mut Vec<Finding>) -> Option<String> {
    if !syntax::is_token(method.as_bytes()) || method.len() > MAX_METHOD_BYTES {
        findings.push(
            Finding::new("CORS-E030", format!("`{method}` is not a method"))
                .fix("separate methods with commas"),
        );
        return None;
    }
    let upper = method.to_ascii_uppercase();
    if FORBIDDEN.contains(&upper.as_str()) {
        findings.push(
            Finding::new("CORS-E031", format!("`{method}`: browsers never send {upper}"))
                .fix(format!("remove `{method}`")),
        );
        return None;
    }
    if method == upper {
        return Some(upper);
    }
    if NORMALISED.contains(&upper.as_str()) {
        findings.push(Finding::new(
            "CORS-W113",
            format!("`{method}` is taken as `{upper}`: methods are case-sensitive"),
        ));
        return Some(upper);
    }
    if upper == "PATCH" {
        findings.push(
            Finding::new("CORS-E032", format!("`{method}` would never match: case matters"))
                .fix("did you mean `PATCH`?"),
        );
        return None;
    }
    Some(method.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> (AllowedMethods, Vec<&'static str>) {
        let parsed = AllowedMethods::parse(value);
        (parsed.value, parsed.findings.iter().map(|finding| finding.code).collect())
    }

    #[test]
    fn b28_a_method_is_compared_byte_by_byte() {
        let (methods, findings) = parse("GET, POST, M-SEARCH, PROPFIND");
        assert!(findings.is_empty());
        for yes in ["GET", "HEAD", "POST", "M-SEARCH", "PROPFIND"] {
            assert!(methods.allows(yes.as_bytes()), "{yes}");
        }
        for no in ["get", "head", "Post", "PUT", "PATCH", "patch", "*", "", "GETX", "GE", "TRACE"] {
            assert!(!methods.allows(no.as_bytes()), "{no}");
        }
        assert_eq!(methods.header_value(), "GET, POST, M-SEARCH, PROPFIND");
    }

    #[test]
    fn b28_head_rides_on_get_only() {
        assert!(!parse("POST").0.allows(b"HEAD"));
        assert!(parse("HEAD").0.allows(b"HEAD"));
        assert!(!parse("HEAD").0.allows(b"GET"));
    }

    #[test]
    fn b28_any_method_never_covers_the_forbidden_ones() {
        let (methods, _) = parse("*");
        assert!(methods.allows(b"DELETE") && methods.allows(b"NEW") && methods.allows(b"HEAD"));
        for no in ["CONNECT", "TRACE", "TRACK", "*"] {
            assert!(!methods.allows(no.as_bytes()), "{no}");
        }
        assert_eq!(methods.header_value(), "*");
    }

    #[test]
    fn e030_to_e032_and_w113_tell_how_methods_are_written() {
        assert_eq!(parse("GET, P T").1, ["CORS-E030"]);
        assert_eq!(parse(" , ").1, ["CORS-E030"]);
        assert_eq!(parse("GET, trace, CONNECT, TRACK").1, ["CORS-E031"; 3]);
        assert_eq!(parse("patch, Patch").1, ["CORS-E032"; 2]);
        let (methods, findings) = parse("get, Post, GET");
        assert_eq!(findings, ["CORS-W113"; 2]);
        assert_eq!(methods.header_value(), "GET, POST");
    }
}
