//! Nothing that can be put into a file makes this room panic or leave something behind.

use super::raw_zip::{End, RawEntry, raw_zip};
use super::*;
use proptest::prelude::*;

/// A good archive with some bytes changed: gets further into the parsers than noise does.
fn mutated(whole: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let changes = proptest::collection::vec((0..whole.len(), any::<u8>()), 1..6);
    (changes, 0..=whole.len()).prop_map(move |(changes, length)| {
        let mut bytes = whole.clone();
        for (position, byte) in changes {
            bytes[position] = byte;
        }
        // Most runs keep the end, without which a zip is refused at once.
        bytes.truncate(if length % 4 == 0 { length } else { bytes.len() });
        bytes
    })
}

fn good_mar() -> Vec<u8> {
    let entries = [
        RawEntry::stored(b"model.pt", b"weights"),
        RawEntry::deflated(b"MAR-INF/MANIFEST.json", MANIFEST.as_bytes()),
        RawEntry::stored(b"model-config.yaml", b"batchSize: 2\n"),
    ];
    raw_zip(&entries, End::default())
}

fn good_tar() -> Vec<u8> {
    let whole = tar_gz(&[
        ("n/", b""),
        ("n/model.pt", b"w"),
        ("n/MAR-INF/MANIFEST.json", MANIFEST.as_bytes()),
    ]);
    let mut content = Vec::new();
    std::io::copy(&mut flate2::read::GzDecoder::new(&whole[..]), &mut content).expect("a tar");
    content
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_behind_either_magic_never_panics(
        magic in prop_oneof![Just(&b"PK\x03\x04"[..]), Just(&b"\x1f\x8b\x08\0"[..]), Just(&b""[..])],
        noise in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let bench = Bench::new();
        let content = [magic, &noise].concat();
        let refused = bench.open_bytes("noop.model", &content).is_err();
        prop_assert!(refused);
        bench.nothing_is_left();
    }

    #[test]
    fn a_changed_zip_never_panics_nor_leaves_anything(content in mutated(good_mar())) {
        let bench = Bench::new();
        drop(bench.open_bytes("noop.mar", &content));
        bench.nothing_is_left();
    }

    #[test]
    fn a_changed_tar_never_panics_nor_leaves_anything(content in mutated(good_tar())) {
        let bench = Bench::new();
        drop(bench.open_bytes("noop.tar.gz", &gzip(&content)));
        bench.nothing_is_left();
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "\\PC{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(super::manifest::Manifest::parse(text.as_bytes()));
        drop(super::manifest::Manifest::parse(&bytes));
        drop(ModelConfig::parse("x.yaml", text.as_bytes()));
        drop(ModelConfig::parse("x.yaml", &bytes));
        let _ = default_model_name(&text);
        let _ = check_model_name(&text);
        let _ = Handler::classify(&text, &BUILT_IN, |_| false);
        drop(resolve(&Bench::new().store(), &text));
    }

    #[test]
    fn yaml_like_text_never_panics(text in "[-a-c:#&*!|>\\[\\]{},'\"?%@` \n\t0-9.~<]{0,120}") {
        drop(ModelConfig::parse("x.yaml", text.as_bytes()));
    }
}
