//! An engine without libtorch: deterministic, for tests and benches of the rooms above.
//!
//! A serialized file is a line of text: `sum` (the sum of each row of the first tensor), `refuse`
//! (every forward fails) or `slow MILLISECONDS` (as `sum`, after sleeping).

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Argument, Device, Elements, Engine, EngineError, HostTensor, Module, Signature, Value,
};

/// The engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct FakeEngine;

/// What a fake model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    Sum,
    Refuse,
    Slow(Duration),
}

struct FakeModule {
    behaviour: Behaviour,
    signature: Signature,
}

impl Engine for FakeEngine {
    fn load(&self, _: &str, file: &Path, _: Device) -> Result<Arc<dyn Module>, EngineError> {
        let text =
            fs::read_to_string(file).map_err(|error| EngineError::Failed(error.to_string()))?;
        let behaviour = match text.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["sum"] => Behaviour::Sum,
            ["refuse"] => Behaviour::Refuse,
            ["slow", millis] => {
                let millis = millis.parse().map_err(|_| EngineError::Failed(text.clone()))?;
                Behaviour::Slow(Duration::from_millis(millis))
            }
            _ => return Err(EngineError::Failed(format!("no such fake model: {text}"))),
        };
        let argument = Argument { name: "x".into(), kind: "Tensor".into(), required: true };
        let signature = Signature { arguments: vec![argument] };
        Ok(Arc::new(FakeModule { behaviour, signature }))
    }

    fn enter_worker_thread(&self, _: usize) {}
}

impl Module for FakeModule {
    fn forward(&self, arguments: Vec<Value>) -> Result<Value, EngineError> {
        match self.behaviour {
            Behaviour::Refuse => return Err(EngineError::Failed("refused".into())),
            Behaviour::Slow(time) => std::thread::sleep(time),
            Behaviour::Sum => {}
        }
        let Some(Value::Tensor(tensor)) = arguments.into_iter().next() else {
            return Err(EngineError::Failed("forward() takes a tensor".into()));
        };
        let tensor = tensor.into_float32();
        let Elements::Float32(values) = tensor.elements() else {
            return Err(EngineError::Failed("forward() takes numbers".into()));
        };
        let rows = tensor.rows().unwrap_or(1);
        let width = values.len().checked_div(rows).unwrap_or(0).max(1);
        let sums = values.chunks(width).map(|row| row.iter().sum()).collect();
        HostTensor::new(vec![rows, 1], Elements::Float32(sums))
            .map(Value::Tensor)
            .map_err(|error| EngineError::Failed(error.to_string()))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn replica(&self) -> Result<Option<Arc<dyn Module>>, EngineError> {
        Ok(None)
    }
}
