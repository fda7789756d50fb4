//! Models with a state, models that are replaced, models that come and go: what clients see
//! meanwhile, and what is left afterwards. Real libtorch, real sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::process;
use crate::support::{Client, OwnProcess, TestServer, altered_echo, checkout, close, request};

/// Runs `client(number)` on as many threads and gives what they return.
fn clients<T: Send + 'static>(
    count: usize,
    client: impl Fn(usize) -> T + Send + Sync + 'static,
) -> Vec<T> {
    let client = Arc::new(client);
    let threads: Vec<_> = (0..count)
        .map(|number| {
            let client = Arc::clone(&client);
            std::thread::spawn(move || client(number))
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

#[test]
fn sixty_four_clients_of_a_model_with_a_state_lose_no_update() {
    const WORKERS: usize = 3;
    for model in ["counter", "counter_attribute", "accumulator"] {
        let workers = format!("default_workers_per_model={WORKERS}");
        let server = TestServer::start(&[model], &[&workers, "job_queue_size=1000"]);
        let address = server.inference;
        let seen = clients(64, move |_| {
            let mut client = Client::connect(address);
            let path = format!("/predictions/{model}");
            let counts = (0..15).map(|_| {
                let answer = client.request("POST", &path, &[], b"[1.0, 1.0, 1.0, 1.0]");
                assert_eq!(answer.status, 200, "{}", answer.text());
                let count = answer.json()[0].as_f64().unwrap();
                assert!(count.fract() == 0.0 && count >= 1.0, "{model}: {count}");
                count as u64
            });
            counts.collect::<Vec<_>>()
        });
        // Each worker has counted 1, 2, 3 and so on for itself: a count that is missing between
        // others, or seen by more clients than the one before it, is an update that was lost.
        let mut times = BTreeMap::new();
        for count in seen.into_iter().flatten() {
            *times.entry(count).or_insert(0) += 1;
        }
        assert_eq!(times.values().sum::<usize>(), 64 * 15);
        let mut before = WORKERS;
        for (place, (count, times)) in times.into_iter().enumerate() {
            assert_eq!(count, place as u64 + 1, "{model}: a count is missing");
            assert!(times <= before, "{model}: {count} was seen {times} times after {before}");
            before = times;
        }
    }
}

#[test]
fn a_version_is_replaced_under_load_and_no_request_fails() {
    let lines = ["load_models=none", "enable_model_api=true", "job_queue_size=1000"];
    let server = TestServer::start(&["mlp", "mlp_v2"], &lines);
    let management = server.management;
    let manage = move |method: &str, path: &str| {
        let answer = request(management, method, path, &[], b"");
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    };
    let body = "[0.1, -0.2, 0.3, 0.4]";
    manage("POST", "/models?url=mlp.mar&initial_workers=2&batch_size=4");
    let first = server.predict("mlp", body).json();
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (address, stopped, count) = (server.inference, Arc::clone(&stop), Arc::clone(&answered));
    let asking = std::thread::spawn(move || {
        clients(16, move |_| {
            let mut client = Client::connect(address);
            let mut texts = BTreeSet::new();
            while !stopped.load(Ordering::Relaxed) {
                let answer = client.request("POST", "/predictions/mlp", &[], body.as_bytes());
                assert_eq!(answer.status, 200, "{}", answer.text());
                // The last digits depend on the size of the batch.
                texts.insert(format!("{:.4}", answer.json()[0].as_f64().unwrap()));
                count.fetch_add(1, Ordering::Relaxed);
            }
            texts
        })
    });
    let mut second = None;
    let versions = [("mlp_v2", "2.0", "1.0"), ("mlp", "1.0", "2.0")];
    for (archive, version, old) in versions.into_iter().cycle().take(12) {
        manage("POST", &format!("/models?url={archive}.mar&initial_workers=2&batch_size=4"));
        manage("PUT", &format!("/models/mlp/{version}/set-default"));
        // From here on the old one answers nobody who did not ask before.
        let now = server.predict("mlp", body).json();
        let expected = if version == "1.0" { &first } else { second.get_or_insert(now.clone()) };
        close(&now, expected, 1e-5);
        let before = answered.load(Ordering::Relaxed);
        manage("DELETE", &format!("/models/mlp/{old}"));
        while answered.load(Ordering::Relaxed) < before + 50 {
            std::thread::yield_now();
        }
    }
    stop.store(true, Ordering::Relaxed);
    let texts: BTreeSet<_> = asking.join().unwrap().into_iter().flatten().collect();
    assert_ne!(second.unwrap(), first);
    assert_eq!(texts.len(), 2, "only what one of the two versions says: {texts:?}");
}

#[test]
fn a_client_that_hangs_up_is_not_served() {
    let server = TestServer::start(&["slow"], &["default_workers_per_model=1"]);
    let labels = "{model_name=\"slow\",model_version=\"1.0\"";
    let outcome = |outcome: &str| {
        server.metric(&format!("ts_predictions_total{labels},outcome=\"{outcome}\"}}"))
    };
    let head = "POST /predictions/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 21\r\n\r\n";
    let send = || {
        let mut client = Client::connect(server.inference);
        client.send(format!("{head}[0.1, -0.2, 0.3, 0.4]").as_bytes());
        client
    };
    let mut first = send();
    while server.metric(&format!("ts_batch_size_count{labels}}}")) < 1.0 {
        std::thread::yield_now();
    }
    // The worker is busy with the first for some hundred milliseconds.
    for _ in 0..5 {
        drop(send());
    }
    while outcome("cancelled") < 5.0 {
        std::thread::yield_now();
    }
    assert_eq!(first.answer("POST").status, 200);
    assert_eq!(send().answer("POST").status, 200);
    assert_eq!(outcome("accepted"), 7.0);
    assert_eq!(outcome("ok"), 2.0);
    assert_eq!(server.metric(&format!("ts_batch_size_sum{labels}}}")), 2.0, "jobs that were run");
}

#[test]
fn what_the_model_takes_alone_is_measured_at_load_and_compared_with_what_is_served() {
    let lines = [r#"models={"digits":{"1.0":{"batchSize":6}}}"#, "enable_model_api=true"];
    let server = TestServer::start(&["digits", "batch_probe"], &lines);
    let describe = |model: &str| server.manage(&format!("/models/{model}")).json()[0].take();
    // Its shapes are not known: nothing is claimed.
    assert!(describe("batch_probe").get("measured").is_none());
    let measured = describe("digits")["measured"].take();
    let batch_size = describe("digits")["batchSize"].as_u64().unwrap();
    let raw = measured["rawForward"].as_array().unwrap().clone();
    let sizes: Vec<u64> = raw.iter().map(|each| each["batchSize"].as_u64().unwrap()).collect();
    assert_eq!((sizes[0], *sizes.last().unwrap()), (1, batch_size), "{raw:?}");
    assert!(raw.iter().all(|each| each["seconds"].as_f64().unwrap() > 0.0), "{raw:?}");
    assert!(measured["efficiency"].is_null() && measured["overheadSeconds"].is_null());
    let image = fs::read(checkout("models/samples/digit_7_a.png")).unwrap();
    for _ in 0..3 {
        let answer = request(server.inference, "PUT", "/predictions/digits", &[], &image);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // A worker closes its books when the answers are out.
    let measured = loop {
        let measured = describe("digits")["measured"].take();
        if measured["servedRows"] == 3 {
            break measured;
        }
        std::thread::yield_now();
    };
    for figure in ["workerBusySeconds", "efficiency", "overheadSeconds"] {
        assert!(measured[figure].as_f64().unwrap() > 0.0, "{figure}: {measured}");
    }
    let labels = "model_name=\"digits\",model_version=\"1.0\"";
    for series in [
        format!("ts_raw_forward_seconds{{batch_size=\"1\",{labels}}}"),
        format!("ts_serving_efficiency{{{labels}}}"),
        format!("ts_worker_busy_seconds_total{{{labels}}}"),
        format!("ts_overhead_duration_seconds_sum{{{labels}}}"),
    ] {
        assert!(server.metric(&series) > 0.0, "{series}");
    }
    let gone = request(server.management, "DELETE", "/models/digits", &[], b"");
    assert_eq!(gone.status, 200);
    let text = request(server.metrics, "GET", "/metrics", &[], b"").text();
    assert!(!text.contains("\"digits\""), "{text}");
}

/// Bytes of physical memory of a process.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
#[cfg(target_os = "linux")]
fn a_model_that_is_unloaded_gives_its_memory_back() {
    /// The weights of `heavy`.
    const WEIGHTS: u64 = 4 << 20;
    const CYCLES: u64 = 40;
    let folder = tempfile::tempdir().unwrap();
    let lines = "enable_model_api=true\nload_models=none\naccess_log=false";
    let mut command = process::command(folder.path(), &process::properties(lines));
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stdout.take().unwrap());
    let mut addresses = BTreeMap::new();
    let mut line = String::new();
    while !line.contains("Model server started") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "ended before it served");
        if let Some((before, address)) = line.trim().split_once(" API on http://") {
            let role = before.rsplit(' ').next().unwrap().to_owned();
            addresses.insert(role, address.parse::<SocketAddr>().unwrap());
        }
    }
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    let mut management = Client::connect(addresses["management"]);
    let mut inference = Client::connect(addresses["inference"]);
    let mut cycle = || {
        let path = "/models?url=heavy.mar&initial_workers=2";
        assert_eq!(management.request("POST", path, &[], b"").status, 200);
        for _ in 0..4 {
            let answer = inference.request("POST", "/predictions/heavy", &[], b"[1.0, 2.0, 3.0]");
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        assert_eq!(management.request("DELETE", "/models/heavy", &[], b"").status, 200);
    };
    for _ in 0..10 {
        cycle();
    }
    let before = resident(child.id());
    for _ in 0..CYCLES {
        cycle();
    }
    let grown = resident(child.id()).saturating_sub(before);
    // A model that stayed in each cycle would be 160 MiB.
    assert!(grown < CYCLES * WEIGHTS / 3, "{} MiB more", grown >> 20);
    process::signal(&child, "-TERM");
    assert!(child.wait().unwrap().success());
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn a_server_at_rest_gives_back_what_a_forward_took() {
    /// Of the tensor that the forward makes of one number.
    const TENSOR: u64 = 64 << 20;
    let forward = ["_0 = torch.repeat(x, [1, 16777216])", "return torch.mul(x, torch.mean(_0))"];
    let server = OwnProcess::start(&[], &[], |store| {
        altered_echo(store, "large.mar", ("large", "1.0"), &forward);
    });
    for _ in 0..3 {
        let answer = server.predict("large", "[2.0]");
        assert_eq!(answer.status, 200, "{}", server.log());
        close(&answer.json(), &serde_json::json!([4.0]), 1e-5);
    }
    let busy = resident(server.id());
    // The next forward need not ask the system for its memory.
    assert!(busy > TENSOR, "{} MiB", busy >> 20);
    let begin = Instant::now();
    while resident(server.id()) + TENSOR * 9 / 10 > busy {
        assert!(begin.elapsed() < Duration::from_secs(60), "{} MiB", resident(server.id()) >> 20);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(server.predict("large", "[2.0]").status, 200);
}
