//! Every request carries a number that no other has, and must get back what is made of that number.
//!
//! Batches form, rows fail, clients hang up and a model is unloaded under its clients meanwhile. At the
//! end the metrics must add up. `cargo test --release --test it canary -- --ignored` asks a million times,
//! or as often as `TORCHFRONT_CANARIES` says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::{Client, TestServer, checkout, close, eventually, request};

const CLIENTS: usize = 16;
const OUTCOMES: [&str; 5] = ["ok", "error", "bad_input", "cancelled", "expired"];

/// What the clients have read.
#[derive(Default)]
struct Seen {
    next: AtomicUsize,
    answers: AtomicUsize,
    errors: AtomicUsize,
    hang_ups: AtomicUsize,
    absent: AtomicUsize,
}

/// Asks with the next numbers until there are none left.
fn ask(server: std::net::SocketAddr, seen: &Seen, requests: usize) {
    let mut client = Client::connect(server);
    let json = [("Content-Type", "application/json")];
    loop {
        let number = seen.next.fetch_add(1, Ordering::Relaxed);
        if number >= requests {
            return;
        }
        match number % 16 {
            // Fails, and must take nobody with it.
            0 => {
                let body = format!("[{number}, -1]");
                let path = "/predictions/error_on_negative";
                let answer = client.request("POST", path, &json, body.as_bytes());
                assert_eq!(answer.status, 503, "{}", answer.text());
                seen.errors.fetch_add(1, Ordering::Relaxed);
            }
            // Gone before its answer, which nobody else may get.
            1 => {
                let body = format!("[{number}, 0, 0, 0]");
                let head = format!(
                    "POST /predictions/batch_probe HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                client.send(format!("{head}{body}").as_bytes());
                client = Client::connect(server);
                seen.hang_ups.fetch_add(1, Ordering::Relaxed);
            }
            2 | 3 => {
                let body = format!("[{number}, 16]");
                let path = "/predictions/error_on_negative";
                let answer = client.request("POST", path, &json, body.as_bytes());
                assert_eq!(answer.status, 200, "{number}: {}", answer.text());
                // Neighbours below a million differ by more than 4e-4.
                let root = answer.json()[0].as_f64().unwrap();
                assert!((root - (number as f64).sqrt()).abs() < 2e-4, "{number} got {root}");
                seen.answers.fetch_add(1, Ordering::Relaxed);
            }
            // The model comes and goes.
            4 | 5 => {
                let body = format!("[{number}, 7]");
                let answer = client.request("POST", "/predictions/echo", &json, body.as_bytes());
                match answer.status {
                    200 => close(&answer.json(), &serde_json::json!([number, 7]), 0.0),
                    404 | 503 => {
                        seen.absent.fetch_add(1, Ordering::Relaxed);
                    }
                    other => panic!("{other}: {}", answer.text()),
                }
            }
            _ => {
                let body = format!("[{number}, 0, 0, 0]");
                let path = "/predictions/batch_probe";
                let answer = client.request("POST", path, &json, body.as_bytes());
                assert_eq!(answer.status, 200, "{number}: {}", answer.text());
                let sum = answer.json()[0].as_f64().unwrap();
                assert_eq!(sum, number as f64, "{number} got another's row");
                seen.answers.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Below 2^24 every number is exact in `float32`.
fn canaries(requests: usize) {
    let models = r#"models={"batch_probe":{"1.0":{"minWorkers":2,"batchSize":16}},"error_on_negative":{"1.0":{"minWorkers":2,"batchSize":16}},"echo":{"1.0":{"minWorkers":2,"batchSize":16}}}"#;
    let archives = ["batch_probe", "error_on_negative", "echo"];
    let lines = ["job_queue_size=1000", "enable_model_api=true", models];
    let server = TestServer::start(&archives, &lines);
    let seen = Arc::<Seen>::default();
    let (address, management) = (server.inference, server.management);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || ask(address, &seen, requests))
        })
        .collect();
    let over = Arc::new(AtomicBool::new(false));
    let operator = {
        let over = Arc::clone(&over);
        std::thread::spawn(move || {
            let mut rounds = 0;
            while !over.load(Ordering::Relaxed) {
                for (method, path) in [
                    ("DELETE", "/models/echo"),
                    ("POST", "/models?url=echo.mar&initial_workers=2&synchronous=true"),
                ] {
                    let answer = request(management, method, path, &[], b"");
                    assert_eq!(answer.status, 200, "{method}: {}", answer.text());
                }
                rounds += 1;
            }
            rounds
        })
    };
    let ended: Vec<_> = clients.into_iter().map(std::thread::JoinHandle::join).collect();
    over.store(true, Ordering::Relaxed);
    let rounds = operator.join().unwrap();
    ended.into_iter().for_each(|ended| ended.unwrap());
    assert!(rounds > 1, "nothing was unloaded meanwhile");
    let count = |model: &str, outcome: &str| {
        server.metric(&format!(
            "ts_predictions_total{{model_name=\"{model}\",model_version=\"1.0\",outcome=\"{outcome}\"}}"
        )) as usize
    };
    for model in ["batch_probe", "error_on_negative"] {
        // The last hang-ups may not have been noticed yet.
        eventually("accepted is the sum of the outcomes", || {
            let sum: usize = OUTCOMES.iter().map(|outcome| count(model, outcome)).sum();
            count(model, "accepted") == sum
        });
        assert_eq!(count(model, "rejected"), 0);
    }
    let loaded = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    assert_eq!(count("error_on_negative", "error"), loaded(&seen.errors));
    let answered = count("batch_probe", "ok") + count("error_on_negative", "ok");
    let (least, most) = (loaded(&seen.answers), loaded(&seen.answers) + loaded(&seen.hang_ups));
    assert!((least..=most).contains(&answered), "{answered} of {least} to {most}");
    let batches =
        server.metric("ts_batch_size_count{model_name=\"batch_probe\",model_version=\"1.0\"}");
    assert!((batches as usize) < count("batch_probe", "accepted"), "nobody shared a batch");
}

/// What `silero_vad` says to the same silence again and again, from its first call on: it remembers.
fn silences(server: &TestServer, clients: usize, calls: usize) -> Vec<String> {
    let zeros = vec!["0"; 512].join(",");
    let body = format!(
        r#"{{"inputs": [{{"name": "x", "shape": [1, 512], "datatype": "FP32", "data": [{zeros}]}},
            {{"name": "sr", "scalar": 16000}}]}}"#
    );
    let body = Arc::new(body);
    let address = server.inference;
    let threads: Vec<_> = (0..clients)
        .map(|_| {
            let body = Arc::clone(&body);
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                let ask = |_| {
                    let path = "/v2/models/silero_vad/infer";
                    let answer = client.request("POST", path, &[], body.as_bytes());
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    answer.json()["outputs"][0]["data"][0].to_string()
                };
                (0..calls).map(ask).collect::<Vec<_>>()
            })
        })
        .collect();
    threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
}

