//! `cors vectors`: a policy held against written expectations, without a server.
//!
//! The format is that of the conformance file (`tests/cors/vectors.json`), which `tests/cors/run.py`
//! sends over sockets. Here each request is decided and answered by the code that serves; what only a
//! router or a model could answer is not judged, and a case of which nothing can be judged is skipped
//! with the reason. A key that is not known is an error: a misspelt expectation must not pass.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

mod judge;

use super::{
    facts::RequestSketch,
    imagined::Imagined,
    listener::{Listener, ListenerPolicies},
    path,
    settings::Compiled,
    wire::{HeaderMap, HeaderName, HeaderValue, Method},
};
use judge::Judge;

/// A name in a file, and what it stands for.
pub type Placeholder = (&'static str, String);

/// A file of cases.
#[derive(Debug, Deserialize)]
pub struct VectorFile {
    /// In order; a group may have one policy for all its cases.
    pub groups: Vec<VectorGroup>,
}

/// Cases under one policy.
#[derive(Debug, Deserialize)]
pub struct VectorGroup {
    /// `P01`.
    #[serde(default)]
    pub policy_id: String,
    /// Of all cases that have none of their own.
    pub policy: Option<VectorPolicy>,
    /// What a server must be able to for them.
    #[serde(default)]
    requires: Vec<String>,
    /// In order.
    pub cases: Vec<Vector>,
}

/// Properties, and files that they name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct VectorPolicy {
    /// One line of a properties file each.
    #[serde(default)]
    pub properties: Vec<String>,
    /// Name, with `{tmp}` for a folder, to contents.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
}

/// One request, or one configuration, and what is expected of it.
#[derive(Debug, Deserialize)]
pub struct Vector {
    /// `P01-PF-001`.
    pub id: String,
    /// In words.
    #[serde(default)]
    pub title: String,
    /// `must` or `should`.
    #[serde(default = "must")]
    pub level: String,
    #[serde(default = "inference")]
    listener: String,
    /// Instead of the group's.
    pub policy: Option<VectorPolicy>,
    request: Option<VectorRequest>,
    expect: Expectation,
    /// Something that happens between two requests.
    mutate: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct VectorRequest {
    method: String,
    path: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
}

/// What is expected: the keys of the conformance file, and no others.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Expectation {
    status: Option<u16>,
    status_in: Option<Vec<u16>>,
    headers_equal: BTreeMap<String, String>,
    headers_list_equal: BTreeMap<String, Names>,
    headers_list_contains: BTreeMap<String, Names>,
    headers_list_not_contains: BTreeMap<String, Names>,
    headers_present: Vec<String>,
    headers_absent: Vec<String>,
    no_cors_headers: bool,
    header_line_count: BTreeMap<String, usize>,
    vary_contains: Vec<String>,
    vary_not_contains: Vec<String>,
    vary_no_duplicates: bool,
    body_empty: bool,
    body_json_has_key: Option<Names>,
    same_headers_as: Option<SameHeaders>,
    /// Depends on the router.
    consistent_with_route: bool,
    starts: Option<bool>,
    exit_nonzero: Option<bool>,
    stderr_contains_all: Vec<String>,
    log_contains_all: Vec<String>,
    diagnostic_code: Option<String>,
}

/// A list, or a text with commas.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Names {
    List(Vec<String>),
    Text(String),
}

