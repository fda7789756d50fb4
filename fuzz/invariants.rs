//! What must hold whatever bytes arrive: one function a parser, which panics when it does not.
//!
//! Called by the fuzz targets and by `tests/it/fuzz_corpus.rs`. The words of RFC 9110 are written
//! down here a second time, so that a mistake in the parser is not repeated by its check.

use actix_web::http::header::HeaderValue;
use torchfront::config::{Entry, Properties};
use torchfront::cors::{
    AllowedHeaders, AllowedMethods, AllowedOrigins, MAX_ORIGIN_BYTES, OriginPattern, OriginSet,
    SerializedOrigin,
};

/// An accepted origin is made of nothing but its parts; an accepted entry covers itself.
pub fn origin(data: &[u8]) {
    if let Ok(origin) = SerializedOrigin::parse(data) {
        assert_eq!(serialized(&origin), data, "an origin is not what it was read from");
        assert!(data.len() <= MAX_ORIGIN_BYTES);
        assert!(!data.iter().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii_graphic()));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(entry) = OriginPattern::parse(text) else { return };
    assert_eq!(OriginPattern::parse(entry.as_str()).as_ref(), Ok(&entry), "written as {text:?}");
    if entry.is_exact() {
        let value = entry.as_str().as_bytes();
        assert!(SerializedOrigin::parse(value).is_ok(), "no browser sends the entry {text:?}");
        let set = OriginSet::new(&AllowedOrigins::from_patterns(vec![entry.clone()]));
        assert!(matches!(set.find(value), Ok(Some(_))), "{text:?} does not cover itself");
        assert!(!matches!(set.find(data), Ok(Some(_))) || data == value, "{text:?} covers more");
    }
}

/// Lines are separated by `\n`. Whatever is granted is a token that the list covers; what is
/// configured can be written down and read again.
pub fn request_headers(data: &[u8]) {
    let lines: Vec<HeaderValue> = data
        .split(|&byte| byte == b'\n')
        .filter_map(|line| HeaderValue::from_bytes(line).ok())
        .collect();
    let names: Vec<String> = lines.iter().flat_map(|line| elements(line.as_bytes())).collect();
    for list in ["*", "X-A, X-Custom-Token", "*, Authorization"] {
        let allowed = AllowedHeaders::parse(list).value;
        if allowed.check(&lines).is_err() {
            continue;
        }
        assert!(names.len() <= 64 && lines.iter().map(|line| line.len()).sum::<usize>() <= 4096);
        for name in &names {
            assert!(is_token(name), "{list}: {name:?} is no header name");
            let covered = match list {
                "*" => name != "*" && name != "authorization",
                "*, Authorization" => name != "*",
                _ => ["content-type", "x-a", "x-custom-token"].contains(&name.as_str()),
            };
            assert!(covered, "{list}: {name:?} is not covered");
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let headers = AllowedHeaders::parse(text).value;
    assert!(headers.listed().iter().all(|name| is_token(name)), "{text:?}");
    assert_eq!(AllowedHeaders::parse(&headers.header_value()).value, headers, "{text:?}");
    let methods = AllowedMethods::parse(text).value;
    assert!(methods.listed().iter().all(|method| is_token(method)), "{text:?}");
    if !methods.is_any() {
        assert_eq!(AllowedMethods::parse(&methods.header_value()).value, methods, "{text:?}");
    }
}

/// Every line is an entry, an error, a comment or a part of one; entries survive being written
/// down.
pub fn properties(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let read = Properties::read(&text);
    let natural = text.matches(['\n', '\r']).count() + 1;
    for lines in [
        read.entries.iter().map(|entry| entry.line).collect::<Vec<_>>(),
        read.errors.iter().map(|error| error.line).collect(),
    ] {
        assert!(lines.is_sorted_by(|a, b| a < b), "lines out of order: {lines:?}");
        assert!(lines.iter().all(|line| (1..=natural).contains(line)), "{lines:?} of {natural}");
    }
    let written: String = read.entries.iter().map(write).collect();
    let again = Properties::read(&written);
    assert_eq!(again.errors, [], "{written:?}");
    let same = |(a, b): (&Entry, &Entry)| a.key == b.key && a.value == b.value;
    assert!(
        again.entries.len() == read.entries.len()
            && again.entries.iter().zip(&read.entries).all(same),
        "{:?} was written as {written:?} and read as {:?}",
        read.entries,
        again.entries
    );
}

fn serialized(origin: &SerializedOrigin<'_>) -> Vec<u8> {
    let mut bytes = [origin.scheme, b"://", origin.host].concat();
    if let Some(port) = origin.port {
        bytes.extend_from_slice(format!(":{port}").as_bytes());
    }
    bytes
}

/// The elements of a comma list in lower case, without the empty ones.
fn elements(line: &[u8]) -> Vec<String> {
    let text: String = line.iter().map(|&byte| char::from(byte)).collect();
    text.split(',')
        .map(|element| element.trim_matches([' ', '\t']).to_ascii_lowercase())
        .filter(|element| !element.is_empty())
        .collect()
}

/// RFC 9110 5.6.2: printable ASCII but delimiters.
fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name.chars().all(|c| c.is_ascii_graphic() && !"\"(),/:;<=>?@[\\]{}".contains(c))
}

/// One line, as `java.util.Properties.store` writes it.
fn write(entry: &Entry) -> String {
    format!("{}={}\n", escape(&entry.key), escape(&entry.value))
}

fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' => out.push(c),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\x0c' => out.push_str("\\f"),
            ' '..='~' => out.extend(['\\', c]),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04X}"));
                }
            }
        }
    }
    out
}
