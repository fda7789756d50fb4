//! Snapshots: written at every moment at which TorchServe writes one, restored when asked for, whole
//! whenever the process is killed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use torchfront::cli::Overrides;
use torchfront::config::{Config, Properties};

use crate::process::{command, properties, signal, text};
use crate::support::{Answer, Client, checkout, request};

const ROW: &[u8] = b"[0.1, -0.2, 0.3, 0.4]";

/// A server process that writes its snapshots below a folder.
struct Running {
    child: Child,
    inference: SocketAddr,
    management: SocketAddr,
    log: BufReader<ChildStdout>,
    /// The lines up to the one that says that it serves.
    said: String,
}

impl Running {
    #[track_caller]
    fn start(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("Model server started") {
            assert!(log.read_line(&mut said).unwrap() > 0, "ended before it served: {said}");
        }
        let address = |api: &str| {
            let (_, rest) = said.split_once(&format!("{api} API on http://")).unwrap();
            rest.lines().next().unwrap().trim().parse().unwrap()
        };
        Running {
            inference: address("inference"),
            management: address("management"),
            child,
            log,
            said,
        }
    }

    #[track_caller]
    fn manage(&self, method: &str, path: &str) -> Answer {
        request(self.management, method, path, &[], b"")
    }

    #[track_caller]
    fn change(&self, method: &str, path: &str) {
        let answer = self.manage(method, path);
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    }

    /// Ends it gracefully and returns the rest of its log.
    fn stop(mut self) -> String {
        signal(&self.child, "-TERM");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        self.log.lines().map(Result::unwrap).collect::<Vec<_>>().join("\n")
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The snapshots of a folder in their order.
fn snapshots(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder.join("logs/config")) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().unwrap() == "cfg").collect();
    paths.sort();
    paths
}

/// The parts of their names behind the times.
fn moments(folder: &Path) -> Vec<String> {
    let moment = |path: &PathBuf| {
        path.file_stem().unwrap().to_str().unwrap().split_once('-').unwrap().1.to_owned()
    };
    snapshots(folder).iter().map(moment).collect()
}

/// Every property of a file, `model_snapshot` as JSON beside them.
#[track_caller]
fn read(file: &Path) -> (BTreeMap<String, String>, Value) {
    let read = Properties::read(&fs::read_to_string(file).unwrap());
    assert_eq!(read.errors, []);
    let entries = read.entries.into_iter().map(|entry| (entry.key, entry.value));
    let mut entries: BTreeMap<_, _> = entries.collect();
    let models = entries.remove("model_snapshot").unwrap();
    (entries, serde_json::from_str(&models).unwrap())
}

