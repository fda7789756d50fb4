//! `torchfront archive` and `torchfront migrate`, through the binary.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::cors_commands::{text, torchfront};
use crate::support::{TestServer, checkout};

/// The serialized file of an archive of the goldens.
fn extract(archive: &str, folder: &Path) {
    let file = fs::File::open(checkout(&format!("tests/goldens/archives/{archive}.mar"))).unwrap();
    let mut archive = zip::ZipArchive::new(file).unwrap();
    let mut model = archive.by_name("model.pt").unwrap();
    std::io::copy(&mut model, &mut fs::File::create(folder.join("model.pt")).unwrap()).unwrap();
}

fn archive(folder: &Path, line: &str) -> Output {
    torchfront(folder).arg("archive").args(line.split_whitespace()).output().unwrap()
}

const MLP: &str = "--model-name net --version 3 --serialized-file model.pt --handler base_handler";

#[test]
fn an_archive_made_here_is_served_in_every_format() {
    for (format, file) in [("default", "net.mar"), ("tgz", "net.tar.gz"), ("no-archive", "net")] {
        let folder = tempfile::tempdir().unwrap();
        extract("mlp", folder.path());
        fs::create_dir(folder.path().join("store")).unwrap();
        fs::write(folder.path().join("c.yaml"), "batchSize: 3\n").unwrap();
        let line = format!("{MLP} --export-path store --archive-format {format} -c c.yaml");
        let made = archive(folder.path(), &line);
        assert!(made.status.success(), "{}", text(&made));
        assert_eq!(String::from_utf8_lossy(&made.stdout).trim(), format!("store/{file}"));
        let store = folder.path().join("store");
        let server = TestServer::start_in(folder, &store, &["load_models=all"]);
        let answer = server.predict("net", "[0.1, 0.2, 0.3, 0.4]");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let described = server.manage("/models/net").json();
        assert_eq!(described[0]["modelVersion"], "3");
        assert_eq!(described[0]["batchSize"], 3);
        server.stop();
    }
}

#[test]
fn what_could_not_be_served_is_refused_with_the_reason_unless_forced() {
    let folder = tempfile::tempdir().unwrap();
    extract("mlp", folder.path());
    fs::write(folder.path().join("mine.py"), "def handle(data, context): return data\n").unwrap();
    fs::write(folder.path().join("text.pt"), "no model\n").unwrap();
    fs::write(folder.path().join("wrong.yaml"), "optimize: fast\n").unwrap();
    let base = "--model-name net --version 3 --serialized-file";
    for (line, reason) in [
        (format!("{base} model.pt --handler mine.py"), "is a Python handler"),
        (format!("{base} model.pt --handler vllm_handler"), "is neither built in"),
        (format!("{base} text.pt --handler base_handler"), "text.pt"),
        (format!("{base} model.pt --handler base_handler -c wrong.yaml"), "optimize is \"fast\""),
        ("--model-name net --version 3 --handler base_handler".to_owned(), "holds no model"),
    ] {
        let refused = archive(folder.path(), &line);
        assert_eq!(refused.status.code(), Some(1), "{line}");
        let said = text(&refused);
        assert!(said.contains(reason) && said.contains("--force"), "{line}: {said}");
        assert!(!folder.path().join("net.mar").exists(), "{line}");
    }
    let forced = archive(folder.path(), &format!("{base} model.pt --handler mine.py -f"));
    assert!(forced.status.success() && text(&forced).contains("warning"), "{}", text(&forced));
    assert!(folder.path().join("net.mar").is_file());
    let wrong = archive(folder.path(), "--model-name net");
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn explain_shows_manifest_handler_signature_and_every_key_that_is_read() {
    let folder = tempfile::tempdir().unwrap();
    extract("mlp", folder.path());
    let yaml = "batchSize: 3\ncontinuousBatching: true\nmine: {a: 1}\n\
                inputs: [{name: x, datatype: FP32, shape: [-1, 4]}]\n";
    fs::write(folder.path().join("c.yaml"), yaml).unwrap();
    let made = archive(folder.path(), &format!("{MLP} -c c.yaml"));
    assert!(made.status.success(), "{}", text(&made));

    let explained = archive(folder.path(), "--explain net.mar");
    assert!(explained.status.success());
    let said = text(&explained);
    for part in [
        "\"modelName\": \"net\"",
        "handler: base_handler",
        "model: forward(x: Tensor)",
        "  batchSize: 3   (set; 1 or more)",
        "  minWorkers: not set, ",
        "  explanations.patches: not set, 64",
        "  continuousBatching: true   (set, not read: continuous",
        "  mine: {\"a\":1}   (set, not read: nothing here reads",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    assert!(!said.contains("parallelType"), "keys that are neither set nor read say nothing");

    let json = archive(folder.path(), "--explain net.mar --json");
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["manifest"]["model"]["modelVersion"], "3");
    assert_eq!((&json["handler"], &json["refused"]), (&"base_handler".into(), &Value::Null));

    let goldens = checkout("tests/goldens/archives/python_handler.mar");
    let refused = torchfront(folder.path()).args(["archive", "--explain"]).arg(goldens).output();
    let refused = refused.unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused);
    assert!(said.contains("\"handler\"") && said.contains("cannot be served here: "), "{said}");
}

