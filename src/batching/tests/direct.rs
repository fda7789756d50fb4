//! Requests that are run where they were read, beside the workers who have seen that the model is quick.

use super::*;

/// The answer of a sample that is run where it was read; none when it is to be queued.
async fn here(direct: &Direct, sample: Sample) -> Option<Answer> {
    match direct.enter().run(sample, Instant::now()).await {
        Landing::Answer(answer) => Some(answer.unwrap()),
        Landing::Queue(_) => None,
    }
}

/// Asks until the workers know that the model is quick; false when they never find out.
async fn becomes_known(queue: &JobQueue, direct: &Direct) -> bool {
    for _ in 0..10_000 {
        if here(direct, sample(1.0, 1)).await.is_some() {
            return true;
        }
        text(push(queue, 1.0)).await.unwrap();
    }
    false
}

fn steady() -> Arc<Doubles> {
    Arc::new(Doubles { time_follows_shapes: true, ..Doubles::default() })
}

#[tokio::test]
async fn a_request_that_is_alone_is_run_where_it_was_read_once_the_workers_know_the_model() {
    let (queue, direct, module) = (queue(100, 8), Arc::<Direct>::default(), steady());
    let worker = start_beside(&queue, &direct, &module, false);
    assert!(here(&direct, sample(1.0, 1)).await.is_none(), "nothing is known yet");
    assert!(becomes_known(&queue, &direct).await);
    let calls = module.calls.load(Ordering::Relaxed);
    let answer = here(&direct, sample(21.0, 1)).await.unwrap();
    assert_eq!((&*answer.prediction.body, answer.batch_size), (&b"42"[..], 1));
    assert_eq!(module.calls.load(Ordering::Relaxed), calls + 1);
    // What is of another shape or of several rows takes the usual way.
    assert!(here(&direct, sample(21.0, 2)).await.is_none());
    let mut rows = sample(21.0, 1);
    rows.asked.rows = 2;
    assert!(here(&direct, rows).await.is_none());
    assert!(here(&direct, sample(21.0, 1)).await.is_some());
    // It goes with its worker.
    queue.close();
    worker.join();
    assert!(here(&direct, sample(21.0, 1)).await.is_none());
}

#[tokio::test]
async fn requests_that_a_thread_reads_in_one_turn_share_a_forward() {
    let (queue, direct, module) = (queue(100, 8), Arc::<Direct>::default(), steady());
    let _worker = start_beside(&queue, &direct, &module, false);
    assert!(becomes_known(&queue, &direct).await);
    let calls = module.calls.load(Ordering::Relaxed);
    // Eight make a batch, the last one has to queue.
    let all: Vec<f32> = (0..9).map(|number| 20.0 + number as f32).collect();
    let flights: Vec<_> = all.iter().map(|_| direct.enter()).collect();
    let runs = flights
        .iter()
        .zip(&all)
        .map(|(flight, value)| flight.run(sample(*value, 1), Instant::now()));
    let landed = futures_util::future::join_all(runs).await;
    for (value, landing) in all.iter().zip(&landed[..8]) {
        let Landing::Answer(Ok(answer)) = landing else { panic!("{value} was not run") };
        let double = (value * 2.0).to_string();
        assert_eq!((&*answer.prediction.body, answer.batch_size), (double.as_bytes(), 8));
    }
    assert!(matches!(&landed[8], Landing::Queue(_)));
    assert_eq!(module.calls.load(Ordering::Relaxed), calls + 1);
}

