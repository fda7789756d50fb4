//! The small texts of a log4j2 configuration: files, sizes, levels, `${...}`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use tracing_subscriber::filter::LevelFilter;

use crate::config::source::Environment;

/// `${...}` inside `${...}`.
const MAX_DEPTH: usize = 8;

/// A whole file of at most so many bytes.
pub(super) fn read(path: &Path, most: u64) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(most + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > most {
        return Err(format!("is larger than {most} bytes: it is no log4j2 configuration"));
    }
    Ok(text)
}

/// `100 MB`, as log4j reads it: in powers of 1024.
pub(super) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let number: f64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1_u64,
        "K" | "KB" => 1 << 10,
        "M" | "MB" => 1 << 20,
        "G" | "GB" => 1 << 30,
        _ => return None,
    };
    // Saturates; a limit beyond all disks is none.
    Some((number * unit as f64) as u64)
}

/// log4j's levels.
pub(super) fn level(text: &str) -> Option<LevelFilter> {
    Some(match text.trim().to_ascii_lowercase().as_str() {
        "off" => LevelFilter::OFF,
        "fatal" | "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" | "all" => LevelFilter::TRACE,
        _ => return None,
    })
}

/// Replaces `${name}`, `${env:NAME}` and `${...:-default}`; what is not known stays as it is written,
/// as in log4j, and is added to `unread`.
pub(super) fn substitute(
    text: &str,
    properties: &BTreeMap<String, String>,
    environment: &dyn Environment,
    unread: &mut Vec<String>,
) -> String {
    expand(text, properties, environment, unread, 0)
}

fn expand(
    text: &str,
    properties: &BTreeMap<String, String>,
    environment: &dyn Environment,
    unread: &mut Vec<String>,
    depth: usize,
) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        let inner = &rest[at + 2..];
        let Some(end) = closing(inner) else {
            out.push_str(&rest[at..]);
            return out;
        };
        let (whole, after) = (&rest[at..at + 2 + end + 1], &inner[end + 1..]);
        let (name, default) = match inner[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&inner[..end], None),
        };
        let value = match name.split_once(':') {
            Some(("env", variable)) => environment.get(variable),
            Some(_) => None,
            None => properties.get(name).cloned(),
        };
        match value.or_else(|| default.map(str::to_owned)) {
            Some(value) if depth < MAX_DEPTH => {
                out.push_str(&expand(&value, properties, environment, unread, depth + 1));
            }
            _ => {
                unread.push(format!("{whole} has no value"));
                out.push_str(whole);
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Where the brace that was opened before `text` is closed.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}
