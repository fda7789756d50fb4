//! Gauges of the policies in force, and counters of their changes.

use super::change::{ChangeResult, State, Trigger};
use super::telemetry::{Telemetry, mode_text};
use crate::cors::{Listener, ListenerPolicy, Mode, listener_of};

// === impl Telemetry ===

impl Telemetry {
    /// Somebody asked for a change of a listener's policies.
    pub(super) fn changed(&self, listener: Listener, trigger: Trigger, result: ChangeResult) {
        let trigger = match trigger {
            Trigger::Start => "start",
            Trigger::Signal => "signal",
            Trigger::File => "file",
            Trigger::Api => "api",
        };
        let result = match result {
            ChangeResult::Applied => "applied",
            ChangeResult::Unchanged => "unchanged",
            ChangeResult::Rejected => "rejected",
        };
        let labels = [listener.as_str(), trigger, result];
        self.families().policy_changes.with_label_values(&labels).inc();
    }

    /// The change was to a policy before.
    pub(super) fn rolled_back(&self, listener: Listener) {
        self.families().policy_rollbacks.with_label_values(&[listener.as_str()]).inc();
    }

    /// What is known of the policies in force besides what they say.
    pub(super) fn in_force(&self, listener: Listener, state: &State) {
        let (families, name) = (self.families(), listener.as_str());
        let since = i64::from(state.since[listener as usize]);
        families.policy_last_change.with_label_values(&[name]).set(since);
        let warnings = state.warnings.iter().filter(|one| listener_of(&one.key) == listener);
        let warnings = i64::try_from(warnings.count()).unwrap_or(i64::MAX);
        families.policy_warnings.with_label_values(&[name]).set(warnings);
        let in_file = state.operations[listener as usize].origin_file.as_ref();
        let in_file = in_file.map_or(0, |file| i64::try_from(file.entries).unwrap_or(i64::MAX));
        families.policy_origins.with_label_values(&[name, "file"]).set(in_file);
    }

    /// What the policies of a listener say, as far as it is a number.
    pub(super) fn describe(&self, listener: &ListenerPolicy) {
        let families = self.families();
        let base = listener.base();
        let name = base.listener().as_str();
        let gauges = prometheus::core::Collector::collect(&families.policy_info);
        for gauge in gauges.iter().flat_map(|family| family.get_metric()) {
            let value = |name: &str| {
                let label = gauge.get_label().iter().find(|label| label.name() == name);
                label.map_or("", |label| label.value()).to_owned()
            };
            if value("listener") == name {
                let labels = [name, &value("hash"), &value("mode")];
                let _was = families.policy_info.remove_label_values(&labels);
            }
        }
        let info = [name, listener.hash(), mode_text(base.spec().mode)];
        families.policy_info.with_label_values(&info).set(1);
        let entries = base.origins().entries();
        let exact = entries.iter().filter(|entry| entry.is_exact()).count();
        for (kind, count) in [("exact", exact), ("pattern", entries.len() - exact)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            families.policy_origins.with_label_values(&[name, kind]).set(count);
        }
        for policy in std::iter::once(base).chain(listener.overrides()) {
            let labels = [name, policy.label()];
            let is_on = policy.spec().mode != Mode::Off;
            let any = i64::from(is_on && policy.origins().is_any());
            families.policy_wildcard.with_label_values(&labels).set(any);
            let credentials = i64::from(is_on && policy.spec().credentials);
            families.policy_credentials.with_label_values(&labels).set(credentials);
        }
    }
}
