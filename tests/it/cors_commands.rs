//! `cors check` and `cors explain`, and what a start says of wrong settings: through the binary,
//! with its exit statuses.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::checkout;

/// The binary, in a folder of its own.
pub fn torchfront(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_torchfront"));
    command.current_dir(folder).env("TEMP", folder).env_remove("TS_CONFIG_FILE");
    command
}

/// What it wrote, on either stream.
pub fn text(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr];
    streams.map(|stream| String::from_utf8_lossy(stream)).concat()
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The binary as a server, stopped when it is dropped.
pub struct Running {
    pub inference: SocketAddr,
    child: Child,
    log: Option<BufReader<ChildStdout>>,
    folder: TempDir,
}

impl Running {
    /// Starts it with the model `mlp` and returns when it serves.
    #[track_caller]
    pub fn start(lines: &str) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let properties = format!(
            "inference_address=http://127.0.0.1:0\nmanagement_address=http://127.0.0.1:0\n\
             metrics_address=http://127.0.0.1:0\ndisable_token_authorization=true\n\
             model_store={}\nload_models=mlp.mar\n{lines}\n",
            checkout("tests/goldens/archives").display()
        );
        std::fs::write(folder.path().join("config.properties"), properties).unwrap();
        let mut child = torchfront(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let (mut line, mut inference) = (String::new(), None);
        while !line.contains("Model server started") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "it ended before it served");
            if let Some((_, address)) = line.split_once("inference API on http://") {
                inference = Some(address.trim().parse().unwrap());
            }
        }
        Running { inference: inference.unwrap(), child, log: Some(log), folder }
    }

    /// Its configuration.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("config.properties")
    }

    /// Stops it; the lines of its log since it served.
    pub fn stop(mut self) -> Vec<String> {
        self.end();
        self.log.take().unwrap().lines().map_while(Result::ok).collect()
    }

    fn end(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let id = self.child.id().to_string();
        let _sent = Command::new("kill").args(["-TERM", &id]).status();
        let _ended = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs it in a folder whose `config.properties` has these lines.
fn run(lines: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let lines = format!("disable_token_authorization=true\n{lines}\n");
    std::fs::write(folder.path().join("config.properties"), lines).unwrap();
    torchfront(folder.path()).args(arguments).output().unwrap()
}

fn check(lines: &str, more: &[&str]) -> Output {
    run(lines, &[&["cors", "check"], more, &["config.properties"]].concat())
}

fn explain(lines: &str, more: &[&str]) -> Output {
    run(lines, &[&["cors", "explain", "--ts-config", "config.properties"], more].concat())
}

#[track_caller]
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(output)))
}

const SOUND: &str = "cors.allowed.origin=https://a.example\ncors.exposed.headers=X-Request-Id";

