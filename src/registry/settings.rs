//! The settings of one model version, and who wins where several say something. PURE.
//!
//! The order, first hit wins: the register call, `model-config.yaml`, the entry of the `models`
//! property, the server's defaults. (TorchServe's order is the same for batches, and differs from
//! key to key for timeouts and workers; here there is one rule.)

use std::num::NonZeroUsize;
use std::time::Duration;

use super::error::TooManyWorkers;
use crate::batching::{BatchPolicy, Filling};
use crate::handlers::Envelope;

/// What one source says; what it does not say is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartialSettings {
    /// `minWorkers`.
    pub min_workers: Option<usize>,
    /// `maxWorkers`.
    pub max_workers: Option<usize>,
    /// `batchSize`.
    pub batch_size: Option<NonZeroUsize>,
    /// `maxBatchDelay`.
    pub max_batch_delay: Option<Duration>,
    /// `responseTimeout`.
    pub response_timeout: Option<Duration>,
    /// `startupTimeout`.
    pub startup_timeout: Option<Duration>,
    /// `clientTimeoutInMills`.
    pub client_timeout: Option<Duration>,
    /// `maxRetryTimeoutInSec`.
    pub max_retry_timeout: Option<Duration>,
    /// `jobQueueSize`.
    pub job_queue_size: Option<usize>,
    /// `deviceType`: `cpu` or `gpu`.
    pub device_type: Option<&'static str>,
    /// `deviceIds`.
    pub device_ids: Option<Vec<usize>>,
    /// `defaultVersion`.
    pub default_version: Option<bool>,
}

/// What the server says where no source does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// `default_workers_per_model`, else the GPUs in use, else the cores that the cgroup grants.
    pub workers: usize,
    /// `default_workers_per_model`, else none: a model that is registered while the server runs has
    /// the workers that it is given.
    pub registered_workers: usize,
    /// The largest number of workers that a model may have.
    pub workers_max: usize,
    /// `default_response_timeout`.
    pub response_timeout: Duration,
    /// `default_startup_timeout`.
    pub startup_timeout: Duration,
    /// `job_queue_size`.
    pub job_queue_size: usize,
    /// `batch_policy`.
    pub filling: Filling,
    /// `limit_max_image_pixels`.
    pub limit_max_image_pixels: bool,
    /// `max_response_size`, in bytes.
    pub max_response_size: usize,
    /// `default_service_handler`.
    pub default_service_handler: Option<String>,
    /// `service_envelope`.
    pub service_envelope: Envelope,
}

/// The settings in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSettings {
    /// Workers at the start; at least 1 at start-up, 0 when registered without.
    pub min_workers: usize,
    /// Never more workers than this, at least `min_workers`.
    pub max_workers: usize,
    /// How batches are cut.
    pub batch: BatchPolicy,
    /// How long an accepted request may take, queue included.
    pub response_timeout: Duration,
    /// How long loading may take before it is reported.
    pub startup_timeout: Duration,
    /// What a client waits for at most; none without a limit of its own.
    pub client_timeout: Option<Duration>,
    /// TorchServe's recovery window; shown, workers here do not die with a request.
    pub max_retry_timeout: Duration,
    /// Jobs that may wait.
    pub job_queue_size: usize,
    /// `cpu`, `gpu`, or none for what the server has.
    pub device_type: Option<&'static str>,
    /// The GPUs that workers take in turn; empty for all.
    pub device_ids: Vec<usize>,
}

/// TorchServe's default of `maxBatchDelay`.
const MAX_BATCH_DELAY: Duration = Duration::from_millis(100);
/// TorchServe's default of `maxRetryTimeoutInSec`.
const MAX_RETRY_TIMEOUT: Duration = Duration::from_secs(300);

// === impl PartialSettings ===

impl PartialSettings {
    /// This source, and `other` for what it does not say.
    pub fn or(self, other: PartialSettings) -> PartialSettings {
        PartialSettings {
            min_workers: self.min_workers.or(other.min_workers),
            max_workers: self.max_workers.or(other.max_workers),
            batch_size: self.batch_size.or(other.batch_size),
            max_batch_delay: self.max_batch_delay.or(other.max_batch_delay),
            response_timeout: self.response_timeout.or(other.response_timeout),
            startup_timeout: self.startup_timeout.or(other.startup_timeout),
            client_timeout: self.client_timeout.or(other.client_timeout),
            max_retry_timeout: self.max_retry_timeout.or(other.max_retry_timeout),
            job_queue_size: self.job_queue_size.or(other.job_queue_size),
            device_type: self.device_type.or(other.device_type),
            device_ids: self.device_ids.or(other.device_ids),
            default_version: self.default_version.or(other.default_version),
        }
    }

