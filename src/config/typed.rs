//! Every key's value in its type: what is set, else the default of the table.
//!
//! Called by `mod.rs`. One pass parses all known keys, those without effect too, and collects every
//! wrong value; afterwards reading a value cannot fail.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::address::{ListenAddress, Role};
use super::error::ConfigError;
use super::keys::{self, Key, Kind};
use super::parse;
use super::source::Setting;

/// A value of the type that its key's [`Kind`] says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Text and paths; empty is none.
    Text(Option<String>),
    Bool(bool),
    /// Whole numbers, bytes, seconds; none where the default is none and nothing is set.
    Number(Option<u64>),
    Decimal(f64),
    Choice(&'static str),
    Json(Option<serde_json::Value>),
    Address(ListenAddress),
}

/// The typed value of every known key.
#[derive(Debug)]
pub(super) struct Typed(BTreeMap<&'static str, Value>);

impl Kind {
    /// Reads a value of this kind.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn parse(self, value: &str) -> Result<Value, String> {
        let number = |number: Result<u64, String>| number.map(|number| Value::Number(Some(number)));
        let text = Some(value.trim()).filter(|text| !text.is_empty());
        match self {
            Kind::Text | Kind::Path => Ok(Value::Text(text.map(String::from))),
            Kind::Header => parse::header(value).map(|name| Value::Text(Some(name))),
            Kind::Bool => parse::boolean(value).map(Value::Bool),
            Kind::Int(min, max) => number(parse::integer(value, min, max)),
            Kind::Seconds(min, max) => number(
                parse::integer(value, min, max).map_err(|expected| format!("seconds, {expected}")),
            ),
            Kind::Bytes(min, max) => number(parse::bytes(value, min, max)),
            Kind::Decimal => parse::decimal(value).map(Value::Decimal),
            Kind::Choice(words) => parse::choice(value, words).map(Value::Choice),
            Kind::Json => text.map(parse::json).transpose().map(Value::Json),
            Kind::Address(role) => ListenAddress::parse(value.trim(), role).map(Value::Address),
        }
    }
}

impl Key {
    /// The value when the key is not set.
    pub(super) fn default_value(&self) -> Value {
        match self.kind {
            Kind::Int(..) | Kind::Seconds(..) | Kind::Bytes(..) if self.default.is_empty() => {
                Value::Number(None)
            }
            // A test holds that every default of the table can be read.
            kind => kind.parse(self.default).unwrap_or(Value::Text(None)),
        }
    }
}

// === impl Typed ===

impl Typed {
    /// Parses `settings`; a wrong value is reported and replaced by the default.
    pub(super) fn read(
        settings: &BTreeMap<String, Setting>,
        errors: &mut Vec<ConfigError>,
    ) -> Typed {
        let mut values = BTreeMap::new();
        for key in keys::all() {
            let parsed = settings.get(key.name).and_then(|setting| {
                key.kind
                    .parse(&setting.value)
                    .map_err(|expected| errors.push(setting.wrong(&expected)))
                    .ok()
            });
            values.insert(key.name, parsed.unwrap_or_else(|| key.default_value()));
        }
        Typed(values)
    }

    /// The value of `name`; that it exists and is of the type asked for is the caller's promise,
    /// which the test of the defaults proves.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let value = self.0.get(name);
        debug_assert!(value.is_some(), "{name} is not in the table of keys");
        value
    }

    pub(super) fn bool(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Value::Bool(true)))
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        match self.get(name) {
            Some(Value::Text(text)) => text.clone(),
            _ => None,
        }
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        match self.get(name) {
            Some(Value::Number(number)) => *number,
            _ => None,
        }
    }

    /// A number for indexing and counting; one that the machine cannot hold becomes the largest.
    pub(super) fn size(&self, name: &str) -> Option<usize> {
        self.number(name).map(|number| usize::try_from(number).unwrap_or(usize::MAX))
    }

    /// A number of which 0 means "not set".
    pub(super) fn count(&self, name: &str) -> Option<NonZeroUsize> {
        self.size(name).and_then(NonZeroUsize::new)
    }

    pub(super) fn seconds(&self, name: &str) -> Duration {
        Duration::from_secs(self.number(name).unwrap_or(0))
    }

    pub(super) fn decimal(&self, name: &str) -> f64 {
        match self.get(name) {
            Some(Value::Decimal(number)) => *number,
            _ => 0.0,
        }
    }

    pub(super) fn choice(&self, name: &str) -> &'static str {
        match self.get(name) {
            Some(Value::Choice(word)) => word,
            _ => "",
        }
    }

    pub(super) fn json(&self, name: &str) -> Option<&serde_json::Value> {
        match self.get(name) {
            Some(Value::Json(json)) => json.as_ref(),
            _ => None,
        }
    }

    pub(super) fn address(&self, role: Role) -> ListenAddress {
        match self.get(role.key()) {
            Some(Value::Address(address)) => address.clone(),
            _ => ListenAddress::loopback(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (Typed, Vec<ConfigError>) {
        let settings = pairs
            .iter()
            .map(|(key, value)| ((*key).to_string(), Setting::new(key, value, "test")))
            .collect();
        let mut errors = Vec::new();
        let typed = Typed::read(&settings, &mut errors);
        (typed, errors)
    }

    #[test]
    fn every_default_of_the_table_is_of_its_kind() {
        for key in keys::all() {
            let optional = matches!(key.kind, Kind::Int(..) | Kind::Seconds(..) | Kind::Bytes(..));
            if !(optional && key.default.is_empty()) {
                assert_eq!(key.kind.parse(key.default), Ok(key.default_value()), "{}", key.name);
            }
        }
    }

    #[test]
    fn every_key_takes_a_right_value_and_refuses_a_wrong_one() {
        for key in keys::all() {
            let (right, wrong) = match key.kind {
                Kind::Text | Kind::Path => ("x", None),
                Kind::Header => ("X-Sequence", Some("two words")),
                Kind::Bool => ("TRUE", Some("yes")),
                Kind::Int(..) | Kind::Seconds(..) | Kind::Bytes(..) => ("1", Some("-1")),
                Kind::Decimal => ("1.5", Some("x")),
                Kind::Choice(words) => (words[words.len() - 1], Some("other")),
                Kind::Json => ("{}", Some("{")),
                Kind::Address(_) => ("unix:/s", Some("127.0.0.1:80")),
            };
            let (_, errors) = read(&[(key.name, right)]);
            assert_eq!(errors, [], "{}", key.name);
            let Some(wrong) = wrong else { continue };
            let (typed, errors) = read(&[(key.name, wrong)]);
            assert_eq!(errors.len(), 1, "{}", key.name);
            let message = errors[0].to_string();
            let start = format!("test: {}: got \"{wrong}\", expected ", key.name);
            assert!(message.starts_with(&start) && message.len() > start.len() + 5, "{message}");
            assert_eq!(typed.get(key.name), Some(&key.default_value()), "{}", key.name);
        }
    }
}
