//! The queue under every order of its threads' steps that shuttle comes up with: no job is forgotten, no
//! worker sleeps through its wake-up.
//!
//! `queue.rs` and `job.rs` are compiled a second time here, with locks at which shuttle decides who runs
//! next. A lost wake-up is a deadlock, which it reports with the schedule that led to it.

#[path = "job.rs"]
#[allow(dead_code, clippy::duplicate_mod, reason = "a second time is the purpose")]
mod job;
#[path = "queue.rs"]
#[allow(dead_code, clippy::duplicate_mod, reason = "a second time is the purpose")]
mod queue;

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;

use self::job::{Answer, PredictError};
use self::queue::{JobQueue, Next};
use super::policy::{BatchPolicy, Filling};
use super::waiting::PushError;
use super::{policy, sequences, waiting};
use crate::engine::{DType, Elements, HostTensor, Value};
use crate::handlers::{Asked, Form, Prediction, Sample};

mod sync {
    pub(super) use shuttle::sync::{Condvar, Mutex, MutexGuard};
}

/// Schedules of each scenario.
const SCHEDULES: usize = 2_000;
const BATCH: usize = 2;

/// What became of the jobs.
#[derive(Default)]
struct Counts {
    answered: AtomicUsize,
    died: AtomicUsize,
    refused: AtomicUsize,
}

fn queue() -> Arc<JobQueue> {
    let policy = BatchPolicy {
        batch_size: NonZeroUsize::new(BATCH).unwrap(),
        max_batch_delay: Duration::ZERO,
        filling: Filling::WorkConserving,
    };
    Arc::new(JobQueue::new(8, policy))
}

fn sample(value: f32) -> Sample {
    let tensor = HostTensor::new(vec![1, 1], Elements::Float32(vec![value])).unwrap();
    Sample {
        arguments: vec![Value::Tensor(tensor)],
        bucket: Some(std::sync::Arc::from([(DType::Float32, vec![1])])),
        asked: Asked::new(1, Form::Plain),
        inferred: 0,
    }
}

fn value(sample: &Sample) -> f32 {
    let Some(Value::Tensor(tensor)) = sample.arguments.first() else { panic!("a tensor") };
    let Elements::Float32(values) = tensor.elements() else { panic!("float32") };
    values[0]
}

/// Runs a scenario in many orders.
fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    let mut config = shuttle::Config::new();
    // What is not optimised takes more than its default.
    config.stack_size = 1 << 18;
    let scheduler = shuttle::scheduler::RandomScheduler::new(SCHEDULES);
    shuttle::Runner::new(scheduler, config).run(scenario);
}

/// A worker that answers every job with its own number, until the queue ends.
fn worker(queue: &Arc<JobQueue>, stop: &Arc<AtomicUsize>) -> thread::JoinHandle<()> {
    let (queue, stop) = (Arc::clone(queue), Arc::clone(stop));
    thread::spawn(move || {
        while let Next::Batch(jobs) = queue.next(|| stop.load(Ordering::SeqCst) > 0, None) {
            assert!((1..=BATCH).contains(&jobs.len()));
            for job in jobs {
                let prediction = Prediction::json(value(&job.sample).to_string());
                let nothing = Duration::ZERO;
                job.answer(Ok(Answer {
                    prediction,
                    batch_size: 1,
                    preprocess: nothing,
                    queued: nothing,
                    forward: nothing,
                    postprocess: nothing,
                }));
            }
        }
    })
}

/// Asks once; false when the queue is closed.
fn ask(queue: &JobQueue, number: usize, counts: &Counts) -> bool {
    let in_an_hour = Instant::now() + Duration::from_secs(3600);
    let reply = match queue.admit() {
        Ok(admission) => admission.push(sample(number as f32), "id".into(), in_an_hour, None),
        Err(closed) => Err(closed),
    };
    let answer = match reply {
        Ok(reply) => shuttle::future::block_on(reply.wait()),
        Err(PushError::Full) => panic!("there is room for all"),
        Err(PushError::Closed) => {
            counts.refused.fetch_add(1, Ordering::SeqCst);
            return false;
        }
    };
    match answer {
        Ok(answer) => {
            assert_eq!(&*answer.prediction.body, number.to_string().as_bytes(), "another's row");
            counts.answered.fetch_add(1, Ordering::SeqCst);
        }
        Err(PredictError::WorkerDied) => {
            counts.died.fetch_add(1, Ordering::SeqCst);
        }
        Err(other) => panic!("{other}"),
    }
    true
}

