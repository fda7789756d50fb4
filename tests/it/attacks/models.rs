//! Attacks 9, 11, 31, 32, 34 and 37: who manages models, and what models bring.

use std::fs;

use super::{PATIENCE, ROW, is_alive};
use crate::support::{TestServer, request};

fn managed(lines: &[&str]) -> TestServer {
    TestServer::start(&["mlp"], &[&["enable_model_api=true"], lines].concat())
}

#[test]
fn attack_09_a_model_that_does_not_end_takes_its_own_workers_and_nobody_elses() {
    let lines = ["default_workers_per_model=1", "default_response_timeout=1"];
    let server = TestServer::start(&["slow", "mlp"], &lines);
    std::thread::scope(|scope| {
        let slow: Vec<_> =
            (0..32).map(|_| scope.spawn(|| server.predict("slow", ROW).status)).collect();
        for _ in 0..20 {
            is_alive(server.inference);
        }
        for answer in slow {
            let status = answer.join().unwrap();
            assert!(matches!(status, 200 | 503 | 504), "each has an answer: {status}");
        }
    });
    is_alive(server.inference);
}

#[test]
fn attack_11_a_page_of_another_site_changes_nothing() {
    let server = managed(&[]);
    let sites = [
        [("Sec-Fetch-Site", "cross-site"), ("Content-Type", "text/plain")],
        [("Sec-Fetch-Site", "same-site"), ("Content-Type", "text/plain")],
        [("Origin", "https://evil.example"), ("Content-Type", "application/x-www-form-urlencoded")],
        [("Origin", "null"), ("Content-Type", "multipart/form-data; boundary=b")],
    ];
    for headers in &sites {
        for (method, path) in [
            ("POST", "/models?url=mlp.mar&model_name=evil"),
            ("PUT", "/models/mlp?min_worker=0"),
            ("PUT", "/models/mlp/1.0/set-default"),
            ("DELETE", "/models/mlp"),
            ("PATCH", "/models/mlp"),
        ] {
            let answer = request(server.management, method, path, headers, b"");
            assert_eq!(answer.status, 403, "{method} {path} {headers:?}: {}", answer.text());
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    // What pictures and links ask for changes nothing either.
    for path in ["/models/mlp?min_worker=0", "/models?url=mlp.mar&model_name=evil"] {
        request(server.management, "GET", path, &[("Sec-Fetch-Site", "cross-site")], b"");
    }
    let models = server.manage("/models").json();
    assert_eq!(models["models"].as_array().unwrap().len(), 1);
    is_alive(server.inference);
}

#[test]
fn attack_31_a_flood_for_one_model_is_told_so_and_another_model_serves() {
    let server = TestServer::start(
        &["slow", "mlp"],
        &["default_workers_per_model=1", "job_queue_size=4", "default_response_timeout=30"],
    );
    std::thread::scope(|scope| {
        let flood: Vec<_> =
            (0..64).map(|_| scope.spawn(|| server.predict("slow", ROW).status)).collect();
        for _ in 0..20 {
            is_alive(server.inference);
        }
        let statuses: Vec<u16> = flood.into_iter().map(|answer| answer.join().unwrap()).collect();
        let refused = statuses.iter().filter(|status| **status == 503).count();
        let served = statuses.iter().filter(|status| **status == 200).count();
        // On a machine that is busy with other things some are late.
        let late = statuses.iter().filter(|status| **status == 504).count();
        assert_eq!(refused + served + late, 64, "{statuses:?}");
        assert!(refused > 0 && served > 0, "{statuses:?}");
    });
}

#[test]
fn attack_32_no_call_asks_for_more_workers_than_there_may_be() {
    let server = managed(&["workers_max=8"]);
    let ask = |method: &str, path: &str| {
        let answer = request(server.management, method, path, &[], b"");
        (answer.status, answer.text())
    };
    let calls = |number: &str| {
        [
            ("PUT", format!("/models/mlp?min_worker={number}&synchronous=true")),
            ("PUT", format!("/models/mlp?min_worker=1&max_worker={number}&synchronous=true")),
            ("POST", format!("/models?url=mlp.mar&model_name=m&initial_workers={number}")),
        ]
    };
    for number in ["1000000000", "2147483647", "9"] {
        for (method, path) in calls(number) {
            let (status, text) = ask(method, &path);
            assert_eq!(status, 400, "{method} {path}: {text}");
            assert!(text.contains("workers_max"), "{text}");
        }
    }
    // What is no number of TorchServe's is as if it were not said, or told to be wrong.
    for number in ["2147483648", "9223372036854775808", "-1", "1e9", ""] {
        for (method, path) in calls(number) {
            let (status, text) = ask(method, &path);
            assert!(matches!(status, 200 | 400 | 500), "{method} {path}: {status} {text}");
        }
        let described = server.manage("/models/mlp").json();
        assert!(described[0]["workers"].as_array().unwrap().len() <= 8, "{described}");
        ask("DELETE", "/models/m");
    }
    let (status, text) = ask("PUT", "/models/mlp?min_worker=1&max_worker=1&synchronous=true");
    assert_eq!(status, 200, "{text}");
    for query in ["batch_size=1000000000", "response_timeout=99999999999", "max_batch_delay=1e400"]
    {
        let (status, text) = ask("POST", &format!("/models?url=mlp.mar&model_name=n&{query}"));
        assert!(matches!(status, 200 | 400), "{query}: {status} {text}");
        ask("DELETE", "/models/n");
    }
    // Many at once, of the same and of different names.
    std::thread::scope(|scope| {
        for n in 0..16 {
            let address = server.management;
            scope.spawn(move || {
                for _ in 0..5 {
                    let path =
                        format!("/models?url=mlp.mar&model_name=storm{}&initial_workers=1", n % 4);
                    let status = request(address, "POST", &path, &[], b"").status;
                    assert!(matches!(status, 200 | 409 | 503), "{status}");
                    let path = format!("/models/storm{}", n % 4);
                    let status = request(address, "DELETE", &path, &[], b"").status;
                    assert!(matches!(status, 200 | 404 | 408), "{status}");
                }
            });
        }
        is_alive(server.inference);
    });
    let models = server.manage("/models").json();
    assert_eq!(models["models"].as_array().unwrap().len(), 1, "{models}");
    is_alive(server.inference);
}

#[test]
fn attack_34_a_settings_file_that_grows_while_it_is_read_is_refused() {
    let server = managed(&[]);
    let store = server.folder.path().join("store");
    let mut lines = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let last = format!("*a{}, ", n - 1).repeat(10);
        lines += &format!("a{n}: &a{n} [{}]\n", last.trim_end_matches(", "));
    }
    let deep = format!("handler: {}", "[".repeat(100_000));
    let long = format!("minWorkers: 1 # {}", "x".repeat(2 << 20));
    for (n, yaml) in [lines, deep, long].iter().enumerate() {
        let mut from =
            zip::ZipArchive::new(fs::File::open(store.join("mlp.mar")).unwrap()).unwrap();
        let name = format!("bomb{n}.mar");
        let mut to = zip::ZipWriter::new(fs::File::create(store.join(&name)).unwrap());
        for at in 0..from.len() {
            let mut entry = from.by_index(at).unwrap();
            if entry.is_dir() {
                continue;
            }
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            to.start_file(entry.name().unwrap(), zip::write::SimpleFileOptions::default()).unwrap();
            std::io::Write::write_all(&mut to, &content).unwrap();
        }
        to.start_file("model-config.yaml", zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut to, yaml.as_bytes()).unwrap();
        to.finish().unwrap();
        let began = std::time::Instant::now();
        let path = format!("/models?url={name}&model_name=bomb");
        let answer = request(server.management, "POST", &path, &[], b"");
        assert_eq!(answer.status, 400, "{name}: {}", answer.text());
        assert!(began.elapsed() < PATIENCE && answer.text().len() < 2000);
    }
    is_alive(server.inference);
}

#[test]
fn attack_37_a_file_that_is_swapped_after_it_was_checked_is_not_what_is_served() {
    let server = managed(&["default_workers_per_model=1"]);
    let store = server.folder.path().join("store");
    let expected = server.predict("mlp", ROW).text();
    let other = crate::support::checkout("tests/goldens/archives/mlp_v2.mar");
    fs::copy(other, store.join("mlp.mar")).unwrap();
    let path = "/models/mlp?min_worker=4&synchronous=true";
    assert_eq!(request(server.management, "PUT", path, &[], b"").status, 200);
    for _ in 0..50 {
        assert_eq!(server.predict("mlp", ROW).text(), expected);
    }
    // What is unpacked is this user's alone.
    let unpacked = fs::read_dir(server.temp_dir()).unwrap().next().unwrap().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&unpacked.metadata().unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}