/// One line that causes each error, as the second of the file.
const ERRORS: &[(&str, &str)] = &[
    ("CORS-E001", "cors.allowed.origins=https://a.example"),
    ("CORS-E002", "cors.max.age=1\ncors.max.age=2"),
    ("CORS-E003", "cors_allowed_origin=https://b.example"),
    ("CORS-E004", "management_cors.allowed.methods=GET"),
    ("CORS-E010", "cors.model.x.allowed.origin=*\ncors.model.x.allow.credentials=true"),
    ("CORS-E011", "cors.model.x.allowed.origin=*, https://a.example"),
    ("CORS-E012", "cors.model.x.allowed.origin=null"),
    ("CORS-E013", "cors.model.x.allowed.origin=a.example"),
    ("CORS-E014", "cors.model.x.allowed.origin=https://a.example/"),
    ("CORS-E015", "cors.model.x.allowed.origin=https://user@a.example"),
    ("CORS-E016", "cors.model.x.allowed.origin=https://A.example"),
    ("CORS-E017", "cors.model.x.allowed.origin=https://a.example:443"),
    ("CORS-E018", "cors.model.x.allowed.origin=https://a.example:0"),
    ("CORS-E019", "cors.model.x.allowed.origin=https://m\\u00fcnchen.example"),
    ("CORS-E020", "cors.model.x.allowed.origin=http://127.1"),
    ("CORS-E021", "cors.model.x.allowed.origin=https://a.example https://b.example"),
    ("CORS-E022", "cors.model.x.allowed.origin=https://a*.example"),
    ("CORS-E023", "cors.model.x.allowed.origin=https://*.github.io\ncors.allow.credentials=true"),
    ("CORS-E024", "cors.model.x.allowed.origin=http://b.example\ncors.allow.credentials=true"),
    ("CORS-E025", "cors.model.x.allowed.origin=file://"),
    ("CORS-E026", "cors.model.x.allowed.origin=^https://.*$"),
    ("CORS-E030", "cors.allowed.methods=G T"),
    ("CORS-E031", "cors.allowed.methods=GET, TRACE"),
    ("CORS-E032", "cors.allowed.methods=GET, patch"),
    ("CORS-E033", "cors.allowed.methods=*\ncors.allow.credentials=true"),
    ("CORS-E040", "cors.allowed.headers=X Custom"),
    ("CORS-E041", "cors.allowed.headers=Cookie"),
    ("CORS-E042", "cors.allowed.headers=Access-Control-Allow-Origin"),
    ("CORS-E043", "cors.allowed.headers=*\ncors.allow.credentials=true"),
    (
        "CORS-E050",
        "metrics_cors.allowed.origin=https://a.example\nmetrics_cors.exposed.headers=a b",
    ),
    ("CORS-E051", "cors.model.x.exposed.headers=Set-Cookie"),
    ("CORS-E052", "cors.model.x.exposed.headers=*\ncors.allow.credentials=true"),
    ("CORS-E053", "cors.model.x.exposed.headers=Origin"),
    ("CORS-E060", "cors.max.age=10m"),
    ("CORS-E061", "cors.max.age=100000"),
    ("CORS-E070", "cors.allow.credentials=yes"),
    ("CORS-E071", "cors.mode=on"),
    ("CORS-E080", "management_cors.allowed.origin=*"),
    ("CORS-E081", "metrics_cors.allowed.origin=*\nmetrics_cors.allow.private.network=true"),
    ("CORS-E090", "cors.allowed.origin.file=nowhere.txt"),
    ("CORS-E091", "cors.allowed.origin.file=config.properties"),
    ("CORS-E095", "cors.route.r.allowed.origin=https://b.example"),
    ("CORS-E096", "cors.engine=actix\ncors.block.disallowed=all"),
    ("CORS-E099", "cors.strict=true\ncors.max.age=10000"),
];

/// Lines that cause each warning.
const WARNINGS: &[(&str, &str)] = &[
    ("CORS-W101", "metrics_cors.allowed.origin=*"),
    ("CORS-W102", "cors.max.age=10000"),
    ("CORS-W103", "cors.model.x.allowed.origin=http://b.example"),
    (
        "CORS-W104",
        "metrics_address=http://0.0.0.0:8082\nmetrics_cors.allowed.origin=http://localhost:3000",
    ),
    ("CORS-W105", "cors.model.x.allowed.origin=https://*.b.example\ncors.allow.credentials=true"),
    ("CORS-W106", "disable_token_authorization=false"),
    ("CORS-W107", "cors_exposed_headers=X-Request-Id"),
    ("CORS-W108", "cors_max_age=600"),
    ("CORS-W109", "cors.allowed.methods=GET"),
    ("CORS-W110", "management_cors.allowed.origin=https://b.example"),
    ("CORS-W111", "metrics_cors.allowed.origin=https://a.example"),
    ("CORS-W112", "cors.model.x.allowed.origin=https://b.example, https://b.example"),
    ("CORS-W113", "cors.allowed.methods=get, post"),
    ("CORS-W114", "metrics_cors.allowed.origin=*"),
    ("CORS-W115", "cors.debug=true"),
    ("CORS-W117", "load_models=mlp=mlp.mar\ncors.model.x.max.age=1"),
    ("CORS-W118", "cors.engine=actix"),
    ("CORS-W119", "cors.shadow.file=/nowhere/at-all"),
];

#[test]
fn check_finds_every_error_and_ends_with_78() {
    for (code, lines) in ERRORS {
        let output = check(&format!("{SOUND}\n{lines}"), &["--json"]);
        assert_eq!(output.status.code(), Some(78), "{code}: {}", text(&output));
        let report = json(&output);
        let problems = report["problems"].as_array().unwrap();
        assert!(problems.iter().any(|problem| problem["code"] == *code), "{code}: {problems:?}");
        assert_eq!(report["policies"], Value::Array(vec![]), "{code}");
    }
}

#[test]
fn a_start_refuses_every_error_with_78_and_the_same_code() {
    for (code, lines) in ERRORS.iter().step_by(7) {
        let output = run(&format!("{SOUND}\n{lines}"), &[]);
        assert_eq!(output.status.code(), Some(78), "{code}: {}", text(&output));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(code) && said.contains("config.properties:"), "{said}");
    }
}

