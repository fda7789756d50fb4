//! Writes JSON text again in another layout. PURE.
//!
//! Called by `json_text.rs` where an answer is put into another: an envelope's `predictions`, a
//! classification in an Open Inference output. The text is this server's own or a handler's; one that
//! is no JSON comes out as it is, but for white space.

use super::json_text::{Brackets, JsonText};

/// Appends the value `json` to `text`, in the layout of `text`.
pub(super) fn lay_out(text: &mut JsonText, json: &[u8]) {
    // True when the next value is a member's: it has its place already.
    let mut placed = true;
    let mut rest = json;
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => rest = after,
            b',' => {
                placed = false;
                rest = after;
            }
            b':' => {
                text.colon();
                placed = true;
                rest = after;
            }
            b']' | b'}' => {
                text.close(if byte == b']' { Brackets::Array } else { Brackets::Object });
                rest = after;
            }
            _ => {
                if !placed {
                    text.item();
                }
                match byte {
                    b'[' | b'{' => {
                        text.open(if byte == b'[' { Brackets::Array } else { Brackets::Object });
                        placed = false;
                        rest = after;
                    }
                    _ => {
                        let length = token(rest);
                        text.token(&rest[..length]);
                        placed = true;
                        rest = &rest[length..];
                    }
                }
            }
        }
    }
}

/// The length of the string, number or word at the start of `text`; at least 1.
fn token(text: &[u8]) -> usize {
    if text.first() != Some(&b'"') {
        let ends = |byte: &u8| b" \n\r\t,:[]{}\"".contains(byte);
        return text.iter().position(ends).unwrap_or(text.len()).max(1);
    }
    let mut at = 1;
    while let Some(found) = text[at..].iter().position(|byte| matches!(byte, b'"' | b'\\')) {
        at += found;
        if text[at] == b'"' {
            return at + 1;
        }
        at = (at + 2).min(text.len());
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::json_text::Layout;

    fn again(layout: Layout, json: &str) -> String {
        let mut text = JsonText::with_capacity(layout, 0);
        lay_out(&mut text, json.as_bytes());
        String::from_utf8(text.into_bytes()).unwrap()
    }

    #[test]
    fn a_text_is_written_in_each_layout() {
        let json = "{ \"a, b\" :[1, -2.5e-05,\n[] , {}, \"x\\\":y\\\\\"], \"c\": null}";
        let compact = r#"{"a, b":[1,-2.5e-05,[],{},"x\":y\\"],"c":null}"#;
        let spaced = r#"{"a, b": [1, -2.5e-05, [], {}, "x\":y\\"], "c": null}"#;
        assert_eq!(again(Layout::Compact, json), compact);
        assert_eq!(again(Layout::Spaced, json), spaced);
        let indented = again(Layout::Indented, json);
        assert!(indented.starts_with("{\n  \"a, b\": [\n    1,\n    -2.5e-05,\n    [],"));
        assert_eq!(again(Layout::Compact, &indented), compact);
        assert_eq!(again(Layout::Spaced, " 7 "), "7");
    }

    #[test]
    fn what_is_no_json_makes_no_panic() {
        for text in ["\"", "\"\\", "]]]", "[,,]", "a b", ":::", "{\"a\"", "\\"] {
            again(Layout::Indented, text);
        }
    }
}
