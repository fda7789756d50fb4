//! Reads JSON straight from the bytes of a request, one token at a time.
//!
//! Called by `number_array.rs` (arrays of numbers into typed vectors) and `open_inference.rs`;
//! numbers are in `json_number.rs`.
//! Strict RFC 8259, and the three words that Python's `json.loads` takes besides: `NaN`,
//! `Infinity`, `-Infinity`. No tree is built; nesting is bounded by [`MAX_DEPTH`]; no byte sequence
//! makes it panic.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// The deepest nesting of arrays and objects that is read.
pub(super) const MAX_DEPTH: usize = 64;

/// Longest excerpt of the body that an error repeats, in bytes.
const EXCERPT: usize = 32;

/// A position in a JSON text.
#[derive(Clone)]
pub(super) struct Scanner<'a> {
    /// The whole text.
    pub(super) bytes: &'a [u8],
    /// Offset of the next byte.
    pub(super) at: usize,
}

/// What kind of value comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `[`
    Array,
    /// `{`
    Object,
    /// `"`
    String,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
    /// A digit, `-`, or one of Python's words.
    Number,
}

/// Why a JSON text was refused, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JsonError {
    /// JSON pointer (RFC 6901) to the value; empty for the whole text.
    pub(super) pointer: String,
    /// Offset in the text, in bytes.
    pub(super) at: usize,
    /// What was expected and what came.
    pub(super) reason: String,
}

// === impl JsonError ===

impl JsonError {
    /// The same error one level further out: `token` is put before the pointer.
    pub(super) fn within(mut self, token: impl fmt::Display) -> JsonError {
        let token = token.to_string().replace('~', "~0").replace('/', "~1");
        self.pointer.insert_str(0, &format!("/{token}"));
        self
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pointer.is_empty() {
            write!(f, "{} (byte {})", self.reason, self.at)
        } else {
            write!(f, "{}: {} (byte {})", self.pointer, self.reason, self.at)
        }
    }
}

// === impl Kind ===

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Array => "an array",
            Kind::Object => "an object",
            Kind::String => "a string",
            Kind::Bool => "a boolean",
            Kind::Null => "null",
            Kind::Number => "a number",
        })
    }
}

// === impl Scanner ===

