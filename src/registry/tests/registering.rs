//! Registering, unregistering and default versions: who wins, what is in nobody's way.

use super::*;

#[track_caller]
fn text<T: std::fmt::Debug>(refused: Result<T, impl std::fmt::Display>) -> String {
    match refused {
        Err(error) => error.to_string(),
        Ok(done) => panic!("done: {done:?}"),
    }
}

#[test]
fn of_two_registrations_of_a_version_exactly_one_wins_and_the_other_does_not_wait() {
    let bench = Bench::new();
    bench.put("m.mar", "m", "1.0", "load-held");
    let first = {
        let (registry, call) = (Arc::clone(&bench.registry), bench.call("m.mar", 1));
        std::thread::spawn(move || registry.register(call).map(|_| ()))
    };
    bench.loads.wait_for(1);
    // The first is still being loaded: nobody can ask it, and nobody can take its place.
    let refused = bench.registry.register(bench.call("m.mar", 1));
    assert_eq!(text(refused), "Model version 1.0 is already registered for model m");
    assert!(bench.registry.resolve("m", None).is_err());
    bench.loads.open();
    first.join().unwrap().unwrap();
    assert_eq!(bench.registry.resolve("m", None).unwrap().worker_count(), 1);
    assert_eq!(bench.unpacked().len(), 1);
    let again = bench.registry.register(bench.call("m.mar", 1));
    assert_eq!(text(again), "Model version 1.0 is already registered for model m");
}

#[test]
fn many_registrations_at_once_leave_one_of_each_version() {
    let bench = Bench::new();
    for version in 0..4 {
        bench.put(&format!("{version}.mar"), "m", &format!("{version}.0"), "sum");
    }
    let threads: Vec<_> = (0..16)
        .map(|number| {
            let registry = Arc::clone(&bench.registry);
            let call = bench.call(&format!("{}.mar", number % 4), 1);
            std::thread::spawn(move || registry.register(call).is_ok())
        })
        .collect();
    let won = threads.into_iter().map(|thread| thread.join().unwrap()).filter(|won| *won);
    assert_eq!(won.count(), 4);
    assert_eq!(bench.registry.versions("m").unwrap().all.len(), 4);
    assert_eq!((bench.unpacked().len(), bench.modules.load(Ordering::SeqCst)), (4, 4));
}

#[test]
fn a_slow_load_is_in_nobodys_way() {
    let bench = Bench::new();
    let other = bench.register("other", "sum", 1);
    bench.put("slow.mar", "slow", "1.0", "load-held");
    bench.put("slow-2.mar", "slow", "2.0", "sum");
    let slow = {
        let (registry, call) = (Arc::clone(&bench.registry), bench.call("slow.mar", 1));
        std::thread::spawn(move || registry.register(call).map(|_| ()))
    };
    bench.loads.wait_for(1);
    // Another model, another version of the same one, and all that can be done to them.
    assert_eq!(predict(&other, "[1, 2]").join().unwrap().unwrap(), "[3.0]");
    bench.register("third", "sum", 2);
    bench.registry.register(bench.call("slow-2.mar", 1)).unwrap();
    assert_eq!(bench.scale("third", 3, 3).unwrap().workers, 3);
    bench.registry.set_default("third", "1.0").unwrap();
    bench.registry.unregister("third", None, PATIENCE).unwrap();
    assert_eq!(bench.registry.list().len(), 2);
    bench.loads.open();
    slow.join().unwrap().unwrap();
    assert_eq!(bench.registry.versions("slow").unwrap().default, "2.0");
}

