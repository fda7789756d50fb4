//! What each device has to do: the jobs that its workers have in hand.

use prometheus::{IntGauge, IntGaugeVec, Opts};

use super::{MetricsError, ModelMetrics};

/// The gauges of the devices, a few for the life of the process.
#[derive(Clone)]
pub(super) struct DeviceMetrics(IntGaugeVec);

/// The gauge of one device.
#[derive(Clone)]
pub struct DeviceQueue(IntGauge);

/// Jobs that a worker has in hand, until it is dropped.
pub struct Handed<'a> {
    queue: &'a IntGauge,
    jobs: i64,
}

// === impl DeviceMetrics ===

impl DeviceMetrics {
    /// Registers the family.
    pub(super) fn register(families: &prometheus::Registry) -> Result<Self, MetricsError> {
        let depth = IntGaugeVec::new(
            Opts::new(
                "ts_device_queue_depth",
                "Jobs that workers of a device have taken from a job queue and not yet answered",
            ),
            &["device"],
        )?;
        families.register(Box::new(depth.clone()))?;
        Ok(DeviceMetrics(depth))
    }
}

// === impl ModelMetrics ===

impl ModelMetrics {
    /// The gauge of a device, `cpu` or `cuda:` and its number, which all models share.
    pub fn device(&self, device: &str) -> DeviceQueue {
        DeviceQueue(self.devices.0.with_label_values(&[device]))
    }
}

// === impl DeviceQueue ===

impl DeviceQueue {
    /// A worker has taken jobs.
    pub fn hand(&self, jobs: usize) -> Handed<'_> {
        let jobs = i64::try_from(jobs).unwrap_or(i64::MAX);
        self.0.add(jobs);
        Handed { queue: &self.0, jobs }
    }
}

// === impl Handed ===

impl Drop for Handed<'_> {
    fn drop(&mut self) {
        self.queue.sub(self.jobs);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;

    #[test]
    fn jobs_count_while_they_are_in_hand_whatever_ends_them() {
        let metrics = Metrics::new("host").unwrap();
        let (one, other) = (metrics.model("one", "1.0"), metrics.model("other", "1.0"));
        let (cpu, gpu) = (one.device("cpu"), one.device("cuda:1"));
        let first = cpu.hand(3);
        let second = other.device("cpu").hand(2).jobs;
        let _other = gpu.hand(4);
        let text = metrics.text(&[]);
        assert!(text.contains("ts_device_queue_depth{device=\"cpu\",} 3.0"), "{text}");
        assert!(text.contains("ts_device_queue_depth{device=\"cuda:1\",} 4.0"), "{text}");
        assert_eq!(second, 2);
        let panicked = std::panic::catch_unwind(|| {
            let _first = first;
            panic!("a forward");
        });
        assert!(panicked.is_err());
        assert!(metrics.text(&[]).contains("ts_device_queue_depth{device=\"cpu\",} 0.0"));
    }
}
