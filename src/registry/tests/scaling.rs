//! The number of workers: what changes it, and what happens to requests meanwhile.

use super::*;

#[test]
fn workers_are_started_up_to_the_minimum_and_ended_above_the_maximum() {
    let bench = Bench::new();
    let model = bench.register("m", "sum", 0);
    assert_eq!(bench.modules.load(Ordering::SeqCst), 0, "no worker, no weights");
    // minimum, maximum -> workers
    for (min, max, workers) in
        [(1, 1, 1), (1, 3, 1), (2, 5, 2), (4, 4, 4), (1, 3, 3), (0, 9, 3), (0, 0, 0), (0, 2, 0)]
    {
        let scaled = bench.scale("m", min, max).unwrap();
        assert_eq!(scaled, Scaled { workers, settled: true }, "min={min} max={max}");
        assert_eq!((model.worker_count(), model.workers().len()), (workers, workers));
        assert_eq!(model.worker_limits(), WorkerLimits { min, max });
        assert!(model.is_healthy());
        let loaded = usize::from(workers > 0);
        assert_eq!(bench.modules.load(Ordering::SeqCst), loaded, "min={min} max={max}");
    }
    let refused = bench.scale("m", 1, 17).unwrap_err();
    assert!(matches!(refused, ScaleError::TooManyWorkers(_)), "{refused}");
    assert!(refused.to_string().contains("raise workers_max"), "{refused}");
    let unknown = bench.scale("n", 1, 1).unwrap_err();
    assert!(matches!(unknown, ScaleError::Model(ModelError::NotFound { .. })), "{unknown}");
}

#[test]
fn the_youngest_workers_end_and_a_number_is_never_used_again() {
    let bench = Bench::new();
    let model = bench.register("m", "sum", 3);
    let ids = || model.workers().iter().map(|worker| worker.id).collect::<Vec<_>>();
    assert_eq!(ids(), [9000, 9001, 9002]);
    bench.scale("m", 1, 1).unwrap();
    assert_eq!(ids(), [9000]);
    bench.scale("m", 2, 2).unwrap();
    assert_eq!(ids(), [9000, 9003]);
}

#[test]
fn a_worker_that_ends_finishes_its_batch_and_leaves_the_queue_to_the_others() {
    let bench = Bench::new();
    let model = bench.register("m", "forward-held", 2);
    let replies: Vec<_> = (0..6).map(|_| predict(&model, "[1, 2]")).collect();
    bench.forwards.wait_for(2);
    eventually("the others are queued", || model.queue_status().0 == 4);
    let limits = WorkerLimits { min: 1, max: 1 };
    let scaling = bench.registry.prepare_scale("m", None, limits).unwrap();
    let scaled = bench.registry.scale(scaling, Duration::ZERO).unwrap();
    assert_eq!(scaled, Scaled { workers: 1, settled: false }, "its batch is still running");
    assert_eq!(model.queue_status().0, 4);
    bench.forwards.open();
    for reply in replies {
        assert_eq!(reply.join().unwrap().unwrap(), "[3.0]");
    }
    assert!(bench.scale("m", 1, 1).unwrap().settled);
}

#[test]
fn without_workers_the_accepted_are_answered_and_the_others_refused() {
    let bench = Bench::new();
    let model = bench.register("m", "forward-held", 1);
    let replies: Vec<_> = (0..4).map(|_| predict(&model, "[1, 2]")).collect();
    bench.forwards.wait_for(1);
    eventually("the others are queued", || model.queue_status().0 == 3);
    let ending = {
        let registry = Arc::clone(&bench.registry);
        let limits = WorkerLimits { min: 0, max: 0 };
        let scaling = registry.prepare_scale("m", None, limits).unwrap();
        std::thread::spawn(move || registry.scale(scaling, PATIENCE))
    };
    eventually("nobody serves", || model.worker_count() == 0);
    let refused = predict(&model, "no json").join().unwrap();
    assert!(matches!(refused, Err(ModelError::Unavailable { .. })), "{refused:?}");
    assert!(model.expect_workers(None).is_err());
    bench.forwards.open();
    for reply in replies {
        assert_eq!(reply.join().unwrap().unwrap(), "[3.0]");
    }
    assert!(ending.join().unwrap().unwrap().settled);
    bench.scale("m", 1, 1).unwrap();
    assert_eq!(predict(&model, "[1, 2]").join().unwrap().unwrap(), "[3.0]");
}

#[test]
fn new_workers_take_over_what_the_last_ones_have_left() {
    let bench = Bench::new();
    let model = bench.register("m", "forward-held", 1);
    let replies: Vec<_> = (0..4).map(|_| predict(&model, "[1, 2]")).collect();
    bench.forwards.wait_for(1);
    eventually("the others are queued", || model.queue_status().0 == 3);
    for (min, settled) in [(0, false), (2, false)] {
        let limits = WorkerLimits { min, max: min };
        let scaling = bench.registry.prepare_scale("m", None, limits).unwrap();
        let scaled = bench.registry.scale(scaling, Duration::ZERO).unwrap();
        assert_eq!(scaled, Scaled { workers: min, settled });
    }
    bench.forwards.wait_for(3); // the old one with its batch, the new ones with the next two
    bench.forwards.open();
    for reply in replies {
        assert_eq!(reply.join().unwrap().unwrap(), "[3.0]");
    }
    assert!(bench.scale("m", 2, 2).unwrap().settled, "the old one has ended");
    assert_eq!(model.workers().len(), 2);
}

#[test]
fn a_scale_up_that_fails_changes_nothing() {
    let bench = Bench::new();
    let model = bench.register("m", "one-copy", 1);
    let refused = bench.scale("m", 3, 3).unwrap_err();
    let ScaleError::Workers { reason, version: None, .. } = &refused else { panic!("{refused}") };
    assert!(matches!(reason, EngineError::OutOfMemory(_)));
    assert_eq!(refused.to_string(), "Failed to start workers for model m version: null");
    assert_eq!(model.worker_count(), 1);
    assert_eq!(model.worker_limits(), WorkerLimits { min: 1, max: 1 });
    assert_eq!(predict(&model, "[1, 2]").join().unwrap().unwrap(), "[3.0]");
}

#[test]
fn every_request_is_answered_while_models_come_go_and_change() {
    let bench = Bench::new();
    let steady = bench.register("steady", "sum", 2);
    bench.put("m.mar", "m", "1.0", "sum");
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let (model, stop) = (Arc::clone(&steady), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut answered = 0;
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(predict(&model, "[1, 2]").join().unwrap().unwrap(), "[3.0]");
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    for round in 0..30 {
        let model = bench.registry.register(bench.call("m.mar", 1)).unwrap();
        assert_eq!(predict(&model, "[1, 2]").join().unwrap().unwrap(), "[3.0]");
        bench.scale("steady", 1 + round % 4, 1 + round % 4).unwrap();
        bench.registry.unregister("m", None, PATIENCE).unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let answered: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(answered > 0);
}
