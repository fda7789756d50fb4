//! Zip archives that no honest archiver writes.

use super::raw_zip::{End, RawEntry, raw_zip, zip64_extra};
use super::*;
use ArchiveErrorKind::{InvalidModel, LimitExceeded};

#[track_caller]
fn refused(entries: &[RawEntry]) -> String {
    Bench::new().refused("noop.mar", &raw_zip(entries, End::default()), InvalidModel)
}

fn good() -> Vec<RawEntry> {
    vec![
        RawEntry::stored(b"model.pt", b"weights"),
        RawEntry::deflated(b"MAR-INF/MANIFEST.json", MANIFEST.as_bytes()),
    ]
}

fn good_and(entry: RawEntry) -> Vec<RawEntry> {
    let mut entries = good();
    entries.push(entry);
    entries
}

#[test]
fn the_honest_raw_archive_is_served() {
    // Without this every refusal below could have another reason.
    let bench = Bench::new();
    let archive = bench.open_bytes("noop.mar", &raw_zip(&good(), End::default()));
    assert_eq!(archive.expect("an archive").version(), "1.11");
}

#[test]
fn refuses_names_that_leave_the_directory() {
    let names: [&[u8]; 9] = [
        b"../evil",
        b"a/../../evil",
        b"/tmp/evil",
        b"..\\evil",
        b"C:\\evil",
        b"C:evil",
        b"a\0b",
        b"\xff\xfe",
        b"./evil",
    ];
    for name in names {
        let text = refused(&good_and(RawEntry::stored(name, b"x")));
        assert!(text.contains("entry 2"), "{text}");
    }
    assert!(refused(&good_and(RawEntry::stored(b"../evil", b"x"))).contains("(`../evil`)"));
}

#[test]
fn refuses_an_empty_name_and_one_too_long_or_too_deep() {
    refused(&good_and(RawEntry::stored(b"", b"x")));
    refused(&good_and(RawEntry::stored("d/".repeat(40).as_bytes(), b"")));
    let text = refused(&good_and(RawEntry::stored(&[b'x'; 2_000], b"x")));
    assert!(text.contains("1,024 bytes"), "{text}");
}

#[test]
fn refuses_links_devices_and_kinds_that_contradict_the_name() {
    for mode in [0o120_777, 0o010_644, 0o020_644, 0o060_644, 0o140_644] {
        let link = RawEntry { mode, ..RawEntry::stored(b"link", b"/etc/passwd") };
        let text = refused(&good_and(link));
        assert!(text.contains("symbolic link"), "{text}");
    }
    refused(&good_and(RawEntry { mode: 0o040_755, ..RawEntry::stored(b"name", b"") }));
    refused(&good_and(RawEntry { mode: 0o100_644, ..RawEntry::stored(b"name/", b"") }));
    let text = refused(&good_and(RawEntry { mode: 0, ..RawEntry::stored(b"name/", b"content") }));
    assert!(text.contains("directory with content"), "{text}");
}

#[test]
fn refuses_the_same_name_twice() {
    let manifest = RawEntry::stored(b"MAR-INF/MANIFEST.json", b"{\"model\": {}}");
    let text = refused(&good_and(manifest));
    assert!(text.contains("same name"), "{text}");
}

#[test]
fn refuses_names_that_differ_in_case_only() {
    let text = refused(&good_and(RawEntry::stored(b"MODEL.PT", b"other")));
    assert!(text.contains("entry 2 (`MODEL.PT`) has the same name"), "{text}");
    let text = refused(&good_and(RawEntry::stored(b"mar-inf/MANIFEST.json", b"{}")));
    assert!(text.contains("case only"), "{text}");
    refused(&good_and(RawEntry { mode: 0o040_755, ..RawEntry::stored(b"Mar-Inf/", b"") }));
}

#[test]
fn refuses_a_file_that_is_also_a_directory() {
    let text = refused(&good_and(RawEntry::stored(b"model.pt/x", b"x")));
    assert!(text.contains("below another entry that is a file"), "{text}");
    refused(&good_and(RawEntry::stored(b"MAR-INF", b"x")));
}