#[test]
fn check_finds_every_warning_and_ends_with_1_only_when_strict() {
    for (code, lines) in WARNINGS {
        let lines = format!("{SOUND}\n{lines}");
        let output = check(&lines, &["--json"]);
        assert_eq!(output.status.code(), Some(0), "{code}: {}", text(&output));
        let report = json(&output);
        let warnings = report["warnings"].as_array().unwrap();
        assert!(warnings.iter().any(|warning| warning["code"] == *code), "{code}: {warnings:?}");
        assert_eq!(check(&lines, &["--strict"]).status.code(), Some(1), "{code}");
    }
    assert_eq!(check(SOUND, &["--strict"]).status.code(), Some(0));
}

#[test]
fn check_prints_place_reason_fix_and_who_may_do_what() {
    let wrong = text(&check("cors.allowed.origin=https://a.example/x", &[]));
    let line = wrong.lines().next().unwrap();
    assert!(line.starts_with("error: "), "{line}");
    for part in ["config.properties:2", "cors.allowed.origin", "CORS-E014", "`https://a.example`"] {
        assert!(line.contains(part), "{line}\ndoes not say {part}");
    }
    assert!(wrong.contains("1 errors, 0 warnings"), "{wrong}");
    let sound = text(&check(SOUND, &[]));
    for part in ["policy inference: on", "policy management: off", "https://a.example", "reads"] {
        assert!(sound.contains(part), "{sound}\ndoes not say {part}");
    }
}

#[test]
fn check_of_a_file_that_is_not_there_ends_with_78() {
    let folder = tempfile::tempdir().unwrap();
    let output = torchfront(folder.path()).args(["cors", "check", "nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output).contains("nowhere"), "{}", text(&output));
}

#[test]
fn explain_ends_with_0_for_what_a_page_may_do_and_shows_both_exchanges() {
    let output = explain(
        SOUND,
        &[
            "--origin",
            "https://a.example",
            "--method",
            "POST",
            "--headers",
            "Content-Type: application/json",
            "--path",
            "/predictions/mlp",
        ],
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let said = text(&output);
    for part in [
        "> OPTIONS /predictions/mlp HTTP/1.1",
        "> access-control-request-headers: content-type",
        "< HTTP/1.1 204 No Content",
        "> POST /predictions/mlp HTTP/1.1",
        "< access-control-allow-origin: https://a.example",
        "allowed: the script gets the answer",
    ] {
        assert!(said.contains(part), "{said}\ndoes not say {part}");
    }
}

#[test]
fn explain_ends_with_3_and_names_the_step_that_fails() {
    let denied = |more: &[&str]| {
        let output = explain(SOUND, &[&["--json"], more].concat());
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        let story = json(&output);
        assert_eq!(story["allowed"], false);
        let sent = story["actual"].is_object();
        let exchange = if sent { &story["actual"] } else { &story["preflight"] };
        (exchange["reason"].as_str().unwrap().to_owned(), sent)
    };
    let not_sent = |reason: &str| (reason.to_owned(), false);
    let sent = |reason: &str| (reason.to_owned(), true);
    assert_eq!(denied(&["--origin", "https://b.example"]), sent("origin_not_listed"));
    assert_eq!(denied(&["--origin", "null"]), sent("origin_null"));
    let page = ["--origin", "https://a.example"];
    let with = |more: &[&str]| denied(&[&page[..], more].concat());
    assert_eq!(with(&["--method", "PUT"]), not_sent("method_not_listed"));
    assert_eq!(with(&["--headers", "X-A"]), not_sent("headers_not_listed"));
    assert_eq!(with(&["--credentials"]), sent("ok"));
    assert_eq!(with(&["--listener", "metrics"]), sent("policy_off"));
    let write = ["--listener", "management", "--method", "POST"];
    assert_eq!(with(&write), sent("cross_site_write"));
}

#[test]
fn explain_follows_the_policy_of_a_model() {
    let lines = format!("{SOUND}\ncors.model.open.allowed.origin=*");
    let story = |path| {
        let page = ["--origin", "https://b.example", "--json", "--path", path];
        let output = explain(&lines, &page);
        (output.status.code(), json(&output)["policy"].as_str().unwrap().to_owned())
    };
    assert_eq!(story("/predictions/open"), (Some(0), "model:open".to_owned()));
    assert_eq!(story("/predictions/%6fpen/1.0"), (Some(0), "model:open".to_owned()));
    assert_eq!(story("/predictions/openly"), (Some(3), "inference".to_owned()));
}

#[test]
fn explain_of_wrong_settings_ends_with_78_and_says_them() {
    let output = explain("cors.allowed.origin=null", &["--origin", "https://a.example"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output).contains("CORS-E012"), "{}", text(&output));
}
