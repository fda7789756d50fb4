//! The reader against the rules that the documentation of `java.util.Properties.load` states.

use ::config::{Config, Format as _};
use proptest::prelude::*;

use super::*;

fn pairs(text: &str) -> Vec<(String, String)> {
    let properties = Properties::read(text);
    assert_eq!(properties.errors, [], "{text:?}");
    properties.entries.into_iter().map(|entry| (entry.key, entry.value)).collect()
}

/// Writes a key or value so that [`Properties::read`] gives it back.
fn escape(text: &str, key: bool) -> String {
    let mut out = String::new();
    for (at, c) in text.chars().enumerate() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0c' => out.push_str("\\f"),
            '=' | ':' | '#' | '!' => out.extend(['\\', c]),
            ' ' if key || at == 0 => out.push_str("\\ "),
            c if !c.is_ascii() => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
    out
}

#[test]
fn every_rule_of_java_properties_holds() {
    for (text, expected) in [
        // Separators: the first unescaped `=`, `:` or blank; one of `=` `:` among the blanks.
        ("Truth = Beauty", vec![("Truth", "Beauty")]),
        (" Truth:Beauty", vec![("Truth", "Beauty")]),
        ("Truth                    :Beauty", vec![("Truth", "Beauty")]),
        ("Truth Beauty", vec![("Truth", "Beauty")]),
        ("Truth\tBeauty", vec![("Truth", "Beauty")]),
        ("Truth\x0cBeauty", vec![("Truth", "Beauty")]),
        ("a==b", vec![("a", "=b")]),
        ("a = = b", vec![("a", "= b")]),
        ("a : = b", vec![("a", "= b")]),
        ("a b=c", vec![("a", "b=c")]),
        ("cheeses", vec![("cheeses", "")]),
        ("cheeses=", vec![("cheeses", "")]),
        ("cheeses   ", vec![("cheeses", "")]),
        ("=value", vec![("", "value")]),
        ("url=http://host:8080/x?a=b", vec![("url", "http://host:8080/x?a=b")]),
        // Escaped separators belong to the key.
        ("\\:\\==v", vec![(":=", "v")]),
        ("a\\ b=c", vec![("a b", "c")]),
        ("a\\\\=c", vec![("a\\", "c")]),
        ("a\\\\\\=b=c", vec![("a\\=b", "c")]),
        // Comments and blank lines.
        ("# a\n! b\n\n   \n\t# c\nk=v", vec![("k", "v")]),
        ("k=v # no comment", vec![("k", "v # no comment")]),
        ("# comment \\\nk=v", vec![("k", "v")]),
        ("\\#k=v", vec![("#k", "v")]),
        // Continuation lines.
        (
            "fruits    apple, banana, pear, \\\n    cantaloupe, watermelon, \\\n\tkiwi, mango",
            vec![("fruits", "apple, banana, pear, cantaloupe, watermelon, kiwi, mango")],
        ),
        ("k=a\\\n# b", vec![("k", "a# b")]),
        ("k=a\\\\\nl=b", vec![("k", "a\\"), ("l", "b")]),
        ("k=a\\\\\\\nb", vec![("k", "a\\b")]),
        ("k=a\\\n\nl=b", vec![("k", "a"), ("l", "b")]),
        ("k=a\\", vec![("k", "a")]),
        ("k\\\n  ey=v", vec![("key", "v")]),
        ("\\\n#k=v", vec![("#k", "v")]),
        ("\\\n\nk=v", vec![("k", "v")]),
        // Line ends.
        ("a=1\r\nb=2\rc=3\n", vec![("a", "1"), ("b", "2"), ("c", "3")]),
        ("a=1\\\r\n  2\r\nb=3", vec![("a", "12"), ("b", "3")]),
        // Escapes; a backslash before another character is dropped, even `\b`.
        ("k=\\t\\n\\r\\f\\b\\z\\\"\\'", vec![("k", "\t\n\r\x0cbz\"'")]),
        ("k=caf\\u00e9 \\u00C9", vec![("k", "café É")]),
        ("k=\\ud83d\\ude00", vec![("k", "😀")]),
        ("\\u006b\\u003d=v", vec![("k=", "v")]),
        ("k=\\\\u0041", vec![("k", "\\u0041")]),
        // What an editor writes today: UTF-8, a byte order mark.
        ("\u{feff}k=é😀", vec![("k", "é😀")]),
        // Blanks at the end belong to the value.
        ("k=v  \t", vec![("k", "v  \t")]),
        ("k=\\  v", vec![("k", "  v")]),
        ("", vec![]),
    ] {
        let expected: Vec<(String, String)> =
            expected.into_iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        assert_eq!(pairs(text), expected, "{text:?}");
    }
}

