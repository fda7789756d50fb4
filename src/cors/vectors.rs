//! `cors vectors`: a policy held against written expectations, without a server.
//!
//! The format is that of the conformance file (`tests/cors/vectors.json`), which `tests/cors/run.py`
//! sends over sockets. Here each request is decided and answered by the code that serves; what only a
//! router or a model could answer is not judged, and a case of which nothing can be judged is skipped
//! with the reason. A key that is not known is an error: a misspelt expectation must not pass.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{
    facts::RequestSketch,
    imagined::Imagined,
    listener::{Listener, ListenerPolicies},
    path,
    settings::Compiled,
    wire::{HeaderMap, HeaderName, HeaderValue, Method, header, name},
};

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

/// Judges one answer.
struct Judge<'a> {
    answer: &'a Imagined,
    failures: Vec<String>,
    judged: usize,
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
    pub fn placeholders(folder: &str) -> Vec<(&'static str, String)> {
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
fn filled(text: &str, placeholders: &[(&'static str, String)]) -> String {
    placeholders.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

// === impl VectorPolicy ===

impl VectorPolicy {
    /// The properties file and its companions, with the placeholders replaced.
    pub fn filled(
        &self,
        placeholders: &[(&'static str, String)],
    ) -> (String, Vec<(String, String)>) {
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
        placeholders: &[(&'static str, String)],
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

// === impl Judge ===

impl Judge<'_> {
    fn judge(&mut self, expect: &Expectation, fill: &[(&'static str, String)], others: &Answers) {
        self.status(expect);
        for (name, value) in &expect.headers_equal {
            let (found, value) = (self.value(name), filled(value, fill));
            let same = found.as_deref() == Some(value.as_str());
            self.expect(name, same, format!("{name} is {found:?}, not `{value}`"));
        }
        for (name, names) in &expect.headers_list_equal {
            let (mut found, mut wanted) = (self.list(name), lower(names));
            found.sort();
            wanted.sort();
            self.expect(name, found == wanted, format!("{name} lists {found:?}, not {wanted:?}"));
        }
        for (name, names) in &expect.headers_list_contains {
            let found = self.list(name);
            let all = lower(names).iter().all(|wanted| found.contains(wanted));
            self.expect(
                name,
                all,
                format!("{name} lists {found:?}, which lacks some of {names:?}"),
            );
        }
        for (name, names) in &expect.headers_list_not_contains {
            let found = self.list(name);
            let none = !lower(names).iter().any(|no| found.contains(no));
            self.expect(name, none, format!("{name} lists {found:?}, with some of {names:?}"));
        }
        for name in &expect.headers_present {
            self.expect(name, self.value(name).is_some(), format!("{name} is missing"));
        }
        for name in &expect.headers_absent {
            let found = self.value(name);
            self.expect(name, found.is_none(), format!("{name} is there: {found:?}"));
        }
        for (name, count) in &expect.header_line_count {
            let found = self.lines(name);
            self.expect(name, found == *count, format!("{name} has {found} lines, not {count}"));
        }
        if expect.no_cors_headers {
            let found: Vec<String> = self
                .answer
                .headers
                .keys()
                .map(|name| name.as_str().to_owned())
                .filter(|name| name.starts_with("access-control-"))
                .collect();
            self.expect("access-control-", found.is_empty(), format!("there are {found:?}"));
        }
        self.vary(expect);
        self.body(expect);
        if let Some(same) = &expect.same_headers_as
            && let Some(other) = others.headers.get(&same.case)
        {
            for name in &same.names {
                let is_same = self.value(name) == value_of(other, name);
                self.expect(name, is_same, format!("{name} is not that of {}", same.case));
            }
        }
    }

    /// 403, 421 and the status of a granted preflight are ours; any other is the router's.
    fn status(&mut self, expect: &Expectation) {
        let found = self.answer.status.as_u16();
        let (at_once, expected) = (self.answer.at_once, expect.status);
        if at_once && let Some(expected) = expected {
            self.check(found == expected, format!("the status is {found}, not {expected}"));
        }
        if at_once && let Some(expected) = &expect.status_in {
            self.check(
                expected.contains(&found),
                format!("the status is {found}, not {expected:?}"),
            );
        }
        if !at_once && let Some(expected @ (204 | 403 | 421)) = expected {
            self.check(false, format!("the router answers, not the policy with {expected}"));
        }
    }

    fn vary(&mut self, expect: &Expectation) {
        let found = self.list("vary");
        for name in expect.vary_contains.iter().filter(|name| is_ours(name)) {
            let listed =
                found.contains(&name.to_ascii_lowercase()) || found.iter().any(|n| n == "*");
            self.check(listed, format!("Vary is {found:?}, without {name}"));
        }
        for name in expect.vary_not_contains.iter().filter(|name| is_ours(name)) {
            let listed = found.contains(&name.to_ascii_lowercase());
            self.check(!listed, format!("Vary is {found:?}, with {name}"));
        }
        if expect.vary_no_duplicates {
            let mut once = found.clone();
            once.sort();
            once.dedup();
            self.check(once.len() == found.len(), format!("Vary repeats: {found:?}"));
        }
    }

    fn body(&mut self, expect: &Expectation) {
        if !self.answer.at_once {
            return;
        }
        if expect.body_empty {
            let empty = self.answer.body.is_empty();
            self.check(empty, "the body is not empty".to_owned());
        }
        if let Some(keys) = &expect.body_json_has_key {
            let body: Option<Value> = serde_json::from_str(&self.answer.body).ok();
            for key in keys.all() {
                let there = body.as_ref().is_some_and(|body| body.get(key).is_some());
                self.check(there, format!("the body has no `{key}`"));
            }
        }
    }

    /// A header of the router's answer is only ours if CORS sets it.
    fn expect(&mut self, name: &str, right: bool, failure: String) {
        let name = name.to_ascii_lowercase();
        let ours = name.starts_with("access-control-")
            || name == header::VARY.as_str()
            || name == name::X_CORS_REASON.as_str();
        if ours || self.answer.at_once {
            self.check(right, failure);
        }
    }

    fn check(&mut self, right: bool, failure: String) {
        self.judged += 1;
        if !right {
            self.failures.push(failure);
        }
    }

    fn value(&self, name: &str) -> Option<String> {
        value_of(&self.answer.headers, name)
    }

    fn list(&self, name: &str) -> Vec<String> {
        let value = self.value(name).unwrap_or_default();
        super::syntax::config_list(&value).map(str::to_ascii_lowercase).collect()
    }

    fn lines(&self, name: &str) -> usize {
        name.parse::<HeaderName>().map_or(0, |name| self.answer.headers.get_all(name).count())
    }
}

/// An element of `Vary` that CORS puts there.
fn is_ours(element: &str) -> bool {
    let element = element.to_ascii_lowercase();
    element == "origin" || element.starts_with("access-control-request-")
}

fn lower(names: &Names) -> Vec<String> {
    names.all().into_iter().map(str::to_ascii_lowercase).collect()
}

/// All lines of a header, joined.
fn value_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let name = name.parse::<HeaderName>().ok()?;
    let lines: Vec<_> = headers
        .get_all(name)
        .map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned())
        .collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}
