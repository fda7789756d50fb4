//! What comes back with the fast path is what comes back without it, line for line, whatever is sent in
//! whichever pieces.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use actix_http::{HttpService, KeepAlive, Protocol, Request};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, apply_fn_factory, map_config,
};
use actix_web::dev::AppConfig;
use actix_web::{App, HttpResponse, web};
use futures_util::future::join;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};
use tokio::time::timeout;

use super::*;
use crate::cors::{ListenerFacts, Setting, compile};
use crate::http::PreflightGate;
use crate::metrics::Metrics;

const POLICY: &[(&str, &str)] = &[
    ("cors.allowed.origin", "https://app.example.com, https://*.example.org"),
    ("cors.allowed.headers", "X-Custom"),
    ("cors.allow.credentials", "true"),
    ("cors.allow.private.network", "true"),
];
const PREFLIGHT: &str = "OPTIONS /predictions/a HTTP/1.1\r\nHost: a\r\n\
     Origin: https://app.example.com\r\nAccess-Control-Request-Method: POST\r\n\r\n";

/// What came back from a server.
#[derive(Debug, PartialEq)]
struct Said {
    /// Lines of each head in order of the alphabet, without date and id of the request.
    text: Vec<String>,
    /// Its counters of answers.
    counted: Vec<String>,
}

/// A server on one end of a pipe that holds so many bytes, with and without the fast path: what it
/// says to these writes, and how many requests reach actix.
struct Talk<'a> {
    policy: &'a [(&'a str, &'a str)],
    capacity: usize,
}

impl Default for Talk<'_> {
    fn default() -> Self {
        Talk { policy: POLICY, capacity: 64 << 10 }
    }
}

impl Talk<'_> {
    async fn of(&self, writes: &[&[u8]], is_fast: bool) -> (Said, usize) {
        let metrics = Metrics::new("host").unwrap();
        let log = || AccessLog::new("inference", &metrics, true);
        let settings = self.policy.iter();
        let settings: Vec<Setting> =
            settings.map(|(key, value)| Setting::in_file(key, value, "f", 1)).collect();
        let policies = compile(&settings, &ListenerFacts::default()).policies.unwrap();
        let cors = Cors::new(policies.inference);
        let app = App::new()
            .default_service(web::to(|body: web::Bytes| async move {
                HttpResponse::Ok().body(format!("<{}>", body.len()))
            }))
            .wrap(cors.clone())
            .wrap(log());
        let gate = PreflightGate { application: app.into_factory(), cors: Some(cors), log: log() };
        let path = is_fast.then(|| gate.fast_path()).flatten();
        let reached = Rc::new(Cell::new(0));
        let count = Rc::clone(&reached);
        let counted = apply_fn_factory(
            map_config(gate, |()| AppConfig::default()),
            move |request: Request, gate| {
                count.set(count.get() + 1);
                gate.call(request)
            },
        );
        let http = HttpService::build()
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(Duration::ZERO)
            // So that the end of the requests is the end of the answers.
            .h1_allow_half_closed(true)
            .finish(counted.map_err(|error: actix_web::Error| error.error_response()));
        let http = http.new_service(()).await.unwrap();

        let (client, server) = duplex(self.capacity);
        let stream = FastPathStream::new(server, None, path);
        let served = http.call((stream, Protocol::Http1, None));
        let asked = async {
            let (mut reading, mut writing) = split(client);
            let write = async {
                for bytes in writes {
                    // Refused by a server that has closed the connection.
                    let _taken = writing.write_all(bytes).await;
                    // Each is read by itself.
                    for _ in 0..5 {
                        tokio::task::yield_now().await;
                    }
                }
                let _ended = writing.shutdown().await;
            };
            let mut answers = Vec::new();
            let (_, read) = tokio::join!(write, reading.read_to_end(&mut answers));
            read.unwrap();
            answers
        };
        let (_ended, answers) =
            timeout(Duration::from_secs(30), join(served, asked)).await.expect("it ends");
        let counted = metrics.text(&[]);
        let counted = counted.lines().filter(|line| line.contains("class=\""));
        let said = Said { text: normal(&answers), counted: counted.map(str::to_owned).collect() };
        (said, reached.get())
    }

    /// The same with the fast path as without, and how many requests it leaves to actix.
    async fn same(&self, writes: &[&[u8]]) -> (Said, usize) {
        let (fast, reached) = self.of(writes, true).await;
        let (slow, _) = self.of(writes, false).await;
        let shown: Vec<_> = writes.iter().map(|bytes| bytes.escape_ascii().to_string()).collect();
        assert_eq!(fast, slow, "{shown:#?}");
        (fast, reached)
    }
}

