//! What is wrong with a configuration, where, and how to put it right.
//!
//! Parsers of single values give [`Finding`]s; `settings` adds the place and makes
//! [`Diagnostic`]s, which the start-up check and the linter print. All findings are collected, none
//! stops the search for the next.

use std::fmt;

use serde::Serialize;

/// Whether a start is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// `CORS-E...`: the server does not start, a reload keeps the last good policy.
    Error,
    /// `CORS-W...`: the server starts and says so.
    Warning,
}

/// One mistake or doubt about one value, before it is known which line it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `CORS-E014`, `CORS-W101`, ...; the list is in the documentation of `settings`.
    pub code: &'static str,
    /// What is wrong, with the value.
    pub message: String,
    /// What to write instead.
    pub fix: Option<String>,
}

/// A value that was read as far as possible, and what was found on the way.
#[derive(Clone, Debug)]
pub struct Parsed<T> {
    /// The value, without the refused parts.
    pub value: T,
    /// Errors and warnings in reading order.
    pub findings: Vec<Finding>,
}

/// A [`Finding`] with its place in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// `CORS-E014`, `CORS-W101`, ...
    pub code: &'static str,
    /// The configuration file, or the environment variable when `line` is 0.
    pub file: String,
    /// Line in the file, 1 is the first; 0 where there is none.
    pub line: usize,
    /// The property, spelt as in the configuration.
    pub key: String,
    /// What is wrong, with the value.
    pub message: String,
    /// What to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

// === impl Finding ===

impl Finding {
    /// A finding without a proposal.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), fix: None }
    }

    /// The same with what to write instead.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Errors have an `E` in their code.
    pub fn severity(&self) -> Severity {
        severity(self.code)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_message(f, &self.message, self.fix.as_deref())?;
        write!(f, " [{}]", self.code)
    }
}

impl std::error::Error for Finding {}

// === impl Diagnostic ===

impl Diagnostic {
    /// Errors have an `E` in their code.
    pub fn severity(&self) -> Severity {
        severity(self.code)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}: ", self.file, self.key)?,
            line => write!(f, "{}:{line}: {}: ", self.file, self.key)?,
        }
        write_message(f, &self.message, self.fix.as_deref())?;
        write!(f, " [{}]", self.code)
    }
}

impl std::error::Error for Diagnostic {}

fn severity(code: &str) -> Severity {
    if code.starts_with("CORS-E") { Severity::Error } else { Severity::Warning }
}

fn write_message(f: &mut fmt::Formatter<'_>, message: &str, fix: Option<&str>) -> fmt::Result {
    f.write_str(message)?;
    match fix {
        Some(fix) => write!(f, "; {fix}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b48_a_diagnostic_prints_place_key_message_fix_and_code() {
        let mut diagnostic = Diagnostic {
            code: "CORS-E014",
            file: "config.properties".into(),
            line: 12,
            key: "cors.allowed.origin".into(),
            message: "an origin has no path".into(),
            fix: Some("write `https://a.example`".into()),
        };
        assert_eq!(
            diagnostic.to_string(),
            "config.properties:12: cors.allowed.origin: an origin has no path; \
             write `https://a.example` [CORS-E014]"
        );
        (diagnostic.line, diagnostic.fix) = (0, None);
        diagnostic.file = "TS_CORS_ALLOWED_ORIGIN".into();
        assert_eq!(
            diagnostic.to_string(),
            "TS_CORS_ALLOWED_ORIGIN: cors.allowed.origin: an origin has no path [CORS-E014]"
        );
        assert_eq!(diagnostic.severity(), Severity::Error);
    }
}
