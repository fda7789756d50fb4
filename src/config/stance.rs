//! What the operator must know about keys without effect, and about keys nobody knows.
//!
//! Called by `mod.rs`; what is said about a key follows from its line in `keys.rs` alone.

use std::collections::BTreeMap;

use super::error::Note;
use super::keys::{self, Key, Stance};
use super::parse;
use super::source::Setting;
use super::typed::Typed;

/// The notes on every key that is set.
pub(super) fn notes(settings: &BTreeMap<String, Setting>, typed: &Typed) -> Vec<Note> {
    let mut notes: Vec<Note> =
        keys::all().filter_map(|key| note(key, settings.get(key.name), typed)).collect();
    let unknown = settings.values().filter(|setting| keys::find(&setting.key).is_none());
    notes.extend(unknown.map(|setting| {
        let Setting { origin, key, .. } = setting;
        let hint = match parse::nearest(key, keys::all().map(|key| key.name)) {
            Some(near) => format!("; did you mean {near}?"),
            None => String::new(),
        };
        let key = parse::quoted(key);
        Note::warning(format!("{origin}: {key} is not a known key and has no effect{hint}"))
    }));
    notes
}

fn note(key: &Key, setting: Option<&Setting>, typed: &Typed) -> Option<Note> {
    let value = typed.get(key.name)?;
    match (key.stance, setting) {
        (Stance::NotApplicable(reason), Some(setting)) => {
            let Setting { origin, key, .. } = setting;
            Some(Note::notice(format!("{origin}: {key}: has no effect: {reason}")))
        }
        (Stance::NotYet(reason), Some(setting)) if *value != key.default_value() => {
            let Setting { origin, key, .. } = setting;
            Some(Note::warning(format!("{origin}: {key}: has no effect: {reason}")))
        }
        _ => None,
    }
}
