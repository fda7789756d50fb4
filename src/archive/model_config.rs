//! `model-config.yaml`: the settings that a model brings. PURE.
//!
//! Read by `model_archive.rs`, applied by the registry, passed on to the handler. The keys and their
//! rules are TorchServe's `ModelConfig.java`: a value of the wrong type or range is ignored with a
//! warning, and an unknown key is the registry's (how the model is run) or the handler's own. One
//! difference: a file that is not YAML is an error with line and column, where TorchServe only logs
//! it, because a typo must not silently lose every setting.

use std::time::Duration;

use serde_json::{Map, Value};
use serde_saphyr::UserMessageFormatter;
use serde_saphyr::options::NonFiniteFloatPolicy;

use super::error::ArchiveError;
use super::printable::Printable;

/// Bytes of the file.
pub(super) const MAX_MODEL_CONFIG_SIZE: u64 = 1 << 20;

/// What the server itself reads of `model-config.yaml`; `None` where the file says nothing usable.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelConfig {
    /// `minWorkers`, at least 1.
    pub min_workers: Option<u32>,
    /// `maxWorkers`; 0 counts as unset.
    pub max_workers: Option<u32>,
    /// `batchSize`, at least 1.
    pub batch_size: Option<u32>,
    /// `maxBatchDelay`, in milliseconds; 0 counts as unset.
    pub max_batch_delay: Option<Duration>,
    /// `responseTimeout`, in seconds, above 0. In TorchServe any `model-config.yaml` counts as
    /// setting 120 s here.
    pub response_timeout: Option<Duration>,
    /// `startupTimeout`, in seconds, above 0; as `response_timeout`.
    pub startup_timeout: Option<Duration>,
    /// `deviceType`.
    pub device_type: Option<DeviceType>,
    /// `deviceIds`; one wrong element drops the whole list.
    pub device_ids: Option<Vec<u32>>,
    /// `parallelType`: `pp`, `tp`, `pptp` or `custom`.
    pub parallel_type: Option<String>,
    /// `parallelLevel`, above 0.
    pub parallel_level: Option<u32>,
    /// `maxRetryTimeoutInSec`, above 0.
    pub max_retry_timeout: Option<Duration>,
    /// `clientTimeoutInMills`, above 0.
    pub client_timeout: Option<Duration>,
    /// `jobQueueSize`, above 0.
    pub job_queue_size: Option<u32>,
    /// `useJobTicket`.
    pub use_job_ticket: bool,
    /// `sequenceBatching`.
    pub sequence_batching: bool,
    /// `sequenceMaxIdleMSec`, above 0.
    pub sequence_max_idle: Option<Duration>,
    /// `sequenceTimeoutMSec`, above 0.
    pub sequence_timeout: Option<Duration>,
    /// `maxNumSequence`, at least 1.
    pub max_num_sequence: Option<u32>,
    /// `maxSequenceJobQueueSize`, at least 1.
    pub max_sequence_job_queue_size: Option<u32>,
    /// `continuousBatching`.
    pub continuous_batching: bool,
    /// `asyncCommunication`.
    pub async_communication: bool,
    /// The whole document as JSON, for the handler. An empty document is an empty object.
    pub rest: Value,
    /// One line for each value that was ignored, naming the key.
    pub warnings: Vec<String>,
}

/// `deviceType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceType {
    /// `cpu`.
    Cpu,
    /// `gpu`.
    Gpu,
}

/// Reads keys of the document and collects warnings.
struct Keys<'a> {
    document: &'a Map<String, Value>,
    warnings: Vec<String>,
}

// === impl ModelConfig ===

