//! The policies in force on all listeners, and how others take their place.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::beacon::Beacon;
use super::change::{
    ChangeReport, ChangeResult, KnownFiles, PolicySource, Proposal, Recording, Reread, State,
    Trigger, Version, acts_alike, compare, restart_only, with_problems,
};
use super::{Telemetry, now, threads};
use crate::cors::{
    CheckReport, Compiled, CorsObserver, Diagnostic, Disk, Files, Listener, ListenerFacts,
    ListenerPolicies, ListenerPolicy, Operations, PolicyHandle, Setting, compile_with,
};
use crate::metrics::{Metrics, MetricsError};

/// The policies in force on all listeners.
pub struct LiveCors {
    handles: [PolicyHandle; 3],
    telemetry: Arc<Telemetry>,
    source: Box<dyn PolicySource>,
    pub(super) beacon: Beacon,
    /// Held while a change is made: there is one at a time.
    state: Mutex<State>,
}

/// Settings that stay as they are.
struct Fixed(Vec<Setting>);

// === impl LiveCors ===

impl LiveCors {
    /// Policies that no configuration stands behind: for a program or a test that brings its own.
    ///
    /// # Errors
    /// Never the first time for these metrics: the families are there already.
    pub fn fixed(policies: ListenerPolicies, metrics: &Metrics) -> Result<Arc<Self>, MetricsError> {
        let settings = Vec::new();
        Self::start(policies, settings.clone(), Box::new(Fixed(settings)), metrics)
    }

    /// Puts the policies of a configuration in service. `settings` are those that `policies` were
    /// compiled from.
    ///
    /// # Errors
    /// Never the first time for these metrics: the families are there already.
    pub fn start(
        policies: ListenerPolicies,
        settings: Vec<Setting>,
        source: Box<dyn PolicySource>,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, MetricsError> {
        let telemetry = Telemetry::register(metrics)?;
        let files = Recording::of(&Disk);
        let mut compiled = source.compile(&settings, &files);
        let files = files.taken();
        // An embedding program's own policies have no settings. And should a file have changed since
        // the configuration was checked, what was checked is served.
        let chosen = compiled.policies.take().filter(|_| !settings.is_empty());
        let policies = chosen.unwrap_or(policies);
        let policies = Listener::ALL.map(|listener| {
            let slots = compiled.operations[listener as usize].origin_slots as usize;
            let policy = Arc::unwrap_or_clone(Arc::clone(policies.of(listener)));
            let policy = Arc::new(policy.in_service(threads(), slots));
            telemetry.watch(&policy);
            policy
        });
        let current = Version::new(&policies, settings.into(), files, Trigger::Start);
        let state = State {
            since: [current.at; 3],
            current,
            history: VecDeque::new(),
            operations: compiled.operations,
            warnings: compiled.warnings,
            last: None,
        };
        for listener in Listener::ALL {
            telemetry.changed(listener, Trigger::Start, ChangeResult::Applied);
            telemetry.in_force(listener, &state);
        }
        let inference = Listener::Inference as usize;
        let beacon = Beacon::new(state.operations[inference].report.clone());
        if beacon.is_enabled() {
            telemetry.begin_reports(&policies[inference]);
        }
        let handles = policies.map(PolicyHandle::new);
        let state = Mutex::new(state);
        Ok(Arc::new(Self { handles, telemetry, source, beacon, state }))
    }

    /// The policy in force on a listener.
    pub fn handle(&self, listener: Listener) -> &PolicyHandle {
        &self.handles[listener as usize]
    }

    /// An observer for the calling thread.
    pub fn observer(&self) -> Arc<dyn CorsObserver> {
        self.telemetry.observer()
    }

    /// Everything that is counted.
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }

    /// How the listeners are run besides.
    pub fn operations(&self) -> Operations {
        self.state().operations.clone()
    }

    /// Reads the configuration and its files again. Blocks on the disk.
    pub fn reload(&self, trigger: Trigger) -> ChangeReport {
        let mut state = self.state();
        let started = Instant::now();
        let (settings, restart) = match self.source.reread() {
            Ok(Reread { settings, restart }) => (settings.into(), restart),
            Err(problems) => return self.unreadable(&mut state, trigger, problems, started),
        };
        self.propose(&mut state, trigger, settings, &Disk, restart, Listener::ALL.to_vec())
    }

