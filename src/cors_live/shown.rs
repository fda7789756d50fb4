//! What `GET /cors/policy` and `GET /cors/origins` answer.

use std::path::PathBuf;

use serde::Serialize;

use super::LiveCors;
use super::change::{ChangeReport, Trigger, Version};
use crate::cors::{
    CheckReport, CorsPolicy, Diagnostic, EntryIndex, Kind, Listener, ListenerPolicy, Mode,
    OriginPattern, PolicySummary, Setting, SettingOrigin, Slot,
};

/// The policies in force, where they come from, and what was before.
#[derive(Debug, Serialize)]
pub struct ShownPolicies {
    /// The hash of all listeners' policies.
    hash: String,
    /// When they were put in force, in seconds of Unix time.
    since: u32,
    /// What put them in force.
    trigger: Trigger,
    listeners: Vec<ShownListener>,
    /// The settings of CORS and where each was said.
    sources: Vec<ShownSetting>,
    /// What the linter says of them.
    warnings: Vec<Diagnostic>,
    /// The last change that was asked for since the start.
    last_change: Option<ChangeReport>,
    /// What can be rolled back to, the latest first.
    history: Vec<ShownVersion>,
}

#[derive(Debug, Serialize)]
struct ShownListener {
    listener: Listener,
    hash: String,
    mode: Mode,
    since: u32,
    /// The listener's own first, then those of models and routes.
    policies: Vec<ShownPolicy>,
    origin_file: Option<ShownFile>,
    /// The candidate that is evaluated beside them.
    shadow: Option<ShownCandidate>,
}

#[derive(Debug, Serialize)]
struct ShownPolicy {
    #[serde(flatten)]
    summary: PolicySummary,
    /// The path of a route's policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    /// The first entries of the allow-list; `*` for any.
    allowed_origins: Vec<String>,
    /// There are more than are shown.
    truncated: bool,
}

#[derive(Debug, Serialize)]
struct ShownFile {
    path: PathBuf,
    entries: usize,
    reload_seconds: u32,
}

#[derive(Debug, Serialize)]
struct ShownCandidate {
    path: Option<PathBuf>,
    hash: String,
    policies: Vec<PolicySummary>,
}

#[derive(Debug, Serialize)]
struct ShownSetting {
    key: String,
    value: String,
    /// The file or the environment variable.
    source: String,
    /// 0 where there is none.
    line: usize,
}

#[derive(Debug, Serialize)]
struct ShownVersion {
    hash: String,
    since: u32,
    trigger: Trigger,
    listeners: ShownHashes,
}

#[derive(Debug, Serialize)]
struct ShownHashes {
    inference: String,
    management: String,
    metrics: String,
}

/// How often the entries of the allow-lists were used.
#[derive(Debug, Serialize)]
pub struct ShownOrigins {
    listeners: Vec<ListenerOrigins>,
}

#[derive(Debug, Serialize)]
struct ListenerOrigins {
    listener: Listener,
    /// Entries of all its policies.
    total: usize,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
    origins: Vec<UsedOrigin>,
    /// Entries beyond those that are counted one by one, together.
    other: Usage,
    /// Origins that no entry covers, together.
    unlisted: Usage,
}

#[derive(Debug, Serialize)]
struct UsedOrigin {
    /// The entry; `*` for any.
    origin: String,
    policy: String,
    #[serde(rename = "type")]
    kind: &'static str,
    /// Requests since the start; absent for entries that are not counted one by one. Policies of a
    /// listener with the same entry share the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<Requests>,
    /// In seconds of Unix time; absent when it was never seen since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Usage {
    requests: Requests,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Requests {
    preflight: u64,
    actual: u64,
}

/// Entries of an allow-list that are shown with its policy.
const MAX_ORIGINS: usize = 100;
/// Bytes of a value that are shown.
const MAX_VALUE: usize = 4096;

// === impl LiveCors ===

impl LiveCors {
    /// The policies in force.
    pub fn shown_policies(&self) -> ShownPolicies {
        let state = self.state();
        let listeners = Listener::ALL.map(|listener| {
            let policy = self.handle(listener).current();
            let operation = &state.operations[listener as usize];
            ShownListener {
                listener,
                hash: policy.hash().to_string(),
                mode: policy.base().spec().mode,
                since: state.since[listener as usize],
                policies: ShownPolicy::all(&policy),
                origin_file: operation.origin_file.as_ref().map(|file| ShownFile {
                    path: file.path.clone(),
                    entries: file.entries,
                    reload_seconds: operation.reload_seconds,
                }),
                shadow: policy.candidate().map(|candidate| ShownCandidate {
                    path: operation.shadow_file.clone(),
                    hash: crate::cors::policy_hash(candidate),
                    policies: CheckReport::summaries(candidate),
                }),
            }
        });
        ShownPolicies {
            hash: state.current.hash.clone(),
            since: state.current.at,
            trigger: state.current.trigger,
            listeners: listeners.into(),
            sources: state.current.settings.iter().map(ShownSetting::of).collect(),
            warnings: state.warnings.clone(),
            last_change: state.last.clone(),
            history: state.history.iter().rev().map(ShownVersion::of).collect(),
        }
    }

