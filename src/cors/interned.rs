//! Header values that live as long as the process.
//!
//! What a policy says is in every answer. Were it reference counted, each answer would count up and down,
//! and cores that share a value would wait for each other; what is never freed is not counted. The same
//! text is kept once, whichever policies say it, and only so much of it: who replaces policies for ever
//! gets values that are counted.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use super::wire::HeaderValue;

/// Bytes of all texts that are kept.
const MAX_BYTES: usize = 256 << 10;

/// The texts.
#[derive(Debug)]
struct Texts {
    known: BTreeSet<&'static str>,
    room: usize,
}

static TEXTS: Mutex<Texts> = Mutex::new(Texts::new(MAX_BYTES));

/// The same value, kept for ever if there is room.
pub(super) fn interned(value: HeaderValue) -> HeaderValue {
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    match value.to_str().ok().and_then(|text| texts.kept(text)) {
        // What can be read as text is taken back as a value.
        Some(text) => HeaderValue::from_static(text),
        None => value,
    }
}

// === impl Texts ===

impl Texts {
    const fn new(room: usize) -> Self {
        Self { known: BTreeSet::new(), room }
    }

    fn kept(&mut self, text: &str) -> Option<&'static str> {
        if let Some(known) = self.known.get(text) {
            return Some(known);
        }
        self.room = self.room.checked_sub(text.len())?;
        let text: &'static str = Box::leak(text.into());
        self.known.insert(text);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_and_only_while_there_is_room() {
        let mut texts = Texts::new(5);
        let (first, again) = (texts.kept("abc").unwrap(), texts.kept("abc").unwrap());
        assert!(std::ptr::eq(first, again));
        assert_eq!(
            (texts.kept("def"), texts.kept("de"), texts.kept("f")),
            (None, Some("de"), None)
        );
        assert_eq!(texts.kept("abc"), Some("abc"));
    }

    #[test]
    fn the_value_stays_what_it_was() {
        for bytes in [&b"Content-Type, X-A"[..], b"600", b"", b"a\tb", b"\xe9"] {
            let value = HeaderValue::from_bytes(bytes).unwrap();
            assert_eq!(interned(value.clone()), value);
        }
    }
}