    /// The settings in force.
    pub fn resolve(self, defaults: &Defaults) -> ModelSettings {
        let limit = defaults.workers_max.max(1);
        let min_workers = self.min_workers.unwrap_or(defaults.workers).min(limit);
        ModelSettings {
            min_workers,
            max_workers: self.max_workers.unwrap_or(min_workers).clamp(min_workers, limit),
            batch: BatchPolicy {
                batch_size: self.batch_size.unwrap_or(NonZeroUsize::MIN),
                max_batch_delay: self.max_batch_delay.unwrap_or(MAX_BATCH_DELAY),
                filling: defaults.filling,
            },
            response_timeout: self.response_timeout.unwrap_or(defaults.response_timeout),
            startup_timeout: self.startup_timeout.unwrap_or(defaults.startup_timeout),
            client_timeout: self.client_timeout.filter(|timeout| !timeout.is_zero()),
            max_retry_timeout: self.max_retry_timeout.unwrap_or(MAX_RETRY_TIMEOUT),
            job_queue_size: self.job_queue_size.unwrap_or(defaults.job_queue_size).max(1),
            device_type: self.device_type,
            device_ids: self.device_ids.unwrap_or_default(),
        }
    }
}

// === impl Defaults ===

impl Defaults {
    /// Refuses a number of workers that the server does not allow.
    pub(super) fn check_workers(&self, asked: usize) -> Result<(), TooManyWorkers> {
        let max = self.workers_max;
        if asked > max { Err(TooManyWorkers { asked, max }) } else { Ok(()) }
    }
}

// === impl ModelSettings ===

impl ModelSettings {
    /// How long an accepted request may take: the shorter of the two timeouts.
    pub fn deadline(&self) -> Duration {
        self.client_timeout.map_or(self.response_timeout, |own| own.min(self.response_timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Defaults {
        Defaults {
            workers: 2,
            registered_workers: 0,
            workers_max: 16,
            response_timeout: Duration::from_secs(120),
            startup_timeout: Duration::from_secs(120),
            job_queue_size: 100,
            filling: Filling::WorkConserving,
            limit_max_image_pixels: true,
            max_response_size: usize::MAX,
            default_service_handler: None,
            service_envelope: Envelope::None,
        }
    }

    #[test]
    fn the_first_source_that_says_something_wins() {
        let yaml = PartialSettings { batch_size: NonZeroUsize::new(8), ..Default::default() };
        let models = PartialSettings {
            batch_size: NonZeroUsize::new(4),
            min_workers: Some(3),
            ..Default::default()
        };
        let settings = yaml.or(models).resolve(&defaults());
        assert_eq!(settings.batch.batch_size.get(), 8);
        assert_eq!((settings.min_workers, settings.max_workers), (3, 3));
        assert_eq!(settings.batch.max_batch_delay, Duration::from_millis(100));
        assert_eq!(settings.job_queue_size, 100);
    }

    #[test]
    fn workers_stay_within_the_servers_limit() {
        let greedy = PartialSettings { min_workers: Some(1_000_000_000), ..Default::default() };
        let settings = greedy.resolve(&defaults());
        assert_eq!((settings.min_workers, settings.max_workers), (16, 16));
        let crossed =
            PartialSettings { min_workers: Some(4), max_workers: Some(1), ..Default::default() };
        assert_eq!(crossed.resolve(&defaults()).max_workers, 4);
    }

    #[test]
    fn a_client_timeout_shortens_the_deadline_and_never_lengthens_it() {
        let with = |millis| {
            let timeout = Some(Duration::from_millis(millis));
            PartialSettings { client_timeout: timeout, ..Default::default() }
                .resolve(&defaults())
                .deadline()
        };
        assert_eq!(with(50), Duration::from_millis(50));
        assert_eq!(with(0), Duration::from_secs(120));
        assert_eq!(with(999_000_000), Duration::from_secs(120));
    }
}
