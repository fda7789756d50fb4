//! Keys of `config.properties` whose effect no other test sees.

use std::fs;

use serde_json::json;

use crate::process::{command, properties, signal, start};
use crate::support::{TestServer, eventually, request};

#[test]
fn workers_queue_and_timeouts_of_the_file_are_those_of_models_that_say_nothing() {
    let models = r#"models={"mlp": {"2.0": {"clientTimeoutInMills": 250, "minWorkers": 1}}}"#;
    let server = TestServer::start(
        &["mlp", "mlp_v2"],
        &[
            "default_workers_per_model=3",
            "job_queue_size=7",
            "default_response_timeout=31",
            "default_startup_timeout=41",
            models,
        ],
    );
    let described = server.manage("/models/mlp/1.0").json();
    let model = &described[0];
    assert_eq!(model["workers"].as_array().unwrap().len(), 3);
    assert_eq!(model["jobQueueStatus"], json!({"remainingCapacity": 7, "pendingRequests": 0}));
    let times = |model: &serde_json::Value| {
        ["responseTimeout", "startupTimeout", "clientTimeoutInMills"]
            .map(|field| model[field].as_u64().unwrap())
    };
    assert_eq!(times(model), [31, 41, 0]);
    let other = server.manage("/models/mlp/2.0").json();
    assert_eq!(times(&other[0]), [31, 41, 250]);
    assert_eq!(other[0]["workers"].as_array().unwrap().len(), 1);
}

#[test]
fn without_the_metrics_api_there_is_no_metrics_listener() {
    let server = TestServer::start(&["mlp"], &["enable_metrics_api=false"]);
    assert_eq!(server.metrics.port(), 0, "{}", server.metrics);
    assert_eq!(request(server.inference, "GET", "/metrics", &[], b"").status, 404);
    assert_eq!(request(server.management, "GET", "/metrics", &[], b"").status, 404);
}

#[test]
fn the_machine_is_read_when_the_file_says_so_and_not_otherwise() {
    let memory = "MemoryUsed{";
    let off = TestServer::start(&["mlp"], &["disable_system_metrics=true"]);
    let on = TestServer::start(&["mlp"], &["metric_time_interval=1"]);
    // What was started before it has had the time, too.
    eventually("the memory of the machine is read", || on.metric(memory) > 0.0);
    assert_eq!(off.metric(memory), 0.0);
}

#[test]
fn the_http_threads_are_those_of_the_file() {
    // The threads that carry out requests, by actix-server's name for them;
    // tokio's own come and go with what there is to do.
    let threads = |number: usize| {
        let folder = tempfile::tempdir().unwrap();
        let lines = properties(&format!("number_of_netty_threads={number}\n"));
        let (mut child, ..) = start(&mut command(folder.path(), &lines));
        let names = fs::read_dir(format!("/proc/{}/task", child.id()))
            .unwrap()
            .filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
        let workers = names.filter(|name| name.starts_with("actix-server wo")).count();
        signal(&child, "-TERM");
        child.wait().unwrap();
        workers
    };
    let (few, many) = (threads(1), threads(4));
    assert_eq!(many - few, 3, "{few} {many}");
}
