//! What can go wrong around the server while it serves: loaded models go on, nothing is left, everybody is
//! told. Each test has a process of its own. `tests/kill` kills it at random moments.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Resource, Signal};
use serde_json::json;
use torchfront::auth::{Scope, TokenAuthorization};
use torchfront::snapshot::{Moment, SnapshotFolder};

use crate::support::{
    Answer, Client, OwnProcess, altered_echo, checkout, close, edge, eventually, request,
};

const ROW: &str = "[0.1, -0.2, 0.3, 0.4]";

fn nothing(_: &Path) {}

#[track_caller]
fn serves(server: &OwnProcess, model: &str) {
    let answer = server.predict(model, ROW);
    assert_eq!(answer.status, 200, "{model}: {}", answer.text());
}

/// The entries of the folders that archives are unpacked to.
fn unpacked(server: &OwnProcess) -> usize {
    let temp = server.inside(&server.folder().join("temp"));
    let folders = fs::read_dir(temp).unwrap().map(|entry| entry.unwrap());
    let folders = folders.filter(|entry| entry.file_type().unwrap().is_dir());
    folders.map(|folder| fs::read_dir(folder.path()).unwrap().count()).sum()
}

#[test]
fn promise_04_sigterm_under_load_loses_no_accepted_request() {
    let workers = "default_workers_per_model=2";
    let mut server = OwnProcess::start(&["slow", "mlp"], &[workers, "job_queue_size=100"], nothing);
    let address = server.inference;
    let over = Arc::new(AtomicBool::new(false));
    // Sent when, and whether an answer came.
    let sent = Arc::new(Mutex::new(Vec::<(Instant, bool)>::new()));
    let quick: Vec<_> = (0..6)
        .map(|_| {
            let (over, sent) = (Arc::clone(&over), Arc::clone(&sent));
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                while !over.load(Ordering::Relaxed) {
                    let now = Instant::now();
                    let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        client.request("POST", "/predictions/mlp", &[], ROW.as_bytes())
                    }));
                    let status = answer.as_ref().map_or(0, |answer| answer.status);
                    assert!([0, 200].contains(&status), "{}", answer.unwrap().text());
                    sent.lock().unwrap().push((now, status == 200));
                    if status == 0 {
                        return;
                    }
                }
            })
        })
        .collect();
    eventually("there is load", || sent.lock().unwrap().len() >= 60);
    // What two workers can do within the drain's half a minute on a machine that is busy.
    let slow: Vec<_> = (0..3)
        .map(|_| {
            std::thread::spawn(move || {
                request(address, "POST", "/predictions/slow", &[], ROW.as_bytes()).status
            })
        })
        .collect();
    let accepted = "model_name=\"slow\",model_version=\"1.0\",outcome=\"accepted\"";
    eventually("all are accepted", || server.metric("ts_predictions_total", accepted) == 3.0);
    let asked = Instant::now();
    server.signal(Signal::TERM);
    for client in slow {
        assert_eq!(client.join().unwrap(), 200, "accepted, and not answered");
    }
    let status = server.wait(Duration::from_secs(60));
    over.store(true, Ordering::Relaxed);
    quick.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(status.code(), Some(0), "{}", server.log());
    // A request that meets the closing of its connection was not accepted; one that was sent long
    // before the signal was.
    let sent = sent.lock().unwrap();
    let lost =
        |(at, answered): &&(Instant, bool)| !answered && *at + Duration::from_millis(200) < asked;
    assert_eq!(sent.iter().filter(lost).count(), 0);
    assert!(server.log().contains("Torchfront has stopped."), "{}", server.log());
}

#[test]
fn promise_06_a_bad_new_version_never_replaces_a_good_one() {
    let server = OwnProcess::start(&["mlp"], &[], |store| {
        for (file, lines) in [
            ("no_operator", &["return torch.no_such_operator(x)"][..]),
            ("no_return", &["y = x"][..]),
            ("no_syntax", &["return ((("][..]),
        ] {
            altered_echo(store, file, ("mlp", "2.0"), lines);
        }
        fs::rename(store.join("mlp.mar"), store.join("a.mar")).unwrap();
    });
    // `load_models=all` has tried them at the start.
    let before = (server.predict("mlp", ROW).body, unpacked(&server));
    for file in ["no_operator", "no_return", "no_syntax", "nobody"] {
        let path = format!("/models?url={file}.mar&initial_workers=1&synchronous=true");
        let refused = server.manage("POST", &path);
        assert!((400..500).contains(&refused.status), "{file}: {}", refused.text());
        assert_eq!(server.manage("GET", "/models/mlp/all").json().as_array().unwrap().len(), 1);
        assert_eq!((server.predict("mlp", ROW).body, unpacked(&server)), before, "{file}");
    }
}