impl ModelConfig {
    /// Understands the bytes of `file`.
    ///
    /// # Errors
    /// [`ArchiveError::ModelConfigUnreadable`]: not UTF-8, not YAML, repeated keys, more than one
    /// document, not a mapping, or beyond the parser's budget (aliases, depth, nodes).
    pub fn parse(file: &str, content: &[u8]) -> Result<ModelConfig, ArchiveError> {
        let unreadable = |detail: String| ArchiveError::ModelConfigUnreadable {
            file: Printable::new(file),
            detail,
        };
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        let text = std::str::from_utf8(content)
            .map_err(|error| unreadable(format!("byte {} is not UTF-8", error.valid_up_to())))?;
        let value: Value = serde_saphyr::from_str_with_options(text, options())
            .map_err(|error| unreadable(explain(&error)))?;
        let document = match value {
            Value::Object(document) => document,
            Value::Null => Map::new(),
            _ => {
                let detail =
                    "line 1: it must be a mapping of keys to values, such as `batchSize: 8`";
                return Err(unreadable(detail.to_owned()));
            }
        };

        let mut keys = Keys { document: &document, warnings: Vec::new() };
        let min_workers = keys.at_least_one("minWorkers");
        let max_workers = keys.unsigned("maxWorkers").filter(|count| *count > 0);
        let mut config = ModelConfig {
            min_workers,
            max_workers,
            batch_size: keys.at_least_one("batchSize"),
            max_batch_delay: keys.unsigned("maxBatchDelay").filter(|ms| *ms > 0).map(millis),
            response_timeout: keys.positive("responseTimeout").map(seconds),
            startup_timeout: keys.positive("startupTimeout").map(seconds),
            device_type: keys.device_type(),
            device_ids: keys.device_ids(),
            parallel_type: keys.parallel_type(),
            parallel_level: keys.positive("parallelLevel"),
            max_retry_timeout: keys.positive("maxRetryTimeoutInSec").map(seconds),
            client_timeout: keys.unsigned("clientTimeoutInMills").filter(|ms| *ms > 0).map(millis),
            job_queue_size: keys.unsigned("jobQueueSize").filter(|size| *size > 0),
            use_job_ticket: keys.boolean("useJobTicket"),
            sequence_batching: keys.boolean("sequenceBatching"),
            sequence_max_idle: keys
                .unsigned("sequenceMaxIdleMSec")
                .filter(|ms| *ms > 0)
                .map(millis),
            sequence_timeout: keys.unsigned("sequenceTimeoutMSec").filter(|ms| *ms > 0).map(millis),
            max_num_sequence: keys.at_least_one("maxNumSequence"),
            max_sequence_job_queue_size: keys.at_least_one("maxSequenceJobQueueSize"),
            continuous_batching: keys.boolean("continuousBatching"),
            async_communication: keys.boolean("asyncCommunication"),
            rest: Value::Null,
            warnings: keys.warnings,
        };
        if let (Some(min), Some(max)) = (min_workers, max_workers)
            && max < min
        {
            config.warnings.push(format!("maxWorkers: {max} is less than minWorkers, {min}"));
        }
        config.rest = Value::Object(document);
        Ok(config)
    }
}

// === impl Keys ===

impl Keys<'_> {
    /// An integer of Java's `int`; anything else is a warning.
    fn integer(&mut self, key: &str) -> Option<i32> {
        let value = self.document.get(key)?;
        let integer = value.as_i64().and_then(|value| i32::try_from(value).ok());
        if integer.is_none() {
            self.warn(key, value, "should be an integer");
        }
        integer
    }

    fn unsigned(&mut self, key: &str) -> Option<u32> {
        let value = self.integer(key)?;
        let unsigned = u32::try_from(value).ok();
        if unsigned.is_none() {
            self.warn(key, &Value::from(value), "should not be negative");
        }
        unsigned
    }

    fn positive(&mut self, key: &str) -> Option<u32> {
        let value = self.integer(key)?;
        let positive = u32::try_from(value).ok().filter(|value| *value > 0);
        if positive.is_none() {
            self.warn(key, &Value::from(value), "should be greater than 0");
        }
        positive
    }

    fn at_least_one(&mut self, key: &str) -> Option<u32> {
        let value = self.integer(key)?;
        if value < 1 {
            self.warnings.push(format!("{key}: {value} is taken as 1"));
        }
        u32::try_from(value.max(1)).ok()
    }

    fn boolean(&mut self, key: &str) -> bool {
        let Some(value) = self.document.get(key) else { return false };
        if let Value::Bool(boolean) = value {
            return *boolean;
        }
        self.warn(key, value, "should be true or false");
        false
    }

    fn device_type(&mut self) -> Option<DeviceType> {
        let value = self.document.get("deviceType")?;
        match value.as_str().map(str::to_lowercase).as_deref() {
            Some("cpu") => Some(DeviceType::Cpu),
            Some("gpu") => Some(DeviceType::Gpu),
            Some("") => None,
            _ => {
                self.warn("deviceType", value, "should be cpu or gpu");
                None
            }
        }
    }

    fn device_ids(&mut self) -> Option<Vec<u32>> {
        let value = self.document.get("deviceIds")?;
        let id = |id: &Value| id.as_i64().and_then(|id| i32::try_from(id).ok()?.try_into().ok());
        let ids = value.as_array().and_then(|ids| ids.iter().map(id).collect());
        if ids.is_none() {
            self.warn("deviceIds", value, "should be a list of GPU numbers");
        }
        ids
    }

    fn parallel_type(&mut self) -> Option<String> {
        let value = self.document.get("parallelType")?;
        match value.as_str().map(str::to_lowercase) {
            Some(kind) if matches!(kind.as_str(), "pp" | "tp" | "pptp" | "custom") => Some(kind),
            Some(kind) if kind.is_empty() => None,
            _ => {
                self.warn("parallelType", value, "should be pp, tp, pptp or custom");
                None
            }
        }
    }

    fn warn(&mut self, key: &str, value: &Value, should: &str) {
        let shown = Printable::new(&value.to_string());
        self.warnings.push(format!("{key}: {shown} is ignored, it {should}"));
    }
}

