//! The sequences of a model as `model-config.yaml` asks for them. PURE.

use crate::archive::ModelConfig;
use crate::batching::SequenceLimits;

/// The limits, where `sequenceBatching` is true and `sequenceMaxIdleMSec` above 0, as in TorchServe; or
/// why there are none although the model asks for them.
pub(super) fn sequence_limits(
    config: Option<&ModelConfig>,
    batch_size: usize,
    max_workers: usize,
) -> Result<Option<SequenceLimits>, &'static str> {
    let Some(config) = config.filter(|config| config.sequence_batching) else { return Ok(None) };
    let Some(max_idle) = config.sequence_max_idle else {
        return Err(
            "sequenceBatching needs sequenceMaxIdleMSec above 0; the model has no sequences",
        );
    };
    let number = |value: Option<u32>| value.map(|value| value as usize);
    // TorchServe's documented rule; its code forgets the product.
    let at_least = batch_size.saturating_mul(max_workers.max(1));
    Ok(Some(SequenceLimits {
        max_idle,
        timeout: config.sequence_timeout,
        max_sequences: number(config.max_num_sequence).unwrap_or(1).max(at_least),
        max_waiting: number(config.max_sequence_job_queue_size).unwrap_or(1),
    }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits(yaml: &str) -> Result<Option<SequenceLimits>, &'static str> {
        let config = ModelConfig::parse("c.yaml", yaml.as_bytes()).unwrap();
        sequence_limits(Some(&config), 4, 2)
    }

    #[test]
    fn sequences_are_on_with_an_idle_time() {
        assert_eq!(limits("batchSize: 1"), Ok(None));
        assert!(limits("sequenceBatching: true").is_err());
        assert!(limits("{sequenceBatching: true, sequenceMaxIdleMSec: 0}").is_err());
        let all = "{sequenceBatching: true, sequenceMaxIdleMSec: 500, sequenceTimeoutMSec: 9000, \
                   maxNumSequence: 64, maxSequenceJobQueueSize: 3}";
        let expected = SequenceLimits {
            max_idle: Duration::from_millis(500),
            timeout: Some(Duration::from_secs(9)),
            max_sequences: 64,
            max_waiting: 3,
        };
        assert_eq!(limits(all), Ok(Some(expected)));
        let few = limits("{sequenceBatching: true, sequenceMaxIdleMSec: 5}").unwrap().unwrap();
        assert_eq!((few.max_sequences, few.max_waiting, few.timeout), (8, 1, None));
    }
}
