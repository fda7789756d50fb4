//! Every request gets one answer and is counted once, whatever the workers and the clients do.

use futures_util::future::join_all;

use super::*;
use crate::batching::DecodePool;

/// Which outcomes a request may have.
const OUTCOMES: [&str; 6] = ["ok", "error", "bad_input", "rejected", "cancelled", "expired"];

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub(super) fn body(text: &'static str) -> RequestInput {
    RequestInput::body(Some("application/json".to_owned()), text.into())
}

/// Registers a model whose callers wait for so many milliseconds.
fn impatient(bench: &Bench, behaviour: &str, handler: Option<&str>, millis: u64) -> Arc<Model> {
    bench.put("m.mar", "m", "1.0", behaviour);
    let mut call = bench.call("m.mar", 2);
    call.handler = handler.map(str::to_owned);
    call.settings.client_timeout = Some(Duration::from_millis(millis));
    bench.registry.register(call).unwrap()
}

impl Bench {
    pub(super) fn outcome(&self, outcome: &str) -> u64 {
        self.value("ts_predictions_total", &format!("outcome=\"{outcome}\""))
    }

    /// The sum of the series of this name with this label.
    pub(super) fn value(&self, family: &str, label: &str) -> u64 {
        let series = self.series();
        let start = format!("{family}{{");
        let found = series.lines().filter(|line| line.starts_with(&start) && line.contains(label));
        found.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
    }
}

#[test]
fn callers_are_answered_in_time_while_every_worker_is_stuck() {
    let bench = Bench::new();
    let model = impatient(&bench, "forward-held", None, 50);
    runtime().block_on(async {
        let answers = join_all((0..20).map(|_| model.predict(body("[1, 2]"), None))).await;
        for answer in answers {
            let late = matches!(answer, Err(ModelError::Predict(PredictError::DeadlinePassed)));
            assert!(late, "{answer:?}");
        }
    });
    // The workers have not moved, and nobody is left in the queue.
    bench.forwards.wait_for(2);
    assert_eq!(model.queue_status(), (0, 100));
    assert_eq!((bench.outcome("expired"), bench.outcome("accepted")), (20, 20));
    bench.forwards.open();
    assert!(bench.scale("m", 0, 0).unwrap().settled);
    assert_eq!(bench.value("ts_batch_size_sum", ""), 2, "those that expired were never run");
}

#[test]
fn who_goes_away_is_taken_out_of_the_queue_and_counted() {
    let bench = Bench::new();
    let model = bench.register("m", "forward-held", 1);
    let runtime = runtime();
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let model = Arc::clone(&model);
            runtime.spawn(async move { model.predict(body("[1, 2]"), None).await.map(|_| ()) })
        })
        .collect();
    bench.forwards.wait_for(1);
    eventually("the others are queued", || model.queue_status().0 == 9);
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    eventually("all are gone", || model.queue_status() == (0, 100));
    eventually("all are counted", || bench.outcome("cancelled") == 10);
    bench.forwards.open();
    assert!(bench.scale("m", 0, 0).unwrap().settled);
    assert_eq!(bench.value("ts_batch_size_sum", ""), 1);
}

#[test]
fn a_panic_over_an_input_is_the_error_of_that_request_alone() {
    let bench = Bench::new();
    let model = impatient(&bench, "sum", Some("photographs"), 60_000);
    bench.decodes.open();
    runtime().block_on(async {
        let texts = ["fine", "panic", "fine"];
        let answers = join_all(texts.map(|text| model.predict(body(text), None))).await;
        assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
        assert!(matches!(answers[1], Err(ModelError::Preprocess)), "{answers:?}");
    });
    assert_eq!((bench.outcome("ok"), bench.outcome("error")), (2, 1));
}