#[test]
fn snapshots_are_written_when_torchserve_writes_them_and_have_its_fields() {
    let folder = tempfile::tempdir().unwrap();
    let lines = properties("load_models=mlp.mar\nenable_model_api=true\njob_queue_size=7");
    let server = Running::start(&mut command(folder.path(), &lines));
    assert_eq!(moments(folder.path()), ["startup"]);
    // What changes nothing writes nothing.
    server.change("GET", "/models/mlp");
    assert_eq!(server.manage("POST", "/models?url=gone.mar").status, 404);
    assert_eq!(server.manage("DELETE", "/models/gone").status, 404);
    assert_eq!(request(server.inference, "POST", "/predictions/mlp", &[], ROW).status, 200);
    // Written before the answer comes.
    for (count, (method, path)) in [
        ("POST", "/models?url=mlp_v2.mar&initial_workers=1&batch_size=4&response_timeout=9"),
        ("PUT", "/models/mlp/2.0?min_worker=2&max_worker=3&synchronous=true"),
        ("PUT", "/models/mlp/2.0/set-default"),
        ("DELETE", "/models/mlp/1.0"),
    ]
    .into_iter()
    .enumerate()
    {
        server.change(method, path);
        assert_eq!(snapshots(folder.path()).len(), count + 2, "{method} {path}");
    }
    server.stop();
    let expected = ["startup", "snapshot", "snapshot", "snapshot", "snapshot", "shutdown"];
    assert_eq!(moments(folder.path()), expected);
    let files = snapshots(folder.path());
    let (settings, models) = read(files.last().unwrap());
    assert_eq!((&*settings["job_queue_size"], &*settings["load_models"]), ("7", "mlp.mar"));
    assert!(settings["tsConfigFile"].ends_with("config.properties"));
    assert_eq!(models["name"], files[5].file_name().unwrap().to_str().unwrap());
    assert_eq!(models["modelCount"], 1);
    assert!(models["created"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(
        models["models"],
        json!({"mlp": {"2.0": {
            "defaultVersion": true, "marName": "mlp_v2.mar", "minWorkers": 2, "maxWorkers": 3,
            "batchSize": 4, "maxBatchDelay": 100, "responseTimeout": 9, "startupTimeout": 120,
            "runtimeType": "python",
        }}})
    );
    let (_, before) = read(&files[3]);
    let versions = before["models"]["mlp"].as_object().unwrap();
    let defaults: Vec<_> = versions.values().map(|model| &model["defaultVersion"]).collect();
    assert_eq!(defaults, [&json!(false), &json!(true)]);
}

#[test]
fn a_server_that_is_asked_to_restores_its_latest_snapshot_with_the_edited_settings() {
    let folder = tempfile::tempdir().unwrap();
    let lines = properties("load_models=mlp.mar\nenable_model_api=true");
    let first = Running::start(command(folder.path(), &lines).arg("--snapshot"));
    assert!(first.said.contains("there is no snapshot in"), "{}", first.said);
    first.change("POST", "/models?url=mlp_v2.mar&initial_workers=2&batch_size=4");
    first.change("PUT", "/models/mlp/2.0/set-default");
    first.change("POST", "/models?url=echo.mar&model_name=parrot");
    first.kill();
    let edited = properties("load_models=all\nenable_model_api=true\njob_queue_size=7");
    let second = Running::start(command(folder.path(), &edited).arg("--snapshot"));
    let list = second.manage("GET", "/models").json();
    let names: Vec<_> =
        list["models"].as_array().unwrap().iter().map(|m| &m["modelName"]).collect();
    assert_eq!(names, ["mlp", "parrot"]);
    let mlp = &second.manage("GET", "/models/mlp").json()[0];
    assert_eq!((&mlp["modelVersion"], &mlp["batchSize"]), (&json!("2.0"), &json!(4)));
    assert_eq!((&mlp["minWorkers"], &mlp["loadedAtStartup"]), (&json!(2), &json!(false)));
    assert_eq!(mlp["jobQueueStatus"]["remainingCapacity"], 7);
    assert_eq!(second.manage("GET", "/models/mlp/1.0").status, 200);
    assert_eq!(second.manage("GET", "/models/parrot").json()[0]["minWorkers"], 0);
    second.stop();
    // Without being asked: the file alone.
    let third = Running::start(&mut command(folder.path(), &lines));
    assert_eq!(third.manage("GET", "/models/parrot").status, 404);
    third.stop();
}

#[test]
fn a_server_starts_from_a_snapshot_of_torchserve() {
    let folder = tempfile::tempdir().unwrap();
    let store = checkout("tests/goldens/archives");
    // As java.util.Properties stores it: a date, no order, escapes.
    let snapshot = format!(
        "#Saving snapshot\n#Sun Mar 29 04\\:53\\:34 UTC 2020\nmodel_store={}\nload_models=all\n\
         inference_address=http\\://127.0.0.1\\:0\nmanagement_address=http\\://127.0.0.1\\:0\n\
         metrics_address=http\\://127.0.0.1\\:0\ndisable_token_authorization=true\nversion=0.12.0\n\
         number_of_gpu=0\ntsConfigFile=logs/config/20200329045334828-startup.cfg\n\
         model_snapshot={{\\n  \"name\"\\: \"20200329045334828-startup.cfg\",\\n  \"modelCount\"\\: \
         1,\\n  \"created\"\\: 1585457614832,\\n  \"models\"\\: {{\\n    \"mlp\"\\: {{\\n      \
         \"1.0\"\\: {{\\n        \"defaultVersion\"\\: true,\\n        \"marName\"\\: \
         \"mlp.mar\",\\n        \"minWorkers\"\\: 3,\\n        \"maxWorkers\"\\: 4,\\n        \
         \"batchSize\"\\: 1,\\n        \"maxBatchDelay\"\\: 100,\\n        \"responseTimeout\"\\: \
         120,\\n        \"startupTimeout\"\\: 120,\\n        \"runtimeType\"\\: \"python\"\\n      \
         }}\\n    }}\\n  }}\\n}}\n",
        store.display()
    );
    let server = Running::start(&mut command(folder.path(), &snapshot));
    assert_eq!(request(server.inference, "POST", "/predictions/mlp", &[], ROW).status, 200);
    let list = server.manage("GET", "/models").json();
    assert_eq!(list["models"], json!([{"modelName": "mlp", "modelUrl": "mlp.mar"}]));
    let mlp = &server.manage("GET", "/models/mlp").json()[0];
    assert_eq!((&mlp["minWorkers"], &mlp["maxWorkers"]), (&json!(3), &json!(4)));
    server.stop();
}

#[test]
fn no_snapshot_is_written_when_the_command_line_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let lines = properties("load_models=mlp.mar");
    Running::start(command(folder.path(), &lines).arg("--ncs")).stop();
    assert!(!folder.path().join("logs").exists());
}

#[test]
fn a_snapshot_whose_archive_is_gone_stops_the_start_and_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let lines = properties(
        "model_snapshot={\"models\":{\"m\":{\"1.0\":{\"marName\":\"gone.mar\"}}},\"modelCount\":1}",
    );
    let output = command(folder.path(), &lines).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    assert!(said.contains("model m, version 1.0, cannot be restored"), "{said}");
    assert!(said.contains("Model not found at: gone.mar"), "{said}");
}

