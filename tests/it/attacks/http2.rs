//! Attack 16: HTTP/2 frames in numbers and orders that cost a server more than their sender.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};

use super::{PATIENCE, ROW, connect};
use crate::support::{Client, TestServer};
use crate::tls::{HTTPS, Pair};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// ENHANCE_YOUR_CALM.
const CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET path` in HPACK without compression.
fn get(path: &str) -> Vec<u8> {
    let literal = |index: u8, text: &str| {
        [&[index, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
    };
    [vec![0x82, 0x87], literal(0x04, path), literal(0x01, "localhost")].concat()
}

struct Http2(StreamOwned<ClientConnection, TcpStream>);

/// What the server said, until it closed.
#[derive(Debug, Default)]
struct Frames {
    /// The code of the GOAWAY.
    goaway: Option<u32>,
    /// Streams with HEADERS.
    answers: usize,
    closed: bool,
}

impl Http2 {
    fn open(pair: &Pair, server: &TestServer, settings: &[u8]) -> Http2 {
        let stream = connect(server.inference);
        let name = "localhost".try_into().unwrap();
        let session = ClientConnection::new(pair.trust(&["h2"]), name).unwrap();
        let mut http2 = Http2(StreamOwned::new(session, stream));
        http2.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        http2.send(&frame(SETTINGS, 0, 0, settings));
        http2
    }

    /// False when the server has closed.
    fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).and_then(|()| self.0.flush()).is_ok()
    }

    /// Reads to the end, or for so long.
    fn rest(mut self, time: Duration) -> Frames {
        self.0.sock.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let (began, mut bytes, mut piece) = (Instant::now(), Vec::new(), [0; 65_536]);
        let mut frames = Frames::default();
        while began.elapsed() < time && !frames.closed {
            match self.0.read(&mut piece) {
                Ok(0) => frames.closed = true,
                Ok(read) => bytes.extend_from_slice(&piece[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => frames.closed = true,
            }
        }
        let mut left = &bytes[..];
        while let [a, b, c, kind, _, _, _, _, _, more @ ..] = left {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            let Some((payload, more)) = more.split_at_checked(length) else { break };
            match *kind {
                GOAWAY => {
                    frames.goaway = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()))
                }
                HEADERS => frames.answers += 1,
                _ => {}
            }
            left = more;
        }
        frames
    }
}

fn is_alive(pair: &Pair, server: &TestServer) {
    let mut client = Client::connect_tls(server.inference, pair.trust(&["http/1.1"]));
    let json = [("Content-Type", "application/json")];
    assert_eq!(client.request("POST", "/predictions/mlp", &json, ROW.as_bytes()).status, 200);
}

fn serve(pair: &Pair) -> TestServer {
    let lines =
        ["write_timeout=1", "write_min_rate=1 GiB", "keep_alive_timeout=2", "head_timeout=2"];
    pair.serve(&["mlp"], &[&[HTTPS][..], &lines].concat())
}

#[test]
fn attack_16_streams_that_are_opened_and_reset_at_once_end_the_connection() {
    let pair = Pair::new();
    let server = serve(&pair);
    let mut client = Http2::open(&pair, &server, &[]);
    let mut burst = Vec::new();
    for stream in (1..400).step_by(2) {
        burst.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/predictions/mlp")));
        burst.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    client.send(&burst);
    let frames = client.rest(PATIENCE);
    assert!(frames.closed && frames.goaway == Some(CALM), "{frames:?}");
    is_alive(&pair, &server);
}

#[test]
fn attack_16_a_head_without_end_ends_the_connection() {
    let pair = Pair::new();
    let server = serve(&pair);
    // Literal headers, never indexed; END_HEADERS never comes.
    let line = [&[0x10, 1, b'x', 100][..], &[b'y'; 100]].concat();
    let mut client = Http2::open(&pair, &server, &[]);
    client.send(&frame(HEADERS, END_STREAM, 1, &get("/ping")));
    let began = Instant::now();
    while client.send(&frame(CONTINUATION, 0, 1, &line.repeat(100))) {
        assert!(began.elapsed() < PATIENCE, "a head without end is read without end");
    }
    let empty = Http2::open(&pair, &server, &[]);
    let mut client = empty;
    client.send(&frame(HEADERS, END_STREAM, 1, &get("/ping")));
    while client.send(&frame(CONTINUATION, 0, 1, &[])) {
        assert!(began.elapsed() < PATIENCE * 2, "a head without end is read without end");
    }
    is_alive(&pair, &server);
}

#[test]
fn attack_16_a_few_bytes_do_not_become_a_large_head() {
    let pair = Pair::new();
    let server = serve(&pair);
    let mut client = Http2::open(&pair, &server, &[]);
    // One header of 3900 bytes into the table, then 15,000 times its index: 58 MB in a frame.
    let mut block = get("/ping");
    block.extend([0x40, 1, b'x', 0x7f, 0xbd, 0x1d]);
    block.extend(vec![b'y'; 3900]);
    block.extend(vec![0xbe; 12_000]);
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block));
    let frames = client.rest(Duration::from_secs(5));
    assert!(frames.closed || frames.answers <= 1, "{frames:?}");
    is_alive(&pair, &server);
}

#[test]
fn attack_16_settings_and_pings_whose_answers_nobody_reads_end_the_connection() {
    let pair = Pair::new();
    let server = serve(&pair);
    for flood in [frame(SETTINGS, 0, 0, &[]), frame(PING, 0, 0, &[7; 8])] {
        let mut client = Http2::open(&pair, &server, &[]);
        let many = flood.repeat(10_000);
        let began = Instant::now();
        while client.send(&many) {
            assert!(began.elapsed() < PATIENCE, "a flood is answered without end");
        }
    }
    is_alive(&pair, &server);
}

#[test]
fn attack_16_an_answer_that_the_client_gives_no_window_is_not_kept() {
    let pair = Pair::new();
    let server = serve(&pair);
    // SETTINGS_INITIAL_WINDOW_SIZE = 0.
    let mut client = Http2::open(&pair, &server, &[0, 4, 0, 0, 0, 0]);
    for stream in (1..200).step_by(2) {
        client.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/openapi.json")));
    }
    let frames = client.rest(PATIENCE);
    assert!(frames.closed, "{frames:?}");
    is_alive(&pair, &server);
}

#[test]
fn attack_16_an_idle_connection_ends_and_nonsense_is_refused() {
    let pair = Pair::new();
    let server = serve(&pair);
    assert!(Http2::open(&pair, &server, &[]).rest(PATIENCE).closed);
    let data = frame(DATA, 0, 1, b"x");
    let even = frame(HEADERS, END_HEADERS | END_STREAM, 2, &get("/ping"));
    let large = frame(PING, 0, 0, &[0; 9]);
    for nonsense in [data, even, large, vec![0xff; 20_000]] {
        let mut client = Http2::open(&pair, &server, &[]);
        client.send(&nonsense);
        let frames = client.rest(PATIENCE);
        assert!(frames.closed && frames.goaway.is_some_and(|code| code != 0), "{frames:?}");
    }
    is_alive(&pair, &server);
}