    /// The settings in force with the files as they are now: one of them changed. Blocks on the disk.
    pub(super) fn reread_files(&self, concerns: Vec<Listener>) -> ChangeReport {
        let mut state = self.state();
        let settings = Arc::clone(&state.current.settings);
        self.propose(&mut state, Trigger::File, settings, &Disk, Vec::new(), concerns)
    }

    /// Puts a policy of the history back: the one of this hash, or the last. None when there is no
    /// such policy.
    pub fn roll_back(&self, hash: Option<&str>) -> Option<ChangeReport> {
        let mut state = self.state();
        let Version { settings, files, .. } = state.find(hash)?.clone();
        let concerns = Listener::ALL.to_vec();
        Some(self.propose(&mut state, Trigger::Api, settings, &files, Vec::new(), concerns))
    }

    fn propose(
        &self,
        state: &mut State,
        trigger: Trigger,
        settings: Arc<[Setting]>,
        files: &dyn Files,
        restart: Vec<String>,
        concerns: Vec<Listener>,
    ) -> ChangeReport {
        let started = Instant::now();
        let files = Recording::of(files);
        let compiled = self.source.compile(&settings, &files);
        let files = files.taken();
        let proposal = Proposal { trigger, settings, files, compiled, restart, started, concerns };
        self.change(state, proposal)
    }

    fn unreadable(
        &self,
        state: &mut State,
        trigger: Trigger,
        problems: Vec<Diagnostic>,
        started: Instant,
    ) -> ChangeReport {
        let operations = state.operations.clone();
        let compiled = Compiled { policies: None, problems, warnings: Vec::new(), operations };
        let proposal = Proposal {
            trigger,
            settings: Arc::default(),
            files: KnownFiles::default(),
            compiled,
            restart: Vec::new(),
            started,
            concerns: Listener::ALL.to_vec(),
        };
        self.change(state, proposal)
    }

