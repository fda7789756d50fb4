//! How a model is run: the keys of `model-config.yaml` that are this server's own. PURE.
//!
//! Read by `load.rs` when a model is loaded. All are optional:
//!
//! ```yaml
//! optimize: exact               # none, exact, winograd, freeze or inference (optimize_for_inference)
//! memory_format: channels_last  # contiguous or channels_last
//! precision: float32            # float32 (as saved) or bfloat16 (cast; results come back float32)
//! intra_op_threads: 1           # threads of one forward, 1 to 256; else the cores by the workers
//! warm_up: [1, 8]               # batch sizes that are run before the first request; else 1 and, if
//!                               # that is a matter of a quarter of a second, batchSize. [] for none
//! measure_forward_ms: 100       # time spent at load on measuring the forward of each batch size, for
//!                               # /metrics and the describe API; 0 to 10000, 0 for none
//! ```
//!
//! What the first two do not say is chosen: the fastest that answers within 1e-5 of the module as it
//! was saved. TorchServe ignores a wrong value of its own keys; a wrong one here is an error, because
//! a model that silently runs ten times slower, or less exactly, is found much later.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde_json::Value as Json;

use super::error::RegisterError;
use crate::engine::LoadOptions;
use crate::engine::options::{MemoryFormat, Optimize, Precision};

/// How one model is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Execution {
    /// `optimize`, `memory_format`, `precision`.
    pub(super) options: LoadOptions,
    /// `intra_op_threads`.
    pub(super) intra_op_threads: Option<NonZeroUsize>,
    /// `warm_up`.
    pub(super) warm_up: Option<Vec<usize>>,
    /// `measure_forward_ms`.
    pub(super) measure_forward: Option<Duration>,
}

/// As libtorch's own thread pools on the largest hosts.
const MAX_THREADS: usize = 256;
/// The largest batch that is warmed up.
const MAX_WARM_UP_BATCH: usize = 1024;
/// The most batch sizes that are warmed up.
const MAX_WARM_UPS: usize = 16;
/// Readiness waits for measuring.
const MAX_MEASURE_MILLIS: u64 = 10_000;

// === impl Execution ===

impl Execution {
    /// Reads the keys of a whole `model-config.yaml`.
    ///
    /// # Errors
    /// [`RegisterError::ModelConfig`] that names the key, what it is and what it should be.
    pub(super) fn read(model_config: &Json) -> Result<Execution, RegisterError> {
        let key = |name| model_config.get(name).filter(|value| !value.is_null());
        Ok(Execution {
            options: LoadOptions {
                optimize: one_of("optimize", key("optimize"), &Optimize::NAMES)?,
                memory_format: one_of("memory_format", key("memory_format"), &MemoryFormat::NAMES)?,
                precision: one_of("precision", key("precision"), &Precision::NAMES)?,
            },
            intra_op_threads: key("intra_op_threads").map(threads).transpose()?,
            warm_up: key("warm_up").map(warm_up).transpose()?,
            measure_forward: key("measure_forward_ms").map(measure_forward).transpose()?,
        })
    }

    /// The intra-op threads of each worker. Without a word, workers share the cores: one thread each
    /// is the fastest on a busy machine.
    pub(super) fn threads(&self, workers: usize, cores: usize) -> usize {
        let shared = (cores / workers.max(1)).max(1);
        self.intra_op_threads.map_or(shared, NonZeroUsize::get)
    }

    /// What to tell the operator when the threads that he asked for are more than the cores.
    pub(super) fn warning(&self, workers: usize, cores: usize) -> Option<String> {
        let threads = self.intra_op_threads?.get();
        (workers.saturating_mul(threads) > cores).then(|| {
            format!(
                "intra_op_threads: {threads} with {workers} workers are more threads than the \
                 {cores} cores granted; forwards wait for each other, and one takes many times \
                 longer. Lower intra_op_threads or minWorkers"
            )
        })
    }
}

fn one_of<T: Copy>(
    key: &str,
    value: Option<&Json>,
    names: &[(&str, T)],
) -> Result<Option<T>, RegisterError> {
    let Some(value) = value else { return Ok(None) };
    let found = names.iter().find(|(name, _)| value.as_str() == Some(*name));
    let known = || names.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    found.map_or_else(
        || Err(wrong(key, value, &format!("one of {}", known()))),
        |(_, named)| Ok(Some(*named)),
    )
}

/// A whole number from 1 to `greatest`.
fn positive(value: &Json, greatest: usize) -> Option<NonZeroUsize> {
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok())?;
    NonZeroUsize::new(number).filter(|number| number.get() <= greatest)
}

fn threads(value: &Json) -> Result<NonZeroUsize, RegisterError> {
    positive(value, MAX_THREADS).ok_or_else(|| {
        wrong("intra_op_threads", value, &format!("a whole number from 1 to {MAX_THREADS}"))
    })
}

