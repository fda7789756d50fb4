//! Policies that change while requests come in: every answer is of one policy, none is lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::*;
use crate::support::Client;

/// Two policies that differ in everything that an answer shows.
const ONE: &str = "cors.allowed.origin=https://app.example.com\ncors.max.age=11\n\
    cors.allowed.headers=X-One\ncors.allowed.methods=GET, POST\n\
    cors.exposed.headers=X-Shown-One\ncors.allow.credentials=true\n";
const TWO: &str = "cors.allowed.origin=https://app.example.com, https://other.example.com\n\
    cors.max.age=22\ncors.allowed.headers=X-Two\ncors.allowed.methods=GET, POST, PUT\n\
    cors.exposed.headers=X-Shown-Two\ncors.allow.credentials=false\n";
const CHANGES: usize = 40;

/// What CORS says in an answer, in the order of their names.
type Said = Vec<(String, String)>;

fn said(answer: &Answer) -> Said {
    let of_cors = |(name, _): &&(String, String)| name.starts_with("access-control-");
    let mut said: Said = answer.headers.iter().filter(of_cors).cloned().collect();
    said.sort();
    said
}

fn ask_preflight(client: &mut Client, origin: &str) -> Answer {
    let headers = [
        ("Origin", origin),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type"),
    ];
    client.request("OPTIONS", "/predictions/mlp", &headers, b"")
}

fn ask_prediction(client: &mut Client, origin: &str) -> Answer {
    let headers = [("Origin", origin), ("Content-Type", "application/json"), ("Cookie", "a=b")];
    client.request("POST", "/predictions/mlp", &headers, b"[1,2,3,4]")
}

/// What each kind of request is answered by a policy that nobody changes: status and headers.
struct Expected {
    answers: [(u16, Said); 4],
}

impl Expected {
    fn of(server: &TestServer) -> Expected {
        let mut client = Client::connect(server.inference);
        Expected { answers: [0, 1, 2, 3].map(|kind| Expected::ask(&mut client, kind)) }
    }

    /// A preflight and a prediction of an origin that both policies list, and of one that only the
    /// second does.
    fn ask(client: &mut Client, kind: usize) -> (u16, Said) {
        let origin = [APP, OTHER][kind / 2];
        let answer = match kind % 2 {
            0 => ask_preflight(client, origin),
            _ => ask_prediction(client, origin),
        };
        (answer.status, said(&answer))
    }
}

fn put_in_force(server: &TestServer, from: &str, to: &str) {
    edit(server, from, to);
    let answer = reload(server);
    assert_eq!((answer.status, &answer.json()["result"]), (200, &"applied".into()));
}

#[test]
fn no_request_is_answered_by_a_mixed_policy_and_none_fails() {
    let server = TestServer::start(&["mlp"], &["cors.selftest=off", ONE]);
    let first = Expected::of(&server);
    put_in_force(&server, ONE, TWO);
    let second = Expected::of(&server);
    put_in_force(&server, TWO, ONE);
    // Else a mixture could not be seen.
    for kind in 0..4 {
        let (one, two) = (&first.answers[kind], &second.answers[kind]);
        let differ = one.1.iter().filter(|header| !two.1.contains(header)).count()
            + two.1.iter().filter(|header| !one.1.contains(header)).count();
        assert!(differ >= 2, "{one:?} {two:?}");
    }
    let stop = AtomicBool::new(false);
    let [from_one, from_two, preflights] = [0, 0, 0].map(AtomicU64::new);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = Client::connect(server.inference);
                while !stop.load(Relaxed) {
                    for kind in 0..4 {
                        let found = Expected::ask(&mut client, kind);
                        let (one, two) = (&first.answers[kind], &second.answers[kind]);
                        assert!(found == *one || found == *two, "{kind}: {found:?}");
                        let by = if found == *one { &from_one } else { &from_two };
                        by.fetch_add(1, Relaxed);
                        preflights.fetch_add(u64::from(kind % 2 == 0), Relaxed);
                    }
                }
            });
        }
        let mut texts = [ONE, TWO];
        for _ in 0..CHANGES {
            put_in_force(&server, texts[0], texts[1]);
            texts.reverse();
            // Both policies are met.
            let answered = if texts[0] == ONE { &from_one } else { &from_two };
            let seen = answered.load(Relaxed);
            crate::support::eventually("an answer under the new policy", || {
                answered.load(Relaxed) > seen
            });
        }
        stop.store(true, Relaxed);
    });
    // What the policies before have counted is not lost: these, and the two expectations.
    let text = metrics(&server);
    let decided = sum(&text, "ts_cors_decisions_total", &["\"preflight\"", "\"inference\""]);
    assert_eq!(decided, (preflights.load(Relaxed) + 4) as f64);
}