#[test]
#[cfg(feature = "torch")]
fn sixty_four_clients_of_a_model_that_remembers_hear_what_one_client_hears() {
    const CALLS: usize = 64 * 5;
    let start = |workers: usize| {
        let server = TestServer::start(&[], &["enable_model_api=true", "job_queue_size=1000"]);
        let archive = "tests/conformance/models/silero_vad/silero_vad.mar";
        let store = server.folder.path().join("store");
        std::fs::copy(checkout(archive), store.join("silero_vad.mar")).unwrap();
        let path = format!(
            "/models?url=silero_vad.mar&handler=base_handler&batch_size=1&synchronous=true\
             &initial_workers={workers}"
        );
        let answer = request(server.management, "POST", &path, &[], b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        server
    };
    // One worker and one client: the only sequence there is.
    let alone = silences(&start(1), 1, CALLS);
    assert_ne!(alone[0], alone[1], "it remembers nothing");
    const WORKERS: usize = 3;
    let together = silences(&start(WORKERS), 64, CALLS / 64);
    // Three workers have each said the sequence from its start: what is said in it once is said three
    // times at most, and nothing else is.
    let times = |all: &[String]| {
        let mut times = std::collections::BTreeMap::<String, usize>::new();
        all.iter().for_each(|said| *times.entry(said.clone()).or_default() += 1);
        times
    };
    let possible = times(&alone);
    for (said, count) in times(&together) {
        let most = WORKERS * possible.get(&said).copied().unwrap_or(0);
        assert!(count <= most, "{said} was said {count} times, {most} are possible");
    }
}

#[test]
fn promise_08_and_11_no_request_sees_anothers_rows_and_the_metrics_add_up() {
    canaries(16_000);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the server's settings are not concerned")]
#[ignore = "minutes: cargo test --release --test it canary -- --ignored"]
fn promise_08_and_11_in_a_million_requests() {
    let number = std::env::var("TORCHFRONT_CANARIES");
    canaries(number.map_or(1_000_000, |number| number.parse().unwrap()));
}