#[test]
fn refuses_encrypted_entries_and_other_methods() {
    let encrypted = RawEntry { flags: 1, ..RawEntry::stored(b"secret", b"0123456789abcdef") };
    assert!(refused(&good_and(encrypted)).contains("encrypted"));
    for method in [1, 6, 9, 12, 14, 93, 95, 98, 99] {
        let entry = RawEntry { method, ..RawEntry::stored(b"other", b"x") };
        let text = refused(&good_and(entry));
        assert!(text.contains("method") || text.contains("damaged"), "{text}");
    }
}

#[test]
fn refuses_a_wrong_checksum_and_sizes_that_lie() {
    let honest = RawEntry::stored(b"data", b"0123456789");
    refused(&good_and(RawEntry { crc: 1, ..honest.clone() }));
    refused(&good_and(RawEntry { size: 5, ..honest.clone() }));
    refused(&good_and(RawEntry { size: 50, ..honest.clone() }));
    refused(&good_and(RawEntry { packed: 5_000, ..honest }));
    let deflated = RawEntry::deflated(b"data", &[b'x'; 1000]);
    refused(&good_and(RawEntry { size: 10, ..deflated.clone() }));
    refused(&good_and(RawEntry { size: 10_000, ..deflated.clone() }));
    refused(&good_and(RawEntry { packed: deflated.packed - 1, ..deflated }));
}

#[test]
fn refuses_local_headers_that_differ_from_the_central_directory() {
    let entry =
        RawEntry { local_name: Some(b"other.py".to_vec()), ..RawEntry::stored(b"hello.py", b"x") };
    let text = refused(&good_and(entry));
    assert!(text.contains("mismatch"), "{text}");
}

#[test]
fn refuses_overlapping_entries() {
    // Two names for one piece of data: the simple form of an overlapping bomb.
    let first = RawEntry::deflated(b"a", &vec![0; 100_000]);
    let second = RawEntry { name: b"b".to_vec(), shares: Some(2), ..first.clone() };
    let mut entries = good_and(first);
    entries.push(second);
    refused(&entries);

    // The honest form of the second: the first reaches over it.
    let inner = RawEntry::stored(b"inner", b"0123456789");
    let reach = RawEntry { packed: 60, size: 60, ..RawEntry::stored(b"reach", b"0123456789") };
    let mut entries = good_and(reach);
    entries.push(inner);
    let text = refused(&entries);
    assert!(text.contains("overlapping"), "{text}");
}

#[test]
fn refuses_zip64_lies() {
    for values in [
        vec![u64::MAX, u64::MAX],
        vec![1 << 62, 1],
        vec![1, 1 << 62],
        vec![7, 7, u64::MAX],
        vec![7, 7, 1 << 40],
    ] {
        let entry = RawEntry {
            size: u32::MAX,
            packed: u32::MAX,
            extra: zip64_extra(&values),
            ..RawEntry::stored(b"big", b"content")
        };
        let bench = Bench::new();
        let content = raw_zip(&good_and(entry), End::default());
        let error = bench.open_bytes("noop.mar", &content).expect_err("a refusal");
        assert!(matches!(error.kind(), InvalidModel | LimitExceeded), "{error}");
        bench.nothing_is_left();
    }
}

#[test]
fn refuses_end_records_that_lie() {
    let ends = [
        End { entries: Some(65_000), ..End::default() },
        End { directory_size: Some(u32::MAX - 1), ..End::default() },
        End { directory_start: Some(u32::MAX - 1), ..End::default() },
        End { directory_start: Some(0), ..End::default() },
        End { entries: Some(u16::MAX), directory_size: Some(u32::MAX), ..End::default() },
    ];
    for end in ends {
        let bench = Bench::new();
        let error = bench.open_bytes("noop.mar", &raw_zip(&good(), end)).expect_err("a refusal");
        assert!(matches!(error.kind(), InvalidModel | LimitExceeded), "{error}");
        bench.nothing_is_left();
    }
}