#[derive(Debug, Deserialize)]
struct SameHeaders {
    case: String,
    names: Vec<String>,
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VectorOutcome {
    /// Everything that can be judged without a server is as expected.
    Passed,
    /// What is not.
    Failed(Vec<String>),
    /// Nothing can be judged, and why.
    Skipped(String),
}

/// What happened in a group so far.
#[derive(Default)]
pub struct Answers {
    /// For expectations that name another case.
    headers: BTreeMap<String, HeaderMap>,
    /// A file changed: what follows is about the new one.
    changed: bool,
}

fn must() -> String {
    "must".to_owned()
}

fn inference() -> String {
    "inference".to_owned()
}

// === impl VectorFile ===

impl VectorFile {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, with the line.
    pub fn parse(text: &str) -> Result<VectorFile, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Names in the file that stand for something else, and what a run without a server puts there.
    pub fn placeholders(folder: &str) -> Vec<Placeholder> {
        let origin = |port: u16| format!("http://127.0.0.1:{port}");
        [
            ("{tmp}", folder.to_owned()),
            ("{model_pct}", "%6dodel".to_owned()),
            ("{model}", "model".to_owned()),
            ("{inference_port}", "8080".to_owned()),
            ("{inference_origin}", origin(8080)),
            ("{management_origin}", origin(8081)),
        ]
        .into()
    }
}

/// `text` with every placeholder replaced.
fn filled(text: &str, placeholders: &[Placeholder]) -> String {
    placeholders.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

// === impl VectorPolicy ===

impl VectorPolicy {
    /// The properties file and its companions, with the placeholders replaced.
    pub fn filled(&self, placeholders: &[Placeholder]) -> (String, Vec<(String, String)>) {
        let lines: Vec<String> =
            self.properties.iter().map(|line| filled(line, placeholders)).collect();
        let files =
            self.files.iter().map(|(name, text)| (filled(name, placeholders), text.clone()));
        (lines.join("\n") + "\n", files.collect())
    }
}

// === impl Vector ===

impl Vector {
    /// It is about a configuration, not about a request.
    pub fn is_config(&self) -> bool {
        self.expect.starts.is_some()
    }

    /// Judges a configuration.
    pub fn judge_config(&self, compiled: &Compiled) -> VectorOutcome {
        let starts = compiled.problems.is_empty();
        let said: String = compiled.problems.iter().map(|problem| format!("{problem}\n")).collect();
        let lower = said.to_ascii_lowercase();
        let mut failures = Vec::new();
        if let Some(expected) = self.expect.starts
            && expected != starts
        {
            let found = if starts { "nothing is wrong with it" } else { said.trim_end() };
            failures.push(format!("starts is {starts}, not {expected}: {found}"));
        }
        if !starts {
            for part in &self.expect.stderr_contains_all {
                if !lower.contains(&part.to_ascii_lowercase()) {
                    failures.push(format!("the message lacks `{part}`: {}", said.trim_end()));
                }
            }
            if let Some(code) = &self.expect.diagnostic_code
                && !compiled.problems.iter().any(|problem| problem.code == code)
            {
                failures.push(format!("the message lacks {code}: {}", said.trim_end()));
            }
        }
        outcome(failures)
    }

    /// Judges a request under these policies.
    pub fn judge(
        &self,
        group: &VectorGroup,
        policies: &ListenerPolicies,
        placeholders: &[Placeholder],
        answers: &mut Answers,
    ) -> VectorOutcome {
        let Some(request) = &self.request else {
            return VectorOutcome::Failed(vec!["there is no request".to_owned()]);
        };
        answers.changed |= self.mutate.is_some();
        if answers.changed {
            return skipped("something changes while the server runs");
        }
        let target = filled(&request.path, placeholders);
        let listener = match self.listener.as_str() {
            // One socket: the path tells the API.
            _ if group.requires.iter().any(|need| need == "shared_listener") => {
                path::api_of_path(target.split('?').next().unwrap_or_default())
            }
            "inference" => Listener::Inference,
            "management" => Listener::Management,
            "metrics" => Listener::Metrics,
            other => return VectorOutcome::Failed(vec![format!("`{other}` is no listener")]),
        };
        let Ok(method) = Method::from_bytes(request.method.as_bytes()) else {
            return skipped("the method is none: no request head can be made of it");
        };
        let mut sketch = RequestSketch::new(method, &target);
        let host = ("Host".to_owned(), Self::host(listener).to_owned());
        let has_host = request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        let host = (!has_host).then_some(&host);
        for (name, value) in host.into_iter().chain(&request.headers) {
            let value = filled(value, placeholders);
            // White space around a value is not part of it.
            let value = HeaderValue::from_bytes(super::syntax::trim_ows(value.as_bytes()));
            let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value) else {
                return skipped("a header is none: no request head can be made of it");
            };
            sketch = sketch.header(name, value);
        }
        let answer = Imagined::new(policies.of(listener), &sketch);
        let mut judge = Judge { answer: &answer, failures: Vec::new(), judged: 0 };
        judge.judge(&self.expect, placeholders, answers);
        let Judge { failures, judged, .. } = judge;
        answers.headers.insert(self.id.clone(), answer.headers);
        match judged {
            0 => skipped("the router's answer decides, not the policy"),
            _ => outcome(failures),
        }
    }
}

impl Vector {
    /// What a client of TorchServe's default addresses says.
    fn host(listener: Listener) -> &'static str {
        match listener {
            Listener::Inference => "127.0.0.1:8080",
            Listener::Management => "127.0.0.1:8081",
            Listener::Metrics => "127.0.0.1:8082",
        }
    }
}

fn outcome(failures: Vec<String>) -> VectorOutcome {
    match failures.is_empty() {
        true => VectorOutcome::Passed,
        false => VectorOutcome::Failed(failures),
    }
}

fn skipped(why: &str) -> VectorOutcome {
    VectorOutcome::Skipped(why.to_owned())
}

// === impl Names ===

impl Names {
    fn all(&self) -> Vec<&str> {
        match self {
            Names::List(list) => list.iter().map(String::as_str).collect(),
            Names::Text(text) => super::syntax::config_list(text).collect(),
        }
    }
}