fn warm_up(value: &Json) -> Result<Vec<usize>, RegisterError> {
    let sizes = value.as_array().filter(|sizes| sizes.len() <= MAX_WARM_UPS).and_then(|sizes| {
        let size = |size| positive(size, MAX_WARM_UP_BATCH).map(NonZeroUsize::get);
        sizes.iter().map(size).collect::<Option<Vec<usize>>>()
    });
    sizes.ok_or_else(|| {
        let should = format!(
            "a list of at most {MAX_WARM_UPS} batch sizes from 1 to {MAX_WARM_UP_BATCH}, such as \
             [1, 8]"
        );
        wrong("warm_up", value, &should)
    })
}

fn measure_forward(value: &Json) -> Result<Duration, RegisterError> {
    let millis = value.as_u64().filter(|millis| *millis <= MAX_MEASURE_MILLIS);
    millis.map(Duration::from_millis).ok_or_else(|| {
        let should = format!("milliseconds, a whole number from 0 to {MAX_MEASURE_MILLIS}");
        wrong("measure_forward_ms", value, &should)
    })
}

fn wrong(key: &str, value: &Json, should: &str) -> RegisterError {
    // A value can be as long as the file.
    let shown: String = value.to_string().chars().take(80).collect();
    RegisterError::ModelConfig(format!("{key} is {shown}; it must be {should}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_key_is_read() {
        let execution = Execution::read(&json!({
            "optimize": "inference", "memory_format": "channels_last", "precision": "bfloat16",
            "intra_op_threads": 2, "warm_up": [1, 8], "batchSize": 8,
            "measure_forward_ms": 0,
        }))
        .unwrap();
        let options = LoadOptions {
            optimize: Some(Optimize::Inference),
            memory_format: Some(MemoryFormat::ChannelsLast),
            precision: Some(Precision::Bfloat16),
        };
        let expected = Execution {
            options,
            intra_op_threads: NonZeroUsize::new(2),
            warm_up: Some(vec![1, 8]),
            measure_forward: Some(Duration::ZERO),
        };
        assert_eq!(execution, expected);
        let written = "optimize: inference, memory_format: channels_last, precision: bfloat16";
        assert_eq!(options.to_string(), written);
    }

    #[test]
    fn nothing_said_leaves_everything_open() {
        for nothing in [json!(null), json!({}), json!({"optimize": null, "batchSize": 3})] {
            assert_eq!(Execution::read(&nothing).unwrap(), Execution::default());
        }
        assert_eq!(Execution::read(&json!({"warm_up": []})).unwrap().warm_up, Some(vec![]));
    }

    #[test]
    fn a_wrong_value_is_an_error_that_names_key_value_and_what_fits() {
        for (key, value, should) in [
            ("optimize", json!("fast"), "one of none, exact, winograd, freeze, inference"),
            ("optimize", json!(true), "one of none, exact, winograd, freeze, inference"),
            ("memory_format", json!("NHWC"), "one of contiguous, channels_last"),
            ("precision", json!("float16"), "one of float32, bfloat16"),
            ("intra_op_threads", json!(0), "from 1 to 256"),
            ("intra_op_threads", json!(257), "from 1 to 256"),
            ("intra_op_threads", json!(-1), "from 1 to 256"),
            ("intra_op_threads", json!(1.5), "from 1 to 256"),
            ("warm_up", json!(8), "a list of at most 16 batch sizes"),
            ("warm_up", json!([1, 0]), "from 1 to 1024"),
            ("warm_up", json!([1025]), "from 1 to 1024"),
            ("warm_up", json!(vec![1; 17]), "at most 16"),
            ("measure_forward_ms", json!(10_001), "from 0 to 10000"),
            ("measure_forward_ms", json!("200"), "from 0 to 10000"),
        ] {
            let error = Execution::read(&json!({ key: value })).unwrap_err().to_string();
            let start = format!("model-config.yaml: {key} is {value}; it must be ");
            assert!(error.starts_with(&start) && error.contains(should), "{error}");
        }
        let long = Execution::read(&json!({"precision": "x".repeat(1 << 20)})).unwrap_err();
        assert!(long.to_string().len() < 200);
    }

    #[test]
    fn workers_share_the_cores_unless_told_otherwise_and_too_many_threads_are_told() {
        let silent = Execution::default();
        assert_eq!([1, 2, 3, 8, 0].map(|workers| silent.threads(workers, 8)), [8, 4, 2, 1, 8]);
        assert_eq!(silent.threads(4, 2), 1);
        assert_eq!(silent.warning(100, 2), None);
        let two = Execution { intra_op_threads: NonZeroUsize::new(2), ..Execution::default() };
        assert_eq!((two.threads(4, 8), two.warning(4, 8)), (2, None));
        assert!(two.warning(5, 8).unwrap().contains("8 cores"));
    }
}
