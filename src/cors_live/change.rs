//! A change of the policies: everything is compiled and checked first, then each listener is given
//! its new policy in one step, or nothing happens.
//!
//! Asked for by a signal, a file or the API; one at a time. What cannot be used is said in the log,
//! in the answer and in the counters, and the policies in force stay.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde::Serialize;

use super::difference::{Difference, differences};
use super::now;
use crate::cors::{
    CheckReport, Compiled, CorsPolicy, Diagnostic, Engine, Files, Listener, ListenerPolicy,
    Operations, Setting, hash_of_text, listener_of,
};

/// Where settings come from, and what they compile to.
pub trait PolicySource: Send + Sync {
    /// Reads the configuration again. Blocks on the disk.
    ///
    /// # Errors
    /// What makes it unreadable.
    fn reread(&self) -> Result<Reread, Vec<Diagnostic>>;

    /// Compiles settings; `files` are those that they name.
    fn compile(&self, settings: &[Setting], files: &dyn Files) -> Compiled;
}

/// A configuration that was read again.
pub struct Reread {
    /// The settings of CORS.
    pub settings: Vec<Setting>,
    /// Other keys that are not what they were at the start: they need a restart.
    pub restart: Vec<String>,
}

/// What asked for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The start.
    Start,
    /// SIGHUP, or the embedding program.
    Signal,
    /// A file that changed.
    File,
    /// `POST /cors/reload` or `POST /cors/rollback`.
    Api,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeResult {
    /// New policies are in force.
    Applied,
    /// They say what those in force say.
    Unchanged,
    /// They cannot be used; those before stay in force.
    Rejected,
}

/// A change and what came of it: what `POST /cors/reload` answers. The rest is what `cors check`
/// says.
#[derive(Clone, Debug, Serialize)]
pub struct ChangeReport {
    /// What came of it.
    pub result: ChangeResult,
    /// What asked for it.
    pub trigger: Trigger,
    /// The hash of the policies in force now.
    pub hash: String,
    /// The hash of those before.
    pub previous_hash: String,
    /// When, in seconds of Unix time.
    pub at: u32,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What is different.
    pub changes: Vec<Difference>,
    /// Keys that changed and need a restart.
    pub restart_required: Vec<String>,
    /// Problems, warnings, policies.
    #[serde(flatten)]
    pub check: CheckReport,
}

/// Policies as they were, with all that is needed to make them again.
#[derive(Clone)]
pub(super) struct Version {
    pub(super) hash: String,
    pub(super) hashes: [Arc<str>; 3],
    pub(super) settings: Arc<[Setting]>,
    pub(super) files: KnownFiles,
    pub(super) at: u32,
    pub(super) trigger: Trigger,
}

/// Files as they were.
#[derive(Clone, Default)]
pub(super) struct KnownFiles(Vec<(PathBuf, Arc<str>)>);

/// Keeps what is read.
pub(super) struct Recording<'a> {
    files: &'a dyn Files,
    read: Mutex<KnownFiles>,
}

/// The policies in force, those before, and what is known of them.
pub(super) struct State {
    pub(super) current: Version,
    /// The oldest first; at most [`HISTORY`].
    pub(super) history: VecDeque<Version>,
    pub(super) operations: Operations,
    pub(super) warnings: Vec<Diagnostic>,
    pub(super) last: Option<ChangeReport>,
    /// When each listener's policy came.
    pub(super) since: [u32; 3],
}

/// A candidate for a change.
pub(super) struct Proposal {
    pub(super) trigger: Trigger,
    pub(super) settings: Arc<[Setting]>,
    pub(super) files: KnownFiles,
    pub(super) compiled: Compiled,
    pub(super) restart: Vec<String>,
    pub(super) started: Instant,
    /// Whose file it was; all listeners where it was none.
    pub(super) concerns: Vec<Listener>,
}

/// Policies before the ones in force that can come back.
pub const HISTORY: usize = 16;

// === impl KnownFiles ===

impl KnownFiles {
    pub(super) fn text(&self, path: &Path) -> Option<&Arc<str>> {
        self.0.iter().find(|(known, _)| known == path).map(|(_, text)| text)
    }
}

impl Files for KnownFiles {
    fn read(&self, path: &Path) -> Result<Arc<str>, String> {
        self.text(path).cloned().ok_or_else(|| "is not kept with that policy".to_owned())
    }
}

// === impl Recording ===

impl<'a> Recording<'a> {
    pub(super) fn of(files: &'a dyn Files) -> Self {
        Self { files, read: Mutex::default() }
    }