fn normal(answers: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answers);
    let lines: Vec<&str> = text
        .split("\r\n")
        .filter(|line| !line.starts_with("x-request-id: "))
        .map(|line| if line.starts_with("date: ") { "date" } else { line })
        .collect();
    let mut heads: Vec<Vec<&str>> =
        lines.split(|line| line.is_empty()).map(<[_]>::to_vec).collect();
    for head in &mut heads {
        head.sort_unstable();
        // actix says so where it refuses the first request of a connection, and forgets it later.
        if head.iter().any(|line| line.starts_with("HTTP/1.1 4")) {
            head.retain(|line| *line != "connection: close");
        }
    }
    heads.iter().map(|head| head.join("\n")).collect()
}

fn with(line: &str) -> String {
    PREFLIGHT.replace("Host: a\r\n", &format!("Host: a\r\n{line}\r\n"))
}

#[actix_web::test]
async fn preflights_that_come_first_are_granted_with_the_same_words_and_do_not_reach_actix() {
    let granted = [
        PREFLIGHT.to_owned(),
        PREFLIGHT.replace("/predictions/a", "/predictions/a?b=c%20d"),
        with("Access-Control-Request-Headers: x-custom"),
        with("Access-Control-Request-Private-Network: true"),
        with("Sec-Fetch-Site: cross-site"),
        with("Connection: Keep-Alive"),
        with("X-Request-Id: mine"),
        with("Cookie: a=b"),
        with("Content-Length: 0"),
        with("X: \u{e9}"),
        PREFLIGHT.replace("app.example.com", "a.example.org"),
        PREFLIGHT.to_uppercase().replace("HTTPS://APP.EXAMPLE.COM", "https://app.example.com"),
    ];
    let writes: Vec<&[u8]> = granted.iter().map(|text| text.as_bytes()).collect();
    for policy in [
        POLICY,
        &[("cors.allowed.origin", "*")],
        &[POLICY, &[("cors.debug", "true"), ("cors.preflight.cache.control", "max-age=9")]]
            .concat()[..],
        &[POLICY, &[("cors.preflight.status", "200")]].concat()[..],
    ] {
        let (said, reached) = Talk { policy, ..Talk::default() }.same(&writes).await;
        let answers = said.text.join("\n");
        let refused = answers.matches("HTTP/1.1 403 Forbidden").count();
        assert_eq!(answers.matches("HTTP/1.1 ").count(), granted.len(), "{answers}");
        // With the first that is refused, all come to actix.
        assert_eq!((reached == 0, refused == 0), (policy.len() > 1, policy.len() > 1), "{answers}");
    }
}

#[actix_web::test]
async fn what_is_not_one_plain_preflight_is_left_to_actix_and_so_is_what_follows() {
    let (head, tail) = PREFLIGHT.split_at(40);
    let twice = PREFLIGHT.repeat(2);
    let with_body = with("Content-Length: 5") + "12345";
    let smuggled =
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", PREFLIGHT.len());
    for first in [
        &["GET / HTTP/1.1\r\nHost: a\r\n\r\n"][..],
        &[&PREFLIGHT.replace("app.example.com", "evil.example")],
        &[&PREFLIGHT.replace("POST", "BREW")],
        &[&with("Access-Control-Request-Headers: x-other")],
        &[&PREFLIGHT.replace("https://app.example.com", "null")],
        &[&with("Origin: https://app.example.com")],
        &[&PREFLIGHT.replace("/predictions/a", "/a#b")],
        &[&PREFLIGHT.replace("/predictions/a", "/\"a")],
        &[&PREFLIGHT.replace("/predictions/a", &format!("/{}", "a".repeat(9000)))],
        &["OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example.com\r\n\r\n"],
        &["OPTIONS / HTTP/1.1\r\nHost: a\r\nAccess-Control-Request-Method: POST\r\n\r\n"],
        &[head, tail],
        &[&twice],
        &[&with_body],
        &[&with("Content-Length: 0\r\nContent-Length: 0")],
        &[&with("Content-Length: 00")],
        &[&with("Content-Length: +0")],
        &[&with("Transfer-Encoding: chunked"), "0\r\n\r\n"],
        &[&with("Expect: 100-continue")],
        &[&with("Upgrade: websocket")],
        &[&PREFLIGHT.replace("HTTP/1.1", "HTTP/1.0")],
        &[&with("Connection: close")],
        &[&with("Host: b")],
        &[&PREFLIGHT.replace("Host: a\r\n", "")],
        &[&PREFLIGHT.replace("/predictions/a", "http://a/predictions/a")],
        &[&PREFLIGHT.replace("/predictions/a", "*")],
        &[&with("X: \0")],
        &[&with("X Y: z")],
        &[&with(" folded")],
        &[&with(["A: b"; 80].join("\r\n").as_str())],
        &[&with(["A: b"; 100].join("\r\n").as_str())],
        &[&smuggled, PREFLIGHT],
    ] {
        let mut writes: Vec<&[u8]> = vec![PREFLIGHT.as_bytes()];
        writes.extend(first.iter().map(|text| text.as_bytes()));
        let before = Talk::default().same(&writes).await.1;
        writes.push(PREFLIGHT.as_bytes());
        let (said, after) = Talk::default().same(&writes).await;
        // Where the connection is still open, the last one reaches actix, too.
        let answers = said.text.join("\n").matches("HTTP/1.").count();
        assert!(after == before + 1 || answers <= 2, "{first:?}: {before}, {after}, {said:?}");
    }
}

