//! Compares an imagined answer with what a case expects of it.

use serde_json::Value;

use super::{Answers, Expectation, Names, Placeholder, filled};
use crate::cors::{
    imagined::Imagined,
    syntax,
    wire::{HeaderMap, HeaderName, header, name},
};

/// Judges one answer.
pub(super) struct Judge<'a> {
    pub(super) answer: &'a Imagined,
    pub(super) failures: Vec<String>,
    /// Expectations that could be looked at.
    pub(super) judged: usize,
}

// === impl Judge ===

impl Judge<'_> {
    pub(super) fn judge(&mut self, expect: &Expectation, fill: &[Placeholder], others: &Answers) {
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
        syntax::config_list(&value).map(str::to_ascii_lowercase).collect()
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
