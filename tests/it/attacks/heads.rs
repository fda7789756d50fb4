//! Attacks 14 and 15: heads and chunks that are too many, too large, or mean two things.

use std::io::Write;

use super::{OwnProcess, connect, is_alive, rest, say, serve};
use crate::support::request;

/// A request with this head, and a body that is a request itself.
fn smuggle(lines: &str) -> String {
    let inner = "GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n";
    format!("POST /predictions/mlp HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n\r\n{inner}")
}

#[test]
fn attack_14_a_request_that_two_readers_could_read_as_two_is_refused() {
    let server = serve(&[]);
    let chunked = "Transfer-Encoding: chunked";
    let start = "GET /ping HTTP/1.1\r\nHost: localhost\r\n";
    for (what, bytes) in [
        ("length and chunks", smuggle(&format!("Content-Length: 6\r\n{chunked}"))),
        ("chunks and length", smuggle(&format!("{chunked}\r\nContent-Length: 6"))),
        ("two lengths", smuggle("Content-Length: 0\r\nContent-Length: 5")),
        ("the same length twice", smuggle("Content-Length: 0\r\nContent-Length: 0")),
        ("a list of lengths", smuggle("Content-Length: 0, 5")),
        ("a length with a sign", smuggle("Content-Length: +0")),
        ("a negative length", smuggle("Content-Length: -1")),
        ("a length in hexadecimal", smuggle("Content-Length: 0x0")),
        ("a length that overflows", smuggle("Content-Length: 99999999999999999999999")),
        ("two codings", smuggle("Transfer-Encoding: gzip, chunked")),
        ("chunked twice", smuggle(&format!("{chunked}\r\n{chunked}"))),
        ("a coding that is none", smuggle("Transfer-Encoding: xchunked")),
        ("a space before the colon", smuggle("Content-Length : 0")),
        ("a folded line", smuggle("X: a\r\n Content-Length: 5")),
        ("a bare line feed", smuggle("X: a\nContent-Length: 0")),
        ("a bare line feed at the end", format!("{start}X: a\r\n\n")),
        ("a bare line feed first", "GET /ping HTTP/1.1\nHost: localhost\r\n\r\n".to_owned()),
        ("a bare carriage return", smuggle("X: a\rContent-Length: 0")),
        ("a NUL", smuggle("X: a\0b")),
        ("a NUL in the target", "GET /pi\0ng HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()),
        ("two hosts", format!("{start}Host: other\r\n\r\n")),
        ("no host", "GET /ping HTTP/1.1\r\n\r\n".to_owned()),
        ("chunks in HTTP/1.0", format!("POST / HTTP/1.0\r\nHost: a\r\n{chunked}\r\n\r\n0\r\n\r\n")),
        ("another protocol", "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned()),
    ] {
        let said = say(server.inference, bytes.as_bytes());
        assert_eq!((said.statuses(), said.closed), (vec![400], true), "{what}: {}", said.text);
    }
    is_alive(server.inference);
}

#[test]
fn attack_14_a_line_that_ends_wrongly_is_found_in_pieces_and_in_later_heads_and_not_in_bodies() {
    let server = serve(&[]);
    let mut stream = connect(server.inference);
    let body = b"[0.1,\n-0.2,\r\n0.3,\n0.4]\n\n";
    let head = "POST /predictions/mlp HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/json\r\n";
    let post = format!("{head}Content-Length: {}\r\n\r\n", body.len());
    for piece in [post.as_bytes(), body] {
        stream.write_all(piece).unwrap();
        stream.flush().unwrap();
    }
    stream.write_all(&[post.as_bytes(), body].concat()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    for piece in ["GET /ping HTTP/1.1\r", "\nHost: localhost\r\nX: a", "\nY: b\r\n\r\n"] {
        stream.write_all(piece.as_bytes()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(rest(&mut stream).statuses(), [200, 200, 400]);
}

#[test]
fn attack_14_heads_and_targets_have_a_size() {
    let server = OwnProcess::serve("enable_metrics_api=false");
    is_alive(server.inference);
    let before = server.peak();
    let start = "GET /ping HTTP/1.1\r\nHost: localhost\r\n";
    let query = format!("/ping?{}", "a=b&".repeat(5_000));
    let long = [
        ("a header of a megabyte", format!("{start}X: {}\r\n\r\n", "x".repeat(1 << 20))),
        ("a target of a megabyte", format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20))),
        ("lines without end", format!("{start}{}", "X: y\r\n".repeat(100_000))),
        ("a hundred lines", format!("{start}{}\r\n", "X: y\r\n".repeat(100))),
        ("a method without end", "G".repeat(1 << 20)),
    ];
    for (what, bytes) in long {
        let said = say(server.inference, bytes.as_bytes());
        let statuses = said.statuses();
        assert!(said.closed, "{what}");
        // A client that still sends may read a reset instead.
        assert!(statuses.iter().all(|status| matches!(status, 400 | 431)), "{what}: {statuses:?}");
        assert!(statuses.len() <= 1, "{what}");
    }
    let answer = request(server.inference, "GET", &query, &[], b"");
    let (status, kind, message) = answer.error();
    assert_eq!((status, kind.as_str()), (414, "TooLongFrameException"), "{message}");
    assert!(message.contains("url_max_length"));
    assert!(server.peak() - before < 64 << 20, "{before} bytes, then {}", server.peak());
    is_alive(server.inference);
}

#[test]
fn attack_15_chunks_may_be_small_and_many_and_cost_no_more_than_their_bytes() {
    let server = OwnProcess::serve(
        "enable_metrics_api=false\nbody_timeout=5\nhead_timeout=2\nkeep_alive_timeout=2",
    );
    is_alive(server.inference);
    let before = server.peak();
    let head = "POST /predictions/mlp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let row: String = super::ROW.chars().map(|c| format!("1\r\n{c}\r\n")).collect();
    let million = "1\r\n \r\n".repeat(1_000_000);
    let extended = format!("1;{}\r\n \r\n", "x".repeat(4 << 20));
    let trailers = "X: y\r\n".repeat(1_000_000);
    for (what, body, expected) in [
        ("a million chunks", format!("{million}{row}0\r\n\r\n"), vec![200]),
        ("an extension of megabytes", format!("{extended}{row}0\r\n\r\n"), vec![200]),
        ("a million trailers", format!("{row}0\r\n{trailers}\r\n"), vec![200]),
        (
            "a chunk that is larger than a body may be",
            "FFFFFFFF\r\n".to_owned() + &" ".repeat(8 << 20),
            vec![413],
        ),
        ("a size that overflows", "10000000000000000\r\n ".to_owned(), vec![400]),
        ("a size that is none", "x\r\n\r\n".to_owned(), vec![400]),
        ("a size with a sign", "+1\r\n \r\n0\r\n\r\n".to_owned(), vec![400]),
        ("a bare line feed", "1\n \r\n0\r\n\r\n".to_owned(), vec![400]),
        ("a chunk that is longer than it says", "1\r\n  \r\n0\r\n\r\n".to_owned(), vec![400]),
        ("no end", "1\r\n[\r\n".to_owned(), vec![408]),
    ] {
        let said = say(server.inference, format!("{head}{body}").as_bytes());
        let statuses = said.statuses();
        // What is no chunk may end the connection before anything can be said.
        let is_cut = expected == [400] && statuses.is_empty();
        assert!(said.closed && (statuses == expected || is_cut), "{what}: {}", said.text);
    }
    // A body that nobody wants and that never ends.
    let mut stream = connect(server.inference);
    let ping = "GET /ping HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(ping.as_bytes()).unwrap();
    let began = std::time::Instant::now();
    while stream.write_all(b"5\r\nhello\r\n").is_ok() {
        assert!(began.elapsed() < super::PATIENCE, "a body without end is read without end");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(server.peak() - before < 64 << 20, "{before} bytes, then {}", server.peak());
    is_alive(server.inference);
}
