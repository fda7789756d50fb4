//! Many clients at once: every request is answered, with its own row, and batches form.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::{Client, TestServer, checkout, close};

/// Runs `client(number)` on as many threads.
fn clients(count: usize, client: impl Fn(usize) + Send + Sync + 'static) {
    let client = Arc::new(client);
    let threads: Vec<_> = (0..count)
        .map(|number| {
            let client = Arc::clone(&client);
            std::thread::spawn(move || client(number))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn sixty_four_clients_each_get_the_answer_to_their_own_image() {
    let server = TestServer::start(&["digits"], &["job_queue_size=1000"]);
    let expected = fs::read_to_string(checkout("models/samples/expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let samples: Vec<(Vec<u8>, String)> = expected["samples"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(file, sample)| {
            let image = fs::read(checkout(&format!("models/samples/{file}"))).unwrap();
            (image, sample["digit"].to_string().trim_matches('"').to_owned())
        })
        .collect();
    let address = server.inference;
    clients(64, move |number| {
        let mut client = Client::connect(address);
        for round in 0..20 {
            let (image, digit) = &samples[(number * 7 + round) % samples.len()];
            let answer = client.request("POST", "/predictions/digits", &[], image);
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(answer.text().split('"').nth(1), Some(&**digit));
        }
    });
    let series = |name: &str| format!("{name}{{model_name=\"digits\",model_version=\"1.0\"}}");
    let batches = server.metric(&series("ts_batch_size_count"));
    let jobs = server.metric(&series("ts_batch_size_sum"));
    assert_eq!(jobs, 1280.0);
    assert!(batches < jobs, "64 clients never shared a batch");
}

#[test]
fn rows_never_cross_while_clients_err_and_hang_up() {
    let lines = [
        "job_queue_size=1000",
        r#"models={"error_on_negative":{"1.0":{"minWorkers":2,"batchSize":16}}}"#,
    ];
    let server = TestServer::start(&["error_on_negative"], &lines);
    let address = server.inference;
    let refused = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&refused);
    clients(32, move |number| {
        let mut client = Client::connect(address);
        for round in 0..40 {
            let canary = (number * 40 + round) as f64;
            let path = "/predictions/error_on_negative";
            match (number + round) % 5 {
                // Wrong for itself alone.
                0 => {
                    let answer = client.request("POST", path, &[], b"[4.0, -1.0]");
                    assert_eq!(answer.status, 503);
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                // Goes away before its answer.
                1 => {
                    let body = "[9.0, 9.0]";
                    let length = body.len();
                    let head = format!(
                        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
                    );
                    client.send(format!("{head}{body}").as_bytes());
                    client = Client::connect(address);
                }
                _ => {
                    let body = json!([canary * canary, 16.0]).to_string();
                    let answer = client.request("POST", path, &[], body.as_bytes());
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    close(&answer.json(), &json!([canary, 4.0]), 1e-3);
                }
            }
        }
    });
    let outcome = |outcome: &str| {
        server.metric(&format!(
            "ts_predictions_total{{model_name=\"error_on_negative\",model_version=\"1.0\",outcome=\"{outcome}\"}}"
        ))
    };
    assert_eq!(outcome("error"), refused.load(Ordering::Relaxed) as f64);
    // The server may not have seen yet that the last ones hung up.
    while outcome("ok") + outcome("error") + outcome("cancelled") < outcome("accepted") {
        std::thread::yield_now();
    }
}

#[test]
fn a_graceful_stop_answers_what_was_accepted() {
    let server = TestServer::start(&["slow"], &["default_workers_per_model=2"]);
    let address = server.inference;
    let waiting: Vec<_> = (0..6)
        .map(|_| {
            let mut client = Client::connect(address);
            let body = "[0.1, -0.2, 0.3, 0.4]";
            let head = "POST /predictions/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 21\r\n\r\n";
            client.send(format!("{head}{body}").as_bytes());
            client
        })
        .collect();
    let accepted =
        "ts_predictions_total{model_name=\"slow\",model_version=\"1.0\",outcome=\"accepted\"}";
    while server.metric(accepted) < 6.0 {
        std::thread::yield_now();
    }
    server.begin_stop();
    for mut client in waiting {
        assert_eq!(client.answer("POST").status, 200);
    }
    server.stop();
}