#[test]
fn migrate_says_of_each_archive_whether_it_runs_and_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = checkout("tests/goldens/archives");
    let output = torchfront(folder.path()).arg("migrate").arg(&store).arg("--json").output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let models = report["models"].as_array().unwrap();
    assert_eq!(models.len(), fs::read_dir(&store).unwrap().count());
    for model in models {
        let name = model["name"].as_str().unwrap();
        let reasons = model["reasons"].to_string();
        let reason = match name {
            "python_handler.mar" => "Python handler",
            "eager.mar" => "eager",
            "not_torchscript.mar" => "not a TorchScript file",
            _ => {
                let runs = model["runs"].as_str().unwrap();
                // Detectors and segmenters have no handler in every version.
                if runs == "does not run" {
                    assert!(reasons.contains("neither built in"), "{name}: {reasons}");
                } else {
                    assert_eq!((runs, &*reasons), ("as is", "[]"), "{name}");
                }
                continue;
            }
        };
        assert_eq!(model["runs"], "does not run", "{name}");
        assert!(reasons.contains(reason), "{name}: {reasons}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
}

#[test]
fn migrate_says_of_each_key_what_becomes_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("models");
    fs::create_dir(&store).unwrap();
    for name in ["mlp.mar", "configured.mar"] {
        fs::copy(checkout("tests/goldens/archives").join(name), store.join(name)).unwrap();
    }
    let migrate = |properties: &str| {
        fs::write(folder.path().join("config.properties"), properties).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        torchfront(elsewhere.path()).arg("migrate").arg(folder.path()).output().unwrap()
    };
    let line = |said: &str, key: &str| {
        let found = said.lines().find(|line| line.ends_with(key));
        found.unwrap_or_else(|| panic!("no {key} in {said}")).trim().to_owned()
    };

    // The store is found beside the file: TorchServe was started there.
    let runs = migrate("model_store=models\nload_models=all\njob_queue_size=7\nvmargs=-Xmx1g\n");
    let said = text(&runs);
    assert!(runs.status.success(), "{said}");
    assert!(line(&said, "job_queue_size").starts_with("as is"), "{said}");
    assert!(line(&said, "vmargs").starts_with("changes") && said.contains("there is no JVM"));
    assert!(line(&said, " mlp.mar").starts_with("as is"), "{said}");
    assert!(line(&said, "configured.mar").starts_with("as is"), "{said}");

    let fails = migrate(
        "model_store=models\nload_models=mlp.mar,gone.mar\njob_queue_size=many\n\
         frobnicate=1\nallowed_urls=https://models.example/.*\n",
    );
    let said = text(&fails);
    assert_eq!(fails.status.code(), Some(1), "{said}");
    assert!(line(&said, "job_queue_size").starts_with("does not run"), "{said}");
    assert!(line(&said, "frobnicate").starts_with("changes"), "{said}");
    assert!(line(&said, "gone.mar").starts_with("does not run"), "{said}");
    assert!(said.contains("Model not found at: gone.mar"), "{said}");

    let nothing = torchfront(folder.path()).args(["migrate", "nowhere"]).output().unwrap();
    assert_eq!(nothing.status.code(), Some(1));
}
