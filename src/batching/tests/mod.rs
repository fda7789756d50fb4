//! Queue and worker together, with handlers and modules made for the purpose.

mod direct;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;

use super::*;
use crate::engine::{
    DType, Device, Elements, EngineError, HostTensor, Module, Signature, Value, fake::FakeEngine,
};
use crate::handlers::{
    Asked, ExplainError, Form, Forward, Handler, HandlerError, Prediction, RequestInput, Sample,
    Task,
};
use crate::metrics::{Metrics, ModelMetrics};

/// Gives each row back as text.
struct Rows;

/// Doubles each element; refuses a batch that holds a negative one, panics on 13 (as a handler
/// would), and counts its calls.
#[derive(Default)]
struct Doubles {
    calls: AtomicUsize,
    time_follows_shapes: bool,
    /// Takes three milliseconds a call from now on.
    sleeps: AtomicBool,
}

impl Handler for Rows {
    fn preprocess(&self, _: RequestInput) -> Result<Sample, HandlerError> {
        Err(HandlerError::BadInput("not used here".into()))
    }

    fn collate(&self, samples: Vec<Sample>) -> Result<Vec<Value>, HandlerError> {
        let tensors = samples.into_iter().flat_map(|sample| sample.arguments).map(|value| {
            let Value::Tensor(tensor) = value else { panic!("only tensors here") };
            tensor
        });
        HostTensor::concat(tensors.collect())
            .map(|tensor| vec![Value::Tensor(tensor)])
            .map_err(|error| HandlerError::Model(error.to_string()))
    }

    fn postprocess(&self, output: Value, asked: &[Asked]) -> Result<Vec<Prediction>, HandlerError> {
        let Value::Tensor(tensor) = output else { panic!("only tensors here") };
        let Elements::Float32(values) = tensor.elements() else { panic!("only float32 here") };
        assert!(!values.contains(&26.0), "thirteen");
        assert_eq!(values.len(), asked.len());
        Ok(values.iter().map(|value| Prediction::json(value.to_string())).collect())
    }

    /// Asked for what the model refused, outside of what a batch catches.
    fn reinterpret(&self, sample: &Sample) -> Option<Sample> {
        let Some(Value::Tensor(tensor)) = sample.arguments.first() else { return None };
        let Elements::Float32(values) = tensor.elements() else { return None };
        assert!(!values.contains(&-13.0), "a mistake of the handler");
        None
    }

    fn explain(
        &self,
        sample: Sample,
        _: &[Asked],
        forward: &mut Forward<'_>,
    ) -> Result<Vec<Prediction>, ExplainError> {
        loop {
            forward(sample.arguments.clone())?;
        }
    }
}

impl Rows {
    /// A sample whose explanation takes forwards without end.
    fn endless() -> Sample {
        let mut sample = sample(1.0, 1);
        sample.asked.task = Task::Explain { target: None };
        sample.bucket = None;
        sample
    }
}

impl Module for Doubles {
    fn forward(&self, arguments: Vec<Value>) -> Result<Value, EngineError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if self.sleeps.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(3));
        }
        let Some(Value::Tensor(tensor)) = arguments.into_iter().next() else { panic!("a tensor") };
        let Elements::Float32(values) = tensor.elements() else { panic!("float32") };
        if values.iter().any(|value| *value < 0.0) {
            return Err(EngineError::InputRefused("negative".into()));
        }
        let doubled = values.iter().map(|value| value * 2.0).collect();
        let tensor = HostTensor::new(tensor.shape().to_vec(), Elements::Float32(doubled));
        Ok(Value::Tensor(tensor.map_err(|error| EngineError::Failed(error.to_string()))?))
    }

    fn signature(&self) -> &Signature {
        const NONE: &Signature = &Signature { arguments: Vec::new() };
        NONE
    }

    fn time_follows_shapes(&self) -> bool {
        self.time_follows_shapes
    }

    fn replica(&self) -> Result<Option<Arc<dyn Module>>, EngineError> {
        Ok(None)
    }
}

fn sample(value: f32, width: usize) -> Sample {
    let tensor = HostTensor::new(vec![1, width], Elements::Float32(vec![value; width])).unwrap();
    Sample {
        arguments: vec![Value::Tensor(tensor)],
        bucket: Some(Arc::from([(DType::Float32, vec![width])])),
        asked: Asked::new(1, Form::Plain),
        inferred: 0,
    }
}