/// A model's settings are small: budgets far below the library's defaults.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 64,
            flow_nesting_limit: 64,
            max_nodes: 50_000,
            max_events: 200_000,
            max_anchors: 1_000,
            max_aliases: 1_000,
            max_recorded_anchor_events: 100_000,
            max_recorded_anchor_bytes: 4 << 20,
            max_total_scalar_bytes: 4 << 20,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 64,
            max_alias_expansions_per_anchor: 1_000,
        },
        // As the YAML 1.1 readers of TorchServe and PyYAML: 010 is eight.
        legacy_octal_numbers: true,
        // JSON has no infinity; its spelling is kept rather than lost.
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
    }
}

/// The parser's reason on one line, after the place. Its texts for end users: those for developers
/// speak of its own options.
fn explain(error: &serde_saphyr::Error) -> String {
    let reason = error.without_snippet().render_with_formatter(&UserMessageFormatter);
    let reason = reason.lines().next().unwrap_or_default();
    // The library ends most texts with the place; it is moved to the front of all.
    let reason = Printable::new(reason.split(" at line ").next().unwrap_or(reason));
    match error.location() {
        Some(place) if place.line() > 0 => {
            format!("line {}, column {}: {reason}", place.line(), place.column())
        }
        _ => reason.to_string(),
    }
}

fn seconds(value: u32) -> Duration {
    Duration::from_secs(value.into())
}

