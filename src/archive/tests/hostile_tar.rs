//! Gzipped tar archives that no honest archiver writes.

use super::*;
use ArchiveErrorKind::{InvalidModel, LimitExceeded};
use tar::EntryType;

fn good() -> tar::Builder<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in
        [("noop/model.pt", &b"weights"[..]), ("noop/MAR-INF/MANIFEST.json", MANIFEST.as_bytes())]
    {
        let header = tar_header(name.as_bytes(), EntryType::Regular, content.len() as u64);
        builder.append(&header, content).expect("an entry");
    }
    builder
}

fn finish(builder: tar::Builder<Vec<u8>>) -> Vec<u8> {
    gzip(&builder.into_inner().expect("an archive"))
}

fn good_and(name: &[u8], kind: EntryType, content: &[u8]) -> Vec<u8> {
    let mut builder = good();
    let header = tar_header(name, kind, content.len() as u64);
    builder.append(&header, content).expect("an entry");
    finish(builder)
}

#[track_caller]
fn refused(content: &[u8]) -> String {
    Bench::new().refused("noop.tar.gz", content, InvalidModel)
}

#[test]
fn the_honest_archive_is_served() {
    let archive = Bench::new().open_bytes("noop.tar.gz", &finish(good()));
    assert_eq!(archive.expect("an archive").version(), "1.11");
}

#[test]
fn refuses_names_that_leave_the_directory() {
    let names: [&[u8]; 11] = [
        b"../evil",
        b"noop/../evil",
        b"noop/../../evil",
        b"noop/a/../../../evil",
        b"/tmp/evil",
        b"noop//tmp/evil",
        b"//evil",
        b"noop/..\\evil",
        b"noop/C:\\evil",
        b"..",
        b"noop/\xff",
    ];
    for name in names {
        let text = refused(&good_and(name, EntryType::Regular, b"x"));
        assert!(text.contains("entry 2"), "{text}");
    }
}

#[test]
fn refuses_links_devices_and_sparse_files() {
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::Continuous,
        EntryType::new(b'V'),
    ] {
        let mut builder = good();
        let mut header = tar_header(b"noop/link", kind, 0);
        header.as_old_mut().linkname[..11].copy_from_slice(b"/etc/passwd");
        header.set_cksum();
        builder.append(&header, &b""[..]).expect("an entry");
        let text = refused(&finish(builder));
        assert!(text.contains("entry 2 (`noop/link`) is a link, a device"), "{text}");
    }
    refused(&good_and(b"noop/sparse", EntryType::GNUSparse, b""));
}

#[test]
fn refuses_the_same_name_twice_and_case_folds() {
    let text = refused(&good_and(b"noop/model.pt", EntryType::Regular, b"x"));
    assert!(text.contains("entry 2 (`noop/model.pt`) has the same name"), "{text}");
    // Different before the first component is dropped, equal after.
    refused(&good_and(b"other/model.pt", EntryType::Regular, b"x"));
    refused(&good_and(b"noop/Model.PT", EntryType::Regular, b"x"));
    refused(&good_and(b"noop/mar-inf/x", EntryType::Regular, b"x"));
    refused(&good_and(b"noop/model.pt/x", EntryType::Regular, b"x"));
    refused(&good_and(b"noop/MAR-INF", EntryType::Regular, b"x"));
}

#[test]
fn refuses_a_directory_with_content() {
    refused(&good_and(b"noop/d/", EntryType::Directory, b"content"));
    refused(&good_and(b"noop/d/", EntryType::Regular, b"content"));
}

#[test]
fn takes_long_names_and_extended_headers_but_not_endless_ones() {
    let long = format!("noop/{}/f", "d".repeat(120));
    let mut builder = good();
    let mut header = tar_header(b"", EntryType::Regular, 1);
    builder.append_data(&mut header, &long, &b"x"[..]).expect("a GNU long name");
    builder
        .append_pax_extensions([("mtime", b"1.5".as_slice()), ("path", b"noop/pax.txt")])
        .expect("a PAX header");
    builder.append(&tar_header(b"noop/short", EntryType::Regular, 1), &b"y"[..]).expect("a file");
    let bench = Bench::new();
    let archive = bench.open_bytes("noop.tar.gz", &finish(builder)).expect("an archive");
    assert!(archive.dir().join("d".repeat(120)).join("f").is_file());
    assert_eq!(archive.read_file("pax.txt", 10).expect("readable").as_deref(), Some(&b"y"[..]));

    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
        let text = refused(&good_and(b"x", kind, &vec![b'x'; 2 << 20]));
        assert!(text.contains("headers are longer"), "{text}");
    }
    // A PAX path does not slip past the checks.
    let mut builder = good();
    builder.append_pax_extensions([("path", b"noop/../../evil".as_slice())]).expect("a header");
    builder.append(&tar_header(b"noop/ok", EntryType::Regular, 1), &b"y"[..]).expect("a file");
    assert!(refused(&finish(builder)).contains("`..`"));
}

#[test]
fn skips_a_global_header() {
    let bench = Bench::new();
    let mut builder = tar::Builder::new(Vec::new());
    let comment = b"20 comment=0123456\n\n";
    let header = tar_header(b"pax_global_header", EntryType::XGlobalHeader, comment.len() as u64);
    builder.append(&header, &comment[..]).expect("a header");
    for (name, content) in
        [("n/model.pt", &b"w"[..]), ("n/MAR-INF/MANIFEST.json", MANIFEST.as_bytes())]
    {
        let header = tar_header(name.as_bytes(), EntryType::Regular, content.len() as u64);
        builder.append(&header, content).expect("a file");
    }
    bench.open_bytes("noop.tar.gz", &finish(builder)).expect("an archive");
}

#[test]
fn refuses_truncation_corruption_and_trailing_data() {
    let whole = finish(good());
    let bench = Bench::new();
    for length in 0..whole.len() {
        bench.refused("noop.tar.gz", &whole[..length], InvalidModel);
    }
    // A tar cut inside its last file, in a sound gzip.
    let tar = good().into_inner().expect("an archive");
    let last_file = 2 * 512 + 512;
    assert!(refused(&gzip(&tar[..last_file + 20])).contains("entry 1"));
    // The gzip's own checksum, after the last entry.
    let mut corrupt = whole.clone();
    let end = corrupt.len() - 6;
    corrupt[end] ^= 1;
    refused(&corrupt);
    let mut trailing = whole;
    trailing.extend(b"garbage");
    refused(&trailing);
    refused(&gzip(b"this is not a tar archive"));
}

#[test]
fn refuses_bombs_while_they_unpack() {
    let text = Bench::new().refused(
        "noop.tar.gz",
        &good_and(b"noop/zeros", EntryType::Regular, &vec![0; 17 << 20]),
        LimitExceeded,
    );
    assert!(text.contains("(200) at entry 2 (`noop/zeros`)"), "{text}");

    // Behind the end of the tar, where nobody would look.
    let mut tar = good().into_inner().expect("an archive");
    tar.extend(vec![0; 17 << 20]);
    assert!(refused(&gzip(&tar)).contains("headers are longer"));
}

#[test]
fn refuses_too_many_entries() {
    let limits = ArchiveLimits { max_entries: 100, ..ArchiveLimits::default() };
    let names: Vec<String> = (0..200).map(|number| format!("noop/{number}")).collect();
    let entries: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let text = Bench::with_limits(limits).refused("noop.tar.gz", &tar_gz(&entries), LimitExceeded);
    assert!(text.contains("(100) at entry 100 (`noop/100`)"), "{text}");
}
