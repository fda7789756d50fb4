//! Attack 13: clients that hold a connection and do nothing with it.

use std::io::{Read, Write};
use std::thread::sleep;
use std::time::Duration;

use super::{PATIENCE, ROW, connect, is_alive, rest, say, serve};
use crate::support::{eventually, request};

const PING: &[u8] = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n";
const PONG: &str = "\"Healthy\"\n}\n";
const SHORT: [&str; 5] = [
    "head_timeout=1",
    "keep_alive_timeout=2",
    "body_timeout=1",
    "write_timeout=1",
    "write_min_rate=1 GiB",
];

/// Sends a byte now and then until the server has closed the connection.
fn trickle(stream: &mut std::net::TcpStream, bytes: &[u8]) -> String {
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let began = std::time::Instant::now();
    let (mut said, mut piece) = (Vec::new(), [0; 4096]);
    for byte in bytes.iter().cycle() {
        assert!(began.elapsed() < PATIENCE, "never closed; said {said:?}");
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => said.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn attack_13_a_head_that_does_not_come_ends_the_connection_the_first_and_every_later_one() {
    let server = serve(&SHORT);
    let address = server.inference;
    std::thread::scope(|scope| {
        for begun in [&b""[..], b"G", b"GET /ping HTTP/1.1\r\nHost: localhost\r\n"] {
            scope.spawn(move || {
                let said = say(address, begun);
                assert_eq!((said.statuses(), said.closed), (vec![408], true), "{begun:?}");
                assert!(
                    said.text.contains("\"type\": \"RequestTimeoutException\""),
                    "{}",
                    said.text
                );
            });
            scope.spawn(move || {
                let said = say(address, &[PING, begun].concat());
                assert!(said.closed && said.text.contains(PONG), "{begun:?}: {}", said.text);
                assert_eq!(said.statuses(), [200], "{begun:?}");
            });
        }
        scope.spawn(move || {
            // After an answer, and a byte at a time.
            let mut stream = connect(address);
            stream.write_all(PING).unwrap();
            let said = trickle(&mut stream, b"GET /ping HTTP/1.1\r\nX: y\r\nX: y\r\n");
            assert!(said.contains(PONG), "{said}");
        });
        is_alive(address);
    });
    is_alive(address);
}

#[test]
fn attack_13_a_body_that_stops_or_trickles_is_answered_with_408() {
    let server = serve(&SHORT);
    let address = server.inference;
    let head = "POST /predictions/mlp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n";
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut stream = connect(address);
            stream.write_all(format!("{head}[").as_bytes()).unwrap();
            assert_eq!(rest(&mut stream).statuses(), [408]);
        });
        scope.spawn(move || {
            let mut stream = connect(address);
            stream.write_all(head.as_bytes()).unwrap();
            let said = trickle(&mut stream, b" ");
            assert!(said.starts_with("HTTP/1.1 408"), "{said}");
        });
        is_alive(address);
    });
    is_alive(address);
}

#[test]
fn attack_13_a_client_that_does_not_take_its_answers_is_left() {
    let server = serve(&SHORT);
    let mut stream = connect(server.inference);
    // As many megabytes as no kernel keeps for a connection.
    let asked = 1500;
    let ask = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(asked);
    let mut writer = stream.try_clone().unwrap();
    // Also the requests are not read any more.
    std::thread::spawn(move || writer.write_all(&ask));
    // Nothing is read for longer than the server waits.
    sleep(Duration::from_secs(4));
    let said = rest(&mut stream);
    let answered = said.statuses().len();
    assert!(said.closed && answered < asked, "{answered} answers");
    is_alive(server.inference);
}

#[test]
fn attack_13_idle_connections_end_and_nobody_takes_all_of_them() {
    let caps = ["connections_max_per_address=3", "connections_max=5", "keep_alive_timeout=1"];
    let server = serve(&caps);
    let address = server.inference;
    let ask = |stream: &mut std::net::TcpStream| {
        stream.write_all(PING).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    let mut held: Vec<_> = (0..3).map(|_| connect(address)).collect();
    for stream in &mut held {
        assert_eq!(ask(stream), "HTTP/1.1 200");
    }
    let said = say(address, PING);
    assert!(said.closed && said.statuses() == [503], "{}", said.text);
    assert!(said.text.contains("retry-after: 1\r\n") && said.text.contains("Too many connections"));
    // Clients of another listener are not concerned.
    assert_eq!(request(server.management, "GET", "/models", &[], b"").status, 200);
    // A place comes back when a connection ends, and these end by themselves.
    drop(held.pop());
    eventually("a place is free", || say_once(address) == [200]);
    eventually("all places are free", || {
        let mut streams: Vec<_> = (0..3).map(|_| connect(address)).collect();
        streams.iter_mut().all(|stream| {
            let sent = stream.write_all(PING);
            let mut answer = [0; 12];
            sent.is_ok() && stream.read_exact(&mut answer).is_ok() && answer.ends_with(b"200")
        })
    });
    eventually("it serves", || say_once(address) == [200]);
}

fn say_once(address: std::net::SocketAddr) -> Vec<u16> {
    say(address, b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").statuses()
}

#[test]
fn attack_13_bodies_of_all_clients_together_have_a_bound() {
    let server = serve(&["body_memory_max=100 KiB", "body_timeout=5"]);
    let head = "POST /predictions/mlp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\n";
    let full = || say_body(server.inference, &[&[b' '; 90_000][..], ROW.as_bytes()].concat());
    let mut holding = None;
    eventually("there is no memory", || {
        let mut stream = connect(server.inference);
        let sent =
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&[b' '; 80_000]));
        holding = sent.is_ok().then_some(stream);
        // Until it has come.
        sleep(Duration::from_millis(200));
        full() == 503
    });
    // A small body needs none of it.
    is_alive(server.inference);
    drop(holding);
    eventually("there is memory again", || full() == 200);
}

fn say_body(address: std::net::SocketAddr, body: &[u8]) -> u16 {
    request(address, "POST", "/predictions/mlp", &[("Content-Type", "application/json")], body)
        .status
}