#[test]
fn promise_07_and_01_a_forward_without_end_is_answered_replaced_and_in_nobodys_way() {
    let models = r#"models={"endless":{"1.0":{"minWorkers":1,"responseTimeout":1}}}"#;
    let mut server = OwnProcess::start(&["mlp"], &[models], |store| {
        let forward = [
            "y = x",
            "while bool(torch.gt(torch.max(y), 100)):",
            "  y = torch.clone(y)",
            "return y",
        ];
        altered_echo(store, "endless", ("endless", "1.0"), &forward);
    });
    serves(&server, "endless");
    assert_eq!(server.predict("endless", "[1000.0]").status, 504);
    serves(&server, "mlp");
    let faults = || {
        server.metric(
            "ts_worker_faults_total",
            "model_name=\"endless\",model_version=\"1.0\",reason=\"stuck\"",
        )
    };
    eventually("its worker is replaced", || faults() == 1.0);
    serves(&server, "endless");
    serves(&server, "mlp");
    assert_eq!(request(server.inference, "GET", "/ping", &[], b"").status, 200);
    assert_eq!(
        server.metric(
            "ts_predictions_total",
            "\"endless\",model_version=\"1.0\",outcome=\"expired\""
        ),
        1.0
    );
    assert_eq!(server.manage("DELETE", "/models/endless").status, 200);
    // The thread still runs; the server ends all the same.
    server.signal(Signal::TERM);
    let status = server.wait(Duration::from_secs(60));
    assert_eq!(status.code(), Some(0), "{status}: {}", server.log());
}

#[test]
fn promise_07_no_memory_for_a_forward_is_507_for_that_request_and_nothing_else() {
    let server = OwnProcess::start(&["mlp"], &[], |store| {
        let forward = ["n = int(torch.max(x))", "return torch.add(x, torch.sum(torch.zeros([n])))"];
        altered_echo(store, "greedy", ("greedy", "1.0"), &forward);
    });
    for _ in 0..3 {
        close(&server.predict("greedy", "[3.0, 1.0]").json(), &json!([3.0, 1.0]), 0.0);
        // More than any address space, so that it never comes to an overcommitting kernel.
        let refused = server.predict("greedy", "[1e15, 1.0]");
        assert_eq!(refused.status, 507, "{}", refused.text());
        serves(&server, "mlp");
    }
    assert_eq!(server.manage("GET", "/models/greedy").json()[0]["workers"][0]["status"], "READY");
}

