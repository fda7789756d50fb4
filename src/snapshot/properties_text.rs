//! A properties file as Java writes it: the counterpart of `config/properties.rs`. PURE.
//!
//! Called by `folder.rs`. What is written is read back as the same keys and values, whatever is in
//! them.

use std::collections::BTreeMap;
use std::fmt::Write;

/// The first line of a file that this program wrote; only such files are ever removed.
pub(super) const SIGNATURE: &str = "# Torchfront's snapshot of its models.";

/// The whole file, keys in their order.
pub(super) fn write(properties: &BTreeMap<String, String>) -> String {
    let mut text = format!("{SIGNATURE}\n");
    for (key, value) in properties {
        escape(&mut text, key, Part::Key);
        text.push('=');
        escape(&mut text, value, Part::Value);
        text.push('\n');
    }
    text
}

/// A blank ends a key wherever it stands, and is skipped at the start of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Key,
    Value,
}

fn escape(out: &mut String, text: &str, part: Part) {
    for (at, c) in text.chars().enumerate() {
        match c {
            ' ' if part == Part::Key || at == 0 => out.push_str("\\ "),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\x0c' => out.push_str("\\f"),
            '=' | ':' | '#' | '!' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    let _written = write!(out, "\\u{unit:04X}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Properties;

    fn read(text: &str) -> BTreeMap<String, String> {
        let properties = Properties::read(text);
        assert_eq!(properties.errors, []);
        properties.entries.into_iter().map(|entry| (entry.key, entry.value)).collect()
    }

    #[test]
    fn the_text_is_javas() {
        let properties = [("a key", " x: {\n  \"é\": 1}\\"), ("b", "🦀")];
        let properties: BTreeMap<_, _> =
            properties.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        assert_eq!(
            write(&properties),
            format!(
                "{SIGNATURE}\na\\ key=\\ x\\: {{\\n  \"\\u00E9\"\\: 1}}\\\\\nb=\\uD83E\\uDD80\n"
            )
        );
        assert_eq!(read(&write(&properties)), properties);
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_back(
            properties: BTreeMap<String, String>,
        ) {
            prop_assert_eq!(read(&write(&properties)), properties);
        }
    }
}
