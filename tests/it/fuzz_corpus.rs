//! The seeds of the fuzz targets and up to 2,000 mutations of each, through the targets' own checks. The
//! same on every machine and every run; `fuzz/` has the targets that go on from here.

use std::fs;

use crate::support::checkout;

#[path = "../../fuzz/archives.rs"]
mod archives;
#[path = "../../fuzz/invariants.rs"]
mod invariants;
#[path = "../../fuzz/requests.rs"]
mod requests;

const VARIANTS: usize = 2_000;
/// Of what takes a hundred times longer: files are written, pictures are scaled.
const FEW_VARIANTS: usize = 60;
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
    b"\x01",
    b"[",
    b"]",
    b"{\"",
    b"null,",
    b"-1",
    b"9223372036854775808",
    b"1e999",
    b"\"shape\":",
    b"\r\n--b\r\n",
    b"../",
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"&a ",
    b"*a",
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
    examine_some(target, check, VARIANTS);
}

fn examine_some(target: &str, check: fn(&[u8]), variants: usize) {
    // Longer without cargo-fuzz: FUZZ_TIMES=100 cargo test fuzz_corpus
    #[expect(
        clippy::disallowed_methods,
        reason = "how long this test runs is no setting of a server"
    )]
    let times = std::env::var("FUZZ_TIMES").map_or(1, |times| times.parse().unwrap());
    let variants = variants * times;
    let seeds = seeds(target);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for (name, seed) in &seeds {
        examine(check, seed, name);
        for _ in 0..variants {
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

#[test]
fn promise_02_whatever_archive_is_opened_keeps_to_its_limits_and_leaves_nothing() {
    examine_some("archive", archives::archive, FEW_VARIANTS);
}

#[test]
fn promise_02_a_manifest_names_files_of_its_own_archive_only() {
    examine_some("manifest", archives::manifest, FEW_VARIANTS * 4);
}

#[test]
fn promise_02_a_model_config_is_read_the_same_way_twice_and_does_not_explode() {
    examine_all("model_config", archives::model_config);
}

#[test]
fn promise_02_json_tensors_are_as_large_as_they_say_and_as_what_came() {
    examine_all("json_tensors", requests::json_tensors);
}

#[test]
fn promise_02_open_inference_tensors_are_as_large_as_they_say_and_as_what_came() {
    examine_all("open_inference", requests::open_inference);
}

#[test]
fn promise_02_the_parts_of_a_body_are_not_more_than_the_body() {
    examine_some("multipart", requests::multipart, FEW_VARIANTS * 4);
}

#[test]
fn promise_02_a_picture_is_read_or_refused() {
    examine_some("image", requests::image, FEW_VARIANTS);
}

#[test]
fn promise_02_a_key_is_let_in_by_its_whole_self_alone() {
    examine_all("authorization", requests::authorization);
}
