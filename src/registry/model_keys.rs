//! The keys of `model-config.yaml` that the server itself knows, as data: TorchServe's and our own.
//!
//! Values are read in `archive/model_config.rs` and `execution.rs`; what is applied of them is in
//! `load.rs`. Tests keep the names equal.

use crate::handlers::{Effect, ModelKey};

const PROCESSES: Effect =
    Effect::NotYet("a model runs in one process here, it is not spread over several");
const PYTHON: Effect = Effect::None("no Python is run");

/// The server's keys.
pub const MODEL_KEYS: &[ModelKey] = &[
    ModelKey::read("minWorkers", "1 or more", "default_workers_per_model, else the cores"),
    ModelKey::read("maxWorkers", "at least minWorkers", "minWorkers"),
    ModelKey::read("batchSize", "1 or more", "1"),
    ModelKey::read("maxBatchDelay", "milliseconds", "100"),
    ModelKey::read("responseTimeout", "seconds", "default_response_timeout"),
    ModelKey::read("startupTimeout", "seconds", "default_startup_timeout"),
    ModelKey::read("clientTimeoutInMills", "milliseconds", "none"),
    ModelKey::read("maxRetryTimeoutInSec", "seconds", "300"),
    ModelKey::read("jobQueueSize", "1 or more", "job_queue_size"),
    ModelKey::read("deviceType", "cpu or gpu", "gpu where there is one"),
    ModelKey::read("deviceIds", "a list of GPU numbers", "all"),
    ModelKey::read(
        "optimize",
        "none, exact, winograd, freeze or inference",
        "the fastest that is exact to 1e-5",
    ),
    ModelKey::read("memory_format", "contiguous or channels_last", "the faster one"),
    ModelKey::read("precision", "float32 or bfloat16", "float32"),
    ModelKey::read("intra_op_threads", "1 to 256", "the cores divided by the workers"),
    ModelKey::read("warm_up", "a list of batch sizes", "1 and batchSize"),
    ModelKey::read("measure_forward_ms", "0 to 10000", "100"),
    ModelKey::read("sequenceBatching", "true or false", "false"),
    ModelKey::read("sequenceMaxIdleMSec", "milliseconds, above 0 for sequences", "0: no sequences"),
    ModelKey::read("sequenceTimeoutMSec", "milliseconds", "0: no limit"),
    ModelKey::read("maxSequenceJobQueueSize", "1 or more", "1"),
    ModelKey::read("maxNumSequence", "1 or more", "batchSize times maxWorkers"),
    ModelKey::unread("parallelType", PROCESSES),
    ModelKey::unread("parallelLevel", PROCESSES),
    ModelKey::unread("torchrun", PROCESSES),
    ModelKey::unread(
        "continuousBatching",
        Effect::NotYet("continuous batching is not available in this version"),
    ),
    ModelKey::unread(
        "useJobTicket",
        Effect::NotYet("job tickets are not available in this version"),
    ),
    ModelKey::unread(
        "asyncCommunication",
        Effect::None("workers are threads of this process; there is nothing to wait for"),
    ),
    ModelKey::unread("useVenv", PYTHON),
    ModelKey::unread(
        "pt2",
        Effect::None("`optimize` says how a model is prepared; torch.compile is Python"),
    ),
    ModelKey::unread("handler", Effect::None("no built-in handler reads it")),
    ModelKey::unread("micro_batching", Effect::None("preprocessing has threads of its own")),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::archive::ModelConfig;
    use crate::registry::execution::Execution;

    #[test]
    fn every_key_that_is_said_to_be_read_is() {
        for key in MODEL_KEYS.iter().filter(|key| key.effect == Effect::Read) {
            let wrong = json!({ key.name: {"no": "value"} });
            let own = Execution::read(&wrong).err().map(|error| error.to_string());
            let yaml = format!("{}: {{no: value}}", key.name);
            let warnings = ModelConfig::parse("c.yaml", yaml.as_bytes()).unwrap().warnings;
            let said = own.into_iter().chain(warnings).collect::<Vec<_>>().join("\n");
            assert!(said.contains(key.name), "{}: {said}", key.name);
        }
    }
}
