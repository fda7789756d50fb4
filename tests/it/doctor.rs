//! `torchfront doctor`: what it prints, and its exit statuses.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::checkout;

fn doctor(folder: &Path, lines: &str, arguments: &[&str]) -> Output {
    let file = folder.join("config.properties");
    let store = checkout("tests/goldens/archives");
    std::fs::write(&file, format!("model_store={}\n{lines}\n", store.display())).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_torchfront"));
    command.current_dir(folder).env("TEMP", folder).env_remove("TS_CONFIG_FILE");
    command.arg("doctor").args(arguments).arg(file).output().unwrap()
}

#[test]
fn the_doctor_names_each_weak_point_with_its_fix_and_tells_programs_too() {
    let folder = tempfile::tempdir().unwrap();
    let open = "metrics_address=http://0.0.0.0:8082\nenable_model_api=true";
    let output = doctor(folder.path(), open, &["--disable-token-auth"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in [
        "WEAK  metrics     http://0.0.0.0:8082 tells its metrics to everybody\n",
        "fix: metrics_address=http://127.0.0.1:8082, or a private address\n",
        "WEAK  tokens      off, and models can be registered over HTTP",
        "good  management  http://127.0.0.1:8081: only this machine\n",
        "weak points.\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let output = doctor(folder.path(), open, &["--disable-token-auth", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let weak = findings.iter().filter(|finding| finding["state"] == "weak").count();
    assert_eq!(report["weak"], weak);
    assert!(weak >= 3 && findings.len() > weak);
    // Nothing was opened or written.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_wrong_configuration_is_told_as_a_start_tells_it() {
    let folder = tempfile::tempdir().unwrap();
    let output = doctor(folder.path(), "head_timeout=0\nmanagement_address=http://0.0.0.0:1", &[]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(text.contains("head_timeout") && output.stdout.is_empty(), "{text}");
    let lines = "disable_token_authorization=true\nmanagement_address=http://0.0.0.0:1";
    let output = doctor(folder.path(), lines, &[]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(text.contains("allow_open_management=true"), "{text}");
}
