//! `cors diff`: what a changed configuration lets pages do that the old one did not, and the other
//! way round.
//!
//! Both policies decide about the same requests: every origin and pattern that either lists, a
//! stranger and `null`, with every method and header name that either lists and some that none does.
//! Lists are not compared as text, so that another spelling of the same policy is no change.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;

use super::{
    check::MatrixCell,
    decision::{Action, AllowOrigin},
    facts::RequestSketch,
    imagined::Imagined,
    listener::{Listener, ListenerPolicies, ListenerPolicy, PolicyName},
    origin::SerializedOrigin,
    pattern::{HostPattern, OriginPattern, PortPattern},
    policy::CorsPolicy,
    wire::{HeaderValue, Method, header, name},
};

/// All changes between two configurations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyDiff {
    /// Something is allowed that was not.
    pub widened: bool,
    /// Something that was allowed is not.
    pub narrowed: bool,
    /// By listener and policy, then by origin.
    pub changes: Vec<Change>,
    /// What browsers do differently although the verdicts are the same.
    pub notes: Vec<String>,
}

/// One difference for the pages of one origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Whose API is called.
    pub listener: Listener,
    /// The policy: the listener, `model:<name>` or `route:<id>`.
    pub policy: String,
    /// An origin; of a pattern one that it covers.
    pub origin: String,
    /// More or less is allowed.
    pub direction: Direction,
    /// What: `read the answer to POST`, `send the header x-a`, ...
    pub what: Vec<String>,
}

/// Which way a verdict went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// More is allowed.
    Widened,
    /// Less is allowed.
    Narrowed,
}

/// What the pages of one origin may do, as names.
type Rights = BTreeSet<String>;

/// Rights that were asked for already: under one policy they depend on whether an entry covers the
/// origin and whether it is one of the server's own, and a list may have 10^5 entries.
#[derive(Default)]
struct KnownRights(BTreeMap<(bool, bool), Rights>);

/// A part of a listener, and how to get there.
struct Part {
    label: String,
    target: String,
}

/// Everything that is asked about.
#[derive(Default)]
struct Questions {
    origins: BTreeSet<String>,
    methods: BTreeSet<String>,
    headers: BTreeSet<String>,
}

const STRANGER: &str = "https://stranger.example";
/// Methods that a page may use without being told of them, and one that nobody lists: for `*`.
const METHODS: [&str; 7] = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT", "X-UNLISTED"];
const HEADERS: [&str; 3] = ["authorization", "content-type", "x-unlisted"];
/// A label that nobody lists.
const SUBDOMAIN: &str = "any-subdomain";
/// A port that nobody lists.
const PORT: u16 = 65_533;
/// Changes that are shown as text.
const MAX_SHOWN: usize = 100;

// === impl PolicyDiff ===

impl PolicyDiff {
    /// Compares the policies of all listeners.
    pub fn new(old: &ListenerPolicies, new: &ListenerPolicies) -> PolicyDiff {
        let mut diff =
            PolicyDiff { widened: false, narrowed: false, changes: Vec::new(), notes: Vec::new() };
        for listener in Listener::ALL {
            diff.compare(listener, old.of(listener), new.of(listener));
        }
        diff
    }

    fn compare(&mut self, listener: Listener, old: &ListenerPolicy, new: &ListenerPolicy) {
        for part in parts(old, new) {
            let (before, after) = (policy_at(old, &part.target), policy_at(new, &part.target));
            self.note(&part.label, before, after);
            let questions = Questions::about(before, after);
            let (mut had, mut has) = (KnownRights::default(), KnownRights::default());
            for origin in &questions.origins {
                let had = had.of(old, &part.target, origin, &questions);
                let has = has.of(new, &part.target, origin, &questions);
                for (direction, what) in [
                    (Direction::Widened, has.difference(had)),
                    (Direction::Narrowed, had.difference(has)),
                ] {
                    let what: Vec<String> = what.cloned().collect();
                    if what.is_empty() {
                        continue;
                    }
                    match direction {
                        Direction::Widened => self.widened = true,
                        Direction::Narrowed => self.narrowed = true,
                    }
                    self.changes.push(Change {
                        listener,
                        policy: part.label.clone(),
                        origin: origin.clone(),
                        direction,
                        what,
                    });
                }
            }
        }
    }

