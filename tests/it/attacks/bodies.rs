//! Attacks 17 to 21 and 23: bodies that say more than they are, or cost more than they should.

use std::io::Write;

use super::{OwnProcess, ROW, is_alive, serve};
use crate::support::{Answer, TestServer, request};

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

fn post(server: &OwnProcess, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    request(server.inference, "POST", path, headers, body)
}

#[test]
fn attack_17_json_is_refused_by_what_it_says_and_not_believed() {
    let server = OwnProcess::serve_models("mlp.mar,batch_probe.mar", "enable_metrics_api=false");
    is_alive(server.inference);
    let before = server.peak();
    let deep = |open: &str| open.repeat(1_000_000);
    for (what, body) in [
        ("a million arrays", deep("[")),
        ("a million objects", deep("{\"a\":")),
        ("a million arrays in a member", format!("{{\"data\": {}", deep("["))),
        ("half a surrogate", "{\"\\ud800\": [1, 2, 3, 4]}".to_owned()),
        ("a number without end", format!("[{}", "9".repeat(1_000_000))),
        ("a leading zero", "[01, 2, 3, 4]".to_owned()),
        ("a comma too many", "[1, 2, 3, 4,]".to_owned()),
        ("ragged rows", "[[1, 2, 3, 4], [1]]".to_owned()),
        ("a string without end", format!("\"{}", "x".repeat(1_000_000))),
        ("no bytes", String::new()),
        ("spaces", " ".repeat(1_000_000)),
    ] {
        let answer = post(&server, "/predictions/mlp", &JSON, body.as_bytes());
        let (status, kind, message) = answer.error();
        assert_eq!((status, kind.as_str()), (400, "BadRequestException"), "{what}: {message}");
        assert!(message.len() < 1000, "{what}: the error repeats the body");
    }
    let shape = |shape: &str, data: &str| {
        format!(
            "{{\"inputs\": [{{\"name\": \"x\", \"shape\": {shape}, \"datatype\": \"FP32\", \
             \"data\": {data}}}]}}"
        )
    };
    for (what, body) in [
        ("a thousand million elements", shape("[1000000000]", "[1]")),
        ("a shape that overflows", shape("[4294967296, 4294967296]", "[1]")),
        ("a shape whose product is nearly 2^64", shape("[3, 6148914691236517205]", "[1]")),
        ("a negative length", shape("[-1, 4]", "[1, 2, 3, 4]")),
        ("a length of the largest", shape("[9223372036854775807]", "[1]")),
        ("a length beyond it", shape("[9223372036854775808]", "[1]")),
        ("a fraction", shape("[1.5]", "[1]")),
        ("a thousand dimensions", shape(&format!("[{}1]", "1,".repeat(1000)), "[1]")),
    ] {
        let answer = post(&server, "/v2/models/mlp/infer", &JSON, body.as_bytes());
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
    }
    // A model that answers each row answers rows of nothing, too, and they cost nothing to send.
    for body in [shape("[30000000, 0]", "[]"), format!("[[]{}]", ",[]".repeat(1_000_000))] {
        let answer = post(&server, "/v2/models/batch_probe/infer", &JSON, body.as_bytes());
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    let grown = server.peak() - before;
    assert!(grown < 128 << 20, "{grown} bytes");
    is_alive(server.inference);
}

#[test]
fn attack_17_brackets_around_many_numbers_are_not_written_before_every_one_of_them() {
    let server = OwnProcess::serve_models(
        "mlp.mar,echo.mar",
        "max_response_size=1MiB\nenable_metrics_api=false",
    );
    is_alive(server.inference);
    let before = server.peak();
    // As an answer, with each number on a line of its own behind 126 spaces: 130 MB.
    let numbers = vec!["1"; 1_000_000].join(",");
    let body = format!("{}{numbers}{}", "[".repeat(63), "]".repeat(63));
    let answer = post(&server, "/predictions/echo", &JSON, body.as_bytes());
    let (status, _, message) = answer.error();
    assert_eq!(status, 500, "{message}");
    assert!(message.contains("max_response_size"), "{message}");
    let instances = format!("{{\"instances\": [{body}]}}");
    let answer = post(&server, "/v1/models/echo:predict", &JSON, instances.as_bytes());
    assert_eq!(answer.status, 500, "{}", answer.text());
    let grown = server.peak() - before;
    assert!(grown < 96 << 20, "{grown} bytes");
    is_alive(server.inference);
}

#[test]
fn attack_19_a_compressed_body_inflates_within_bounds_or_is_refused() {
    let server = OwnProcess::serve("enable_metrics_api=false");
    is_alive(server.inference);
    let before = server.peak();
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..256 {
        std::io::Write::write_all(&mut bomb, &[b' '; 1 << 20]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    for (encoding, status) in [
        ("gzip", 413),
        ("deflate", 400),
        ("br", 415),
        ("zstd", 415),
        ("gzip, gzip", 415),
        ("identity, gzip", 413),
        ("\u{1b}", 400),
    ] {
        let headers = [JSON[0], ("Content-Encoding", encoding)];
        let answer = post(&server, "/predictions/mlp", &headers, &bomb);
        assert_eq!(answer.status, status, "{encoding}: {}", answer.text());
    }
    // Without the header they are bytes, and no JSON.
    assert_eq!(post(&server, "/predictions/mlp", &JSON, &bomb).status, 400);
    let headers = [JSON[0], ("Content-Encoding", "identity")];
    assert_eq!(post(&server, "/predictions/mlp", &headers, ROW.as_bytes()).status, 200);
    let grown = server.peak() - before;
    assert!(grown < 64 << 20, "{grown} bytes");
}

#[test]
fn attack_20_parts_are_counted_and_their_file_names_never_used() {
    let server = TestServer::start(&["mlp"], &[]);
    let part = |name: &str, file: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file}\"\r\n\
             Content-Type: application/json\r\n\r\n{ROW}\r\n"
        )
    };
    let small = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n";
    let boundary = |text: &str| format!("multipart/form-data; boundary={text}");
    let whole = |body: &str| format!("{body}--b--\r\n");
    for (what, content_type, body, status) in [
        ("very many parts", boundary("b"), whole(&small.repeat(100_000)), 400),
        ("no end", boundary("b"), part("data", "a"), 400),
        ("no boundary", "multipart/form-data".to_owned(), whole(&part("data", "a")), 400),
        ("a boundary that never comes", boundary("c"), whole(&part("data", "a")), 400),
        ("a long boundary", boundary(&"b".repeat(60_000)), whole(&part("data", "a")), 400),
        ("nearly the boundary", boundary("b"), "\r\n--".repeat(1_000_000), 400),
        (
            "headers without end",
            boundary("b"),
            format!("--b\r\n{}", "X: y\r\n".repeat(500_000)),
            400,
        ),
        ("a path as a file name", boundary("b"), whole(&part("data", "../../../evil.mar")), 200),
        ("an absolute path", boundary("b"), whole(&part("data", "/tmp/torchfront-evil")), 200),
        (
            "many fields",
            "application/x-www-form-urlencoded".to_owned(),
            "a=b&".repeat(1_000_000),
            400,
        ),
    ] {
        let headers = [("Content-Type", content_type.as_str())];
        let path = "/predictions/mlp";
        let answer = request(server.inference, "POST", path, &headers, body.as_bytes());
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
    }
    assert!(!std::path::Path::new("/tmp/torchfront-evil").exists());
    let store = std::fs::read_dir(server.folder.path().join("store")).unwrap();
    assert_eq!(store.count(), 1);
    is_alive(server.inference);
}