    /// How often entries were used: at most `limit` of each listener, from `offset` on.
    pub fn shown_origins(&self, offset: usize, limit: usize) -> ShownOrigins {
        self.telemetry().gather();
        let listeners = Listener::ALL.map(|listener| self.origins_of(listener, offset, limit));
        ShownOrigins { listeners: listeners.into() }
    }

    fn origins_of(&self, listener: Listener, offset: usize, limit: usize) -> ListenerOrigins {
        let current = self.handle(listener).current();
        let policies: Vec<&CorsPolicy> = policies(&current).collect();
        let total = policies.iter().map(|policy| entries(policy)).sum();
        let mut origins = Vec::new();
        let mut skip = offset;
        for policy in policies {
            let count = entries(policy);
            let first = skip.min(count);
            skip -= first;
            let wanted = (count - first).min(limit - origins.len());
            origins.extend((first..first + wanted).map(|at| self.used(listener, policy, at)));
        }
        let end = offset.saturating_add(limit);
        ListenerOrigins {
            listener,
            total,
            next_page_token: (end < total).then(|| end.to_string()),
            origins,
            other: self.usage(listener, &current, Slot::OTHER),
            unlisted: self.usage(listener, &current, Slot::UNLISTED),
        }
    }

    fn used(&self, listener: Listener, policy: &CorsPolicy, at: usize) -> UsedOrigin {
        let entry = policy.origins().entries().get(at);
        let origin = entry.map_or("*", OriginPattern::as_str);
        let index = EntryIndex(u32::try_from(at).unwrap_or(u32::MAX));
        let tally = policy.tally();
        let (counted, last_seen) = match (tally, entry) {
            (None, _) => (false, None),
            (Some(tally), Some(_)) => {
                (tally.slot_of_entry(index) != Slot::OTHER, tally.entry_seen(index))
            }
            (Some(tally), None) => {
                let slot = tally.origins().labels().find(|(_, label)| *label == "*");
                (slot.is_some(), slot.and_then(|(slot, _)| tally.origins().seen(slot)))
            }
        };
        UsedOrigin {
            origin: origin.to_owned(),
            policy: policy.label().to_string(),
            kind: match entry {
                None => "any",
                Some(entry) if entry.is_exact() => "exact",
                Some(_) => "pattern",
            },
            requests: counted.then(|| self.requests(listener, origin)),
            last_seen,
        }
    }

    fn usage(&self, listener: Listener, policy: &ListenerPolicy, slot: Slot) -> Usage {
        let origins = policy.base().tally().map(|tally| tally.origins());
        let label = origins.map_or("_other", |origins| origins.label(slot));
        Usage {
            requests: self.requests(listener, label),
            last_seen: origins.and_then(|origins| origins.seen(slot)),
        }
    }

    fn requests(&self, listener: Listener, label: &str) -> Requests {
        let count = |kind| self.telemetry().origin_requests(listener, label, kind);
        Requests { preflight: count(Kind::Preflight), actual: count(Kind::Actual) }
    }
}

fn policies(listener: &ListenerPolicy) -> impl Iterator<Item = &CorsPolicy> {
    std::iter::once(listener.base()).chain(listener.overrides()).map(|policy| &**policy)
}

/// Entries of a policy's allow-list; `*` is one.
fn entries(policy: &CorsPolicy) -> usize {
    if policy.origins().is_any() { 1 } else { policy.origins().entries().len() }
}

// === impl ShownPolicy ===

impl ShownPolicy {
    fn all(listener: &ListenerPolicy) -> Vec<Self> {
        let policies = std::iter::once(listener.base()).chain(listener.overrides());
        let summaries = CheckReport::summaries(listener);
        policies
            .zip(summaries)
            .map(|(policy, summary)| {
                let entries = policy.origins().entries();
                let shown = entries.iter().take(MAX_ORIGINS).map(|entry| entry.to_string());
                let any = policy.origins().is_any().then(|| "*".to_owned());
                Self {
                    summary,
                    route: listener.route_of(policy).map(ToString::to_string),
                    allowed_origins: any.into_iter().chain(shown).collect(),
                    truncated: entries.len() > MAX_ORIGINS,
                }
            })
            .collect()
    }
}

// === impl ShownSetting ===

impl ShownSetting {
    fn of(setting: &Setting) -> Self {
        let (source, line) = match &setting.origin {
            SettingOrigin::File => (setting.file.clone(), setting.line),
            SettingOrigin::Environment(variable) => (variable.clone(), 0),
        };
        let mut value = setting.value.clone();
        if value.len() > MAX_VALUE {
            let end = (0..=MAX_VALUE).rev().find(|end| value.is_char_boundary(*end));
            value.truncate(end.unwrap_or(0));
            value.push_str("...");
        }
        Self { key: setting.key.clone(), value, source, line }
    }
}

// === impl ShownVersion ===

impl ShownVersion {
    fn of(version: &Version) -> Self {
        let [inference, management, metrics] =
            version.hashes.each_ref().map(|hash| hash.to_string());
        Self {
            hash: version.hash.clone(),
            since: version.at,
            trigger: version.trigger,
            listeners: ShownHashes { inference, management, metrics },
        }
    }
}