#[actix_web::test]
async fn an_answer_that_the_client_takes_in_pieces_is_whole_before_anything_else_is_read() {
    let asked = with("X-Request-Id: mine");
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for capacity in [asked.len(), asked.len() + 1, asked.len() + 100] {
        let talk = Talk { capacity, ..Talk::default() };
        let writes = [asked.as_bytes(), asked.as_bytes(), get.as_bytes()];
        let (said, reached) = talk.same(&writes).await;
        assert_eq!(reached, 1);
        let answers = said.text.join("\n");
        assert_eq!(answers.matches("HTTP/1.1 204 No Content").count(), 2, "{answers}");
        assert!(answers.contains("<0>"), "{answers}");
    }
}

/// Pieces of requests, sound and unsound.
fn request() -> impl Strategy<Value = String> {
    let method =
        prop::sample::select(vec!["OPTIONS", "OPTIONS", "OPTIONS", "GET", "POST", "options"]);
    let target = prop::sample::select(vec![
        "/",
        "/predictions/a",
        "/a?b",
        "*",
        "http://a/",
        "/\u{e9}",
        "//",
    ]);
    let version =
        prop::sample::select(vec!["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2"]);
    let line = prop::sample::select(vec![
        "Origin: https://app.example.com",
        "Origin: https://app.example.com",
        "Origin: https://evil.example",
        "Origin:",
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Method: POST",
        "access-control-request-method:PUT ",
        "Access-Control-Request-Headers: x-custom,content-type",
        "Access-Control-Request-Private-Network: true",
        "Connection: keep-alive",
        "Connection: close",
        "Connection: keep-alive, x",
        "Content-Length: 0",
        "Content-Length: 4",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
        "Upgrade: h2c",
        "Host: b",
        "X-Request-Id: a",
        "X: \u{e9}",
        "X : y",
        " y",
    ]);
    let lines = prop::collection::vec(line, 0..6);
    let body = prop::sample::select(vec!["", "", "", "abcd", "0\r\n\r\n", "\r\n"]);
    let host = prop::bool::weighted(0.9);
    (method, target, version, lines, body, host).prop_map(
        |(method, target, version, lines, body, host)| {
            let mut text = format!("{method} {target} {version}\r\n");
            if host {
                text.push_str("Host: a\r\n");
            }
            for line in lines {
                text.push_str(line);
                text.push_str("\r\n");
            }
            text + "\r\n" + body
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_comes_the_answers_are_those_without_the_fast_path(
        requests in prop::collection::vec(request(), 1..5),
        cut in prop::option::of(0.0..1.0f64),
    ) {
        let mut writes: Vec<&[u8]> = requests.iter().map(|text| text.as_bytes()).collect();
        if let (Some(cut), Some(first)) = (cut, writes.first().copied()) {
            let at = (first.len() as f64 * cut) as usize;
            writes.splice(..1, [&first[..at], &first[at..]]);
        }
        actix_web::rt::System::new().block_on(async {
                    Talk::default().same(&writes).await;
        });
    }
}