fn millis(value: u32) -> Duration {
    Duration::from_millis(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(text: &str) -> ModelConfig {
        ModelConfig::parse("model-config.yaml", text.as_bytes()).expect(text)
    }

    fn message(text: &str) -> String {
        let error = ModelConfig::parse("model-config.yaml", text.as_bytes()).expect_err("an error");
        error.to_string()
    }

    #[test]
    fn reads_torchserves_keys_and_keeps_the_document_for_the_handler() {
        let config = parse(
            "# a comment\nminWorkers: 2\nmaxWorkers: 4\nbatchSize: 8\nmaxBatchDelay: 50\n\
             responseTimeout: 10\nstartupTimeout: 20\ndeviceType: \"GPU\"\ndeviceIds: [0, 2]\n\
             parallelType: pp\nparallelLevel: 2\nmaxRetryTimeoutInSec: 7\n\
             clientTimeoutInMills: 30\njobQueueSize: 5\nuseJobTicket: true\n\
             handler:\n  profile: true\n  mapping: [a, 1.5, null]\n",
        );
        assert_eq!(config.warnings, Vec::<String>::new());
        assert_eq!((config.min_workers, config.max_workers), (Some(2), Some(4)));
        assert_eq!(config.batch_size, Some(8));
        assert_eq!(config.max_batch_delay, Some(Duration::from_millis(50)));
        assert_eq!(config.response_timeout, Some(Duration::from_secs(10)));
        assert_eq!(config.startup_timeout, Some(Duration::from_secs(20)));
        assert_eq!(config.device_type, Some(DeviceType::Gpu));
        assert_eq!(config.device_ids, Some(vec![0, 2]));
        assert_eq!(config.parallel_type.as_deref(), Some("pp"));
        assert_eq!(config.parallel_level, Some(2));
        assert_eq!(config.max_retry_timeout, Some(Duration::from_secs(7)));
        assert_eq!(config.client_timeout, Some(Duration::from_millis(30)));
        assert_eq!(config.job_queue_size, Some(5));
        assert!(config.use_job_ticket && !config.sequence_batching);
        let handler = json!({"profile": true, "mapping": ["a", 1.5, null]});
        assert_eq!(config.rest["handler"], handler);
        assert_eq!(config.rest["minWorkers"], json!(2));
    }

    #[test]
    fn an_empty_file_sets_nothing() {
        for text in ["", "# only a comment\n", "---\n", "{}", "null\n"] {
            let expected = ModelConfig { rest: json!({}), ..ModelConfig::default() };
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn raises_or_ignores_values_out_of_range_as_torchserve_does() {
        let config = parse(
            "minWorkers: 0\nbatchSize: -3\nmaxWorkers: -1\nmaxBatchDelay: 0\nresponseTimeout: 0\n\
             startupTimeout: -1\nmaxRetryTimeoutInSec: 0\njobQueueSize: 0\n",
        );
        assert_eq!((config.min_workers, config.batch_size), (Some(1), Some(1)));
        assert_eq!((config.max_workers, config.max_batch_delay), (None, None));
        assert_eq!((config.response_timeout, config.startup_timeout), (None, None));
        assert_eq!((config.max_retry_timeout, config.job_queue_size), (None, None));
        assert_eq!(config.warnings.len(), 6, "{:?}", config.warnings);
    }

    #[test]
    fn warns_of_wrong_types_and_goes_on() {
        let config = parse(
            "minWorkers: two\nmaxWorkers: 4.0\nbatchSize: \"8\"\nmaxBatchDelay: 99999999999\n\
             deviceType: tpu\ndeviceIds: [0, -1]\nparallelType: 3\nuseJobTicket: maybe\n\
             responseTimeout: [1]\nstartupTimeout: 30\n",
        );
        assert_eq!(config.warnings.len(), 9, "{:?}", config.warnings);
        assert_eq!(config.warnings[0], "minWorkers: \"two\" is ignored, it should be an integer");
        let kept = config.rest.clone();
        let expected = ModelConfig {
            startup_timeout: Some(Duration::from_secs(30)),
            rest: kept,
            warnings: config.warnings.clone(),
            ..ModelConfig::default()
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn warns_when_fewer_workers_are_allowed_than_required() {
        assert_eq!(parse("minWorkers: 4\nmaxWorkers: 2\n").warnings.len(), 1);
    }

    #[test]
    fn names_line_and_column_of_a_typo() {
        let text = message("batchSize: 8\nhandler: [1, 2\nmaxBatchDelay: 5\n");
        assert!(text.contains("`model-config.yaml` cannot be read: line "), "{text}");
        assert!(text.contains(", column "), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    #[test]
    fn refuses_what_would_lose_settings() {
        assert!(message("batchSize: 8\nbatchSize: 9\n").contains("line 2"));
        assert!(message("- batchSize\n").contains("mapping"));
        assert!(message("batchSize 8\n").contains("mapping"));
        assert!(!message("a: 1\n---\nb: 2\n").is_empty());
        let error = ModelConfig::parse("c.yaml", b"a: \xff\n").expect_err("not UTF-8");
        assert!(error.to_string().contains("byte 3"), "{error}");
    }

    #[test]
    fn reads_numbers_and_booleans_as_yaml_1_1_does() {
        let config = parse("a: 010\nb: 0x10\nc: 1_000\nd: yes\ne: off\nf: 2024-01-01\n");
        let expected =
            json!({"a": 8, "b": 16, "c": 1000, "d": true, "e": false, "f": "2024-01-01"});
        assert_eq!(config.rest, expected);
    }

    #[test]
    fn takes_integer_keys_infinities_and_merges_for_the_handler() {
        let config =
            parse("labels:\n  0: cat\n  1: dog\nlimit: .inf\nbase: &b {x: 1}\nuse:\n  <<: *b\n");
        assert_eq!(config.rest["labels"], json!({"0": "cat", "1": "dog"}));
        assert_eq!(config.rest["limit"], json!(".inf"));
        assert_eq!(config.rest["use"], json!({"x": 1}));
    }

    #[test]
    fn refuses_an_alias_bomb_and_endless_depth() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let below = format!("*a{}", level - 1);
            bomb += &format!("a{level}: &a{level} [{}]\n", [below.as_str(); 10].join(", "));
        }
        assert!(message(&bomb).contains("line"), "{}", message(&bomb));
        assert!(!message(&"[".repeat(100_000)).is_empty());
        assert!(!message(&"- ".repeat(10_000)).is_empty());
    }
}
