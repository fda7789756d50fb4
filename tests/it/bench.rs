//! `torchfront bench` against servers that misbehave on purpose.
//!
//! Nothing here depends on how fast the machine is: what is asserted is on which side of a wide gap a
//! figure lies, and that the counts add up.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What the server does with one request.
enum Reply {
    Status(u16),
    /// Half an answer, then the connection ends.
    Cut,
    /// No answer.
    Silence,
    /// What is not HTTP.
    Noise,
}

/// A server with one thread per connection. `answer` gets the number of the request, its head and
/// its body.
fn serve(answer: impl Fn(usize, &str, &[u8]) -> Reply + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let shared = Arc::new((answer, AtomicUsize::new(0)));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let shared = shared.clone();
            std::thread::spawn(move || connection(stream.unwrap(), &shared.0, &shared.1));
        }
    });
    address
}

fn connection(
    mut stream: TcpStream,
    answer: &impl Fn(usize, &str, &[u8]) -> Reply,
    count: &AtomicUsize,
) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
        });
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).unwrap();
        let reply = match answer(count.fetch_add(1, Ordering::Relaxed), &head, &body) {
            Reply::Status(status) => format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok"),
            Reply::Cut => "HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nok".to_owned(),
            Reply::Noise => "220 mail.example ESMTP\r\n\r\n".to_owned(),
            Reply::Silence => String::new(),
        };
        // The client may have given up.
        if stream.write_all(reply.as_bytes()).is_err() || reply.contains(": 9") {
            return;
        }
    }
}

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_torchfront"));
    command.arg("bench").args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn measure(address: SocketAddr, arguments: &str) -> Value {
    let url = format!("http://{address}/path");
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let output = bench(&[&[url.as_str(), "--json"], &words[..]].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    })
}

#[track_caller]
fn adds_up(report: &Value) {
    let count = |key: &str| report[key].as_u64().unwrap();
    let errors = &report["errors"];
    let sum = count("ok") + errors["total"].as_u64().unwrap() + count("unsent");
    assert_eq!(count("offered"), sum, "{report:#}");
    let classes = ["connect", "timeout", "short_read", "not_http"];
    let mut by_class: u64 = classes.iter().map(|class| errors[class].as_u64().unwrap()).sum();
    by_class +=
        errors["status"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>();
    assert_eq!(errors["total"], by_class, "{report:#}");
}

/// Stops answering for a while, once, when it has had so many requests.
fn stalls_at(number: usize, stall: Duration) -> SocketAddr {
    let until = Mutex::new(None);
    serve(move |count, _, _| {
        let end = {
            let mut until = until.lock().unwrap();
            if count == number {
                *until = Some(Instant::now() + stall);
            }
            *until
        };
        if let Some(end) = end {
            std::thread::sleep(end.saturating_duration_since(Instant::now()));
        }
        Reply::Status(200)
    })
}

#[test]
fn an_open_loop_sees_a_stall_as_users_do_and_a_closed_loop_hides_it() {
    let stall = Duration::from_millis(800);
    // A quarter of the users comes during the stall.
    let open = measure(stalls_at(200, stall), "--rate 200 -d 3s --warm-up 0 -c 32");
    adds_up(&open);
    assert_eq!((&open["offered"], &open["ok"]), (&600.into(), &600.into()), "{open:#}");
    let at = |report: &Value, key: &str| report["latency_ms"][key].as_f64().unwrap();
    assert!(at(&open, "p90") > 200.0, "{open:#}");
    assert!(at(&open, "p99") > 500.0, "{open:#}");
    // Fewer connections than users who wait: their delay is in the latency all the same.
    let narrow = measure(stalls_at(200, stall), "--rate 200 -d 3s --warm-up 0 -c 2");
    adds_up(&narrow);
    assert_eq!(narrow["ok"], 600, "{narrow:#}");
    assert!(at(&narrow, "p90") > 200.0 && at(&narrow, "p99") > 500.0, "{narrow:#}");
    // The same stall in a closed loop: two slow answers among hundreds.
    let closed = measure(stalls_at(200, stall), "--closed -d 3s --warm-up 0 -c 2");
    adds_up(&closed);
    assert!(closed["ok"].as_u64().unwrap() > 300, "{closed:#}");
    assert!(at(&closed, "max") > 700.0, "{closed:#}");
    assert!(at(&closed, "p99") < 200.0, "{closed:#}");
    assert!(closed["notes"][0].as_str().unwrap().contains("closed loop"), "{closed:#}");
}

#[test]
fn every_error_is_counted_in_its_class_and_offered_is_ok_plus_errors_plus_unsent() {
    let address = serve(|count, _, _| match count % 10 {
        1 => Reply::Status(503),
        2 => Reply::Status(404),
        3 => Reply::Cut,
        4 => Reply::Silence,
        5 => Reply::Noise,
        _ => Reply::Status(200),
    });
    let report =
        measure(address, "--rate 200 -d 1s --warm-up 0 --timeout 300ms --arrivals poisson");
    adds_up(&report);
    for class in ["timeout", "short_read", "not_http"] {
        assert!(report["errors"][class].as_u64().unwrap() >= 10, "{class}: {report:#}");
    }
    for status in ["503", "404"] {
        assert!(report["errors"]["status"][status].as_u64().unwrap() >= 10, "{report:#}");
    }
    assert!(report["ok"].as_u64().unwrap() >= 50, "{report:#}");
}

#[test]
fn what_finds_no_free_connection_is_reported_with_its_delay() {
    let address = serve(|_, _, _| {
        std::thread::sleep(Duration::from_millis(100));
        Reply::Status(200)
    });
    // One connection serves at most ten a second.
    let report = measure(address, "--rate 100 -d 2s --warm-up 500ms -c 1");
    adds_up(&report);
    assert_eq!(report["offered"], 200);
    assert!(report["unsent"].as_u64().unwrap() > 150, "{report:#}");
    assert!(report["latency_ms"]["p50"].as_f64().unwrap() > 500.0, "{report:#}");
    let due: f64 = report["windows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|window| window["offered_rate"].as_f64().unwrap() * 0.1)
        .sum();
    assert!((due - 200.0).abs() < 0.5, "{report:#}");
}

#[test]
fn a_server_that_goes_away_is_an_error_of_each_request_and_not_the_end() {
    let address = serve(|count, _, _| if count < 20 { Reply::Status(200) } else { Reply::Cut });
    let report = measure(address, "--rate 100 -d 1s --warm-up 0 -c 4");
    adds_up(&report);
    assert_eq!(report["ok"], 19, "the first request is the check: {report:#}");
    assert_eq!(report["errors"]["short_read"], 81, "{report:#}");
}

#[test]
fn bodies_are_sent_in_turn_with_the_headers_that_were_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = seen.clone();
    let address = serve(move |_, head, body| {
        let text = String::from_utf8_lossy(body).into_owned();
        keep.lock().unwrap().push((head.to_owned(), text));
        Reply::Status(200)
    });
    let files = ["one.json", "two.json"].map(|name| {
        let path = folder.path().join(name);
        std::fs::write(&path, name).unwrap();
        path.display().to_string()
    });
    let arguments = format!(
        "--body {} --body {} --closed -c 1 -d 200ms --warm-up 0 -X PUT -H X-Test:yes",
        files[0], files[1]
    );
    let report = measure(address, &arguments);
    assert!(report["ok"].as_u64().unwrap() > 2, "{report:#}");
    let seen = seen.lock().unwrap();
    for (number, (head, body)) in seen.iter().enumerate() {
        assert_eq!(body, ["one.json", "two.json"][number % 2]);
        let head = head.to_ascii_lowercase();
        for line in ["put /path http/1.1", "x-test: yes", "content-type: application/json"] {
            assert!(head.contains(line), "{head}");
        }
        assert!(head.contains(&format!("host: {address}")), "{head}");
    }
}

#[test]
fn the_knee_of_a_server_with_a_known_capacity_is_not_above_it() {
    // One at a time, 10 ms each: a hundred a second.
    let turn = Mutex::new(());
    let address = serve(move |_, _, _| {
        let _turn = turn.lock().unwrap();
        std::thread::sleep(Duration::from_millis(10));
        Reply::Status(200)
    });
    let folder = tempfile::tempdir().unwrap();
    let chart = folder.path().join("knee.svg");
    let arguments =
        format!("--find-knee --slo 200ms --rate 20 -d 1s --warm-up 0 --plot {}", chart.display());
    let found = measure(address, &arguments);
    // A second of 125/s leaves a backlog of 250 ms.
    let knee = found["knee"].as_f64().unwrap();
    assert!(knee > 0.0 && knee < 126.0, "{found:#}");
    assert_eq!(found["bounded"], true);
    let steps = found["steps"].as_array().unwrap();
    assert!(steps.iter().any(|step| step["verdict"] == "too_slow"), "{found:#}");
    steps.iter().for_each(|step| adds_up(&step["report"]));
    let svg = std::fs::read_to_string(chart).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("<polyline") && svg.contains("objective"));
}