fn clients(
    queue: &Arc<JobQueue>,
    count: usize,
    counts: &Arc<Counts>,
) -> Vec<thread::JoinHandle<()>> {
    let client = |number| {
        let (queue, counts) = (Arc::clone(queue), Arc::clone(counts));
        thread::spawn(move || {
            ask(&queue, number, &counts);
        })
    };
    (0..count).map(client).collect()
}

fn join(threads: Vec<thread::JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn count(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::SeqCst)
}

#[test]
fn promise_01_whoever_is_admitted_before_the_close_is_answered_and_every_worker_ends() {
    explore(|| {
        let (queue, counts) = (queue(), Arc::<Counts>::default());
        let stop = Arc::new(AtomicUsize::new(0));
        let workers: Vec<_> = (0..2).map(|_| worker(&queue, &stop)).collect();
        let clients = clients(&queue, 4, &counts);
        queue.close();
        join(clients);
        join(workers);
        assert_eq!(count(&counts.answered) + count(&counts.refused), 4);
        assert_eq!((count(&counts.died), queue.pending()), (0, 0));
    });
}

#[test]
fn promise_01_an_abandoned_queue_answers_everybody_and_every_worker_ends() {
    explore(|| {
        let (queue, counts) = (queue(), Arc::<Counts>::default());
        let stop = Arc::new(AtomicUsize::new(0));
        let workers: Vec<_> = (0..2).map(|_| worker(&queue, &stop)).collect();
        let clients = clients(&queue, 3, &counts);
        queue.abandon();
        join(clients);
        join(workers);
        let sum = count(&counts.answered) + count(&counts.refused) + count(&counts.died);
        assert_eq!((sum, queue.pending()), (3, 0));
    });
}

#[test]
fn promise_01_a_worker_that_is_told_to_end_leaves_the_jobs_to_the_other() {
    explore(|| {
        let (queue, counts) = (queue(), Arc::<Counts>::default());
        let (one, other) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let workers = vec![worker(&queue, &one), worker(&queue, &other)];
        let clients = clients(&queue, 3, &counts);
        one.fetch_add(1, Ordering::SeqCst);
        queue.wake_all();
        join(clients);
        queue.close();
        join(workers);
        assert_eq!(count(&counts.answered), 3);
    });
}

#[test]
fn promise_01_a_client_that_goes_away_takes_its_job_along_and_nobody_elses() {
    explore(|| {
        let (queue, counts) = (queue(), Arc::<Counts>::default());
        let stop = Arc::new(AtomicUsize::new(0));
        let leaving = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let in_an_hour = Instant::now() + Duration::from_secs(3600);
                let admission = queue.admit().unwrap();
                drop(admission.push(sample(9.0), "id".into(), in_an_hour, None).unwrap());
            })
        };
        let clients = clients(&queue, 2, &counts);
        let worker = worker(&queue, &stop);
        leaving.join().unwrap();
        join(clients);
        queue.close();
        worker.join().unwrap();
        assert_eq!((count(&counts.answered), queue.pending()), (2, 0));
    });
}

/// The table's swap, as the registry does it: the new version is there before the old one closes, and
/// who is refused looks again.
#[test]
fn promise_06_a_version_that_is_replaced_under_its_clients_loses_no_request() {
    explore(|| {
        let stop = Arc::new(AtomicUsize::new(0));
        let (old, new) = (queue(), queue());
        let workers = vec![worker(&old, &stop), worker(&new, &stop)];
        let table = Arc::new(Mutex::new(Arc::clone(&old)));
        let counts = Arc::<Counts>::default();
        let clients: Vec<_> = (0..3)
            .map(|number| {
                let (table, counts) = (Arc::clone(&table), Arc::clone(&counts));
                thread::spawn(move || {
                    let found = || Arc::clone(&*table.lock().unwrap());
                    while !ask(&found(), number, &counts) {}
                })
            })
            .collect();
        *table.lock().unwrap() = Arc::clone(&new);
        old.close();
        join(clients);
        new.close();
        join(workers);
        assert_eq!((count(&counts.answered), count(&counts.died)), (3, 0));
    });
}