    /// What no verdict shows.
    fn note(&mut self, label: &str, old: &CorsPolicy, new: &CorsPolicy) {
        let (before, after) = (old.spec(), new.spec());
        if !old.is_on() && !new.is_on() {
            return;
        }
        if before.max_age != after.max_age {
            self.notes
                .push(format!("{label}: max-age {} s -> {} s", before.max_age, after.max_age));
        }
        if before.preflight_status != after.preflight_status {
            let status = |policy: &CorsPolicy| policy.preflight_status().as_u16();
            self.notes.push(format!(
                "{label}: granted preflights {} -> {}",
                status(old),
                status(new)
            ));
        }
        if old.origins().is_any() != new.origins().is_any() {
            let words =
                |policy: &CorsPolicy| if policy.origins().is_any() { "`*`" } else { "a list" };
            self.notes.push(format!("{label}: origins {} -> {}", words(old), words(new)));
        }
    }
}

/// The listener itself and every override that either side has.
fn parts(old: &ListenerPolicy, new: &ListenerPolicy) -> Vec<Part> {
    let label = old.base().label().to_string();
    let mut parts = vec![Part { label, target: "/".to_owned() }];
    let mut found = BTreeMap::new();
    for side in [old, new] {
        for policy in side.overrides() {
            let target = match &policy.spec().name {
                PolicyName::Model(model) => format!("/predictions/{model}"),
                PolicyName::Route(_) => match side.example_of_route(policy) {
                    Some(path) => path,
                    None => continue,
                },
                PolicyName::Listener => continue,
            };
            found.insert(target, policy.label().to_string());
        }
    }
    parts.extend(found.into_iter().map(|(target, label)| Part { label, target }));
    parts
}

fn policy_at<'a>(listener: &'a ListenerPolicy, target: &str) -> &'a CorsPolicy {
    let sketch = RequestSketch::new(Method::GET, target);
    listener.policy_for(&sketch.facts())
}

/// What a page of `origin` may do at `target`.
fn rights(listener: &ListenerPolicy, target: &str, origin: &str, asked: &Questions) -> Rights {
    let mut rights = Rights::new();
    let policy = policy_at(listener, target);
    let mut readable = None;
    for method in &asked.methods {
        match MatrixCell::of(policy, origin, method) {
            MatrixCell::Reads => {
                rights.insert(format!("read the answer to {method}"));
                rights.insert(format!("send {method}"));
                readable = readable.or(Some(method));
            }
            // The page cannot read the answer, the server does what it asks.
            MatrixCell::Hidden => {
                rights.insert(format!("send {method}"));
            }
            MatrixCell::Refused => {}
        }
    }
    let Some(readable) = readable else { return rights };
    let exposed = &policy.spec().exposed;
    if policy.spec().credentials {
        rights.insert("send credentials".to_owned());
    }
    rights.extend(
        exposed
            .listed()
            .iter()
            .map(|name| format!("read the header {}", name.to_ascii_lowercase())),
    );
    for name in &asked.headers {
        if preflight(listener, target, origin, readable, name, false) {
            rights.insert(format!("send the header {name}"));
        }
    }
    if preflight(listener, target, origin, readable, "", true) {
        rights.insert("reach it from a public network".to_owned());
    }
    rights
}