impl<'a> Scanner<'a> {
    /// At the start of `bytes`, behind a UTF-8 byte order mark if there is one.
    pub(super) fn new(bytes: &'a [u8]) -> Scanner<'a> {
        let at = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Scanner { bytes, at }
    }

    /// True when `bytes` can only be meant as JSON: its first character opens an array or object.
    pub(super) fn looks_like_json(bytes: &[u8]) -> bool {
        let mut scanner = Scanner::new(bytes);
        matches!(scanner.peek(), Some(b'[' | b'{'))
    }

    /// Offset of the next byte.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The bytes that are not yet read.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// An error at the present position.
    pub(super) fn error(&self, reason: impl Into<String>) -> JsonError {
        JsonError { pointer: String::new(), at: self.at, reason: reason.into() }
    }

    /// `expected X, got Y`, with an excerpt of Y.
    pub(super) fn expected(&self, what: &str) -> JsonError {
        self.error(format!("expected {what}, got {}", self.excerpt()))
    }

    /// The next byte that is not white space, without reading it.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Reads `byte` if it is the next one.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    /// What comes next.
    pub(super) fn kind(&mut self) -> Result<Kind, JsonError> {
        match self.peek() {
            Some(b'[') => Ok(Kind::Array),
            Some(b'{') => Ok(Kind::Object),
            Some(b'"') => Ok(Kind::String),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            Some(b'-' | b'0'..=b'9' | b'N' | b'I') => Ok(Kind::Number),
            _ => Err(self.expected("a JSON value")),
        }
    }

    /// Nothing but white space may follow.
    pub(super) fn end(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("the end")),
        }
    }

    /// Reads the start of an object or array; false when it is empty (and then read whole).
    pub(super) fn open(&mut self, open: u8, close: u8) -> Result<bool, JsonError> {
        if !self.take(open) {
            return Err(self.expected(if open == b'{' { "an object" } else { "an array" }));
        }
        Ok(!self.take(close))
    }

    /// After an item: true when another follows, false when the object or array was closed.
    pub(super) fn more(&mut self, close: u8) -> Result<bool, JsonError> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.expected(if close == b'}' { "`,` or `}`" } else { "`,` or `]`" })),
        }
    }

    /// Reads a member's name and its colon.
    pub(super) fn name(&mut self) -> Result<Cow<'a, str>, JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a name in double quotes"));
        }
        let name = self.string()?;
        if !self.take(b':') {
            return Err(self.expected("`:`"));
        }
        Ok(name)
    }

    /// Reads `true` or `false`.
    pub(super) fn bool(&mut self) -> Result<bool, JsonError> {
        match self.peek() {
            Some(b't') if self.word(b"true") => Ok(true),
            Some(b'f') if self.word(b"false") => Ok(false),
            _ => Err(self.expected("true or false")),
        }
    }

    /// Reads `null`.
    pub(super) fn null(&mut self) -> Result<(), JsonError> {
        self.peek();
        if self.word(b"null") { Ok(()) } else { Err(self.expected("null")) }
    }

    /// Reads `word` if it comes next.
    pub(super) fn word(&mut self, word: &[u8]) -> bool {
        let there = self.rest().starts_with(word);
        self.at += if there { word.len() } else { 0 };
        there
    }

    /// Reads a string; borrowed when it has no escapes.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        if !self.take(b'"') {
            return Err(self.expected("a string"));
        }
        let start = self.at;
        let mut decoded: Option<String> = None;
        let mut run = start;
        loop {
            let rest = &self.bytes[self.at..];
            let Some(plain) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))
            else {
                return Err(self.error("a string without its closing quote"));
            };
            self.at += plain;
            match self.bytes[self.at] {
                b'"' => {
                    let text = self.utf8(run)?;
                    self.at += 1;
                    return Ok(match decoded {
                        None => Cow::Borrowed(text),
                        Some(mut decoded) => {
                            decoded.push_str(text);
                            Cow::Owned(decoded)
                        }
                    });
                }
                b'\\' => {
                    let text = self.utf8(run)?;
                    let decoded = decoded.get_or_insert_default();
                    decoded.push_str(text);
                    decoded.push(self.escape()?);
                    run = self.at;
                }
                _ => return Err(self.error("a control character in a string must be escaped")),
            }
        }
    }

    fn utf8(&self, start: usize) -> Result<&'a str, JsonError> {
        std::str::from_utf8(&self.bytes[start..self.at])
            .map_err(|_| self.error("a string that is not UTF-8"))
    }

    /// Reads one escape, the backslash included.
    fn escape(&mut self) -> Result<char, JsonError> {
        let code = self.bytes.get(self.at + 1).copied();
        let character = match code {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.error("an unknown escape in a string")),
        };
        self.at += 2;
        Ok(character)
    }

    /// Reads `\uXXXX`, or the two of a surrogate pair.
    fn unicode(&mut self) -> Result<char, JsonError> {
        let hex = |at: usize| -> Option<u32> {
            let digits = self.bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
            digits.iter().try_fold(0, |sum, digit| {
                char::from(*digit).to_digit(16).map(|value| sum * 16 + value)
            })
        };
        let character = match hex(self.at) {
            Some(high @ 0xD800..0xDC00) => match hex(self.at + 6) {
                Some(low @ 0xDC00..0xE000) => {
                    char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
                }
                _ => None,
            },
            Some(code) => char::from_u32(code),
            None => None,
        };
        let Some(character) = character else {
            return Err(self.error("a \\u escape that is no character"));
        };
        self.at += 6 * character.len_utf16();
        Ok(character)
    }

    /// Reads one value of any kind and drops it.
    pub(super) fn skip(&mut self) -> Result<(), JsonError> {
        // One bit a level: set for an object.
        let mut objects = 0u64;
        let mut depth = 0usize;
        loop {
            match self.kind()? {
                kind @ (Kind::Array | Kind::Object) => {
                    if depth == MAX_DEPTH {
                        return Err(self.error(TOO_DEEP));
                    }
                    let object = kind == Kind::Object;
                    let (open, close) = if object { (b'{', b'}') } else { (b'[', b']') };
                    if self.open(open, close)? {
                        objects = objects << 1 | u64::from(object);
                        depth += 1;
                        if object {
                            self.name()?;
                        }
                        continue;
                    }
                }
                Kind::String => drop(self.string()?),
                Kind::Bool => drop(self.bool()?),
                Kind::Null => self.null()?,
                Kind::Number => drop(self.number()?),
            }
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let object = objects & 1 == 1;
                if self.more(if object { b'}' } else { b']' })? {
                    if object {
                        self.name()?;
                    }
                    break;
                }
                objects >>= 1;
                depth -= 1;
            }
        }
    }

    /// What comes next, in words, for an error.
    pub(super) fn excerpt(&self) -> String {
        let rest = self.rest();
        if rest.is_empty() {
            return "the end of the body".to_owned();
        }
        let stop = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
        let len = rest.iter().skip(1).position(stop).map_or(rest.len(), |len| len + 1);
        let mut text = String::new();
        for character in String::from_utf8_lossy(&rest[..len.min(EXCERPT)]).chars() {
            // What the client sent is repeated in an answer: never raw control characters.
            let _ = write!(text, "{}", character.escape_debug());
        }
        if len > EXCERPT { format!("{text}...") } else { text }
    }
}

