//! The most frequent refusals, by origin: a Space-Saving sketch of bounded size for each thread.
//!
//! Origins come from clients, so that they are never labels; here they are shown to who holds the
//! management key. However many there are, [`CAPACITY`] are kept, and each count says by how much it
//! may be too high. Nothing is allocated for a refusal: entries have room for what is kept.

use serde::Serialize;

use crate::cors::{Kind, Listener, Reason};

/// Entries of a sketch, and of an answer.
pub const CAPACITY: usize = 100;
/// Bytes of an origin that are kept.
const ORIGIN_BYTES: usize = 128;
/// Bytes of a method or of the name of a header that are kept.
const DETAIL_BYTES: usize = 64;

/// One thread's sketch.
pub(super) struct Sketch {
    entries: Vec<Entry>,
}

/// One refusal.
pub(super) struct Refused<'a> {
    pub(super) listener: Listener,
    pub(super) kind: Kind,
    pub(super) reason: Reason,
    /// An entry covers the origin: the method or a header was refused.
    pub(super) listed: bool,
    pub(super) origin: &'a [u8],
    /// The method or the header that was refused to a listed origin.
    pub(super) detail: &'a [u8],
    pub(super) now: u32,
}

struct Entry {
    key: u64,
    listener: Listener,
    kind: Kind,
    reason: Reason,
    listed: bool,
    origin: Text<ORIGIN_BYTES>,
    detail: Text<DETAIL_BYTES>,
    count: u64,
    error: u64,
    first: u32,
    last: u32,
}

/// The beginning of a client's words.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Text<const N: usize> {
    bytes: [u8; N],
    length: u8,
}

/// What `GET /cors/denied` answers.
#[derive(Clone, Debug, Serialize)]
pub struct Denials {
    /// Most refusals that are kept.
    pub capacity: usize,
    /// The most frequent first.
    pub denied: Vec<Denial>,
}

/// Refusals of one origin for one reason on one listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Denial {
    /// The origin as the client sent it, escaped, at most 128 bytes; it may be forged.
    pub origin: String,
    /// Where.
    pub listener: Listener,
    /// What the last one was.
    pub kind: Kind,
    /// Why.
    pub reason: Reason,
    /// An entry of the allow-list covers the origin: it is the method or a header that is missing.
    pub listed: bool,
    /// That method, or the name of that header, of the last one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// How many, at most.
    pub count: u64,
    /// By how much `count` may be too high.
    pub error: u64,
    /// Since when it is among the most frequent, in seconds of Unix time.
    pub first_seen: u32,
    /// The last one, in seconds of Unix time.
    pub last_seen: u32,
}

// === impl Sketch ===

impl Sketch {
    pub(super) fn new() -> Self {
        Self { entries: Vec::with_capacity(CAPACITY) }
    }

    pub(super) fn add(&mut self, refused: &Refused<'_>) {
        let origin = Text::of(refused.origin);
        let key = key(refused.listener, refused.reason, origin.as_bytes());
        let same = |entry: &&mut Entry| {
            entry.key == key
                && entry.listener == refused.listener
                && entry.reason == refused.reason
                && entry.origin == origin
        };
        if let Some(entry) = self.entries.iter_mut().find(same) {
            entry.count += 1;
            entry.last = refused.now;
            (entry.kind, entry.listed) = (refused.kind, refused.listed);
            entry.detail = Text::of(refused.detail);
            return;
        }
        let (count, at) = match self.entries.len() < CAPACITY {
            true => (0, None),
            false => {
                let counts = self.entries.iter().map(|entry| entry.count).enumerate();
                let (at, count) = counts.min_by_key(|(_, count)| *count).unwrap_or_default();
                (count, Some(at))
            }
        };
        let entry = Entry {
            key,
            listener: refused.listener,
            kind: refused.kind,
            reason: refused.reason,
            listed: refused.listed,
            origin,
            detail: Text::of(refused.detail),
            count: count + 1,
            error: count,
            first: refused.now,
            last: refused.now,
        };
        match at {
            Some(at) => self.entries[at] = entry,
            None => self.entries.push(entry),
        }
    }