/// Whether a preflight that asks for a method and a header is granted.
fn preflight(
    listener: &ListenerPolicy,
    target: &str,
    origin: &str,
    method: &str,
    name: &str,
    private: bool,
) -> bool {
    let mut lines = vec![(header::ORIGIN, origin), (header::ACCESS_CONTROL_REQUEST_METHOD, method)];
    if !name.is_empty() {
        lines.push((header::ACCESS_CONTROL_REQUEST_HEADERS, name));
    }
    if private {
        lines.push((name::ACCESS_CONTROL_REQUEST_PRIVATE_NETWORK, "true"));
    }
    let mut sketch = RequestSketch::new(Method::OPTIONS, target);
    for (name, value) in lines {
        let Ok(value) = HeaderValue::from_str(value) else { return false };
        sketch = sketch.header(name, value);
    }
    let answer = Imagined::new(listener, &sketch);
    let granted = answer.decision.action == Action::Grant
        && answer.decision.allow_origin != AllowOrigin::Absent
        && answer.decision.verdict == super::decision::Verdict::Allowed;
    granted && (!private || answer.decision.private_network)
}

// === impl KnownRights ===

impl KnownRights {
    fn of(
        &mut self,
        listener: &ListenerPolicy,
        target: &str,
        origin: &str,
        asked: &Questions,
    ) -> &Rights {
        let policy = policy_at(listener, target);
        let covered = policy.origins().is_any()
            || matches!(policy.origins().find(origin.as_bytes()), Ok(Some(_)));
        let own = SerializedOrigin::parse(origin.as_bytes())
            .is_ok_and(|origin| policy.spec().same_origin_hosts.names_origin(&origin));
        self.0.entry((covered, own)).or_insert_with(|| rights(listener, target, origin, asked))
    }
}

// === impl Questions ===

impl Questions {
    fn about(old: &CorsPolicy, new: &CorsPolicy) -> Questions {
        let mut asked = Questions::default();
        asked.methods.extend(METHODS.map(str::to_owned));
        asked.headers.extend(HEADERS.map(str::to_owned));
        asked.origins.extend([STRANGER.to_owned(), "null".to_owned()]);
        for policy in [old, new] {
            let spec = policy.spec();
            asked.methods.extend(spec.methods.listed().iter().cloned());
            asked
                .headers
                .extend(spec.headers.listed().iter().map(|name| name.to_ascii_lowercase()));
            asked.origins.extend(policy.origins().entries().iter().flat_map(representatives));
        }
        // The description of the API, which every policy lets pass.
        asked.methods.remove("OPTIONS");
        asked
    }
}

/// Origins that stand for an entry: all of them behave alike unless another entry names one.
fn representatives(entry: &OriginPattern) -> Vec<String> {
    if entry.is_exact() {
        return vec![entry.example()];
    }
    let host = match entry.host() {
        HostPattern::Exact(host) => host.clone(),
        HostPattern::Subdomains(base) => format!("{SUBDOMAIN}.{base}"),
    };
    let scheme = entry.scheme();
    match entry.port() {
        PortPattern::Default => vec![format!("{scheme}://{host}")],
        PortPattern::Number(port) => vec![format!("{scheme}://{host}:{port}")],
        PortPattern::Any => vec![format!("{scheme}://{host}"), format!("{scheme}://{host}:{PORT}")],
    }
}

impl fmt::Display for PolicyDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = None;
        for change in self.changes.iter().take(MAX_SHOWN) {
            if last != Some(&change.policy) {
                writeln!(f, "policy {}", change.policy)?;
                last = Some(&change.policy);
            }
            let sign = match change.direction {
                Direction::Widened => '+',
                Direction::Narrowed => '-',
            };
            writeln!(f, "  {sign} {}: {}", change.origin, change.what.join(", "))?;
        }
        if self.changes.len() > MAX_SHOWN {
            writeln!(f, "  ... and {} more (--json shows all)", self.changes.len() - MAX_SHOWN)?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        f.write_str(match (self.widened, self.narrowed) {
            (false, false) => "same: no verdict changes",
            (true, false) => "widened",
            (false, true) => "narrowed",
            (true, true) => "widened and narrowed",
        })
    }
}