fn queue(capacity: usize, batch_size: usize) -> Arc<JobQueue> {
    let policy = BatchPolicy {
        batch_size: NonZeroUsize::new(batch_size).unwrap(),
        max_batch_delay: Duration::from_millis(100),
        filling: Filling::WorkConserving,
    };
    Arc::new(JobQueue::new(capacity, policy))
}

fn in_a_minute() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn push(queue: &JobQueue, value: f32) -> Reply<'_> {
    queue.admit().unwrap().push(sample(value, 1), "id".into(), in_a_minute(), None).unwrap()
}

fn model_metrics() -> ModelMetrics {
    Metrics::new("test").unwrap().model("m", "1.0")
}

fn start(queue: &Arc<JobQueue>, module: &Arc<Doubles>) -> Worker {
    start_with(queue, module, false)
}

fn start_with(queue: &Arc<JobQueue>, module: &Arc<Doubles>, changes_itself: bool) -> Worker {
    start_beside(queue, &Arc::default(), module, changes_itself)
}

fn start_beside(
    queue: &Arc<JobQueue>,
    direct: &Arc<Direct>,
    module: &Arc<Doubles>,
    changes_itself: bool,
) -> Worker {
    let work = Work {
        model: "m".to_owned(),
        changes_itself,
        queue: Arc::clone(queue),
        direct: Arc::clone(direct),
        handler: Arc::new(Rows),
        module: Arc::clone(module) as Arc<dyn Module>,
        engine: Arc::new(FakeEngine),
        metrics: model_metrics(),
        intra_op_threads: Arc::new(AtomicUsize::new(1)),
    };
    Worker::start(9000, Device::Cpu, work).unwrap()
}

async fn text(reply: Reply<'_>) -> Result<String, PredictError> {
    let answer = reply.wait().await?;
    Ok(String::from_utf8(answer.prediction.body.to_vec()).unwrap())
}

#[tokio::test]
async fn every_job_gets_its_own_row_however_the_batches_fall() {
    let queue = queue(10_000, 7);
    let module = Arc::new(Doubles::default());
    let _workers: Vec<_> = (0..3).map(|_| start(&queue, &module)).collect();
    let replies: Vec<_> = (100..2100).map(|value| (value, push(&queue, value as f32))).collect();
    for (value, reply) in replies {
        assert_eq!(text(reply).await.unwrap(), (value * 2).to_string());
    }
    queue.close();
}

#[tokio::test]
async fn an_explanation_ends_when_its_deadline_passes_or_nobody_waits_and_the_worker_serves_on() {
    let queue = queue(10, 8);
    let module = Arc::new(Doubles::default());
    let worker = start(&queue, &module);
    let explain = |time| {
        let admission = queue.admit().unwrap();
        admission.push(Rows::endless(), "id".into(), Instant::now() + time, None).unwrap()
    };
    let late = explain(Duration::from_millis(50));
    assert_eq!(text(late).await, Err(PredictError::DeadlinePassed));
    let before = module.calls.load(Ordering::Relaxed);
    let left = explain(Duration::from_secs(3600));
    while module.calls.load(Ordering::Relaxed) == before {
        tokio::task::yield_now().await;
    }
    drop(left);
    assert_eq!(text(push(&queue, 4.0)).await.as_deref(), Ok("8"));
    assert_eq!(worker.status(), WorkerStatus::Ready);
    queue.close();
}

#[tokio::test]
async fn only_the_offending_job_of_a_batch_fails() {
    let queue = queue(10, 8);
    let replies: Vec<_> = [1.0, -5.0, 3.0, 13.0].map(|value| push(&queue, value)).into();
    let worker = start(&queue, &Arc::default());
    let mut texts = Vec::new();
    for reply in replies {
        texts.push(text(reply).await);
    }
    assert_eq!(texts[0].as_deref(), Ok("2"));
    assert_eq!(texts[1], Err(PredictError::BadInput("negative".into())));
    assert_eq!(texts[2].as_deref(), Ok("6"));
    assert!(matches!(&texts[3], Err(PredictError::Failed(text)) if text.contains("panicked")));
    // The panic has not ended the worker.
    assert_eq!(text(push(&queue, 4.0)).await.as_deref(), Ok("8"));
    assert_eq!(worker.status(), WorkerStatus::Ready);
    queue.close();
}

