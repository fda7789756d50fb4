//! What Linux is told of the server's threads: who goes first on a core.

use std::fs;

use crate::support::{OwnProcess, eventually, request};

/// sched(7).
const SCHED_OTHER: i32 = 0;
const SCHED_BATCH: i32 = 3;

/// Policy and nice value of each thread whose name starts so (proc_pid_stat(5)).
fn threads(server: &OwnProcess, name: &str) -> Vec<(i32, i32)> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.id())).unwrap();
    // A thread may end meanwhile.
    let stats = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok());
    stats
        .filter(|stat| stat.split_once('(').unwrap().1.starts_with(name))
        .map(|stat| {
            // From the third on.
            let fields = stat.rsplit_once(") ").unwrap().1.split(' ').collect::<Vec<_>>();
            (fields[41 - 3].parse().unwrap(), fields[19 - 3].parse().unwrap())
        })
        .collect()
}

fn policies(threads: Vec<(i32, i32)>) -> Vec<i32> {
    threads.into_iter().map(|(policy, _)| policy).collect()
}

#[test]
fn reactors_interrupt_while_a_worker_has_a_batch_and_not_before() {
    let lines = ["number_of_netty_threads=2", "cors.allowed.origin=https://a.example"];
    let server = OwnProcess::start(&["mlp"], &lines, |_| {});
    let reactors = || policies(threads(&server, "actix-server wo"));
    // Two of the inference listener, one of each other.
    assert_eq!(reactors(), [SCHED_BATCH; 4]);
    let asks = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "POST")];
    assert_eq!(request(server.inference, "OPTIONS", "/predictions/mlp", &asks, b"").status, 204);
    assert_eq!(reactors(), [SCHED_BATCH; 4], "a preflight needs no worker");
    assert_eq!(server.predict("mlp", "[0.1, -0.2, 0.3, 0.4]").status, 200);
    assert_eq!(reactors(), [SCHED_OTHER; 4]);
    for name in ["worker-", "decode-"] {
        let giving_way = threads(&server, name);
        assert!(!giving_way.is_empty(), "{name}");
        assert!(giving_way.iter().all(|thread| *thread == (SCHED_OTHER, 19)), "{giving_way:?}");
    }
    // Some seconds later.
    eventually("nobody is interrupted any more", || reactors() == [SCHED_BATCH; 4]);
}
