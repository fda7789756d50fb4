//! Workers whose forward does not end: noticed when a caller's deadline has passed, replaced, counted.
//!
//! A thread that hangs in libtorch cannot be ended from outside. It is left behind with nobody waiting
//! for it, and a new one takes its place and its id; should the forward end after all, the thread ends
//! too. Called by `model.rs`: while every caller is answered in time nothing here runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::weights::Weights;
use super::workers::Workers;
use crate::batching::Worker;

/// A batch is started a little after its first job was accepted, and a forward that is only slow is to
/// end by itself.
const GRACE: Duration = Duration::from_secs(1);
/// Threads of one model that may be left behind at a time. Each may keep a core busy for ever: a model
/// that hangs on every request must not take all that the others have.
const MAX_LEFT_BEHIND: usize = 8;

// === impl Workers ===

impl Workers {
    /// True when its forward takes longer than any caller waits.
    pub(super) fn is_stuck(&self, worker: &Worker) -> bool {
        worker.busy_for().is_some_and(|busy| busy >= self.equipment.response_timeout)
    }

    /// True when it is stuck and nobody has put another into its place for as long again.
    pub(super) fn is_overdue(&self, worker: &Worker) -> bool {
        let patience = (self.equipment.response_timeout + GRACE) * 2;
        worker.busy_for().is_some_and(|busy| busy >= patience)
    }

    /// A caller's deadline has passed: somebody looks at the workers a moment later. Call it in a tokio
    /// runtime.
    pub(super) fn deadline_passed(self: &Arc<Self>) {
        if self.watched.swap(true, Ordering::AcqRel) {
            return;
        }
        // A model that is unregistered meanwhile goes.
        let workers = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(GRACE).await;
            let Some(workers) = workers.upgrade() else { return };
            workers.watched.store(false, Ordering::Release);
            if workers.lock().serving.iter().any(|worker| workers.is_stuck(worker)) {
                // A panic is in the log, and the next deadline that passes tries again.
                let _panicked = tokio::task::spawn_blocking(move || workers.replace_stuck()).await;
            }
        });
    }

    /// Puts a new worker into the place of each that is stuck. Blocks: a model with a state is copied
    /// for it.
    fn replace_stuck(&self) {
        let model = &self.equipment.model;
        // Nobody scales meanwhile.
        let mut weights = self.lock_weights();
        let Some(weights) = weights.as_mut() else { return };
        let stuck: Vec<(usize, usize)> = {
            let list = self.lock();
            let serving = list.serving.iter().enumerate();
            let stuck = serving.filter(|(_, worker)| self.is_stuck(worker));
            stuck.map(|(number, worker)| (number, worker.id)).collect()
        };
        for (number, worker) in stuck {
            let left_behind = {
                let mut list = self.lock();
                list.forget_the_gone();
                list.left_behind.len()
            };
            if left_behind >= MAX_LEFT_BEHIND {
                tracing::error!(
                    model,
                    worker,
                    left_behind,
                    "a forward does not end, and too many of this model hang already: the worker is \
                     not replaced. Mend the model and restart the server"
                );
                return;
            }
            if let Err(reason) = self.replace(number, worker, weights) {
                tracing::error!(model, worker, reason, "a stuck worker could not be replaced");
                return;
            }
            self.equipment.metrics.worker_stuck();
            tracing::error!(
                model,
                worker,
                timeout = ?self.equipment.response_timeout,
                "a forward does not end: the worker was replaced, its thread is left behind"
            );
        }
    }

    fn replace(&self, number: usize, id: usize, weights: &mut Weights) -> Result<(), String> {
        let module = self.module(number, weights).map_err(|error| error.to_string())?;
        let device = self.equipment.devices.of_worker(number);
        let fresh = Worker::start(id, device, self.work(module)).map_err(|e| e.to_string())?;
        let mut list = self.lock();
        match list.serving.iter_mut().find(|worker| worker.id == id) {
            Some(place) => {
                let stuck = std::mem::replace(place, fresh);
                stuck.stop();
                list.left_behind.push(stuck);
            }
            // Scaling is held off, so that it is there; a thread too many ends by itself.
            None => fresh.stop(),
        }
        drop(list);
        self.equipment.queue.wake_all();
        Ok(())
    }
}
