//! `cors.exposed.headers`: the response headers that pages of allowed origins may read.

use super::{
    diagnostic::{Finding, Parsed},
    syntax,
};

/// A list of header names, or `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExposedHeaders {
    listed: Vec<String>,
}

// === impl ExposedHeaders ===

impl ExposedHeaders {
    /// Reads a comma list that may contain `*`.
    pub fn parse(value: &str) -> Parsed<Self> {
        let mut parsed = Parsed { value: Self::default(), findings: Vec::new() };
        for name in syntax::config_list(value) {
            if let Err(finding) = check_name(name) {
                parsed.findings.push(finding);
            } else if !parsed.value.names(name) {
                parsed.value.listed.push(name.to_owned());
            }
        }
        parsed
    }

    /// `*` is in the list.
    pub fn is_any(&self) -> bool {
        self.names("*")
    }

    /// The names as written, `*` included.
    pub fn listed(&self) -> &[String] {
        &self.listed
    }

    /// Whether the list has this name; case does not matter.
    pub fn names(&self, name: &str) -> bool {
        self.listed.iter().any(|listed| listed.eq_ignore_ascii_case(name))
    }

    /// The value of `Access-Control-Expose-Headers`, `None` when nothing is exposed.
    pub fn header_value(&self) -> Option<String> {
        (!self.listed.is_empty()).then(|| self.listed.join(", "))
    }
}

fn check_name(name: &str) -> Result<(), Finding> {
    if !syntax::is_token(name.as_bytes()) {
        return Err(Finding::new("CORS-E050", format!("`{name}` is not a header name"))
            .fix("separate names with commas"));
    }
    let lower = name.to_ascii_lowercase();
    if matches!(lower.as_str(), "set-cookie" | "set-cookie2") {
        return Err(Finding::new("CORS-E051", format!("`{name}` is never shown to scripts"))
            .fix(format!("remove `{name}`")));
    }
    if lower == "origin" || lower.starts_with("access-control-request-") {
        return Err(Finding::new("CORS-E053", format!("`{name}` is a request header"))
            .fix(format!("remove `{name}`")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> (ExposedHeaders, Vec<&'static str>) {
        let parsed = ExposedHeaders::parse(value);
        (parsed.value, parsed.findings.iter().map(|finding| finding.code).collect())
    }

    #[test]
    fn b25_the_list_keeps_its_order_and_spelling() {
        let (exposed, findings) = parse("ETag, Link, X-Request-Id, etag");
        assert!(findings.is_empty());
        assert_eq!(exposed.header_value().as_deref(), Some("ETag, Link, X-Request-Id"));
        assert!(exposed.names("x-request-id") && !exposed.is_any());
        assert_eq!(parse("").0.header_value(), None);
        assert!(parse("*").0.is_any());
    }

    #[test]
    fn e050_e051_and_e053_tell_which_names_cannot_be_exposed() {
        assert_eq!(parse("X Request Id").1, ["CORS-E050"]);
        assert_eq!(parse("Set-Cookie, set-cookie2").1, ["CORS-E051"; 2]);
        assert_eq!(parse("Origin, Access-Control-Request-Method").1, ["CORS-E053"; 2]);
    }
}
