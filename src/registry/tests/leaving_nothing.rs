//! Registering and unregistering over and over leaves no thread, no file, no memory and no series.

use super::*;

/// Threads of this process whose names begin so.
fn threads(prefix: &str) -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with(prefix)).count()
}

/// Open files of this process below a folder.
fn descriptors(folder: &Path) -> usize {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap();
    let targets = descriptors.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
    targets.filter(|target| target.starts_with(folder)).count()
}

#[test]
fn a_thousand_cycles_leave_nothing_behind() {
    cycles(100);
}

/// What is left over is counted exactly, so that the shorter test would see it, too.
#[test]
#[ignore = "takes a minute: cargo test --lib -- --ignored ten_thousand"]
fn ten_thousand_cycles_leave_nothing_behind() {
    cycles(1_100);
}

fn cycles(each: usize) {
    let bench = Bench::new();
    // Worker numbers of this test alone: other tests have threads, too.
    bench.registry.next_worker_id.store(77_000_000, Ordering::Relaxed);
    bench.put("m.mar", "m", "1.0", "sum");
    bench.put("broken.mar", "broken", "1.0", "broken");
    for cycle in 0..100 {
        let model = bench.registry.register(bench.call("m.mar", 2)).unwrap();
        if cycle % 10 == 0 {
            // A thread has its name when it has begun to run.
            eventually("its workers run", || threads("worker-77") == 2);
            assert_eq!(predict(&model, "[1, 2]").join().unwrap().unwrap(), "[3.0]");
            bench.scale("m", 3, 3).unwrap();
            bench.scale("m", 1, 1).unwrap();
            assert!(bench.registry.register(bench.call("broken.mar", 1)).is_err());
        }
        bench.registry.unregister("m", None, PATIENCE).unwrap();
    }
    // And many at once: each thread has a model of its own, and one that all want.
    std::thread::scope(|scope| {
        for thread in 0..9 {
            let (bench, name) = (&bench, format!("m{thread}"));
            bench.put(&format!("{name}.mar"), &name, "1.0", "sum");
            scope.spawn(move || {
                for _ in 0..each {
                    let model = bench.registry.register(bench.call(&format!("{name}.mar"), 1));
                    assert_eq!(model.unwrap().worker_count(), 1);
                    let contended = bench.registry.register(bench.call("m.mar", 0)).is_ok();
                    bench.registry.unregister(&name, None, PATIENCE).unwrap();
                    if contended {
                        bench.registry.unregister("m", None, PATIENCE).unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(threads("worker-77"), 0);
    assert_eq!(descriptors(bench.folder.path()), 0);
    assert_eq!(bench.unpacked(), Vec::<PathBuf>::new());
    assert_eq!(bench.modules.load(Ordering::SeqCst), 0);
    assert!(!bench.series().contains("model_name="), "{}", bench.series());
    let changes = bench.registry.lock();
    assert!(changes.reserved.is_empty());
    assert_eq!(bench.registry.loading.load(Ordering::Relaxed), 0);
}

#[test]
fn a_registry_that_goes_takes_its_workers_with_it() {
    let bench = Bench::new();
    bench.registry.next_worker_id.store(88_000_000, Ordering::Relaxed);
    bench.register("m", "sum", 3);
    eventually("its workers run", || threads("worker-88") == 3);
    drop(bench);
    eventually("its threads are gone", || threads("worker-88") == 0);
}
