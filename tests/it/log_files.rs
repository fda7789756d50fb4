//! Log files with TorchServe's names, and log4j2 configurations, of the binary itself.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use crate::process::{command, properties, signal, start};
use crate::support::request;

/// Asks for a prediction that works and one that the model refuses, and stops the server.
fn serve(command: &mut std::process::Command) -> String {
    let (mut child, inference, log) = start(command);
    let good = request(inference, "POST", "/predictions/mlp", &[], b"[0.1, 0.2, 0.3, 0.4]");
    assert_eq!(good.status, 200, "{}", good.text());
    assert_eq!(request(inference, "GET", "/nothing?token=secret", &[], b"").status, 404);
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    std::io::read_to_string(log).unwrap()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn log_location_has_torchserves_files_in_its_form_beside_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs here");
    let lines = properties("load_models=mlp.mar\nmetrics_mode=log\n");
    let mut command = command(folder.path(), &lines);
    let out = serve(command.env("LOG_LOCATION", &logs).env("METRICS_LOCATION", &logs));
    assert!(out.contains("access_log") && out.contains("has stopped"), "{out}");

    let access = read(&logs.join("access_log.log"));
    let lines: Vec<&str> = access.lines().collect();
    assert_eq!(lines.len(), 2, "{access}");
    let form = form_of(lines[0]);
    assert_eq!(form, "T - /127.0.0.1:P \"POST /predictions/mlp HTTP/1.1\" 200 N");
    assert!(lines[1].contains("\"GET /nothing HTTP/1.1\" 404 "), "no query: {}", lines[1]);

    let server = read(&logs.join("ts_log.log"));
    let started = server.lines().find(|line| line.contains("Model server started")).unwrap();
    assert!(started[23..].starts_with(" [INFO ] main torchfront.server."), "{started}");
    // As TorchServe's, it has the requests as well.
    assert!(server.contains(" ACCESS_LOG - /127.0.0.1:"), "{server}");
    assert!(!server.contains('\x1b') && !server.contains("secret"), "{server}");
    assert!(logs.join("model_log.log").exists());
    let metrics = read(&logs.join("ts_metrics.log"));
    assert!(metrics.contains("Requests2XX.Count:1.0|#Level:Host|#hostname:"), "{metrics}");
    assert!(logs.join("model_metrics.log").exists() && logs.join("config").is_dir());
}

/// A line of the access log with its time, port and duration as letters.
fn form_of(line: &str) -> String {
    let (time, rest) = line.split_once(" - ").unwrap();
    assert!(time.len() == 23 && &time[10..11] == "T" && &time[19..20] == ",", "{line}");
    let (peer, rest) = rest.split_once(" \"").unwrap();
    let (address, port) = peer.rsplit_once(':').unwrap();
    let (rest, duration) = rest.rsplit_once(' ').unwrap();
    assert!(port.parse::<u16>().is_ok() && duration.parse::<u32>().is_ok(), "{line}");
    format!("T - {address}:P \"{rest} N")
}

#[test]
fn a_log4j2_configuration_says_where_lines_go_how_they_look_and_which() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("log4j2.xml");
    fs::write(
        &config,
        r#"<Configuration><Appenders>
          <RollingFile name="access" fileName="${env:LOGS}/requests.log" filePattern="x">
            <PatternLayout pattern="%d{HH:mm} %m%n"/><Policies><SizeBasedTriggeringPolicy size="1 MB"/></Policies>
          </RollingFile>
          <File name="json" fileName="${env:LOGS}/all.json"><JsonLayout/></File>
          <Console name="out"><PatternLayout pattern="OUT %p %m%n"/></Console>
          <Syslog name="s" host="h"/>
        </Appenders><Loggers>
          <Logger name="ACCESS_LOG" level="info" additivity="false"><AppenderRef ref="access"/></Logger>
          <Root level="info"><AppenderRef ref="out"/><AppenderRef ref="json"/><AppenderRef ref="s"/></Root>
        </Loggers></Configuration>"#,
    )
    .unwrap();
    let mut command = command(folder.path(), &properties("load_models=mlp.mar\n"));
    let command = command.env("LOGS", folder.path()).arg("--log-config").arg(&config);
    let out = serve(command);
    assert!(out.lines().all(|line| line.starts_with("OUT ")), "{out}");
    assert!(!out.contains("predictions"), "{out}");
    let access = read(&folder.path().join("requests.log"));
    assert!(access.contains(" /127.0.0.1:") && access.lines().count() == 2, "{access}");
    assert_eq!(access.find(' '), Some(5), "{access}");
    let json = read(&folder.path().join("all.json"));
    let lines: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let message = |line: &serde_json::Value| line["message"].to_string();
    assert!(lines.iter().any(|line| message(line).contains("Model server started")), "{json}");
    assert!(lines.iter().any(|line| message(line).contains("appender s: Syslog")), "{json}");
}

#[test]
fn a_log_file_that_cannot_be_written_keeps_nobody_from_serving() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let lines = properties("load_models=mlp.mar\nlog_files=true\n");
    let mut command = command(folder.path(), &lines);
    // A folder cannot be made below a file; snapshots need one, too.
    command.env("LOG_LOCATION", file.join("logs")).arg("--ncs");
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stdout.take().unwrap());
    let mut out = String::new();
    while !out.contains("Model server started") {
        assert!(log.read_line(&mut out).unwrap() > 0, "ended before it served: {out}");
    }
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    for name in ["access_log", "model_log", "ts_log"] {
        let told = format!("{name}.log cannot be written; going on without it");
        assert!(out.contains(&told), "{told}\n{out}");
    }
}
