//! Tests of the room as a whole: rules of the contract, settings, middleware, and two oracles.
//!
//! Test names begin with the rule or code that they hold to.

mod engine;
mod grammar;
mod middleware;
mod naive;
mod protection;
mod rules;
mod settings;
mod telling;

use super::wire::{HeaderMap, HeaderName, HeaderValue, Method};
use super::*;

/// `key=value` lines as settings of `config.properties`.
fn settings(lines: &[&str]) -> Vec<Setting> {
    (1..)
        .zip(lines)
        .map(|(line, text)| {
            let (key, value) = text.split_once('=').unwrap();
            assert!(is_cors_key(key), "{key}");
            Setting::in_file(key, value, "config.properties", line)
        })
        .collect()
}

/// Listeners without tokens on every interface: the fewest warnings.
fn open() -> ListenerFacts {
    ListenerFacts {
        token_auth: false,
        inference: BindScope::Any,
        management: BindScope::Any,
        metrics: BindScope::Any,
        models: None,
        models_load_later: true,
        https: [false; 3],
        guarded_hosts: [false; 3],
    }
}

fn policies(lines: &[&str]) -> ListenerPolicies {
    let compiled = compile(&settings(lines), &open());
    assert_eq!(compiled.problems, [], "{lines:?}");
    compiled.policies.unwrap()
}

/// `METHOD target`, then headers.
fn request(start: &str, headers: &[(&str, &str)]) -> RequestSketch {
    let (method, target) = start.split_once(' ').unwrap();
    let sketch = RequestSketch::new(Method::from_bytes(method.as_bytes()).unwrap(), target);
    headers.iter().fold(sketch, |sketch, (name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        sketch.header(name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
    })
}

fn decision(listener: &ListenerPolicy, start: &str, headers: &[(&str, &str)]) -> Decision {
    listener.decide(&request(start, headers).facts()).1
}

/// The headers of the answer, sorted, after the status; 200 for what the router answers.
fn answer(listener: &ListenerPolicy, start: &str, headers: &[(&str, &str)]) -> (u16, Vec<String>) {
    answer_over(listener, start, headers, &[])
}

/// The same over a router that sets headers itself.
fn answer_over(
    listener: &ListenerPolicy,
    start: &str,
    headers: &[(&str, &str)],
    inner: &[(&str, &str)],
) -> (u16, Vec<String>) {
    let sketch = request(start, headers);
    let (policy, decision) = listener.decide(&sketch.facts());
    let mut out = HeaderMap::new();
    let status = match policy.answer(&decision, &mut out) {
        Some(answer) => answer.status.as_u16(),
        None => {
            for (name, value) in inner {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                out.append(name, HeaderValue::from_str(value).unwrap());
            }
            policy.finish(&decision, &mut out);
            200
        }
    };
    let mut lines: Vec<String> =
        out.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort();
    (status, lines)
}

const ORIGIN: &str = "origin";
const ACRM: &str = "access-control-request-method";
const ACRH: &str = "access-control-request-headers";
const APP: &str = "https://app.example.com";
const EVIL: &str = "https://evil.example";
const PREFLIGHT_VARY: &str =
    "vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

fn one_origin() -> ListenerPolicies {
    policies(&["cors.allowed.origin=https://app.example.com"])
}

fn any_origin() -> ListenerPolicies {
    policies(&["cors.allowed.origin=*"])
}

fn outcome(
    listener: &ListenerPolicy,
    start: &str,
    headers: &[(&str, &str)],
) -> (Kind, Verdict, Reason) {
    let Decision { kind, verdict, reason, .. } = decision(listener, start, headers);
    (kind, verdict, reason)
}
