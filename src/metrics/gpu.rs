//! NVIDIA's GPUs, through the driver's own library (NVML), which is opened when there is one.

use nvml_wrapper::Nvml;

/// The driver's library.
pub(super) struct Gpus(Nvml);

/// One GPU now; what the driver does not tell is none.
pub(super) struct Gpu {
    /// NVML's number, which does not depend on `CUDA_VISIBLE_DEVICES`.
    pub(super) index: u32,
    /// Percent of the time in which something ran.
    pub(super) utilization: Option<f64>,
    pub(super) memory_percent: Option<f64>,
    pub(super) memory_used_mib: Option<f64>,
}

// === impl Gpus ===

impl Gpus {
    /// None when this machine has no NVIDIA driver.
    pub(super) fn open() -> Option<Gpus> {
        match Nvml::init() {
            Ok(nvml) => Some(Gpus(nvml)),
            Err(error) => {
                tracing::warn!(%error, "no GPU metrics: NVML cannot be used");
                None
            }
        }
    }

    /// All GPUs of the machine. Blocks.
    pub(super) fn read(&self) -> Vec<Gpu> {
        let count = self.0.device_count().unwrap_or(0);
        (0..count).filter_map(|index| self.read_one(index)).collect()
    }

    fn read_one(&self, index: u32) -> Option<Gpu> {
        let device = self.0.device_by_index(index).ok()?;
        let memory = device.memory_info().ok().filter(|memory| memory.total > 0);
        let percent = |memory: &nvml_wrapper::struct_wrappers::device::MemoryInfo| {
            (memory.used as f64 / memory.total as f64 * 1000.0).round() / 10.0
        };
        Some(Gpu {
            index,
            utilization: device.utilization_rates().ok().map(|rates| f64::from(rates.gpu)),
            memory_percent: memory.as_ref().map(percent),
            memory_used_mib: memory.map(|memory| (memory.used >> 20) as f64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_driver_has_no_gpus_and_one_with_it_tells_their_memory() {
        // Which of the two this machine is, is not ours to say.
        let Some(gpus) = Gpus::open() else { return };
        for gpu in gpus.read() {
            assert!(gpu.memory_percent.is_none_or(|percent| (0.0..=100.0).contains(&percent)));
        }
    }
}