#[test]
fn a_registration_that_fails_gives_everything_back() {
    let bench = Bench::new();
    for behaviour in ["broken", "panic", "one-copy"] {
        bench.put("m.mar", "m", "1.0", behaviour);
        let refused = bench.registry.register(bench.call("m.mar", 2));
        let error = refused.err().unwrap_or_else(|| panic!("{behaviour} was registered"));
        let expected = match behaviour {
            "broken" => matches!(&error, RegisterError::Engine(_)),
            "panic" => matches!(&error, RegisterError::Panicked(_)),
            _ => matches!(&error, RegisterError::Workers { .. }),
        };
        assert!(expected, "{error:?}");
        assert!(bench.registry.resolve("m", None).is_err());
        assert_eq!(bench.unpacked(), Vec::<PathBuf>::new(), "{behaviour}");
        assert_eq!(bench.modules.load(Ordering::SeqCst), 0, "{behaviour}");
        assert!(!bench.series().contains("model_name=\"m\""), "{behaviour}");
    }
    // The name is free again.
    bench.register("m", "sum", 1);
    // A registration that is not completed is one that failed.
    bench.put("n.mar", "n", "1.0", "sum");
    for _ in 0..2 {
        let registration = bench.registry.prepare(bench.call("n.mar", 1)).unwrap();
        assert_eq!((registration.name(), registration.version()), ("n", "1.0"));
        assert_eq!((registration.workers(), bench.unpacked().len()), (1, 2));
        drop(registration);
        assert_eq!(bench.unpacked().len(), 1);
    }
}

#[test]
fn at_the_start_the_next_archive_is_unpacked_meanwhile_and_a_failed_model_is_in_nobodys_way() {
    let bench = Bench::new();
    bench.put("slow.mar", "slow", "1.0", "load-held");
    bench.put("broken.mar", "m", "1.0", "broken");
    bench.put("m.mar", "m", "1.0", "sum");
    let files = ["slow.mar", "broken.mar", "m.mar", "none.mar"];
    let calls = files.iter().map(|file| bench.call(file, 1)).collect();
    let registry = Arc::clone(&bench.registry);
    let loading = std::thread::spawn(move || registry.load_all(calls));
    bench.loads.wait_for(1);
    eventually("the next one is unpacked", || bench.unpacked().len() == 2);
    assert!(!bench.registry.is_healthy());
    bench.loads.open();
    loading.join().unwrap();
    let mut names: Vec<_> = bench.registry.list().iter().map(|model| model.name.clone()).collect();
    names.sort();
    assert_eq!(names, ["m", "slow"]);
    assert!(bench.registry.is_healthy());
    assert_eq!((bench.unpacked().len(), bench.modules.load(Ordering::SeqCst)), (2, 2));
}

#[test]
fn what_cannot_be_registered_is_refused_with_its_reason() {
    let bench = Bench::new();
    bench.put("m.mar", "m", "1.0", "sum");
    let refused = |call| text(bench.registry.register(call));
    let call = || bench.call("m.mar", 1);
    let runtime = Some("python4".to_owned());
    assert_eq!(refused(LoadRequest { runtime, ..call() }), "Invalid RuntimeType value: python4");
    assert!(refused(bench.call("m.mar", 17)).contains("17 workers are too many"));
    assert_eq!(refused(bench.call("none.mar", 1)), "Model not found at: none.mar");
    let runtime = Some("LSP".to_owned());
    let model = bench.registry.register(LoadRequest { runtime, ..call() }).unwrap();
    assert_eq!(model.runtime, "LSP");
}

#[test]
fn at_most_so_many_models_are_on_their_way_at_once() {
    let bench = Bench::new();
    let mut held = Vec::new();
    let refused = loop {
        let name = format!("m{}", held.len());
        bench.put("m.mar", &name, "1.0", "sum");
        match bench.registry.prepare(bench.call("m.mar", 1)) {
            Ok(registration) => held.push(registration),
            Err(error) => break error,
        }
    };
    assert_eq!(held.len(), 32);
    assert!(matches!(refused, RegisterError::Busy { loading: 32 }), "{refused}");
    held.pop();
    assert!(bench.registry.prepare(bench.call("m.mar", 1)).is_ok());
}

#[test]
fn the_default_version_is_the_first_one_until_another_is_set() {
    let bench = Bench::new();
    for version in ["1.11", "1.2.1"] {
        bench.put("m.mar", "m", version, "sum");
        bench.registry.register(bench.call("m.mar", 1)).unwrap();
    }
    let default = || bench.registry.resolve("m", None).unwrap().version.clone();
    assert_eq!(default(), "1.11");
    let registry = &bench.registry;
    let unregister = |version| registry.unregister("m", version, PATIENCE);
    for version in [None, Some("1.11")] {
        assert_eq!(text(unregister(version)), "Cannot remove default version for model m");
    }
    registry.set_default("m", "1.2.1").unwrap();
    assert_eq!(default(), "1.2.1");
    let wrong = "Model version 3.3.3 does not exist for model m";
    assert_eq!(text(registry.set_default("m", "3.3.3")), wrong);
    assert_eq!(text(registry.set_default("n", "1.0")), "Model not found: n");
    unregister(Some("1.11")).unwrap();
    let gone = "Model version: 1.11 does not exist for model: m";
    assert_eq!(text(unregister(Some("1.11"))), gone);
    unregister(None).unwrap();
    assert_eq!(text(unregister(None)), "Model not found: m");
    assert!(registry.list().is_empty());
}