#[test]
fn callers_are_answered_in_time_while_every_decode_thread_is_stuck() {
    let bench = Bench::new();
    let model = impatient(&bench, "sum", Some("photographs"), 50);
    runtime().block_on(async {
        let asked = join_all((0..20).map(|_| model.predict(body("fine"), None)));
        let late = |answer: &Result<_, ModelError>| {
            matches!(answer, Err(ModelError::Predict(PredictError::DeadlinePassed)))
        };
        assert!(asked.await.iter().all(late));
        // What cheap requests would need is free: only the one in hand still has its thread.
        assert_eq!(model.queue_status(), (0, 100));
        bench.decodes.open();
        let input = body("fine");
        let answer = tokio::time::timeout(PATIENCE, bench.decode_pool.submit(|| 7).unwrap().wait());
        assert_eq!(answer.await.unwrap(), Ok(7));
        drop(input);
    });
    assert_eq!(bench.decodes.passed(), 1, "those that were given up were skipped");
}

#[test]
fn a_full_decode_queue_is_said_as_a_full_job_queue() {
    let bench = Bench::with_decode_pool(DecodePool::start(NonZeroUsize::MIN, 2).unwrap());
    let model = impatient(&bench, "sum", Some("photographs"), 60_000);
    let runtime = runtime();
    let ask = || {
        let model = Arc::clone(&model);
        runtime.spawn(async move { model.predict(body("fine"), None).await.map(|_| ()) })
    };
    let first = ask();
    bench.decodes.wait_for(1);
    let waiting = [ask(), ask()];
    eventually("both wait", || bench.outcome("accepted") == 3);
    let refused = runtime.block_on(ask()).unwrap();
    assert!(matches!(refused, Err(ModelError::Unavailable { .. })), "{refused:?}");
    bench.decodes.open();
    for task in [first].into_iter().chain(waiting) {
        runtime.block_on(task).unwrap().unwrap();
    }
    assert_eq!((bench.outcome("ok"), bench.outcome("rejected")), (3, 1));
    assert_eq!(model.queue_status(), (0, 100));
}

#[test]
fn the_accounts_add_up_under_random_load() {
    let bench = Bench::new();
    bench.put("m.mar", "m", "1.0", "sum");
    let mut call = bench.call("m.mar", 2);
    call.settings.job_queue_size = Some(4);
    call.settings.batch_size = NonZeroUsize::new(3);
    call.settings.client_timeout = Some(Duration::from_millis(20));
    let model = bench.registry.register(call).unwrap();
    let answered = Arc::new(AtomicUsize::new(0));
    let runtime = runtime();
    let clients: Vec<_> = (0..16_u64)
        .map(|client| {
            let (model, answered) = (Arc::clone(&model), Arc::clone(&answered));
            runtime.spawn(async move {
                for round in 0..200 {
                    let chance = (client * 7919 + round * 104_729) % 13;
                    let text = match chance {
                        0 => "no json",
                        1 => "[true, [1]]",
                        2 => "[[1, 2], [3, 4]]",
                        _ => "[1, 2]",
                    };
                    let asked = model.predict(body(text), None);
                    if chance == 5 {
                        // Hangs up at once, or a little later.
                        let patience = Duration::from_micros(round % 50);
                        if tokio::time::timeout(patience, asked).await.is_ok() {
                            answered.fetch_add(1, Ordering::SeqCst);
                        }
                    } else {
                        let answer = asked.await;
                        answered.fetch_add(1, Ordering::SeqCst);
                        if matches!(answer, Err(ModelError::Unavailable { .. })) {
                            // Or all would be refused while there is no worker for a moment.
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    }
                }
            })
        })
        .collect();
    for round in 0..20 {
        // Workers come and go meanwhile.
        let workers = [1, 2, 0][round % 3];
        bench.scale("m", workers, workers).unwrap();
        std::thread::sleep(Duration::from_millis(2));
    }
    bench.scale("m", 1, 1).unwrap();
    for client in clients {
        runtime.block_on(client).unwrap();
    }
    let of = |outcome| bench.outcome(outcome);
    let arrived = bench.value("ts_inference_requests_total", "");
    assert_eq!(arrived, 16 * 200);
    assert_eq!(arrived, OUTCOMES.map(of).into_iter().sum::<u64>());
    assert_eq!(arrived, of("accepted") + of("rejected"));
    assert_eq!(answered.load(Ordering::SeqCst) as u64 + of("cancelled"), arrived);
    assert!(of("ok") > 0 && of("bad_input") > 0 && of("rejected") > 0, "{}", bench.series());
    assert_eq!(model.queue_status(), (0, 4));
}
