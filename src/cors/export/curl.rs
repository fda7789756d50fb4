//! A shell script with the commands that send what browsers send, and what this policy answers.
//!
//! For tickets and for a first look at what stands in between. The expectations are imagined answers of
//! the code that serves.

use super::{Place, Reasons, Unexpressible};
use crate::cors::{
    facts::RequestSketch,
    imagined::Imagined,
    listener::ListenerPolicy,
    pattern::OriginPattern,
    wire::{HeaderValue, Method, header},
};

/// Origins that get commands of their own.
const MAX_ORIGINS: usize = 5;
const STRANGER: &str = "https://stranger.example";

pub(super) fn write(listener: &ListenerPolicy, place: &Place) -> Result<String, Unexpressible> {
    let target = place.path.as_str();
    let asked = RequestSketch::new(Method::GET, target);
    let policy = listener.policy_for(&asked.facts());
    let mut reasons = Reasons::default();
    if !policy.is_on() {
        let prefix = policy.listener().prefix();
        reasons.add(format!(
            "the policy `{}` is off ({prefix}.allowed.origin, {prefix}.mode): there is nothing to \
             reproduce",
            policy.label()
        ));
    }
    let spec = policy.spec();
    let mut origins: Vec<String> =
        policy.origins().entries().iter().take(MAX_ORIGINS).map(OriginPattern::example).collect();
    origins.push(STRANGER.to_owned());
    let methods =
        spec.methods.listed().iter().map(String::as_str).filter(|name| *name != "OPTIONS");
    let methods: Vec<&str> = if spec.methods.is_any() { vec!["POST"] } else { methods.collect() };
    let names: Vec<String> =
        spec.headers.listed().iter().map(|name| name.to_ascii_lowercase()).collect();
    let url = format!("http://{}{target}", place.upstream);
    let mut text = format!(
        "#!/bin/sh\n# Made by `torchfront cors export --to curl` from the policy `{}`.\n# Sends what \
         browsers send to $1; the lines below each command are what the policy answers.\nurl=${{1:-{}}}\n",
        policy.label(),
        quoted(&url),
    );
    for origin in &origins {
        let from = (header::ORIGIN, origin.clone());
        for method in &methods {
            let mut lines =
                vec![from.clone(), (header::ACCESS_CONTROL_REQUEST_METHOD, (*method).to_owned())];
            if !names.is_empty() {
                lines.push((header::ACCESS_CONTROL_REQUEST_HEADERS, names.join(",")));
            }
            text += &command(listener, target, &Method::OPTIONS, &lines);
        }
        if spec.methods.allows(b"GET") {
            text += &command(listener, target, &Method::GET, &[from]);
        }
    }
    reasons.or(text)
}

/// A command, and the answer that is expected.
fn command(
    listener: &ListenerPolicy,
    target: &str,
    method: &Method,
    lines: &[(header::HeaderName, String)],
) -> String {
    let mut sketch = RequestSketch::new(method.clone(), target);
    let mut text = format!("\ncurl -sS -o /dev/null -D - -X {method} \"$url\"");
    for (name, value) in lines {
        text += &format!(" \\\n  -H {}", quoted(&format!("{name}: {value}")));
        if let Ok(value) = HeaderValue::from_str(value) {
            sketch = sketch.header(name.clone(), value);
        }
    }
    text.push('\n');
    let answer = Imagined::new(listener, &sketch);
    if answer.at_once {
        text += &format!("# expect: HTTP/1.1 {}\n", answer.status.as_u16());
    }
    let mut headers: Vec<String> = answer
        .headers
        .iter()
        .filter(|(name, _)| *name != header::CONTENT_TYPE)
        .map(|(name, value)| {
            format!("# expect: {name}: {}\n", String::from_utf8_lossy(value.as_bytes()))
        })
        .collect();
    headers.sort();
    text += &headers.concat();
    if !answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        text += "# expect no: access-control-allow-origin\n";
    }
    text
}

/// One word for the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