#[tokio::test]
async fn waiting_jobs_become_one_batch() {
    let queue = queue(100, 8);
    let replies: Vec<_> = (0..8).map(|value| push(&queue, value as f32)).collect();
    let module = Arc::<Doubles>::default();
    let _worker = start(&queue, &module);
    for reply in replies {
        assert_eq!(reply.wait().await.unwrap().batch_size, 8);
    }
    assert_eq!(module.calls.load(Ordering::Relaxed), 1);
    queue.close();
}

#[test]
fn jobs_of_different_shapes_never_share_a_batch() {
    let queue = queue(100, 8);
    let mut replies = Vec::new();
    for width in [1, 2, 1, 3, 1] {
        let admission = queue.admit().unwrap();
        replies.push(admission.push(sample(1.0, width), "id".into(), in_a_minute(), None).unwrap());
    }
    let mut widths = Vec::new();
    while queue.pending() > 0 {
        let Next::Batch(batch) = queue.next(|| false, None) else { panic!("jobs are waiting") };
        let width = |job: &Job| job.sample.bucket.as_ref().unwrap()[0].1[0];
        widths.push(batch.iter().map(width).collect::<Vec<_>>());
    }
    assert_eq!(widths, [vec![1, 1, 1], vec![2], vec![3]]);
}

