//! `cors check`: every finding of a configuration, the policies that come of it, and who may do
//! what.
//!
//! The same diagnostics as at start, for people and for machines (serde). The matrix is made by the
//! decision itself, not by reading the lists again.

use std::fmt;

use serde::Serialize;

use super::{
    decide::decide,
    decision::Verdict,
    diagnostic::Diagnostic,
    facts::RequestSketch,
    listener::{Listener, ListenerPolicy},
    pattern::OriginPattern,
    policy::CorsPolicy,
    settings::Compiled,
    spec::{Block, Mode},
    wire::{HeaderValue, Method, header},
};

/// What `cors check` says.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// The server would not start.
    pub problems: Vec<Diagnostic>,
    /// It would start and warn.
    pub warnings: Vec<Diagnostic>,
    /// The policies; none when there are problems.
    pub policies: Vec<PolicySummary>,
}

/// One effective policy.
#[derive(Clone, Debug, Serialize)]
pub struct PolicySummary {
    /// Whose it is.
    pub listener: Listener,
    /// The listener, `model:<name>` or `route:<id>`.
    pub policy: String,
    /// Some origin is allowed and the mode is enforce.
    pub on: bool,
    /// `enforce`, `shadow` or `off`.
    pub mode: Mode,
    /// How many origins and patterns are allowed; `*` counts as one.
    pub origins: usize,
    /// `Access-Control-Allow-Methods`.
    pub methods: String,
    /// `Access-Control-Allow-Headers`.
    pub headers: String,
    /// `Access-Control-Expose-Headers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposed: Option<String>,
    /// `Access-Control-Allow-Credentials`.
    pub credentials: bool,
    /// `Access-Control-Max-Age` in seconds.
    pub max_age: u32,
    /// Which requests of foreign pages are refused.
    pub block: Block,
    /// Who may do what, for the first entries and for a stranger.
    pub matrix: Vec<MatrixRow>,
}

/// What pages of one origin may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MatrixRow {
    /// An origin that the entry covers, or a stranger's.
    pub origin: String,
    /// By method, in the order of [`METHODS`].
    pub methods: Vec<MatrixCell>,
}

/// What a page may do with one method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MatrixCell {
    /// Send it and read the answer.
    Reads,
    /// Send it at most; the answer stays hidden.
    Hidden,
    /// Nothing: the server refuses it.
    Refused,
}

/// The columns of the matrix.
pub const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
/// The rows of the matrix besides the stranger's.
const MAX_ROWS: usize = 20;
const STRANGER: &str = "https://stranger.example";

// === impl CheckReport ===

impl CheckReport {
    /// Looks at what was compiled.
    pub fn new(compiled: &Compiled) -> Self {
        let policies = compiled.policies.iter().flat_map(|policies| {
            Listener::ALL.into_iter().flat_map(|listener| Self::summaries(policies.of(listener)))
        });
        Self {
            problems: compiled.problems.clone(),
            warnings: compiled.warnings.clone(),
            policies: policies.collect(),
        }
    }

    /// The policies of one listener: its own, then those of models and routes.
    pub fn summaries(listener: &ListenerPolicy) -> Vec<PolicySummary> {
        let policies = std::iter::once(listener.base()).chain(listener.overrides());
        policies.map(|policy| PolicySummary::new(policy)).collect()
    }
}

// === impl PolicySummary ===

impl PolicySummary {
    fn new(policy: &CorsPolicy) -> Self {
        let spec = policy.spec();
        let entries = policy.origins().entries();
        let rows =
            entries.iter().take(MAX_ROWS).map(OriginPattern::example).chain([STRANGER.to_owned()]);
        Self {
            listener: policy.listener(),
            policy: policy.label().to_string(),
            on: policy.is_on(),
            mode: spec.mode,
            origins: entries.len() + usize::from(policy.origins().is_any()),
            methods: spec.methods.header_value(),
            headers: spec.headers.header_value(),
            exposed: spec.exposed.header_value(),
            credentials: spec.credentials,
            max_age: spec.max_age,
            block: spec.block,
            matrix: rows.map(|origin| MatrixRow::new(policy, origin)).collect(),
        }
    }
}

// === impl MatrixRow ===

impl MatrixRow {
    fn new(policy: &CorsPolicy, origin: String) -> Self {
        let methods = METHODS.map(|method| MatrixCell::of(policy, &origin, method));
        Self { origin, methods: methods.into() }
    }
}

// === impl MatrixCell ===

impl MatrixCell {
    pub(super) fn of(policy: &CorsPolicy, origin: &str, method: &str) -> Self {
        let (Ok(method), Ok(origin)) =
            (Method::from_bytes(method.as_bytes()), HeaderValue::from_str(origin))
        else {
            return Self::Refused;
        };
        let sketch = RequestSketch::new(method, "/").header(header::ORIGIN, origin);
        match decide(policy, &sketch.facts()).verdict {
            Verdict::Allowed => Self::Reads,
            Verdict::Denied | Verdict::NotCors | Verdict::Off => Self::Hidden,
            Verdict::Blocked => Self::Refused,
        }
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "error: {problem}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for policy in &self.policies {
            writeln!(f, "\n{policy}")?;
        }
        write!(f, "{} errors, {} warnings", self.problems.len(), self.warnings.len())
    }
}

impl fmt::Display for PolicySummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.on, self.mode) {
            (true, _) => "on",
            (false, Mode::Off) => "off (mode)",
            (false, Mode::Shadow) => "shadow: counted, nothing is sent",
            (false, Mode::Enforce) => "off (no origin is allowed)",
        };
        writeln!(f, "policy {}: {state}", self.policy)?;
        if self.on {
            writeln!(f, "  origins      {}", self.origins)?;
            writeln!(f, "  methods      {}", self.methods)?;
            writeln!(f, "  headers      {}", self.headers)?;
            writeln!(f, "  exposed      {}", self.exposed.as_deref().unwrap_or("-"))?;
            writeln!(f, "  credentials  {}", self.credentials)?;
            writeln!(f, "  max-age      {} s", self.max_age)?;
        }
        let width = self.matrix.iter().map(|row| row.origin.len()).max().unwrap_or(0);
        write!(f, "  {:width$}", "")?;
        for method in METHODS {
            write!(f, "  {method:7}")?;
        }
        for row in &self.matrix {
            write!(f, "\n  {:width$}", row.origin)?;
            for cell in &row.methods {
                let word = match cell {
                    MatrixCell::Reads => "reads",
                    MatrixCell::Hidden => "hidden",
                    MatrixCell::Refused => "refused",
                };
                write!(f, "  {word:7}")?;
            }
        }
        Ok(())
    }
}