#[test]
fn promise_12_a_full_disk_fails_what_must_write_and_nothing_else() {
    let on = "disable_token_authorization=false";
    let mut server = OwnProcess::start(&["mlp", "echo"], &[on], nothing);
    let keys = || -> serde_json::Value {
        let text = fs::read_to_string(server.folder().join("key_file.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let ask = |address, method: &str, path: &str, which: &str, body: &str| {
        let key = format!("Bearer {}", keys()[which]["key"].as_str().unwrap());
        request(address, method, path, &[("Authorization", &key)], body.as_bytes())
    };
    let predict = || ask(server.inference, "POST", "/predictions/mlp", "inference", ROW).status;
    let manage = |method: &str, path: &str| ask(server.management, method, path, "management", "");
    let rotate = || ask(server.management, "PUT", "/token?type=inference", "API", "").status;
    assert_eq!(manage("DELETE", "/models/echo").status, 200);
    let (before, key) = (unpacked(&server), keys());
    // Every write to a file fails from now on.
    server.limit(Resource::Fsize, Some(0));
    assert_eq!(predict(), 200);
    let register = "/models?url=echo.mar&initial_workers=1&synchronous=true";
    let refused = manage("POST", register);
    assert!((400..600).contains(&refused.status), "{}", refused.text());
    assert_eq!(refused.json()["code"], refused.status);
    assert_eq!(rotate(), 500);
    assert_eq!(keys(), key, "the old keys are still there");
    // Done, and said that a restart would not know it.
    assert_eq!(manage("PUT", "/models/mlp?min_worker=2&synchronous=true").status, 200);
    eventually("it is said", || server.log().contains("no snapshot was written"));
    assert_eq!(predict(), 200);
    assert_eq!(unpacked(&server), before, "of what was refused nothing is left");
    let hidden = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        entries.filter(|name| name.to_string_lossy().starts_with('.')).count()
    };
    assert_eq!((hidden(server.folder()), hidden(&server.folder().join("logs/config"))), (0, 0));
    // There is room again.
    server.limit(Resource::Fsize, None);
    assert_eq!(rotate(), 200);
    assert_ne!(keys(), key);
    assert_eq!(manage("POST", register).status, 200);
    assert_eq!(predict(), 200);
    server.signal(Signal::TERM);
    assert_eq!(server.wait(Duration::from_secs(60)).code(), Some(0));
}

#[test]
fn promise_12_disks_without_room_fail_what_must_write_and_nothing_else() {
    let mut own_mounts = Command::new("unshare");
    if !own_mounts.args(["-m", "true"]).status().is_ok_and(|status| status.success()) {
        println!("skipped: file systems cannot be mounted here");
        return;
    }
    // Disks of some pages each. Of the log's none is left.
    let script = "cp -r store kept && mkdir temp logs &&
        mount -t tmpfs -o size=64k none store && cp kept/* store &&
        mount -t tmpfs -o size=32k none temp &&
        mount -t tmpfs -o size=16k none logs || exit 1
        cat /dev/zero > logs/filler 2> kept/full; exec \"$0\" \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_torchfront")]);
    let archive = |name: &str| fs::read(checkout("tests/goldens/archives").join(name)).unwrap();
    let (heavy, small) = (archive("heavy.mar"), archive("counter.mar"));
    let large = heavy.clone();
    let origin = edge::serve(move |request| {
        let body = if request.path == "/small.mar" { small.clone() } else { large.clone() };
        Answer { body, ..edge::answer(200, &[]) }
    });
    let allowed = format!("allowed_urls=http://{origin}/.*");
    let lines = [&*allowed, "download_allowed_networks=127.0.0.0/8"];
    let server = OwnProcess::start_as(command, &["mlp"], &lines, nothing, |_| {});
    let before = unpacked(&server);
    assert!(server.log().contains("no snapshot was written"), "{}", server.log());
    // Room for one, not for two.
    let store = server.inside(&server.store());
    fs::write(store.join("heavy.mar"), heavy).unwrap();
    for (url, expected) in [
        ("heavy.mar", "no storage space"),
        (&*format!("http://{origin}/large.mar"), "no room is left on its disk"),
    ] {
        let path = format!("/models?url={url}&initial_workers=1&synchronous=true");
        let refused = server.manage("POST", &path);
        assert_eq!(refused.status, 500, "{url}: {}", refused.text());
        assert!(refused.text().contains(expected), "{url}: {}", refused.text());
        serves(&server, "mlp");
        assert_eq!(unpacked(&server), before, "{url} has left something");
        assert_eq!(fs::read_dir(&store).unwrap().count(), 2, "{url} has left something");
    }
    // There is room for a small one, and again for others.
    let path = format!("/models?url=http://{origin}/small.mar&initial_workers=1&synchronous=true");
    let registered = server.manage("POST", &path);
    assert_eq!(registered.status, 200, "{}", registered.text());
    serves(&server, "counter");
}

#[test]
fn promise_12_a_server_that_may_write_to_its_temporary_folder_alone_serves() {
    // Root may write everywhere, unless it gives that up.
    let program = env!("CARGO_BIN_EXE_torchfront");
    let mut command = Command::new(program);
    if rustix::process::getuid().is_root() {
        let without = |program: &str| {
            let mut command = Command::new("setpriv");
            command.arg("--bounding-set=-dac_override").arg(program);
            command
        };
        if !without("true").status().is_ok_and(|status| status.success()) {
            println!("skipped: this is root, and setpriv cannot take away what root may");
            return;
        }
        command = without(program);
    }
    let archive = fs::read(checkout("tests/goldens/archives/counter.mar")).unwrap();
    let origin = edge::serve(move |_| Answer { body: archive.clone(), ..edge::answer(200, &[]) });
    let lines = [
        &*format!("allowed_urls=http://{origin}/.*"),
        "download_allowed_networks=127.0.0.0/8",
        "disable_token_authorization=true",
    ];
    let (mode, writable) = (fs::Permissions::from_mode, 0o755);
    let seal = |folder: &Path| {
        fs::create_dir(folder.join("temp")).unwrap();
        fs::set_permissions(folder.join("store"), mode(0o555)).unwrap();
        fs::set_permissions(folder, mode(0o555)).unwrap();
    };
    let mut server = OwnProcess::start_as(command, &["mlp", "echo"], &lines, nothing, seal);
    assert!(fs::metadata(server.folder().join("logs")).is_err(), "the folder is writable");
    serves(&server, "mlp");
    let said = server.log();
    assert!(said.contains("no snapshot was written") && said.contains("LOG_LOCATION"), "{said}");
    // What needs the store says which key names it and what to do; the place is in the log alone.
    let before = unpacked(&server);
    let path =
        format!("/models?url=http://{origin}/counter.mar&initial_workers=1&synchronous=true");
    let refused = server.manage("POST", &path);
    assert_eq!(refused.status, 500, "{}", refused.text());
    let (store, text) = (server.store().display().to_string(), refused.text());
    for word in ["model_store", "writable", "file name"] {
        assert!(text.contains(word), "{text}");
    }
    assert!(!text.contains(&store));
    eventually("the log names the folder", || server.log().contains(&store));
    assert_eq!(unpacked(&server), before);
    assert_eq!(fs::read_dir(server.store()).unwrap().count(), 2);
    // What is there already comes and goes.
    assert_eq!(server.manage("DELETE", "/models/echo").status, 200);
    let register = "/models?url=echo.mar&initial_workers=1&synchronous=true";
    assert_eq!(server.manage("POST", register).status, 200);
    serves(&server, "echo");
    server.signal(Signal::TERM);
    assert_eq!(server.wait(Duration::from_secs(60)).code(), Some(0));
    fs::set_permissions(server.folder(), mode(writable)).unwrap();
    fs::set_permissions(server.store(), mode(writable)).unwrap();
}

#[test]
fn promise_12_archives_and_unpacked_files_may_vanish_under_a_loaded_model() {
    let server = OwnProcess::start(&["mlp", "counter"], &["default_workers_per_model=1"], nothing);
    for model in ["mlp", "counter"] {
        serves(&server, model);
    }
    fs::remove_dir_all(server.store()).unwrap();
    // Weights are in memory, and one more worker shares or copies them.
    for model in ["mlp", "counter"] {
        let path = format!("/models/{model}?min_worker=3&synchronous=true");
        assert_eq!(server.manage("PUT", &path).status, 200);
        serves(&server, model);
    }
    let gone = server.manage("POST", "/models?url=mlp.mar");
    assert!((400..600).contains(&gone.status), "{}", gone.text());
    for folder in fs::read_dir(server.folder().join("temp")).unwrap() {
        let folder = folder.unwrap();
        if folder.file_type().unwrap().is_dir() {
            fs::remove_dir_all(folder.path()).unwrap();
        }
    }
    for model in ["mlp", "counter"] {
        serves(&server, model);
    }
    // Without a worker the weights go; now they cannot come back, which is said, and that is all.
    assert_eq!(
        server.manage("PUT", "/models/mlp?min_worker=0&max_worker=0&synchronous=true").status,
        200
    );
    let failed = server.manage("PUT", "/models/mlp?min_worker=1&synchronous=true");
    assert!(failed.status >= 400, "{}", failed.text());
    serves(&server, "counter");
    assert_eq!(server.manage("DELETE", "/models/mlp").status, 200);
    serves(&server, "counter");
}

#[test]
fn promise_12_without_free_descriptors_those_who_are_connected_are_served_on() {
    let server = OwnProcess::start(&["mlp"], &[], |store| {
        altered_echo(store, "other", ("other", "1.0"), &["return x"]);
    });
    let mut connected = Client::connect(server.inference);
    let mut managing = Client::connect(server.management);
    let mut ask = || connected.request("POST", "/predictions/mlp", &[], ROW.as_bytes()).status;
    assert_eq!(ask(), 200);
    let mut register = |path: &str| managing.request("POST", path, &[], b"");
    assert_eq!(register("/models?url=nobody.mar").status, 404);
    let few = server.descriptors() as u64 + 2;
    server.limit(Resource::Nofile, Some(few));
    // More than there is room for: the rest wait in the kernel.
    let crowd: Vec<_> = (0..20).map(|_| Client::connect(server.inference)).collect();
    eventually("there is no room left", || server.descriptors() as u64 >= few);
    for _ in 0..50 {
        assert_eq!(ask(), 200);
    }
    let refused = register("/models?url=mlp.mar");
    assert!((400..600).contains(&refused.status), "{}", refused.text());
    drop(crowd);
    server.limit(Resource::Nofile, Some(few + 100));
    serves(&server, "mlp");
    assert_eq!(ask(), 200);
    assert_eq!(server.manage("DELETE", "/models/other").status, 200);
    let again = server.manage("POST", "/models?url=other.mar&initial_workers=1&synchronous=true");
    assert_eq!(again.status, 200, "{}", again.text());
    serves(&server, "other");
}

#[test]
fn promise_10_nobody_is_refused_for_the_time_in_which_the_process_was_stopped() {
    let lines = ["head_timeout=1", "body_timeout=1", "http_workers=1"];
    let server = OwnProcess::start(&["mlp"], &lines, nothing);
    let head =
        format!("Host: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", ROW.len());
    let whole = format!("POST /predictions/mlp HTTP/1.1\r\n{head}{ROW}");
    // In the middle of the head, and of the body; before a first byte.
    let cuts = [0, 20, whole.len() - 5];
    let mut streams = cuts.map(|_| TcpStream::connect(server.inference).unwrap());
    for (stream, cut) in streams.iter_mut().zip(cuts) {
        stream.write_all(&whole.as_bytes()[..cut]).unwrap();
    }
    sleep(Duration::from_millis(300));
    server.signal(Signal::STOP);
    // Longer than everything that it waits for.
    sleep(Duration::from_secs(3));
    server.signal(Signal::CONT);
    sleep(Duration::from_millis(200));
    for (stream, cut) in streams.iter_mut().zip(cuts) {
        stream.write_all(&whole.as_bytes()[cut..]).unwrap();
    }
    for (stream, cut) in streams.iter_mut().zip(cuts) {
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.1 200 "), "after {cut} bytes: {said}");
    }
}

#[test]
fn promise_10_a_clock_that_jumps_takes_no_key_away_and_no_snapshot() {
    let hour = Duration::from_secs(3600);
    let now = SystemTime::UNIX_EPOCH + 20_000 * 24 * hour;
    let folder = tempfile::tempdir().unwrap();
    let keys = TokenAuthorization::new(hour, now).unwrap();
    let file = folder.path().join("key_file.json");
    let _published = keys.publish(&file).unwrap();
    let text: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let header = format!("Bearer {}", text["inference"]["key"].as_str().unwrap());
    let admitted = |at: SystemTime| {
        keys.authorize(Scope::Inference, [header.as_bytes()].into_iter(), at).is_ok()
    };
    // Back by a day, to 1970, before it; on by less than the lifetime; and back again.
    for at in [
        now - 24 * hour,
        SystemTime::UNIX_EPOCH,
        SystemTime::UNIX_EPOCH - 365 * 24 * hour,
        now + hour / 2,
        now,
    ] {
        assert!(admitted(at), "{at:?}");
    }
    // A key that a jump has let expire is good again when the clock is put right.
    assert!(!admitted(now + 100 * 365 * 24 * hour));
    assert!(admitted(now));

    let snapshots = SnapshotFolder::new(folder.path().join("config"));
    let (settings, models) = Default::default();
    let mut latest = None;
    for at in [now, now - 24 * hour, now + 24 * hour, SystemTime::UNIX_EPOCH, now] {
        let name = snapshots.write(Moment::Snapshot, at, &settings, &models).unwrap();
        assert!(latest.is_none_or(|latest| latest < name), "{name} is not the latest");
        let path = snapshots.latest().unwrap().unwrap();
        assert!(path.ends_with(name.to_string()), "{}", path.display());
        latest = Some(name);
    }
}
