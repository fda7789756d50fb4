//! One run: connections are opened, the load is offered, everything under way is waited for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::arrivals::Schedule;
use super::exchange::{Caller, Ending, Failure};
use super::pacer::pace;
use super::recording::{Clock, Recording};
use super::{BenchError, Load, Plan, Report, Requests};

/// What has happened so far, for who watches.
#[derive(Debug, Default)]
pub struct Progress {
    /// Expected answers, warm-up included.
    pub ok: AtomicU64,
    /// Everything else that ended.
    pub failed: AtomicU64,
}

/// What the workers of a run share.
struct Run {
    progress: Arc<Progress>,
    clock: Clock,
    /// When requests are due; workers take turns.
    schedule: Mutex<Schedule>,
    /// One for each request that is due and not taken.
    due: Arc<Semaphore>,
    /// One for each thread, so that nobody waits for a lock.
    recordings: Vec<Mutex<Recording>>,
}

/// For so long after the last request was due, the backlog is still sent.
const LATE_SENDS: Duration = Duration::from_secs(1);

/// A closed loop without a server would only measure how fast connections are refused.
const RECONNECT_PAUSE: Duration = Duration::from_millis(10);

/// The runtime for a plan.
///
/// # Errors
/// [`BenchError::System`] when threads cannot be started.
pub fn runtime(plan: &Plan) -> Result<Runtime, BenchError> {
    Builder::new_multi_thread()
        .worker_threads(plan.threads.get())
        .enable_all()
        .build()
        .map_err(|source| BenchError::System { what: "threads for the generator", source })
}

/// Offers the load of a plan.
///
/// # Errors
/// [`BenchError::Setting`] for a plan out of its bounds.
pub async fn run(
    plan: &Plan,
    requests: &Arc<Requests>,
    progress: &Arc<Progress>,
) -> Result<Report, BenchError> {
    plan.check()?;
    let callers = connect(plan.connections.get(), requests).await;
    let clock = Clock { begin: Instant::now(), warm_up: plan.warm_up, duration: plan.duration };
    let cpu_before = cpu_time();
    let (rate, arrivals) = match plan.load {
        Load::Open { rate, arrivals } => (rate, arrivals),
        // Its workers ask no schedule.
        Load::Closed => (1.0, super::Arrivals::Constant),
    };
    let schedule = Schedule::new(arrivals, rate, clock.end());
    let run = Arc::new(Run {
        progress: progress.clone(),
        clock,
        schedule: Mutex::new(schedule.clone()),
        due: Arc::new(Semaphore::new(0)),
        recordings: (0..plan.threads.get()).map(|_| Mutex::new(Recording::new(clock))).collect(),
    });
    let workers = callers.len();
    let mut tasks = JoinSet::new();
    for (number, caller) in callers.into_iter().enumerate() {
        let worker = run.clone();
        match plan.load {
            Load::Open { .. } => tasks.spawn(async move { worker.open(number, caller).await }),
            Load::Closed => tasks.spawn(async move { worker.closed(number, caller).await }),
        };
    }
    let pacer = matches!(plan.load, Load::Open { .. }).then(|| {
        let due = run.due.clone();
        tokio::task::spawn_blocking(move || {
            pace(schedule, clock.begin, clock.warm_up, &due, workers)
        })
    });
    let mut offered = 0;
    while let Some(ended) = tasks.join_next().await {
        offered += ended.map_err(broken)?;
    }
    if let Some(pacer) = pacer {
        // Counted apart from what became of them: the report's sum is a check.
        offered = pacer.await.map_err(broken)?;
    }
    let cpu = cpu_time().saturating_sub(cpu_before).as_secs_f64();
    let busy = cpu / clock.begin.elapsed().as_secs_f64();
    let mut recording = Recording::new(clock);
    for part in &run.recordings {
        recording.add(&part.lock().unwrap_or_else(PoisonError::into_inner));
    }
    Ok(Report::new(plan, requests.describe(), clock.window(), offered, busy, &recording))
}

/// Opens the connections, all at the same time.
async fn connect(count: usize, requests: &Arc<Requests>) -> Vec<Caller> {
    let mut opening = JoinSet::new();
    for _ in 0..count {
        let mut caller = Caller::new(requests.clone());
        opening.spawn(async move {
            caller.connect().await;
            caller
        });
    }
    opening.join_all().await
}

/// Processor time of this process so far.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// A task of the run that did not end by itself.
fn broken(error: tokio::task::JoinError) -> BenchError {
    BenchError::System { what: "a part of the generator", source: error.into() }
}

// === impl Run ===

impl Run {
    /// Sends what is due, until nothing is. The count of what is offered is the pacer's.
    async fn open(&self, number: usize, mut caller: Caller) -> u64 {
        let cutoff = self.clock.end() + LATE_SENDS;
        loop {
            // Nothing was due: this connection is free, and waits for a request.
            let (permit, free) = match self.due.try_acquire() {
                Ok(permit) => (Ok(permit), false),
                Err(_) => (self.due.acquire().await, true),
            };
            let Ok(permit) = permit else { return 0 };
            permit.forget();
            let next = self.schedule.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(due) = next else { return 0 };
            let now = self.clock.begin.elapsed();
            if now > cutoff {
                self.record(number, |recording| recording.unsent(due, cutoff - due));
                self.progress.failed.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let delay = now.saturating_sub(due);
            let ending = self.call(&mut caller).await;
            let done = Instant::now();
            self.record(number, |recording| {
                recording.sent(due, delay, free);
                recording.ended(due, done, ending);
            });
        }
    }

    /// Sends one request after the other. Returns how many were offered in the measured time.
    async fn closed(&self, number: usize, mut caller: Caller) -> u64 {
        let mut offered = 0;
        loop {
            let start = self.clock.begin.elapsed();
            if start >= self.clock.end() {
                return offered;
            }
            offered += u64::from(start >= self.clock.warm_up);
            let ending = self.call(&mut caller).await;
            let done = Instant::now();
            self.record(number, |recording| {
                recording.sent(start, Duration::ZERO, true);
                recording.ended(start, done, ending);
            });
            if ending.failure == Some(Failure::Connect) {
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
        }
    }

    async fn call(&self, caller: &mut Caller) -> Ending {
        let ending = caller.call(|_| {}).await;
        let ended =
            if ending.failure.is_none() { &self.progress.ok } else { &self.progress.failed };
        ended.fetch_add(1, Ordering::Relaxed);
        ending
    }

    fn record(&self, number: usize, write: impl FnOnce(&mut Recording)) {
        let recording = &self.recordings[number % self.recordings.len()];
        write(&mut recording.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
