//! JSON as Gson's lenient reader takes it, rewritten to JSON. PURE.
//!
//! TorchServe's own tests register models with single-quoted bodies. Only spelling is mended here:
//! what is still no JSON afterwards is refused by the parser.

use std::iter::Peekable;
use std::str::Chars;

/// Strings in single quotes get double ones, and words without quotes that are no literal and no
/// number get some. One pass, no recursion.
pub(super) fn to_strict(text: &str) -> String {
    let mut strict = String::with_capacity(text.len() + 16);
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '"' | '\'' => string(next, &mut rest, &mut strict),
            '{' | '}' | '[' | ']' | ':' | ',' => strict.push(next),
            _ if next.is_whitespace() => strict.push(next),
            _ => word(next, &mut rest, &mut strict),
        }
    }
    strict
}

/// The string that `quote` opens, up to its end or the end of the text.
fn string(quote: char, rest: &mut Peekable<Chars<'_>>, strict: &mut String) {
    strict.push('"');
    while let Some(next) = rest.next() {
        match next {
            _ if next == quote => {
                strict.push('"');
                return;
            }
            '"' => strict.push_str("\\\""),
            '\\' => match rest.next() {
                Some('\'') => strict.push('\''),
                Some(escaped) => strict.extend(['\\', escaped]),
                None => strict.push('\\'),
            },
            _ => strict.push(next),
        }
    }
}

fn word(first: char, rest: &mut Peekable<Chars<'_>>, strict: &mut String) {
    let mut word = String::from(first);
    let inside = |c: &char| !c.is_whitespace() && !matches!(c, '{' | '}' | '[' | ']' | ':' | ',');
    while let Some(next) = rest.next_if(inside) {
        word.push(next);
    }
    let lower = word.to_ascii_lowercase();
    if matches!(lower.as_str(), "true" | "false" | "null") {
        strict.push_str(&lower);
    } else if serde_json::from_str::<serde_json::Number>(&word).is_ok() {
        strict.push_str(&word);
    } else {
        strict.push_str(&serde_json::Value::String(word).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mends_quotes_and_bare_words_and_leaves_json_as_it_is() {
        for (lenient, strict) in [
            (r#"{'a':'b'}"#, r#"{"a":"b"}"#),
            (r#"{'a':'say "x" or \'y\' \n'}"#, r#"{"a":"say \"x\" or 'y' \n"}"#),
            (r"{a: b.mar, n: -1.5e3}", r#"{"a": "b.mar", "n": -1.5e3}"#),
            (r"[TRUE, Null, 01]", r#"[true, null, "01"]"#),
            (r#"{"a": "it's \" ok", "b": [1, true]}"#, r#"{"a": "it's \" ok", "b": [1, true]}"#),
            (r"{'a", r#"{"a"#),
            (r"'\", r#""\"#),
            ("", ""),
        ] {
            assert_eq!(to_strict(lenient), strict);
        }
    }
}
