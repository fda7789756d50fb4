//! What needs a GPU: `cargo test --test it cuda -- --ignored`, on a machine with a CUDA libtorch
//! (`make libtorch-cuda`). `make test` runs it where there is one.

use std::sync::Arc;

use torchfront::engine::{
    Device, Elements, Engine, HostTensor, LoadOptions, Module, TorchEngine, Value,
};

use crate::engine::saved_on;

/// The module of an archive, on a device, as a worker would have it.
fn module(archive: &str, device: Device) -> Arc<dyn Module> {
    assert!(TorchEngine::cuda_devices() > 0, "libtorch sees no GPU");
    let saved = saved_on(archive, device);
    saved.prepared(archive, &LoadOptions::default(), None).unwrap().unwrap_or(saved)
}

fn floats(shape: &[usize], number: impl Fn(usize) -> f32) -> Value {
    let count = shape.iter().product();
    let elements = Elements::Float32((0..count).map(number).collect());
    Value::Tensor(HostTensor::new(shape.to_vec(), elements).unwrap())
}

fn numbers(value: &Value) -> Vec<f32> {
    let Value::Tensor(tensor) = value else { panic!("no tensor: {value:?}") };
    let Elements::Float32(numbers) = tensor.elements() else { panic!("no float32") };
    numbers.clone()
}

#[test]
#[ignore = "needs a GPU"]
fn a_gpu_answers_as_the_cpu_does_on_streams_of_several_workers() {
    let (cpu, gpu) = (module("mlp", Device::Cpu), module("mlp", Device::Cuda(0)));
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (cpu, gpu) = (&cpu, &gpu);
            scope.spawn(move || {
                TorchEngine.enter_device(Device::Cuda(0)).unwrap();
                // Small batches go directly, large ones through pinned memory.
                for rows in [1, 3, 32, 4096] {
                    let ask = || floats(&[rows, 4], |n| ((n * 7 + worker) % 13) as f32 / 13.0);
                    let expected = numbers(&cpu.forward(vec![ask()]).unwrap());
                    let got = numbers(&gpu.forward(vec![ask()]).unwrap());
                    for (got, expected) in got.iter().zip(&expected) {
                        assert!((got - expected).abs() < 1e-3, "{rows} rows: {got} {expected}");
                    }
                }
            });
        }
    });
}