/// A PNG that says it is `width` x `height` and has no pixels.
fn png(width: u32, height: u32) -> Vec<u8> {
    let sizes = [width.to_be_bytes(), height.to_be_bytes()].concat();
    let header = [&b"IHDR"[..], &sizes, &[8, 2, 0, 0, 0]].concat();
    let mut check = flate2::Crc::new();
    check.update(&header);
    let end = b"\0\0\0\0IDAT\x35\xaf\x06\x1e";
    let start = b"\x89PNG\r\n\x1a\n\0\0\0\x0d";
    [&start[..], &header, &check.sum().to_be_bytes(), end].concat()
}

/// A chunk of a PNG: length, name and data, checksum.
fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let named = [&name[..], data].concat();
    let mut check = flate2::Crc::new();
    check.update(&named);
    [&(data.len() as u32).to_be_bytes()[..], &named, &check.sum().to_be_bytes()].concat()
}

/// `count` zeros, as zlib packs them.
fn packed_zeros(count: usize) -> Vec<u8> {
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let some = vec![0; 1 << 20];
    for at in (0..count).step_by(some.len()) {
        packer.write_all(&some[..some.len().min(count - at)]).unwrap();
    }
    packer.finish().unwrap()
}

#[test]
fn attack_21_what_a_picture_carries_beside_its_pixels_is_bounded() {
    let store = crate::support::checkout("models");
    let lines = format!("model_store={}\nenable_metrics_api=false", store.display());
    let server = OwnProcess::serve_models("digits.mar", &lines);
    let picture = |profile: usize| {
        let header = [&8_u32.to_be_bytes()[..], &8_u32.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
        let profile = [&b"p\0\0"[..], &packed_zeros(profile)].concat();
        let rows = packed_zeros(8 * (1 + 3 * 8));
        let chunks =
            [(b"IHDR", header), (b"iCCP", profile), (b"IDAT", rows), (b"IEND", Vec::new())];
        let chunks = chunks.map(|(name, data)| chunk(name, &data)).concat();
        [&b"\x89PNG\r\n\x1a\n"[..], &chunks].concat()
    };
    let png = [("Content-Type", "image/png")];
    let ask = |profile| post(&server, "/predictions/digits", &png, &picture(profile)).status;
    assert_eq!(ask(2_000_000), 200);
    let before = server.peak();
    let _answered = ask(400_000_000);
    let grown = server.peak() - before;
    assert!(grown < 128 << 20, "{grown} bytes");
    assert_eq!(ask(2_000_000), 200);
}

#[test]
fn attack_21_a_picture_is_refused_by_its_header_before_its_pixels_have_memory() {
    let store = crate::support::checkout("models");
    let lines = format!("model_store={}\nenable_metrics_api=false", store.display());
    let server = OwnProcess::serve_models("digits.mar", &lines);
    let sample = std::fs::read(store.join("samples").join("colour_3.png"));
    let whole = sample.unwrap();
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>";
    let polyglot = [&b"GIF89a"[..], b"/*<script>alert(1)</script>*/"].concat();
    let before = server.peak();
    for (what, picture) in [
        ("a wide and high one", png(65_535, 65_535)),
        ("the largest that can be written", png(u32::MAX, u32::MAX)),
        ("none at all", png(0, 0)),
        ("a very wide one", png(2_000_000_000, 1)),
        ("half of one", whole[..whole.len() / 2].to_vec()),
        ("its first bytes", b"\x89PNG".to_vec()),
        ("an SVG that reads a file", svg.to_vec()),
        ("a script that looks like a GIF", polyglot),
        ("a ZIP", b"PK\x03\x04".to_vec()),
    ] {
        for headers in [&[][..], &[("Content-Type", "image/png")]] {
            let answer = post(&server, "/predictions/digits", headers, &picture);
            let (status, _, message) = answer.error();
            assert_eq!(status, 400, "{what}: {message}");
            assert!(!message.contains("root:"), "{what}: {message}");
        }
    }
    let grown = server.peak() - before;
    assert!(grown < 64 << 20, "{grown} bytes");
}

#[test]
fn attack_23_a_tensor_that_does_not_fit_fails_alone_and_at_any_batch_size() {
    let server = serve(&[
        "default_workers_per_model=1",
        "models={\"mlp\": {\"1.0\": {\"batchSize\": 8, \"maxBatchDelay\": 20}}}",
    ]);
    let good = || {
        let answer = server.predict("mlp", ROW);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    };
    let expected = good();
    let bad = [
        "[]",
        "[[]]",
        "[[[]]]",
        "[0.1]",
        "[0.1, 0.2, 0.3, 0.4, 0.5]",
        "[[0.1, 0.2], [0.3, 0.4]]",
        "\"text\"",
        "null",
        "true",
        "{}",
        "[null, 1, 2, 3]",
        "[\"a\", \"b\", \"c\", \"d\"]",
        "{\"data\": []}",
        "[[[[0.1, 0.2, 0.3, 0.4]]], 1]",
    ];
    std::thread::scope(|scope| {
        let server = &server;
        let threads: Vec<_> = bad
            .iter()
            .map(|body| {
                scope.spawn(move || {
                    for _ in 0..10 {
                        let answer = server.predict("mlp", *body);
                        assert!(matches!(answer.status, 400 | 503), "{body}: {}", answer.text());
                    }
                })
            })
            .collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            assert_eq!(good(), expected);
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
    // What is no number is no reason to fail, and harms nobody.
    for body in ["[NaN, 1, 2, 3]", "[Infinity, -Infinity, 1e400, -0.0]"] {
        let answer = server.predict("mlp", body);
        assert!(matches!(answer.status, 200 | 400), "{body}: {}", answer.text());
    }
    assert_eq!(good(), expected);
}
