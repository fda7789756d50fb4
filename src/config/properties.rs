//! Reads `config.properties` as `java.util.Properties` does, keeping duplicates and line numbers.
//!
//! Called by `source.rs`; [`PropertiesFormat`] offers the same reader to the crate `config`. Every
//! text gives an answer: a line that cannot be read is reported and left out, the others are kept.

use std::iter::Peekable;
use std::str::Chars;

use ::config::{Map, Value};

/// The single top-level key under which a layer of properties is handed to the crate `config`.
///
/// That crate reads a top-level key as a path (`a.b` is `b` inside `a`), so `cors.allowed.origin`
/// and `cors.allowed.origin.file` could not exist together. It does so even for a source that
/// overrides `Source::collect_to`, because its builder collects the list of sources a second time.
/// Keys inside a table are merged as they are.
pub(super) const ROOT: &str = "properties";

/// What Java treats as blank inside a line.
const BLANK: [char; 3] = [' ', '\t', '\x0c'];

/// One `key=value` of the file, unescaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key; may be empty (`=value`), as in Java.
    pub key: String,
    /// The value; blanks at its end are kept, as in Java.
    pub value: String,
    /// The line on which the key starts, from 1.
    pub line: usize,
}

/// A line that is no property.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct SyntaxError {
    /// The line on which the property starts, from 1.
    pub line: usize,
    /// What is wrong, and what to write instead.
    pub problem: String,
}

/// A whole file: the entries in their order, duplicates included, and what could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    /// What was read.
    pub entries: Vec<Entry>,
    /// What was not.
    pub errors: Vec<SyntaxError>,
}

/// The format for the crate `config`: one table named `properties`, its keys flat, each value with
/// the origin `file:line`. The last of several equal keys wins, as in Java.
#[derive(Debug, Clone, Copy, Default)]
pub struct PropertiesFormat;

/// The natural lines of a text, numbered from 1; ends are `\n`, `\r` and `\r\n`.
struct NaturalLines<'a> {
    rest: Option<&'a str>,
    line: usize,
}

// === impl Properties ===

impl Properties {
    /// Reads `text`; a byte order mark at its start is skipped.
    pub fn read(text: &str) -> Properties {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = NaturalLines { rest: Some(text), line: 0 };
        let mut properties = Properties::default();
        while let Some((line, logical)) = next_logical_line(&mut lines) {
            let (key, value) = split(&logical);
            match (unescape(key), unescape(value)) {
                (Ok(key), Ok(value)) => properties.entries.push(Entry { key, value, line }),
                (Err(problem), _) | (_, Err(problem)) => {
                    properties.errors.push(SyntaxError { line, problem });
                }
            }
        }
        properties
    }
}

// === impl PropertiesFormat ===

impl ::config::Format for PropertiesFormat {
    fn parse(
        &self,
        uri: Option<&String>,
        text: &str,
    ) -> Result<Map<String, Value>, Box<dyn std::error::Error + Send + Sync>> {
        let properties = Properties::read(text);
        if let Some(error) = properties.errors.into_iter().next() {
            return Err(error.into());
        }
        let name = uri.map_or("properties", String::as_str);
        Ok(under_root(properties.entries.into_iter().map(|entry| {
            let origin = format!("{name}:{}", entry.line);
            (entry.key, Value::new(Some(&origin), entry.value))
        })))
    }
}

/// Wraps flat keys so that the crate `config` leaves their dots alone; see [`ROOT`].
pub(super) fn under_root(flat: impl IntoIterator<Item = (String, Value)>) -> Map<String, Value> {
    let table: Map<String, Value> = flat.into_iter().collect();
    Map::from_iter([(ROOT.to_string(), Value::from(table))])
}

// === impl NaturalLines ===

impl<'a> Iterator for NaturalLines<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<(usize, &'a str)> {
        let rest = self.rest?;
        self.line += 1;
        let Some(end) = rest.find(['\n', '\r']) else {
            self.rest = None;
            return Some((self.line, rest));
        };
        let (line, after) = rest.split_at(end);
        self.rest = after.strip_prefix("\r\n").or_else(|| after.get(1..));
        Some((self.line, line))
    }
}

/// The next property with its continuation lines joined, and the line on which it starts.
fn next_logical_line(lines: &mut NaturalLines<'_>) -> Option<(usize, String)> {
    loop {
        let (line, natural) = lines.next()?;
        let mut part = natural.trim_start_matches(BLANK);
        // A comment cannot be continued; inside a continued property `#` is an ordinary character.
        if part.is_empty() || part.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = String::new();
        while let Some(continued) = without_continuation(part) {
            logical.push_str(continued);
            part = lines.next().map_or("", |(_, next)| next.trim_start_matches(BLANK));
        }
        logical.push_str(part);
        if !logical.is_empty() {
            return Some((line, logical));
        }
    }
}

/// The line without the backslash that continues it, or none when the line ends here.
///
/// Backslashes escape one another: only an odd number of them at the end continues the line.
fn without_continuation(part: &str) -> Option<&str> {
    let backslashes = part.len() - part.trim_end_matches('\\').len();
    if backslashes % 2 == 1 { part.strip_suffix('\\') } else { None }
}

/// Cuts a logical line at its first unescaped `=`, `:` or blank. Both parts are still escaped.
fn split(logical: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = logical.find(|c: char| {
        let ends = !escaped && (c == '=' || c == ':' || BLANK.contains(&c));
        escaped = c == '\\' && !escaped;
        ends
    });
    let (key, rest) = logical.split_at(end.unwrap_or(logical.len()));
    let rest = rest.trim_start_matches(BLANK);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, rest.trim_start_matches(BLANK))
}

/// Resolves `\t \n \r \f \uXXXX`; before any other character a backslash is dropped.
fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('u') => out.push(unicode(&mut chars)?),
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\x0c'),
            Some(other) => out.push(other),
            None => {}
        }
    }
    Ok(out)
}

/// One character after `\u`: a code unit, or a surrogate pair written as two escapes.
fn unicode(chars: &mut Peekable<Chars<'_>>) -> Result<char, String> {
    let first = code_unit(chars)?;
    let mut units = vec![first];
    if (0xd800..0xdc00).contains(&first) && chars.next_if_eq(&'\\').is_some() {
        if chars.next_if_eq(&'u').is_none() {
            return Err(lone_surrogate(first));
        }
        units.push(code_unit(chars)?);
    }
    let mut decoded = char::decode_utf16(units);
    match (decoded.next(), decoded.next()) {
        (Some(Ok(c)), None) => Ok(c),
        _ => Err(lone_surrogate(first)),
    }
}

fn lone_surrogate(unit: u16) -> String {
    format!("\\u{unit:04X} is half of a surrogate pair; write both halves, or the character itself")
}

/// Exactly four hexadecimal digits.
fn code_unit(chars: &mut Peekable<Chars<'_>>) -> Result<u16, String> {
    let mut unit: u16 = 0;
    for _ in 0..4 {
        let Some(digit) = chars.next().and_then(|c| c.to_digit(16)) else {
            return Err("\\u needs four hexadecimal digits, for example \\u00e9; \
                        write \\\\u for a backslash and a u"
                .to_string());
        };
        unit = unit << 4 | digit as u16;
    }
    Ok(unit)
}

#[cfg(test)]
#[path = "properties_tests.rs"]
mod tests;