#[test]
fn the_text_says_what_was_measured_and_the_chart_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let chart = folder.path().join("run.svg");
    let url = format!("http://{}/x", serve(|_, _, _| Reply::Status(200)));
    let plot = chart.display().to_string();
    let flags = ["--rate", "50", "-d", "1s", "--warm-up", "0", "--plot", &plot];
    let output = bench(&[&[url.as_str()], &flags[..]].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    for part in
        [&*format!("GET {url}"), "open loop, constant", "offered", "unsent", "p99.9", "due time"]
    {
        assert!(text.contains(part), "{text}\ndoes not say {part}");
    }
    let svg = std::fs::read_to_string(chart).unwrap();
    for part in ["<polyline", "p99", "offered", "served"] {
        assert!(svg.contains(part), "{part}");
    }
}

#[test]
fn a_load_that_would_measure_the_wrong_thing_is_refused_with_the_reason() {
    let missing = serve(|_, _, _| Reply::Status(404));
    let noise = serve(|_, _, _| Reply::Noise);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = |address: SocketAddr| format!("http://{address}/");
    for (arguments, reason) in [
        (vec![url(missing)], "answered 404, expected 2xx: ok"),
        (vec![url(noise)], "not HTTP"),
        (vec![url(closed)], "Is the server running?"),
        (vec!["https://127.0.0.1/".to_owned()], "https is not supported"),
        (vec![url(missing), "--rate".to_owned(), "0".to_owned()], "--rate"),
        (vec![url(missing), "--body".to_owned(), "/no/such/file".to_owned()], "/no/such/file"),
    ] {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = bench(&words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(reason), "{said}");
        assert!(output.stdout.is_empty());
    }
    // The same answer, when it is the one that is to be measured.
    let report = measure(missing, "--expect-status 404 --closed -c 1 -d 100ms --warm-up 0");
    assert!(report["ok"].as_u64().unwrap() > 0, "{report:#}");
}
