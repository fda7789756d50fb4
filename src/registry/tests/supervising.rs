//! Workers whose forward does not end.

use futures_util::future::join_all;

use super::answering::{body, runtime};
use super::*;

/// A model whose forwards may take a twentieth of a second.
fn short_of_time(bench: &Bench, behaviour: &str, workers: usize) -> Arc<Model> {
    bench.put("m.mar", "m", "1.0", behaviour);
    let mut call = bench.call("m.mar", workers);
    call.settings.response_timeout = Some(Duration::from_millis(50));
    bench.registry.register(call).unwrap()
}

fn stuck(bench: &Bench) -> u64 {
    bench.value("ts_worker_faults_total", "reason=\"stuck\"")
}

#[test]
fn promise_07_a_worker_that_hangs_is_replaced_under_its_id_and_counted() {
    let bench = Bench::new();
    let model = short_of_time(&bench, "sum forward-held first", 1);
    let other = bench.register("other", "sum", 1);
    let ids = || model.workers().iter().map(|worker| worker.id).collect::<Vec<_>>();
    let before = ids();
    // The runtime lives on: the look at the workers comes after the answer.
    let runtime = runtime();
    let answer = runtime.block_on(model.predict(body("[1, 2]"), None));
    assert!(matches!(answer, Err(ModelError::Predict(PredictError::DeadlinePassed))), "{answer:?}");
    assert_eq!(predict(&other, "[1, 2]").join().unwrap().unwrap(), "[3.0]");
    // All this time: one model that is slow is no reason to leave the server.
    eventually("it is replaced", || {
        assert!(model.is_healthy());
        stuck(&bench) == 1
    });
    assert_eq!(ids(), before);
    // The first forward still hangs.
    assert_eq!(bench.forwards.passed(), 0);
    assert_eq!(predict(&model, "[1, 2]").join().unwrap().unwrap(), "[3.0]");
    // Nobody waits for the thread that was left behind.
    bench.registry.unregister("m", None, PATIENCE).unwrap();
    drop(model);
    bench.forwards.open();
    eventually("its memory is given back", || bench.modules.load(Ordering::SeqCst) == 1);
}

#[test]
fn a_model_that_hangs_on_every_request_takes_a_bounded_number_of_threads() {
    let bench = Bench::new();
    let model = short_of_time(&bench, "sum forward-held", 4);
    let runtime = runtime();
    for round in 1..=3 {
        let asked = || join_all((0..4).map(|_| model.predict(body("[1, 2]"), None)));
        bench.forwards.wait_for(4 * (round - 1));
        runtime.block_on(asked());
        if round < 3 {
            eventually("they are replaced", || stuck(&bench) == 4 * round as u64);
        }
    }
    // Twelve hang; the last four keep their places.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!((stuck(&bench), model.worker_count()), (8, 4));
    eventually("nobody replaces them any more", || !model.is_healthy());
    bench.forwards.open();
    eventually("those in their places serve again", || model.is_healthy());
    assert_eq!(predict(&model, "[1, 2]").join().unwrap().unwrap(), "[3.0]");
    assert_eq!(bench.outcome("accepted"), 13);
}

#[test]
fn a_slow_forward_that_ends_within_the_timeout_of_the_model_is_left_alone() {
    let bench = Bench::new();
    bench.put("m.mar", "m", "1.0", "sum forward-held");
    let mut call = bench.call("m.mar", 1);
    // The client's patience, not the model's.
    call.settings.client_timeout = Some(Duration::from_millis(20));
    let model = bench.registry.register(call).unwrap();
    let runtime = runtime();
    let answer = runtime.block_on(model.predict(body("[1, 2]"), None));
    assert!(matches!(answer, Err(ModelError::Predict(PredictError::DeadlinePassed))), "{answer:?}");
    std::thread::sleep(Duration::from_millis(1300));
    assert_eq!(stuck(&bench), 0);
    assert!(model.is_healthy());
    bench.forwards.open();
}
