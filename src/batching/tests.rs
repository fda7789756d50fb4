//! Queue and worker together, with handlers and modules made for the purpose.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::engine::{
    DType, Device, Elements, EngineError, HostTensor, Module, Signature, Value, fake::FakeEngine,
};
use crate::handlers::{Asked, Form, Handler, HandlerError, Prediction, RequestInput, Sample};
use crate::metrics::{Metrics, ModelMetrics};

/// Gives each row back as text.
struct Rows;

/// Doubles each element; refuses a batch that holds a negative one, panics on 13 (as a handler
/// would), and counts its calls.
#[derive(Default)]
struct Doubles {
    calls: AtomicUsize,
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
}

impl Module for Doubles {
    fn forward(&self, arguments: Vec<Value>) -> Result<Value, EngineError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
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

    fn replica(&self) -> Result<Option<Arc<dyn Module>>, EngineError> {
        Ok(None)
    }
}

fn sample(value: f32, width: usize) -> Sample {
    let tensor = HostTensor::new(vec![1, width], Elements::Float32(vec![value; width])).unwrap();
    Sample {
        arguments: vec![Value::Tensor(tensor)],
        bucket: Some(Arc::from([(DType::Float32, vec![width])])),
        asked: Asked { rows: 1, form: Form::Plain },
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

fn push(queue: &JobQueue, value: f32) -> Reply {
    let now = Instant::now();
    let (job, reply) = Job::new(sample(value, 1), now, now + Duration::from_secs(60));
    queue.push(job).unwrap();
    reply
}

fn model_metrics() -> ModelMetrics {
    Metrics::new("test").unwrap().model("m", "1.0")
}

fn start(queue: &Arc<JobQueue>, module: &Arc<Doubles>) -> Worker {
    let work = Work {
        queue: Arc::clone(queue),
        handler: Arc::new(Rows),
        module: Arc::clone(module) as Arc<dyn Module>,
        engine: Arc::new(FakeEngine),
        metrics: model_metrics(),
        intra_op_threads: Arc::new(AtomicUsize::new(1)),
    };
    Worker::start(9000, Device::Cpu, work).unwrap()
}

async fn text(reply: Reply) -> Result<String, PredictError> {
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
    let now = Instant::now();
    let mut replies = Vec::new();
    for width in [1, 2, 1, 3, 1] {
        let (job, reply) = Job::new(sample(1.0, width), now, now + Duration::from_secs(60));
        queue.push(job).unwrap();
        replies.push(reply);
    }
    let mut widths = Vec::new();
    while queue.pending() > 0 {
        let Next::Batch(batch) = queue.next(|| false) else { panic!("jobs are waiting") };
        let width = |job: &Job| job.sample.bucket.as_ref().unwrap()[0].1[0];
        widths.push(batch.iter().map(width).collect::<Vec<_>>());
    }
    assert_eq!(widths, [vec![1, 1, 1], vec![2], vec![3]]);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_dead_jobs_take_no_room() {
    let queue = queue(2, 8);
    let kept = push(&queue, 1.0);
    drop(push(&queue, 2.0));
    let taken = push(&queue, 3.0); // in the room of the abandoned one
    let now = Instant::now();
    let (job, refused) = Job::new(sample(4.0, 1), now, now + Duration::from_secs(60));
    assert_eq!(queue.push(job), Err(PushError::Full));
    assert_eq!(text(refused).await, Err(PredictError::WorkerDied));
    let _worker = start(&queue, &Arc::default());
    assert_eq!(text(kept).await.as_deref(), Ok("2"));
    assert_eq!(text(taken).await.as_deref(), Ok("6"));
    queue.close();
}

#[tokio::test]
async fn a_job_whose_deadline_has_passed_is_answered_and_never_run() {
    let queue = queue(10, 8);
    let now = Instant::now();
    let (late, reply) = Job::new(sample(1.0, 1), now, now);
    queue.push(late).unwrap();
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
    let now = Instant::now();
    let (job, _reply) = Job::new(sample(1.0, 1), now, now + Duration::from_secs(60));
    assert_eq!(queue.push(job), Err(PushError::Closed));
    let worker = start(&queue, &Arc::default());
    assert_eq!(text(waiting).await.as_deref(), Ok("10"));
    while worker.status() == WorkerStatus::Ready {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
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
