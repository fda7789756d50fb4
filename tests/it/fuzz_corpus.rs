//! The seeds of the fuzz targets and 2,000 mutations of each, through the targets' own checks. The
//! same on every machine and every run; `fuzz/` has the targets that go on from here.

use std::fs;

use crate::support::checkout;

#[path = "../../fuzz/invariants.rs"]
mod invariants;

const VARIANTS: usize = 2_000;
/// Pieces that mean something to one of the parsers.
const WORDS: &[&[u8]] = &[
    b"://",
    b":",
    b":443",
    b"*.",
    b"[::1]",
    b".",
    b"xn--",
    b"@",
    b",",
    b" ",
    b"\t",
    b"*",
    b"\n",
    b"\r\n",
    b"\\",
    b"\\u00e9",
    b"\\ud83d",
    b"\\ude00",
    b"=",
    b"#",
    b"\xef\xbb\xbf",
    b"\xff",
    b"authorization",
    b"null",
    b"%41",
    b"\0",
];

/// Marsaglia's xorshift64.
struct Random(u64);

// === impl Random ===

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `end`; 0 when there is nothing below it.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = fs::read_dir(checkout(&format!("fuzz/seeds/{target}"))).unwrap();
    let mut paths: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 5, "{target}: {paths:?}");
    paths.iter().map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect()
}

fn mutate(data: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(data.len() + 1);
    let end = at + random.below((data.len() - at).min(16) + 1);
    match random.below(6) {
        0 if at < data.len() => data[at] ^= 1 << random.below(8),
        1 if at < data.len() => data[at] = random.below(256) as u8,
        2 => drop(data.drain(at..end)),
        3 => {
            let copy = data[at..end].to_vec();
            data.splice(at..at, copy);
        }
        4 => {
            let from = random.below(other.len() + 1);
            data.splice(at..end, other[from..].iter().copied());
        }
        _ => {
            let word = WORDS[random.below(WORDS.len())];
            data.splice(at..at, word.iter().copied());
        }
    }
}

/// Runs `check` and names the input when it panics.
fn examine(check: fn(&[u8]), data: &[u8], name: &str) {
    if let Err(panic) = std::panic::catch_unwind(|| check(data)) {
        eprintln!("{name}, mutated to b\"{}\"", data.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

fn examine_all(target: &str, check: fn(&[u8])) {
    let seeds = seeds(target);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for (name, seed) in &seeds {
        examine(check, seed, name);
        for _ in 0..VARIANTS {
            let mut data = seed.clone();
            for _ in 0..=random.below(4) {
                let (_, other) = &seeds[random.below(seeds.len())];
                mutate(&mut data, other, &mut random);
            }
            examine(check, &data, name);
        }
    }
}

#[test]
fn an_accepted_origin_is_what_was_written_and_covers_itself() {
    examine_all("origin", invariants::origin);
}

#[test]
fn only_names_that_the_list_covers_are_granted() {
    examine_all("request_headers", invariants::request_headers);
}

#[test]
fn what_is_read_from_properties_survives_being_written() {
    examine_all("properties", invariants::properties);
}