#[test]
fn duplicates_are_kept_each_with_the_line_of_its_key() {
    let properties = Properties::read("a=1\n\n# c\nb=x,\\\n  y\r\na=2\n");
    let lines: Vec<(&str, usize)> =
        properties.entries.iter().map(|entry| (entry.key.as_str(), entry.line)).collect();
    assert_eq!(lines, [("a", 1), ("b", 4), ("a", 6)]);
}

#[test]
fn a_malformed_unicode_escape_is_an_error_with_its_line_and_the_rest_is_read() {
    for bad in ["\\u12", "\\u12g4", "\\u", "\\uD83D", "\\uD83D\\u0041", "\\uDE00", "\\uD83D\\n"] {
        let properties = Properties::read(&format!("a=1\nb={bad}\nc=3"));
        assert_eq!(properties.errors.len(), 1, "{bad}");
        assert_eq!(properties.errors[0].line, 2, "{bad}");
        let keys: Vec<&str> = properties.entries.iter().map(|e| e.key.as_str()).collect();
        assert_eq!(keys, ["a", "c"], "{bad}");
    }
    let message = Properties::read("k=\\u12").errors[0].to_string();
    assert!(message.starts_with("line 1: \\u needs four hexadecimal digits"), "{message}");
}

#[test]
fn the_format_keeps_dotted_keys_flat_and_names_file_and_line() {
    let uri = "config.properties".to_string();
    let text = "cors.allowed.origin=a\ncors.allowed.origin.file=b\nx=1\nx=2";
    let map = PropertiesFormat.parse(Some(&uri), text).unwrap();
    #[derive(Debug)]
    struct Fixed(Map<String, Value>);
    impl ::config::Source for Fixed {
        fn clone_into_box(&self) -> Box<dyn ::config::Source + Send + Sync> {
            Box::new(Fixed(self.0.clone()))
        }
        fn collect(&self) -> Result<Map<String, Value>, ::config::ConfigError> {
            Ok(self.0.clone())
        }
    }
    let config = Config::builder().add_source(Fixed(map)).build().unwrap();
    let table = config.get_table(ROOT).unwrap();
    let mut rows: Vec<(String, String, String)> = table
        .into_iter()
        .map(|(key, value)| {
            let origin = value.origin().unwrap().to_string();
            (key, value.into_string().unwrap(), origin)
        })
        .collect();
    rows.sort();
    let row = |k: &str, v: &str, o: &str| (k.to_string(), v.to_string(), o.to_string());
    assert_eq!(
        rows,
        [
            row("cors.allowed.origin", "a", "config.properties:1"),
            row("cors.allowed.origin.file", "b", "config.properties:2"),
            row("x", "2", "config.properties:4"),
        ]
    );
    assert!(PropertiesFormat.parse(None, "k=\\u1").is_err());
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        Properties::read(&text);
    }

    #[test]
    fn no_text_of_special_characters_makes_the_reader_panic(text in "[\\\\u0dD8=: #!\r\n\tab]{0,60}") {
        let properties = Properties::read(&text);
        let lines = text.split(['\n', '\r']).count();
        prop_assert!(properties.entries.len() + properties.errors.len() <= lines);
    }

    #[test]
    fn escaped_text_comes_back_unchanged(
        rows in prop::collection::vec((any::<String>(), any::<String>()), 0..8)
    ) {
        let text: String = rows
            .iter()
            .map(|(key, value)| format!("{}={}\n", escape(key, true), escape(value, false)))
            .collect();
        prop_assert_eq!(pairs(&text), rows);
    }
}