#[test]
fn refuses_every_truncation() {
    let whole = raw_zip(&good(), End::default());
    let bench = Bench::new();
    for length in 0..whole.len() {
        let text = bench.refused("noop.mar", &whole[..length], InvalidModel);
        assert!(text.contains("damaged") || text.contains("not a model archive"), "{text}");
    }
}

#[test]
fn refuses_a_zip_that_begins_as_something_else() {
    let mut polyglot = b"#!/bin/sh\nexit\n".to_vec();
    polyglot.extend(raw_zip(&good(), End::default()));
    Bench::new().refused("noop.mar", &polyglot, InvalidModel);

    let mut shifted = raw_zip(&[RawEntry::stored(b"x", b"x")], End::default());
    shifted.extend(raw_zip(&good(), End::default()));
    Bench::new().refused("noop.mar", &shifted, InvalidModel);
}

#[test]
fn refuses_a_bomb_by_what_its_headers_claim() {
    let bomb = RawEntry::deflated(b"zeros", &vec![0; 17 << 20]);
    let content = raw_zip(&good_and(bomb), End::default());
    assert!(content.len() < 64 << 10);
    let text = Bench::new().refused("noop.mar", &content, LimitExceeded);
    assert!(text.contains("(200) at entry 2 (`zeros`)"), "{text}");
    assert!(text.contains("raise archive_max_ratio"), "{text}");
}

#[test]
fn refuses_a_bomb_that_claims_to_be_small() {
    let bomb = RawEntry::deflated(b"zeros", &vec![0; 17 << 20]);
    let bomb = RawEntry { size: 1000, ..bomb };
    let bench = Bench::new();
    let content = raw_zip(&good_and(bomb), End::default());
    let error = bench.open_bytes("noop.mar", &content).expect_err("a refusal");
    assert!(matches!(error.kind(), InvalidModel | LimitExceeded), "{error}");
    bench.nothing_is_left();
}

#[test]
fn refuses_too_many_entries_and_too_many_bytes() {
    let limits = ArchiveLimits { max_entries: 4, ..ArchiveLimits::default() };
    let bench = Bench::with_limits(limits);
    // model.pt, MAR-INF, MAR-INF/MANIFEST.json: three; a directory and its file are two more.
    let text = bench.refused(
        "noop.mar",
        &raw_zip(&good_and(RawEntry::stored(b"d/f", b"x")), End::default()),
        LimitExceeded,
    );
    assert!(text.contains("raise archive_max_entries"), "{text}");
    let content = raw_zip(&good_and(RawEntry::stored(b"f", b"x")), End::default());
    assert!(bench.open_bytes("noop.mar", &content).is_ok());

    let limits = ArchiveLimits { max_size: 100, ..ArchiveLimits::default() };
    let text = Bench::with_limits(limits).refused(
        "noop.mar",
        &raw_zip(&good(), End::default()),
        LimitExceeded,
    );
    assert!(text.contains("(100) at entry 1") && text.contains("archive_max_size"), "{text}");
}

#[test]
fn refuses_a_million_entries_without_reading_them() {
    // 60,000 empty files with long names: far more header than 10 entries can need.
    let limits = ArchiveLimits { max_entries: 10, ..ArchiveLimits::default() };
    let entries: Vec<_> = (0..60_000_u32)
        .map(|number| RawEntry::stored(format!("{number:0100}").as_bytes(), b""))
        .collect();
    let content = raw_zip(&entries, End::default());
    let text = Bench::with_limits(limits).refused("noop.mar", &content, LimitExceeded);
    assert!(text.contains("archive_max_entries"), "{text}");
}

#[test]
fn never_prints_raw_names() {
    let name = "\u{1b}[2J\u{202e}gnp\r\n".repeat(50);
    let text = refused(&good_and(RawEntry::stored(name.as_bytes(), b"x")));
    assert!(text.is_ascii() && !text.contains('\u{1b}'), "{text}");
}
