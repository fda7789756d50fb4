//! Text that somebody else chose, made safe to print: one line, bounded, nothing invisible.
//!
//! Every name that an archive or a client gives passes through here before it enters an error.

use std::fmt;

/// Characters of the original that are kept.
const MAX_CHARS: usize = 120;

/// Escaped and truncated text for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printable(Box<str>);

// === impl Printable ===

impl Printable {
    /// Escapes control, invisible and bidirectional characters and keeps the first 120 characters.
    pub fn new(text: &str) -> Printable {
        let mut shown = String::new();
        for (count, character) in text.chars().enumerate() {
            if count == MAX_CHARS {
                shown.push_str("...");
                break;
            }
            match character {
                // Harmless in a message, and escaping them would make names unreadable.
                '"' | '\'' | '\\' => shown.push(character),
                _ => shown.extend(character.escape_debug()),
            }
        }
        Printable(shown.into_boxed_str())
    }

    /// The same for bytes that may not be UTF-8.
    pub fn from_bytes(bytes: &[u8]) -> Printable {
        // Four bytes a character at most: more than is shown is never decoded.
        let head = bytes.get(..(MAX_CHARS + 1) * 4).unwrap_or(bytes);
        Printable::new(&String::from_utf8_lossy(head))
    }
}

impl fmt::Display for Printable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<&str> for Printable {
    fn from(text: &str) -> Printable {
        Printable::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::Printable;

    #[test]
    fn escapes_line_breaks_terminal_codes_and_direction_overrides() {
        let shown = Printable::new("a\r\n\u{1b}[31m\u{202e}\u{200b}b").to_string();
        assert!(shown.is_ascii(), "{shown}");
        assert_eq!(shown, "a\\r\\n\\u{1b}[31m\\u{202e}\\u{200b}b");
    }

    #[test]
    fn keeps_ordinary_names_as_they_are() {
        assert_eq!(
            Printable::new("modèle \\ 'x' \"y\".mar").to_string(),
            "modèle \\ 'x' \"y\".mar"
        );
    }

    #[test]
    fn truncates_long_names() {
        let shown = Printable::from_bytes(&[b'x'; 100_000]).to_string();
        assert_eq!(shown.len(), 123);
        assert!(shown.ends_with("..."));
    }

    #[test]
    fn shows_bytes_that_are_not_utf8() {
        assert_eq!(Printable::from_bytes(b"a\xff").to_string(), "a\u{fffd}");
    }
}