#[tokio::test]
async fn requests_that_arrive_together_share_a_forward_though_each_is_read_and_run_by_itself() {
    let (queue, direct, module) = (queue(100, 8), Arc::<Direct>::default(), steady());
    let _worker = start_beside(&queue, &direct, &module, false);
    assert!(becomes_known(&queue, &direct).await);
    // As of connections that a reactor finds ready when it wakes: the size of each one's batch.
    let burst = |requests: usize| {
        let direct = &direct;
        async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let each = (0..requests).map(|_| {
                let direct = Arc::clone(direct);
                tokio::spawn(async move { here(&direct, sample(1.0, 1)).await.unwrap().batch_size })
            });
            let sizes = futures_util::future::join_all(each.collect::<Vec<_>>()).await;
            sizes.into_iter().map(Result::unwrap).collect::<Vec<_>>()
        }
    };
    burst(1).await;
    assert_eq!(burst(1).await, [1]);
    assert_eq!(burst(5).await, [1, 4, 4, 4, 4], "the second one knows that there are several");
    assert_eq!(burst(5).await, [5; 5], "so does whoever comes next");
    assert_eq!(burst(1).await, [1]);
    assert_eq!(burst(2).await, [1, 1]);
    assert_eq!(burst(2).await, [2, 2]);
}

#[tokio::test]
async fn a_turn_ends_also_when_the_client_of_its_first_request_hangs_up() {
    let (queue, direct, module) = (queue(100, 8), Arc::<Direct>::default(), steady());
    let _worker = start_beside(&queue, &direct, &module, false);
    assert!(becomes_known(&queue, &direct).await);
    let flights = [direct.enter(), direct.enter(), direct.enter()];
    let run = |at: usize, value| Box::pin(flights[at].run(sample(value, 1), Instant::now()));
    let (mut first, mut second, mut third) = (run(0, 1.0), run(1, 2.0), run(2, 3.0));
    for each in [&mut first, &mut second, &mut third] {
        assert!(each.now_or_never().is_none());
    }
    drop(second);
    drop(first);
    let Landing::Answer(Ok(answer)) = third.await else { panic!("the third was not run") };
    assert_eq!((&*answer.prediction.body, answer.batch_size), (&b"6"[..], 1));
    // The next turn is another one.
    assert!(here(&direct, sample(4.0, 1)).await.is_some());
}

#[tokio::test]
async fn what_fails_where_it_was_read_is_told_by_a_worker() {
    let (queue, direct, module) = (queue(100, 8), Arc::<Direct>::default(), steady());
    let _worker = start_beside(&queue, &direct, &module, false);
    assert!(becomes_known(&queue, &direct).await);
    assert!(here(&direct, sample(-1.0, 1)).await.is_none());
    assert!(text(push(&queue, -1.0)).await.is_err());
    assert!(here(&direct, sample(13.0, 1)).await.is_none(), "a panic stays here");
    assert!(here(&direct, sample(1.0, 1)).await.is_some(), "no fault of the model");
    // Of a turn that fails everybody is queued.
    let flights = [direct.enter(), direct.enter()];
    let runs = flights
        .iter()
        .zip([-1.0, 2.0])
        .map(|(flight, value)| flight.run(sample(value, 1), Instant::now()));
    for landing in futures_util::future::join_all(runs).await {
        assert!(matches!(landing, Landing::Queue(_)));
    }
}

#[tokio::test]
async fn a_model_that_becomes_slow_goes_back_to_its_workers() {
    let (queue, direct, module) = (queue(100, 8), Arc::<Direct>::default(), steady());
    let _worker = start_beside(&queue, &direct, &module, false);
    assert!(becomes_known(&queue, &direct).await);
    module.sleeps.store(true, Ordering::Relaxed);
    assert!(here(&direct, sample(1.0, 1)).await.is_some(), "one slow run may be an accident");
    assert!(here(&direct, sample(1.0, 1)).await.is_some());
    assert!(here(&direct, sample(1.0, 1)).await.is_none(), "two are none");
}

#[tokio::test]
async fn a_model_that_may_take_its_time_or_changes_itself_is_never_run_on_a_reactor() {
    let slow = Arc::new(Doubles::default());
    for (module, changes_itself) in [(slow, false), (steady(), true)] {
        let (queue, direct) = (queue(100, 8), Arc::<Direct>::default());
        let _worker = start_beside(&queue, &direct, &module, changes_itself);
        for _ in 0..100 {
            text(push(&queue, 1.0)).await.unwrap();
            assert!(here(&direct, sample(1.0, 1)).await.is_none());
        }
    }
}