    pub(super) fn taken(self) -> KnownFiles {
        self.read.into_inner().unwrap_or_default()
    }
}

impl Files for Recording<'_> {
    fn read(&self, path: &Path) -> Result<Arc<str>, String> {
        let text = self.files.read(path)?;
        if let Ok(mut read) = self.read.lock() {
            read.0.retain(|(known, _)| known != path);
            read.0.push((path.to_owned(), Arc::clone(&text)));
        }
        Ok(text)
    }
}

// === impl Version ===

impl Version {
    pub(super) fn new(
        policies: &[Arc<ListenerPolicy>; 3],
        settings: Arc<[Setting]>,
        files: KnownFiles,
        trigger: Trigger,
    ) -> Self {
        let hashes = policies.each_ref().map(|policy| Arc::clone(policy.hash()));
        let hash = hash_of_text(&hashes.join(" "));
        Self { hash, hashes, settings, files, at: now(), trigger }
    }
}

// === impl State ===

impl State {
    /// The version of the history with this hash, or the last that says something else.
    pub(super) fn find(&self, hash: Option<&str>) -> Option<&Version> {
        self.history.iter().rev().find(|version| match hash {
            Some(hash) => version.hash == hash,
            None => version.hash != self.current.hash,
        })
    }

    /// Whether a listener had a policy of this hash before the one in force.
    pub(super) fn was_before(&self, listener: Listener, hash: &str) -> bool {
        let at = listener as usize;
        self.history.iter().any(|version| *version.hashes[at] == *hash)
    }

    /// `version` is in force; the one before can come back.
    pub(super) fn advance(&mut self, version: Version) {
        let before = std::mem::replace(&mut self.current, version);
        // One that came back is not twice among those that can.
        self.history.retain(|known| known.hash != before.hash);
        self.history.push_back(before);
        while self.history.len() > HISTORY {
            self.history.pop_front();
        }
    }
}

/// The listeners whose settings have a problem; all, where no key tells.
pub(super) fn with_problems(problems: &[Diagnostic]) -> Vec<Listener> {
    let mut found: Vec<Listener> = Vec::new();
    for problem in problems {
        if problem.key.is_empty() {
            return Listener::ALL.to_vec();
        }
        let listener = listener_of(&problem.key);
        if !found.contains(&listener) {
            found.push(listener);
        }
    }
    found
}

/// What a reload cannot change, and did change.
pub(super) fn restart_only(
    before: &ListenerPolicy,
    after: &ListenerPolicy,
    operations: (&Operations, &Operations),
) -> Vec<String> {
    let mut keys = Vec::new();
    let engine = |policy: &CorsPolicy| policy.spec().engine;
    let actix = engine(before.base()) == Engine::Actix;
    if engine(before.base()) != engine(after.base()) || (actix && before.hash() != after.hash()) {
        keys.push("cors.engine".to_owned());
    }
    let (old, new) = operations;
    let (old_report, new_report) = (&old[0].report, &new[0].report);
    for (changed, key) in [
        (old_report.enabled != new_report.enabled, "cors.report.enabled"),
        (old_report.path != new_report.path, "cors.report.path"),
        (old_report.max_per_second != new_report.max_per_second, "cors.report.max.per.s"),
    ] {
        if changed {
            keys.push(key.to_owned());
        }
    }
    for listener in Listener::ALL {
        let at = listener as usize;
        if old[at].selftest != new[at].selftest {
            keys.push(format!("{}.selftest", listener.prefix()));
        }
    }
    keys
}

/// Whether anything but the hash differs that a listener acts on.
pub(super) fn acts_alike(
    before: &ListenerPolicy,
    after: &ListenerPolicy,
    slots: (u32, u32),
) -> bool {
    let logs = |listener: &ListenerPolicy| -> Vec<_> {
        let policies = std::iter::once(listener.base()).chain(listener.overrides());
        policies.map(|policy| policy.spec().log).collect()
    };
    let candidate = |listener: &ListenerPolicy| {
        listener.candidate().map(|candidate| crate::cors::policy_hash(candidate))
    };
    slots.0 == slots.1
        && before.hash() == after.hash()
        && logs(before) == logs(after)
        && candidate(before) == candidate(after)
}

/// What is different, listener by listener.
pub(super) fn compare(
    before: &[Arc<ListenerPolicy>; 3],
    after: &[Arc<ListenerPolicy>; 3],
) -> Vec<Difference> {
    before.iter().zip(after).flat_map(|(before, after)| differences(before, after)).collect()
}