#[test]
fn unregistering_answers_what_was_accepted_and_gives_everything_back() {
    let bench = Bench::new();
    let model = bench.register("m", "forward-held", 1);
    let replies: Vec<_> = (0..5).map(|_| predict(&model, "[1, 2]")).collect();
    bench.forwards.wait_for(1);
    eventually("all are queued", || model.queue_status().0 == 4);
    let unregistering = {
        let registry = Arc::clone(&bench.registry);
        std::thread::spawn(move || registry.unregister("m", None, PATIENCE))
    };
    eventually("nobody finds it", || bench.registry.resolve("m", None).is_err());
    eventually("it takes nothing more", || model.worker_count() == 0);
    let late = predict(&model, "[1, 2]").join().unwrap();
    assert!(matches!(late, Err(ModelError::Unavailable { .. })), "{late:?}");
    // Its name is not free before its last traces are gone.
    let early = bench.registry.register(bench.call("m.mar", 1));
    assert!(matches!(early, Err(RegisterError::Conflict { .. })));
    bench.forwards.open();
    unregistering.join().unwrap().unwrap();
    for reply in replies {
        assert_eq!(reply.join().unwrap().unwrap(), "[3.0]");
    }
    // Although a request still has the model in hand.
    assert_eq!(bench.unpacked(), Vec::<PathBuf>::new());
    assert_eq!(bench.modules.load(Ordering::SeqCst), 0);
    assert!(!bench.series().contains("model_name=\"m\""));
    assert_eq!(model.directory(), None);
    bench.registry.register(bench.call("m.mar", 1)).unwrap();
}

#[test]
fn unregistering_gives_up_on_a_worker_that_does_not_end_and_answers_the_others() {
    let bench = Bench::new();
    let model = bench.register("m", "forward-held", 1);
    let running = predict(&model, "[1, 2]");
    bench.forwards.wait_for(1);
    let waiting = predict(&model, "[1, 2]");
    eventually("it is queued", || model.queue_status().0 == 1);
    let timed_out = bench.registry.unregister("m", None, Duration::ZERO);
    assert_eq!(text(timed_out), "Timed out while cleaning resources: m");
    let dropped = waiting.join().unwrap();
    let died = matches!(dropped, Err(ModelError::Predict(PredictError::WorkerDied)));
    assert!(died, "{dropped:?}");
    assert!(bench.registry.resolve("m", None).is_err());
    bench.forwards.open();
    assert_eq!(running.join().unwrap().unwrap(), "[3.0]");
    eventually("its memory is freed", || bench.modules.load(Ordering::SeqCst) == 0);
}

#[test]
fn nothing_is_registered_once_the_registry_is_closed() {
    let bench = Bench::new();
    bench.register("m", "sum", 2);
    bench.put("late.mar", "late", "1.0", "load-held");
    let late = {
        let (registry, call) = (Arc::clone(&bench.registry), bench.call("late.mar", 1));
        std::thread::spawn(move || registry.register(call).map(|_| ()))
    };
    bench.loads.wait_for(1);
    bench.registry.close(PATIENCE);
    bench.loads.open();
    assert!(matches!(late.join().unwrap(), Err(RegisterError::Stopping)));
    bench.put("m.mar", "m", "2.0", "sum");
    let refused = bench.registry.register(bench.call("m.mar", 1));
    assert!(matches!(refused, Err(RegisterError::Stopping)));
    assert_eq!(bench.unpacked(), Vec::<PathBuf>::new());
    eventually("its memory is freed", || bench.modules.load(Ordering::SeqCst) == 0);
}