    pub(super) fn denials(&self) -> impl Iterator<Item = Denial> {
        self.entries.iter().map(|entry| Denial {
            origin: entry.origin.to_string(),
            listener: entry.listener,
            kind: entry.kind,
            reason: entry.reason,
            listed: entry.listed,
            detail: entry.detail.to_string(),
            count: entry.count,
            error: entry.error,
            first_seen: entry.first,
            last_seen: entry.last,
        })
    }
}

// === impl Denials ===

impl Denials {
    /// The sketches of all threads as one.
    pub(super) fn merged(sketches: impl Iterator<Item = Vec<Denial>>) -> Self {
        let mut denied: Vec<Denial> = Vec::new();
        for denial in sketches.flatten() {
            let same = denied.iter_mut().find(|known| {
                known.origin == denial.origin
                    && known.listener == denial.listener
                    && known.reason == denial.reason
            });
            let Some(known) = same else {
                denied.push(denial);
                continue;
            };
            known.count += denial.count;
            known.error += denial.error;
            known.first_seen = known.first_seen.min(denial.first_seen);
            if denial.last_seen > known.last_seen {
                known.last_seen = denial.last_seen;
                known.detail = denial.detail;
                (known.kind, known.listed) = (denial.kind, denial.listed);
            }
        }
        denied.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.origin.cmp(&b.origin)));
        denied.truncate(CAPACITY);
        Self { capacity: CAPACITY, denied }
    }
}

// === impl Text ===

impl<const N: usize> Text<N> {
    fn of(words: &[u8]) -> Self {
        let length = words.len().min(N);
        let mut bytes = [0; N];
        bytes[..length].copy_from_slice(&words[..length]);
        // N is at most 128.
        Self { bytes, length: length as u8 }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl<const N: usize> std::fmt::Display for Text<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

/// FNV-1a; equal keys are compared byte by byte.
fn key(listener: Listener, reason: Reason, origin: &[u8]) -> u64 {
    let start = [listener as u8, reason as u8];
    start.iter().chain(origin).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged<const N: usize>(sketches: [Sketch; N]) -> Denials {
        Denials::merged(sketches.iter().map(|sketch| sketch.denials().collect()))
    }

    fn refused<'a>(origin: &'a str, now: u32) -> Refused<'a> {
        Refused {
            listener: Listener::Inference,
            kind: Kind::Preflight,
            reason: Reason::OriginNotListed,
            listed: false,
            origin: origin.as_bytes(),
            detail: b"",
            now,
        }
    }

    #[test]
    fn the_frequent_are_found_in_a_flood_of_others() {
        let mut sketch = Sketch::new();
        for flood in 0..10_000 {
            sketch.add(&refused(&format!("https://{flood}.example"), flood));
            if flood % 20 == 0 {
                sketch.add(&refused("https://often.example", flood));
            }
        }
        let denials = merged([sketch]);
        assert_eq!(denials.denied.len(), CAPACITY);
        let often = denials.denied.iter().find(|one| one.origin == "https://often.example");
        let often = often.expect("it is among the most frequent");
        assert!(often.count >= 500 && often.count - often.error <= 500, "{often:?}");
        assert_eq!((often.last_seen, often.first_seen > 9_980), (9_980, false));
    }

    #[test]
    fn threads_are_added_and_words_of_clients_are_cut_and_escaped() {
        let (mut one, mut other) = (Sketch::new(), Sketch::new());
        one.add(&refused("https://a.example", 5));
        other.add(&refused("https://a.example", 3));
        other.add(&Refused { listed: true, detail: b"x-a", ..refused("https://a.example", 7) });
        let long = format!("https://{}\r\n\u{e9}", "b".repeat(200));
        other.add(&refused(&long, 7));
        let denied = merged([one, other]).denied;
        assert_eq!(denied.len(), 2);
        assert_eq!((denied[0].count, denied[0].first_seen, denied[0].last_seen), (3, 3, 7));
        assert_eq!((denied[0].detail.as_str(), denied[0].listed), ("x-a", true));
        assert_eq!(denied[1].origin.len(), ORIGIN_BYTES);
        let mut sketch = Sketch::new();
        sketch.add(&refused("a\r\n\u{e9}\"", 1));
        assert_eq!(merged([sketch]).denied[0].origin, "a\\r\\n\\xc3\\xa9\\\"");
    }
}
