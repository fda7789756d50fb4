//! The metrics listener as Prometheus and TorchServe's users meet it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::json;

use crate::support::{TestServer, request};

/// One sample line: name, labels in their order, value.
type Sample = (String, Labels, f64);
type Labels = Vec<(String, String)>;

fn scrape(server: &TestServer, query: &str) -> String {
    let answer = request(server.metrics, "GET", &format!("/metrics{query}"), &[], b"");
    assert_eq!(answer.status, 200);
    let content_type = answer.header("content-type").unwrap();
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
    answer.text()
}

/// Does a few predictions, good and bad.
fn work(server: &TestServer) {
    for _ in 0..3 {
        assert_eq!(server.predict("mlp", "[0.1, -0.2, 0.3, 0.4]").status, 200);
    }
    assert_eq!(server.predict("mlp/1.0", "[0.1, -0.2, 0.3, 0.4]").status, 200);
    assert_eq!(server.predict("mlp", "[0.1]").status, 400);
    assert_eq!(server.predict("none", "[0.1]").status, 404);
}

/// Reads a sample line as Prometheus' own parser does.
fn sample(line: &str) -> Sample {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let end = line.find(|c| !is_name(c)).unwrap();
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, behind) = rest.split_once("=\"").unwrap();
            let mut value = String::new();
            let mut chars = behind.char_indices();
            let end = loop {
                match chars.next().unwrap() {
                    (_, '\\') => value.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        escaped @ ('\\' | '"') => escaped,
                        other => panic!("\\{other} in {line}"),
                    }),
                    (at, '"') => break at,
                    (_, c) => value.push(c),
                }
            };
            labels.push((label.to_owned(), value));
            rest = behind[end + 1..].trim_start_matches(',');
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').unwrap();
    let value = value.replace("Inf", "inf").parse().unwrap_or_else(|_| panic!("{line}"));
    (name.to_owned(), labels, value)
}

/// What `promtool check metrics` looks at, and that no series is there twice. Gives the samples.
#[track_caller]
fn lint(text: &str) -> Vec<Sample> {
    let (mut samples, mut seen) = (Vec::new(), BTreeSet::new());
    let mut families: BTreeMap<String, String> = BTreeMap::new();
    let (mut family, mut kind) = (String::new(), String::new());
    assert!(text.is_empty() || text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect(line);
            assert!(!words.trim().is_empty(), "{line}");
            assert!(!families.contains_key(name), "{name} is described twice");
            family = name.to_owned();
            kind.clear();
        } else if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, declared) = declared.split_once(' ').expect(line);
            assert_eq!(name, family, "TYPE follows HELP");
            assert!(["counter", "gauge", "histogram"].contains(&declared), "{line}");
            kind = declared.to_owned();
            families.insert(family.clone(), kind.clone());
        } else {
            let (name, labels, value) = sample(line);
            let of_family = match kind.as_str() {
                "histogram" => ["_bucket", "_sum", "_count"]
                    .iter()
                    .any(|end| name.strip_suffix(end) == Some(&family)),
                _ => name == family,
            };
            assert!(of_family && !kind.is_empty(), "{line} stands below {family}");
            for (label, _) in &labels {
                let names = labels.iter().filter(|(other, _)| other == label);
                assert_eq!(names.count(), 1, "{line}");
                assert!(!label.starts_with("__") && (label != "le" || kind == "histogram"));
            }
            assert!(kind == "gauge" || value >= 0.0, "{line}");
            let mut key = labels.clone();
            key.sort();
            assert!(seen.insert((name.clone(), key)), "twice: {line}");
            samples.push((name, labels, value));
        }
    }
    // TorchServe's own names are as they are; ours follow Prometheus' rules.
    let torchserve = |name: &String| {
        name.starts_with(char::is_uppercase)
            || ["ts_inference_latency_microseconds", "ts_queue_latency_microseconds"]
                .contains(&name.as_str())
    };
    for (name, kind) in families.iter().filter(|(name, _)| !torchserve(name)) {
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
        assert_eq!(*name, name.to_ascii_lowercase());
        let wrong = ["_count", "_sum", "_bucket", "_info", "milliseconds", "microseconds"];
        // What is in force, as labels of a gauge that is 1: the one that may be called so.
        let is_info = name == "ts_cors_policy_info";
        assert!(is_info || !wrong.iter().any(|end| name.ends_with(end)), "{name}");
    }
    check_histograms(&samples);
    samples
}