/// The text of the error for a value that is nested too deep.
pub(super) const TOO_DEEP: &str = "arrays and objects may be nested 64 deep, no deeper";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_decoded() {
        let read = |text: &str| Scanner::new(text.as_bytes()).string().map(Cow::into_owned);
        assert_eq!(read(r#""""#).unwrap(), "");
        assert_eq!(read(r#""na\u00efve \u6771東\ud83e\udd80\n\/""#).unwrap(), "naïve 東東🦀\n/");
        assert!(matches!(Scanner::new(b"\"plain\"").string(), Ok(Cow::Borrowed("plain"))));
        for text in [
            r#"""#,
            r#""\"#,
            r#""\x""#,
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\u12""#,
            r#""\ud800\u0041""#,
            "\"\n\"",
            r#""\u+123""#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(Scanner::new(b"\"\xff\"").string().is_err());
    }

    #[test]
    fn skip_reads_exactly_one_value() {
        for text in [
            "1",
            "[]",
            "{}",
            "[1,[2,{}],{\"a\":[null,true,false,\"x\"]}]",
            " { \"a\" : 1 , \"b\" : [ ] } ",
        ] {
            let mut scanner = Scanner::new(text.as_bytes());
            scanner.skip().unwrap();
            scanner.end().unwrap();
        }
        for text in
            ["", "[", "[1,]", "[1 2]", "{\"a\"}", "{\"a\":}", "{a:1}", "{\"a\":1,}", "[1}", "tru"]
        {
            assert!(Scanner::new(text.as_bytes()).skip().is_err(), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Scanner::new(nested(MAX_DEPTH).as_bytes()).skip().is_ok());
        let error = Scanner::new(nested(MAX_DEPTH + 1).as_bytes()).skip().unwrap_err();
        assert_eq!(error.reason, TOO_DEEP);
        assert!(Scanner::new("[".repeat(1 << 20).as_bytes()).skip().is_err());
    }

    #[test]
    fn errors_show_where_and_what() {
        let error = Scanner::new(b"[1, oops!]").skip().unwrap_err().within("a/b").within(3);
        assert_eq!(error.to_string(), "/3/a~1b: expected a JSON value, got oops! (byte 4)");
        let long = format!("\"{}\x07", "x".repeat(100));
        assert!(Scanner::new(long.as_bytes()).number().unwrap_err().reason.len() < 80);
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_eq!(
            Scanner::new(b"\xef\xbb\xbf5").number(),
            Ok(crate::handlers::json_number::Number::Int(5))
        );
    }
}