#[tokio::test]
async fn a_worker_that_waits_in_vain_hears_of_it_and_of_a_job_before() {
    let queue = queue(10, 8);
    let patience = Some(Duration::from_millis(1));
    assert!(matches!(queue.next(|| false, patience), Next::Idle));
    let reply = push(&queue, 1.0);
    assert!(matches!(queue.next(|| false, patience), Next::Batch(jobs) if jobs.len() == 1));
    drop(reply);
    assert!(matches!(queue.next(|| false, patience), Next::Idle));
    assert!(matches!(queue.next(|| true, patience), Next::Stop));
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_dead_jobs_take_no_room() {
    let queue = queue(2, 8);
    let kept = push(&queue, 1.0);
    drop(push(&queue, 2.0));
    let taken = push(&queue, 3.0); // in the room of the abandoned one
    assert_eq!(queue.admit().err(), Some(PushError::Full));
    let _worker = start(&queue, &Arc::default());
    assert_eq!(text(kept).await.as_deref(), Ok("2"));
    assert_eq!(text(taken).await.as_deref(), Ok("6"));
    queue.close();
}

#[tokio::test]
async fn a_job_whose_deadline_has_passed_is_answered_and_never_run() {
    let queue = queue(10, 8);
    let reply =
        queue.admit().unwrap().push(sample(1.0, 1), "id".into(), Instant::now(), None).unwrap();
    let module = Arc::<Doubles>::default();
    let _worker = start(&queue, &module);
    assert_eq!(text(reply).await, Err(PredictError::DeadlinePassed));
    assert_eq!(module.calls.load(Ordering::Relaxed), 0);
    queue.close();
}

#[tokio::test]
async fn a_closed_queue_runs_what_it_has_and_takes_no_more() {
    let queue = queue(10, 8);
    let waiting = push(&queue, 5.0);
    queue.close();
    assert_eq!(queue.admit().err(), Some(PushError::Closed));
    let worker = start(&queue, &Arc::default());
    assert_eq!(text(waiting).await.as_deref(), Ok("10"));
    while worker.status() == WorkerStatus::Ready {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn who_was_admitted_before_the_queue_was_closed_is_served() {
    let queue = queue(10, 8);
    let [preprocessing, gone] = [queue.admit().unwrap(), queue.admit().unwrap()];
    let workers = [start(&queue, &Arc::default()), start(&queue, &Arc::default())];
    queue.close();
    assert_eq!(queue.admit().err(), Some(PushError::Closed));
    let reply = preprocessing.push(sample(5.0, 1), "id".into(), in_a_minute(), None).unwrap();
    assert_eq!(text(reply).await.as_deref(), Ok("10"));
    assert!(workers.iter().all(|worker| worker.status() == WorkerStatus::Ready));
    drop(gone);
    workers.into_iter().for_each(Worker::join);
}

#[tokio::test]
async fn an_abandoned_queue_answers_who_waits_and_who_still_comes() {
    let queue = queue(10, 8);
    let late = queue.admit().unwrap();
    let waiting = push(&queue, 1.0);
    queue.abandon();
    assert_eq!(text(waiting).await, Err(PredictError::WorkerDied));
    assert_eq!(
        late.push(sample(1.0, 1), "id".into(), in_a_minute(), None).err(),
        Some(PushError::Closed)
    );
    assert_eq!((queue.pending(), queue.room()), (0, 10));
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_its_job_out_of_the_depth_of_the_queue() {
    let queue = queue(100, 8);
    let mut replies: Vec<_> = (0..10).map(|value| push(&queue, value as f32)).collect();
    drop(replies.remove(5));
    // The future itself is dropped, as it is when a client hangs up or its deadline passes.
    let waited = tokio::time::timeout(Duration::ZERO, replies.remove(5).wait()).await;
    assert!(waited.is_err());
    assert_eq!((queue.pending(), queue.room()), (8, 92));
    let module = Arc::<Doubles>::default();
    let _worker = start(&queue, &module);
    for reply in replies {
        assert_eq!(reply.wait().await.unwrap().batch_size, 8);
    }
    queue.close();
}

#[tokio::test]
async fn a_batch_with_one_offender_is_halved_and_not_run_one_by_one() {
    let queue = queue(100, 32);
    let values = (0..32).map(|value| if value == 21 { -1.0 } else { value as f32 + 100.0 });
    let replies: Vec<_> = values.map(|value| push(&queue, value)).collect();
    let module = Arc::<Doubles>::default();
    let _worker = start(&queue, &module);
    for (value, reply) in replies.into_iter().enumerate() {
        let expected = match value {
            21 => Err(PredictError::BadInput("negative".into())),
            _ => Ok(((value + 100) * 2).to_string()),
        };
        assert_eq!(text(reply).await, expected);
    }
    let forwards = module.calls.load(Ordering::Relaxed);
    assert!(forwards <= 11, "{forwards} forwards; 1 + 2 log2 32 are enough");
    queue.close();
}

#[tokio::test]
async fn a_module_that_changes_itself_is_never_run_twice_for_one_request() {
    let queue = queue(100, 8);
    let replies: Vec<_> = [1.0, -5.0, 3.0].map(|value| push(&queue, value)).into();
    let module = Arc::<Doubles>::default();
    let _worker = start_with(&queue, &module, true);
    for reply in replies {
        assert_eq!(text(reply).await, Err(PredictError::BadInput("negative".into())));
    }
    assert_eq!(module.calls.load(Ordering::Relaxed), 1);
    assert_eq!(text(push(&queue, 4.0)).await.as_deref(), Ok("8"));
    queue.close();
}

#[tokio::test]
async fn a_reopened_queue_takes_jobs_again() {
    let queue = queue(10, 8);
    queue.close();
    queue.open();
    let waiting = push(&queue, 5.0);
    let worker = start(&queue, &Arc::default());
    assert_eq!(text(waiting).await.as_deref(), Ok("10"));
    queue.close();
    worker.join();
}

#[tokio::test]
async fn a_stopped_worker_leaves_the_jobs_to_the_others() {
    let queue = queue(1000, 1);
    let module = Arc::<Doubles>::default();
    let stopped = start(&queue, &module);
    let _other = start(&queue, &module);
    stopped.stop();
    queue.wake_all();
    let replies: Vec<_> = (0..500).map(|value| (value, push(&queue, value as f32))).collect();
    for (value, reply) in replies {
        if value != 13 {
            assert_eq!(text(reply).await.unwrap(), (value * 2).to_string());
        }
    }
    assert_eq!(stopped.status(), WorkerStatus::Unloading);
    queue.close();
}

#[tokio::test]
async fn promise_01_a_panic_around_a_batch_is_answered_and_its_worker_goes_on() {
    let queue = queue(100, 8);
    let module = Arc::<Doubles>::default();
    let worker = start(&queue, &module);
    for _ in 0..2 {
        // Refused by the model; then the handler panics over it.
        assert_eq!(text(push(&queue, -13.0)).await, Err(PredictError::WorkerDied));
        assert_eq!(text(push(&queue, 3.0)).await.unwrap(), "6");
    }
    assert_eq!(worker.status(), WorkerStatus::Ready);
    queue.close();
    worker.join();
}