/// Buckets grow, and the last holds all.
fn check_histograms(samples: &[Sample]) {
    let mut last: BTreeMap<(String, Labels), (f64, f64)> = BTreeMap::new();
    for (name, labels, value) in samples {
        let mut labels = labels.clone();
        if let Some(name) = name.strip_suffix("_bucket") {
            let at = labels.iter().position(|(label, _)| label == "le").unwrap();
            let le: f64 = labels.remove(at).1.replace("Inf", "inf").parse().unwrap();
            if let Some((before_le, before)) = last.insert((name.to_owned(), labels), (le, *value))
            {
                assert!(before_le < le && before <= *value, "{name} at {le}");
            }
        } else if let Some(name) = name.strip_suffix("_count") {
            let Some((le, all)) = last.get(&(name.to_owned(), labels)) else { continue };
            assert!(le.is_infinite() && all == value, "{name}");
        }
    }
}

#[test]
fn the_text_passes_a_lint_and_holds_torchserves_metrics_and_ours() {
    let server = TestServer::start(&["mlp"], &["default_workers_per_model=2"]);
    work(&server);
    let samples = lint(&scrape(&server, ""));
    let value = |name: &str, wanted: &[(&str, &str)]| {
        let fits = |labels: &[(String, String)]| {
            wanted.iter().all(|(a, b)| labels.iter().any(|(name, value)| name == a && value == b))
        };
        let mut found = samples.iter().filter(|(n, labels, _)| n == name && fits(labels));
        let (_, labels, value) = found.next().unwrap_or_else(|| panic!("{name} {wanted:?}"));
        let labels: Vec<String> = labels.iter().map(|(name, _)| name.clone()).collect();
        (labels, *value)
    };
    let version = ["model_name", "model_version", "hostname"].map(str::to_owned).to_vec();
    let default = [("model_name", "mlp"), ("model_version", "default")];
    // The refused input counts, too: it was a request for this model.
    assert_eq!(value("ts_inference_requests_total", &default), (version.clone(), 4.0));
    let named = [("model_name", "mlp"), ("model_version", "1.0")];
    assert_eq!(value("ts_inference_requests_total", &named), (version.clone(), 1.0));
    assert!(value("ts_inference_latency_microseconds", &default).1 > 0.0);
    assert_eq!(value("ts_queue_latency_microseconds", &named).0, version);
    let host = [("Level", "Host")];
    for (name, count) in [("Requests2XX", 4.0), ("Requests4XX", 2.0), ("Requests5XX", 0.0)] {
        assert_eq!(value(name, &host), (vec!["Level".to_owned(), "Hostname".to_owned()], count));
    }
    assert!(value("QueueTime", &host).1 >= 0.0 && value("WorkerThreadTime", &host).1 >= 0.0);
    let loaded = value("WorkerLoadTime", &[("WorkerName", "W-9000-mlp_1.0"), ("Level", "Host")]);
    assert_eq!(loaded.0, ["WorkerName", "Level", "Hostname"]);
    for name in ["HandlerTime", "PredictionTime"] {
        let labels = value(name, &[("ModelName", "mlp"), ("Level", "Model")]).0;
        assert_eq!(labels, ["ModelName", "Level", "Hostname"]);
    }
    for step in ["request", "queue", "preprocess", "forward", "postprocess"] {
        let name = format!("ts_{step}_duration_seconds_count");
        assert!(value(&name, &named).1 >= 4.0, "{name}");
    }
    assert!(value("ts_batch_size_sum", &named).1 >= 4.0);
    let text = scrape(&server, "");
    for name in ["MemoryUsed", "DiskUsage", "GPUUtilization"] {
        assert!(text.contains(&format!("# TYPE {name} gauge\n")), "{name}");
    }
}

#[test]
fn names_choose_samples_as_prometheus_federation_does() {
    let server = TestServer::start(&["mlp"], &[]);
    work(&server);
    let query = "?name[]=Requests4XX&name%5B%5D=ts_batch_size_count&name[]=none";
    let samples = lint(&scrape(&server, query));
    let names: Vec<&str> = samples.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["Requests4XX", "ts_batch_size_count"]);
    assert_eq!(scrape(&server, "?name[]="), "");
    // As TorchServe: any method, any path below.
    let answer = request(server.metrics, "POST", "/metrics/x?name[]=Requests2XX", &[], b"x");
    assert!(answer.text().contains("\nRequests2XX{Level=\"Host\",Hostname=\""), "{answer:?}");
}

#[test]
fn what_clients_send_is_no_label_and_a_model_that_went_has_no_series() {
    let server = TestServer::start(&["mlp"], &["enable_model_api=true"]);
    work(&server);
    let evil = ["/predictions/evil%22name", "/evil/path", "/predictions/mlp/evil-version"];
    for path in evil {
        request(server.inference, "POST", path, &[("X-Request-Id", "evil-id")], b"evil");
        request(server.management, "GET", path, &[], b"");
    }
    assert!(!scrape(&server, "").contains("evil"));
    let before = lint(&scrape(&server, "")).len();
    let manage = |method: &str, path: &str| request(server.management, method, path, &[], b"");
    for _ in 0..5 {
        assert_eq!(manage("DELETE", "/models/mlp").status, 200);
        assert!(!scrape(&server, "").contains("mlp"), "{}", scrape(&server, ""));
        assert_eq!(manage("POST", "/models?url=mlp.mar&initial_workers=2").status, 200);
        assert_eq!(manage("PUT", "/models/mlp?min_worker=1&max_worker=1").status, 202);
    }
    work(&server);
    let workers = |text: String| text.matches("\nWorkerLoadTime{").count();
    crate::support::eventually("one worker is left", || workers(scrape(&server, "")) == 1);
    assert!(lint(&scrape(&server, "")).len() <= before);
}