    /// All of it or nothing.
    fn change(&self, state: &mut State, proposal: Proposal) -> ChangeReport {
        let Proposal { trigger, settings, files, mut compiled, mut restart, started, concerns } =
            proposal;
        let check = CheckReport::new(&compiled);
        let previous_hash = state.current.hash.clone();
        let Some(policies) = compiled.policies.take() else {
            for listener in with_problems(&compiled.problems) {
                self.telemetry.changed(listener, trigger, ChangeResult::Rejected);
            }
            let report = ChangeReport {
                result: ChangeResult::Rejected,
                trigger,
                hash: previous_hash.clone(),
                previous_hash,
                at: now(),
                seconds: started.elapsed().as_secs_f64(),
                changes: Vec::new(),
                restart_required: restart,
                check,
            };
            report.log();
            state.last = Some(report.clone());
            return report;
        };
        let before = Listener::ALL.map(|listener| self.handle(listener).current());
        let operations = (&state.operations, &compiled.operations);
        let slots = Listener::ALL.map(|at| {
            (operations.0[at as usize].origin_slots, operations.1[at as usize].origin_slots)
        });
        let of = |listener: Listener| Arc::clone(policies.of(listener));
        let unserved = Listener::ALL.map(of);
        drop(policies);
        let mut after = unserved.map(|policy| {
            let at = policy.base().listener() as usize;
            let policy = Arc::unwrap_or_clone(policy);
            Arc::new(policy.in_service(threads(), slots[at].1 as usize))
        });
        restart.extend(restart_only(&before[0], &after[0], operations));
        for ((old, new), slots) in before.iter().zip(&mut after).zip(slots) {
            match acts_alike(old, new, slots) {
                true => *new = Arc::clone(old),
                false => remember(new, old),
            }
        }
        let version = Version::new(&after, settings, files, trigger);
        let changes = compare(&before, &after);
        let result = match version.hash == previous_hash {
            true => ChangeResult::Unchanged,
            false => ChangeResult::Applied,
        };
        let hash = version.hash.clone();
        state.operations = compiled.operations;
        state.warnings = compiled.warnings;
        for (listener, (old, new)) in Listener::ALL.into_iter().zip(before.iter().zip(&after)) {
            if !Arc::ptr_eq(old, new) {
                self.telemetry.watch(new);
                if listener == Listener::Inference && self.beacon.is_enabled() {
                    self.telemetry.begin_reports(new);
                }
                self.handle(listener).replace(Arc::clone(new));
            }
            let is_applied = old.hash() != new.hash();
            if is_applied {
                state.since[listener as usize] = version.at;
                self.telemetry.changed(listener, trigger, ChangeResult::Applied);
                if state.was_before(listener, new.hash()) {
                    self.telemetry.rolled_back(listener);
                }
            } else if concerns.contains(&listener) {
                self.telemetry.changed(listener, trigger, ChangeResult::Unchanged);
            }
        }
        match result {
            ChangeResult::Applied => state.advance(version),
            // The same policies, perhaps from other files: the next look compares with these.
            _ => state.current = Version { at: state.current.at, ..version },
        }
        for listener in Listener::ALL {
            self.telemetry.in_force(listener, state);
        }
        let report = ChangeReport {
            result,
            trigger,
            hash,
            previous_hash,
            at: now(),
            seconds: started.elapsed().as_secs_f64(),
            changes,
            restart_required: restart,
            check,
        };
        report.log();
        report.log_caches(&before);
        state.last = Some(report.clone());
        report
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A change that panicked has changed nothing, or everything.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When an entry was last seen is known of both.
fn remember(new: &ListenerPolicy, old: &ListenerPolicy) {
    let policies = |listener: &ListenerPolicy| -> Vec<_> {
        std::iter::once(listener.base()).chain(listener.overrides()).cloned().collect()
    };
    let before = policies(old);
    for policy in policies(new) {
        let known = before.iter().find(|known| known.label() == policy.label());
        if let (Some(known), Some(tally)) = (known, policy.tally()) {
            tally.remember(&policy, known);
        }
    }
}

impl PolicySource for Fixed {
    fn reread(&self) -> Result<Reread, Vec<Diagnostic>> {
        Ok(Reread { settings: self.0.clone(), restart: Vec::new() })
    }

    fn compile(&self, settings: &[Setting], files: &dyn Files) -> Compiled {
        compile_with(settings, &ListenerFacts::default(), files)
    }
}

// === impl ChangeReport ===

impl ChangeReport {
    fn log(&self) {
        let (trigger, hash) = (self.trigger, &self.hash);
        match self.result {
            ChangeResult::Rejected => {
                for problem in &self.check.problems {
                    tracing::error!(target: "torchfront::cors", "{problem}");
                }
                tracing::error!(
                    target: "torchfront::cors",
                    ?trigger,
                    policy_hash = hash,
                    "the CORS policies cannot be changed, those before stay in force"
                );
            }
            ChangeResult::Unchanged => tracing::info!(
                target: "torchfront::cors",
                ?trigger,
                policy_hash = hash,
                "the CORS policies are the same as before"
            ),
            ChangeResult::Applied => {
                for change in &self.changes {
                    tracing::info!(target: "torchfront::cors", policy_hash = hash, "{change}");
                }
                tracing::info!(
                    target: "torchfront::cors",
                    ?trigger,
                    policy_hash = hash,
                    previous_hash = self.previous_hash,
                    seconds = self.seconds,
                    "new CORS policies are in force"
                );
            }
        }
        for key in &self.restart_required {
            tracing::warn!(
                target: "torchfront::cors",
                "{key} has changed and needs a restart to take effect"
            );
        }
    }

    /// Browsers remember preflights.
    fn log_caches(&self, before: &[Arc<ListenerPolicy>; 3]) {
        for listener in before {
            let changed =
                self.changes.iter().any(|change| change.listener == listener.base().listener());
            let longest = std::iter::once(listener.base()).chain(listener.overrides());
            let longest = longest.filter(|policy| policy.is_on()).map(|p| p.spec().max_age).max();
            if let Some(seconds) = longest.filter(|seconds| changed && *seconds > 0) {
                tracing::info!(
                    target: "torchfront::cors",
                    listener = listener.base().listener().as_str(),
                    "browsers may use preflights of the policy before for another {seconds} s"
                );
            }
        }
    }
}