#[test]
fn a_model_that_cannot_be_restored_is_in_the_next_snapshots_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    fs::create_dir(&store).unwrap();
    for archive in ["mlp.mar", "echo.mar"] {
        fs::copy(checkout("tests/goldens/archives").join(archive), store.join(archive)).unwrap();
    }
    let lines = properties("load_models=all\nenable_model_api=true")
        .replace(&checkout("tests/goldens/archives").display().to_string(), "store");
    Running::start(&mut command(folder.path(), &lines)).stop();
    fs::write(store.join("mlp.mar"), "no archive").unwrap();
    let bad = Running::start(command(folder.path(), &lines).arg("--snapshot"));
    assert_eq!(bad.manage("GET", "/models/mlp").status, 404);
    bad.change("PUT", "/models/echo?min_worker=1&synchronous=true");
    bad.stop();
    fs::copy(checkout("tests/goldens/archives/mlp.mar"), store.join("mlp.mar")).unwrap();
    let good = Running::start(command(folder.path(), &lines).arg("--snapshot"));
    assert_eq!(good.manage("GET", "/models/mlp").status, 200);
    assert_eq!(good.manage("GET", "/models/echo").status, 200);
    good.stop();
}

#[test]
fn a_folder_that_takes_no_snapshot_is_a_line_in_the_log_and_the_server_serves() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("logs"), "in the way").unwrap();
    let lines = properties("load_models=mlp.mar\nenable_model_api=true");
    let server = Running::start(&mut command(folder.path(), &lines));
    assert!(server.said.contains("no snapshot was written"), "{}", server.said);
    server.change("POST", "/models?url=echo.mar&initial_workers=1");
    assert_eq!(request(server.inference, "POST", "/predictions/mlp", &[], ROW).status, 200);
    let rest = server.stop();
    assert!(rest.contains("--no-config-snapshots"), "{rest}");
}

#[test]
fn a_process_that_is_killed_at_any_moment_leaves_snapshots_that_load() {
    let folder = tempfile::tempdir().unwrap();
    let lines = properties("load_models=mlp.mar\nenable_model_api=true");
    let mut pause: u64 = 0x9e37_79b9_7f4a_7c15;
    for round in 0..8 {
        let server = Running::start(command(folder.path(), &lines).arg("--snapshot"));
        assert!(!server.said.contains("Failed"), "{}", server.said);
        assert_eq!(server.manage("GET", "/models/mlp").status, 200, "round {round}");
        let address = server.management;
        let busy: Vec<_> = ["echo", "scalars_out"]
            .into_iter()
            .map(|model| std::thread::spawn(move || change_until_it_ends(address, model)))
            .collect();
        // Xorshift: other moments each round, the same in each run of the test.
        pause ^= pause << 13;
        pause ^= pause >> 7;
        pause ^= pause << 17;
        std::thread::sleep(Duration::from_millis(5 + pause % 250));
        server.kill();
        busy.into_iter().for_each(|thread| thread.join().unwrap());
        for file in snapshots(folder.path()) {
            let overrides = Overrides { ts_config: Some(file.clone()), ..Overrides::default() };
            let config = Config::load(&overrides, &BTreeMap::new())
                .unwrap_or_else(|errors| panic!("{}: {errors}", file.display()));
            let restored = config.restore.unwrap();
            assert!(restored.models.contains_key("mlp"), "{}", file.display());
        }
    }
    assert!(snapshots(folder.path()).len() > 8);
}

/// Registers and unregisters a model until the server is gone.
fn change_until_it_ends(management: SocketAddr, model: &str) {
    // The round before may have left it registered.
    while std::panic::catch_unwind(|| {
        let mut client = Client::connect(management);
        client.request("POST", &format!("/models?url={model}.mar&initial_workers=1"), &[], b"");
        client.request("DELETE", &format!("/models/{model}"), &[], b"");
    })
    .is_ok()
    {}
}