#[test]
fn log_mode_writes_torchserves_lines_and_serves_an_empty_page() {
    let folder = tempfile::tempdir().unwrap();
    let location = folder.path().join("m");
    let server = TestServer::start_in_environment(
        &["mlp"],
        &["metrics_mode=log"],
        &[("METRICS_LOCATION", &location.display().to_string())],
    );
    work(&server);
    assert_eq!(scrape(&server, ""), "");
    let read = |name: &str| fs::read_to_string(location.join(name)).unwrap();
    crate::support::eventually("the machine is read", || {
        read("ts_metrics.log").contains(" - MemoryUtilization.Percent:")
    });
    server.stop();
    let host = crate::support::hostname();
    let (server_log, model_log) = (read("ts_metrics.log"), read("model_metrics.log"));
    let count = |text: &str, start: &str, end: &str| {
        let fits = |line: &&str| {
            let (_, metric) = line.split_once(" - ").unwrap();
            let (metric, second) = metric.split_once(",timestamp:").unwrap();
            assert!(second.parse::<u64>().is_ok(), "{line}");
            metric.starts_with(start) && metric.ends_with(end)
        };
        text.lines().filter(fits).count()
    };
    let end = format!("|#Level:Host|#hostname:{host}");
    assert_eq!(count(&server_log, "Requests4XX.Count:1.0|", &end), 2);
    let version = format!("|#model_name:mlp,model_version:default|#hostname:{host}");
    assert_eq!(count(&server_log, "ts_inference_requests_total.Count:1.0", &version), 4);
    assert_eq!(count(&server_log, "ts_inference_latency_microseconds.Microseconds:", &version), 3);
    assert_eq!(count(&server_log, "QueueTime.Milliseconds:", &end), 4);
    assert!(count(&server_log, "MemoryUtilization.Percent:", &end) >= 1, "{server_log}");
    assert!(count(&server_log, "WorkerLoadTime.Milliseconds:", "") >= 1);
    let model = format!("|#ModelName:mlp,Level:Model|#hostname:{host}");
    assert!(count(&model_log, "HandlerTime.ms:", &model) >= 4, "{model_log}");
    assert!(count(&model_log, "PredictionTime.ms:", &model) >= 4);
}

#[test]
fn legacy_mode_serves_the_three_old_counters_and_writes_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let location = folder.path().display().to_string();
    let server = TestServer::start_in_environment(
        &["mlp"],
        &["metrics_mode=legacy"],
        &[("METRICS_LOCATION", &location)],
    );
    work(&server);
    let text = scrape(&server, "");
    let names: BTreeSet<String> = lint(&text).into_iter().map(|(name, ..)| name).collect();
    let expected = [
        "ts_inference_latency_microseconds",
        "ts_inference_requests_total",
        "ts_queue_latency_microseconds",
    ];
    assert_eq!(names, expected.map(str::to_owned).into());
    server.stop();
    let log = fs::read_to_string(folder.path().join("ts_metrics.log")).unwrap();
    assert!(log.contains("Requests2XX.Count:1.0") && !log.contains("ts_inference"), "{log}");
}

#[test]
fn a_file_of_metrics_renames_dimensions_and_leaves_metrics_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("metrics.yaml");
    let yaml = "dimensions:\n  - &tier \"Tier\"\nts_metrics:\n  counter:\n    - name: Requests2XX\n      \
                unit: Count\n      dimensions: [*tier, \"Machine\"]\n  histogram:\n    \
                - name: QueueTime\n      unit: Milliseconds\n      dimensions: [*tier, \"Machine\"]\n";
    fs::write(&file, yaml).unwrap();
    let server = TestServer::start(&["mlp"], &[&format!("metrics_config={}", file.display())]);
    work(&server);
    let text = scrape(&server, "");
    let samples = lint(&text);
    let count = |name: &str| samples.iter().filter(|(found, ..)| found == name).count();
    assert!(text.contains("\nRequests2XX{Tier=\"Host\",Machine=\""), "{text}");
    assert!(text.contains("\nQueueTime_bucket{Tier=\"Host\",Machine=\""), "{text}");
    assert_eq!((count("QueueTime_count"), count("Requests4XX"), count("HandlerTime")), (1, 0, 0));
    // Ours are not TorchServe's to define.
    assert_eq!(count("ts_batch_size_count"), 1);
    assert_eq!(json!(text.contains("MemoryUsed")), json!(false));
}
