//! What is different between two policies of a listener: for the log and for who asked.

use std::fmt;

use serde::Serialize;

use crate::cors::{CorsPolicy, Listener, ListenerPolicy};

/// One thing that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where.
    pub listener: Listener,
    /// In which policy.
    pub policy: String,
    /// The property; `policy` for a whole policy that came or went.
    pub property: &'static str,
    /// What it was; of origins, how many were removed and the first of them.
    pub before: String,
    /// What it is; of origins, how many were added and the first of them.
    pub after: String,
}

/// Origins that are named.
const NAMED: usize = 5;

/// What is different.
pub(super) fn differences(before: &ListenerPolicy, after: &ListenerPolicy) -> Vec<Difference> {
    if before.hash() == after.hash() && !after.hash().is_empty() {
        return Vec::new();
    }
    let listener = after.base().listener();
    let mut found = Vec::new();
    let (old, new) = (policies(before), policies(after));
    for policy in &new {
        match old.iter().find(|known| known.label() == policy.label()) {
            Some(known) => compare(known, policy, &mut found),
            None => found.push(whole(listener, policy, "absent", "present")),
        }
    }
    for policy in old {
        if !new.iter().any(|known| known.label() == policy.label()) {
            found.push(whole(listener, policy, "present", "absent"));
        }
    }
    found
}

fn policies(listener: &ListenerPolicy) -> Vec<&CorsPolicy> {
    let all = std::iter::once(listener.base()).chain(listener.overrides());
    all.map(|policy| &**policy).collect()
}

fn whole(listener: Listener, policy: &CorsPolicy, before: &str, after: &str) -> Difference {
    Difference {
        listener,
        policy: policy.label().to_string(),
        property: "policy",
        before: before.to_owned(),
        after: after.to_owned(),
    }
}

fn compare(old: &CorsPolicy, new: &CorsPolicy, found: &mut Vec<Difference>) {
    let mut push = |property, before: String, after: String| {
        let (listener, policy) = (new.listener(), new.label().to_string());
        found.push(Difference { listener, policy, property, before, after });
    };
    let (removed, added) = apart(&old.sorted_origins(), &new.sorted_origins());
    if !removed.is_empty() || !added.is_empty() {
        push("allowed.origin", counted(&removed), counted(&added));
    }
    let properties = old.spec().described().into_iter().zip(new.spec().described());
    for ((property, before), (_, after)) in properties {
        if before != after {
            push(property, before, after);
        }
    }
}

/// What is only in the one, and only in the other of two sorted lists.
fn apart<'a>(one: &[&'a str], other: &[&'a str]) -> (Vec<&'a str>, Vec<&'a str>) {
    let without = |list: &[&'a str], other: &[&'a str]| -> Vec<&'a str> {
        list.iter().filter(|entry| other.binary_search(entry).is_err()).copied().collect()
    };
    (without(one, other), without(other, one))
}

fn counted(origins: &[&str]) -> String {
    let named = origins.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match origins.len() {
        0 => "0".to_owned(),
        count if count > NAMED => format!("{count}: {named}, ..."),
        count => format!("{count}: {named}"),
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, property, before, after, .. } = self;
        match *property {
            "allowed.origin" => write!(f, "{policy}: origins -{before} +{after}"),
            _ => write!(f, "{policy}: {property} {before:?} -> {after:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cors::{ListenerFacts, Setting, compile};

    fn listener(lines: &[(&str, &str)]) -> ListenerPolicy {
        let settings: Vec<_> =
            lines.iter().map(|(key, value)| Setting::in_file(key, value, "f", 1)).collect();
        let compiled = compile(&settings, &ListenerFacts::default());
        Arc::unwrap_or_clone(compiled.policies.expect("sound").inference).in_service(1, 5)
    }

    #[test]
    fn every_change_is_named_with_what_was_and_what_is() {
        let before = listener(&[
            ("cors.allowed.origin", "https://a.example, https://b.example"),
            ("cors.model.old.max.age", "5"),
        ]);
        let after = listener(&[
            ("cors.allowed.origin", "https://b.example, https://c.example"),
            ("cors.max.age", "60"),
            ("cors.model.new.max.age", "5"),
        ]);
        let found: Vec<String> =
            differences(&before, &after).iter().map(Difference::to_string).collect();
        assert_eq!(
            found,
            [
                "inference: origins -1: https://a.example +1: https://c.example",
                "inference: max.age \"600\" -> \"60\"",
                "model:new: policy \"absent\" -> \"present\"",
                "model:old: policy \"present\" -> \"absent\"",
            ]
        );
        assert_eq!(differences(&before, &before), []);
    }
}
