//! Which device a worker runs on: `number_of_gpu`, `deviceType` and `deviceIds`, as TorchServe.
//!
//! Worker k takes device k modulo the number of devices (round robin). PURE: the number of GPUs
//! that libtorch sees is an argument.

use std::fmt;

/// Where a model's tensors live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Device {
    /// Host memory.
    Cpu,
    /// The CUDA device of this index.
    Cuda(usize),
}

/// The devices that the workers of one model take in turn; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devices(Vec<Device>);

/// A GPU was asked for that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// `number_of_gpu` is larger than what libtorch sees.
    #[error(
        "number_of_gpu={asked}, but libtorch sees {seen}; run `make libtorch-cuda` and check the \
         driver, or lower number_of_gpu"
    )]
    NotEnough {
        /// The configured number.
        asked: usize,
        /// The number that libtorch sees.
        seen: usize,
    },
    /// `deviceType: gpu` without a GPU.
    #[error(
        "deviceType is gpu, but no GPU is in use (libtorch sees none, or number_of_gpu is 0); \
         use deviceType: cpu, or run `make libtorch-cuda` on a machine with a driver"
    )]
    NoGpu,
    /// `deviceIds` names a device that does not exist.
    #[error("deviceIds names GPU {id}, but there are {usable} (0 is the first)")]
    NoSuchDevice {
        /// The id that was named.
        id: usize,
        /// The usable number of GPUs.
        usable: usize,
    },
}

// === impl Device ===

impl Device {
    /// libtorch's index: -1 for the CPU.
    pub fn index(self) -> i32 {
        match self {
            Device::Cpu => -1,
            Device::Cuda(index) => i32::try_from(index).unwrap_or(i32::MAX),
        }
    }

    /// `cpu` or `gpu`, as the describe API writes it.
    pub fn kind(self) -> &'static str {
        match self {
            Device::Cpu => "cpu",
            Device::Cuda(_) => "gpu",
        }
    }
}

impl fmt::Display for Device {
    /// As PyTorch writes it: `cpu`, `cuda:0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

// === impl Devices ===

impl Devices {
    /// Only the CPU.
    pub fn cpu() -> Devices {
        Devices(vec![Device::Cpu])
    }

    /// How many of the `seen` GPUs the server uses.
    ///
    /// # Errors
    /// [`DeviceError::NotEnough`] when more were asked for than there are.
    pub fn usable(number_of_gpu: Option<usize>, seen: usize) -> Result<usize, DeviceError> {
        match number_of_gpu {
            Some(asked) if asked > seen => Err(DeviceError::NotEnough { asked, seen }),
            Some(asked) => Ok(asked),
            None => Ok(seen),
        }
    }

    /// The devices of one model, from its `deviceType` and `deviceIds`.
    ///
    /// # Errors
    /// [`DeviceError`] when a GPU was asked for that is not there.
    pub fn choose(
        device_type: Option<&str>,
        device_ids: &[usize],
        usable: usize,
    ) -> Result<Devices, DeviceError> {
        match device_type {
            Some("cpu") => return Ok(Devices::cpu()),
            Some("gpu") if usable == 0 => return Err(DeviceError::NoGpu),
            _ if usable == 0 => return Ok(Devices::cpu()),
            _ => {}
        }
        if let Some(&id) = device_ids.iter().find(|id| **id >= usable) {
            return Err(DeviceError::NoSuchDevice { id, usable });
        }
        let ids: Vec<usize> =
            if device_ids.is_empty() { (0..usable).collect() } else { device_ids.to_vec() };
        Ok(Devices(ids.into_iter().map(Device::Cuda).collect()))
    }

    /// The device of the worker with this number.
    pub fn of_worker(&self, number: usize) -> Device {
        self.0[number % self.0.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_take_devices_in_turn() {
        let devices = Devices::choose(None, &[], 2).unwrap();
        let taken: Vec<Device> = (0..4).map(|worker| devices.of_worker(worker)).collect();
        assert_eq!(taken, [Device::Cuda(0), Device::Cuda(1), Device::Cuda(0), Device::Cuda(1)]);
        let one = Devices::choose(Some("gpu"), &[1], 2).unwrap();
        assert_eq!(one.of_worker(7), Device::Cuda(1));
    }

    #[test]
    fn without_a_gpu_models_run_on_the_cpu_unless_they_ask_for_one() {
        assert_eq!(Devices::choose(None, &[], 0), Ok(Devices::cpu()));
        assert_eq!(Devices::choose(Some("cpu"), &[], 4), Ok(Devices::cpu()));
        assert_eq!(Devices::choose(Some("gpu"), &[], 0), Err(DeviceError::NoGpu));
        assert_eq!(
            Devices::choose(None, &[2], 2),
            Err(DeviceError::NoSuchDevice { id: 2, usable: 2 })
        );
    }

    #[test]
    fn more_gpus_than_there_are_is_an_error() {
        assert_eq!(Devices::usable(None, 3), Ok(3));
        assert_eq!(Devices::usable(Some(1), 3), Ok(1));
        assert_eq!(Devices::usable(Some(2), 0), Err(DeviceError::NotEnough { asked: 2, seen: 0 }));
    }
}
