//! The machine: processor, memory, disk and GPUs, as TorchServe's gauges of the host.
//!
//! `server/` runs [`SystemMetrics::collect`] every `metric_time_interval` on a thread that may
//! block: a network file system may hang, a GPU's driver may take its time. TorchServe starts Python
//! for it; here the kernel is read.

use std::time::Duration;

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use super::Metrics;
use super::gpu::Gpus;
use super::torchserve::Series;

/// Reads the machine and updates the gauges.
pub struct SystemMetrics {
    system: System,
    gpus: Option<Gpus>,
    metrics: Metrics,
    cpu: Series,
    memory: [Series; 3],
    disk: [Series; 3],
    /// Nothing was collected yet.
    is_new: bool,
}

/// What is used and what is left.
#[derive(Clone, Copy, Debug)]
struct Room {
    used: f64,
    available: f64,
    percent: f64,
}

const MIB: f64 = (1u64 << 20) as f64;
const GIB: f64 = (1u64 << 30) as f64;
/// The first reading of the processor compares two moments this far apart; TorchServe says 0.
const FIRST_CPU: Duration = sysinfo::MINIMUM_CPU_UPDATE_INTERVAL;

// === impl Metrics ===

impl Metrics {
    /// The collector of this server's system metrics; it looks for GPUs only where the server may
    /// use one.
    pub fn system(&self, gpus: usize) -> SystemMetrics {
        let host = |name| self.torchserve.series(name, &["Host"]);
        let wanted = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_cpu_usage())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        SystemMetrics {
            system: System::new_with_specifics(wanted),
            gpus: if gpus > 0 { Gpus::open() } else { None },
            cpu: host("CPUUtilization"),
            memory: ["MemoryUsed", "MemoryAvailable", "MemoryUtilization"].map(host),
            disk: ["DiskUsage", "DiskAvailable", "DiskUtilization"].map(host),
            metrics: self.clone(),
            is_new: true,
        }
    }
}

// === impl SystemMetrics ===

impl SystemMetrics {
    /// Reads everything once. Blocks, the first time for long enough to have two times of the
    /// processor to compare.
    pub fn collect(&mut self) {
        self.memory_disk_and_gpus();
        if std::mem::take(&mut self.is_new) {
            std::thread::sleep(FIRST_CPU);
        }
        self.system.refresh_cpu_usage();
        self.cpu.update(tenths(f64::from(self.system.global_cpu_usage())));
    }

    fn memory_disk_and_gpus(&mut self) {
        self.system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let (total, available) = (self.system.total_memory(), self.system.available_memory());
        Room::of(total, total.saturating_sub(available), available).update(&self.memory, MIB);
        match rustix::fs::statvfs("/") {
            Ok(disk) => {
                let blocks = |count: u64| count.saturating_mul(disk.f_frsize);
                // Without what is kept for root, as `df` has it.
                let used = blocks(disk.f_blocks.saturating_sub(disk.f_bfree));
                let available = blocks(disk.f_bavail);
                let total = used.saturating_add(available);
                Room::of(total, used, available).update(&self.disk, GIB);
            }
            Err(error) => tracing::debug!(%error, "the disk's usage is not known"),
        }
        for gpu in self.gpus.iter().flat_map(Gpus::read) {
            let index = gpu.index.to_string();
            for (name, value) in [
                ("GPUUtilization", gpu.utilization),
                ("GPUMemoryUtilization", gpu.memory_percent),
                ("GPUMemoryUsed", gpu.memory_used_mib),
            ] {
                if let Some(value) = value {
                    self.metrics.torchserve.series(name, &["Host", &index]).update(value);
                }
            }
        }
    }
}

// === impl Room ===

impl Room {
    /// Of so many bytes.
    fn of(total: u64, used: u64, available: u64) -> Room {
        let percent = if total == 0 { 0.0 } else { used as f64 / total as f64 * 100.0 };
        Room { used: used as f64, available: available as f64, percent: tenths(percent) }
    }

    fn update(self, [used, available, percent]: &[Series; 3], unit: f64) {
        used.update(self.used / unit);
        available.update(self.available / unit);
        percent.update(self.percent);
    }
}

/// One decimal, as TorchServe's percentages have.
fn tenths(percent: f64) -> f64 {
    (percent * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_memory_and_a_disk_and_its_processor_is_read() {
        let metrics = Metrics::new("h").unwrap();
        let mut system = metrics.system(0);
        system.collect();
        let text = metrics.text(&[]);
        let value = |name: &str| -> f64 {
            let start = format!("{name}{{Level=\"Host\",Hostname=\"h\",}} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&start));
            line.unwrap_or_else(|| panic!("{name} is not in\n{text}")).parse().unwrap()
        };
        assert!((0.0..=100.0).contains(&value("CPUUtilization")));
        assert!(value("MemoryUsed") > 1.0 && value("MemoryAvailable") > 1.0);
        let used = value("MemoryUsed") / (value("MemoryUsed") + value("MemoryAvailable")) * 100.0;
        assert!((value("MemoryUtilization") - used).abs() < 0.2);
        assert!(value("DiskUsage") + value("DiskAvailable") > 0.0);
        assert!((0.0..=100.0).contains(&value("DiskUtilization")));
        assert!(!text.contains("DeviceId"), "{text}");
    }
}
