//! Every key of `config.properties` as data: TorchServe 0.12's 72, the 5 that its launcher reads, its
//! snapshots write or an earlier version had, and our own. To change what the server does with a key, edit its line.
//!
//! Read by `typed.rs` (kind, default), `source.rs` (environment name) and `stance.rs` (notes). A key
//! of the CORS vocabulary is not in this table, except TorchServe's own three; see `cors.rs`.

use super::address::Role;

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The name in the file.
    pub name: &'static str,
    /// The environment variable that can set it.
    pub env: EnvName,
    /// What its value must look like.
    pub kind: Kind,
    /// The value when it is not set; empty means "none".
    pub default: &'static str,
    /// What this version does with it.
    pub stance: Stance,
}

/// The environment variable of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvName {
    /// `TS_` and the name in upper case.
    Ts,
    /// Another name: TorchServe's constants do not all follow the rule.
    Named(&'static str),
    /// This name, read even without `enable_envvars_config=true`.
    Always(&'static str),
    /// `TS_` and the name in upper case, read only when this other key is `true` as well.
    Gated(&'static str),
    /// None: the key can only be set in the file.
    None,
}

/// What a value must look like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Any text; empty is none.
    Text,
    /// The name of an HTTP header.
    Header,
    /// A path; empty is none.
    Path,
    /// `true` or `false`.
    Bool,
    /// A whole number with bounds; empty is none only where the default is.
    Int(u64, u64),
    /// Like `Int`, a duration in seconds.
    Seconds(u64, u64),
    /// Bytes, with an optional unit.
    Bytes(u64, u64),
    /// A number, at least 0.
    Decimal,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A JSON value; empty is none.
    Json,
    /// Where this role listens.
    Address(Role),
}

/// What this version does with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stance {
    /// What TorchServe does.
    Supported,
    /// Nothing to do here, for this reason: a notice when the key is set.
    NotApplicable(&'static str),
    /// Not in this version, for this reason: a warning when the key differs from its default.
    NotYet(&'static str),
}

use EnvName::{Always, Gated, Named, None as NoEnv, Ts};
use Kind::{Address, Bool, Bytes, Choice, Decimal, Header, Int, Json, Path, Seconds, Text};
use Stance::{NotApplicable, NotYet, Supported};

/// Longest timeout: a year in seconds.
const YEAR: u64 = 365 * 24 * 3600;
/// Largest request or response: 1 TiB, so that a size always fits a 64-bit machine's memory map.
const TIB: u64 = 1 << 40;
/// Largest of Java's `int` and `long`.
const INT: u64 = i32::MAX as u64;
const LONG: u64 = i64::MAX as u64;

// Reasons that several keys share.
const GRPC: &str = "gRPC is not available in this version; only REST listeners are started";
const NO_JVM: &str = "there is no JVM";
const NO_NETTY: &str = "there is no Netty; number_of_netty_threads sets the HTTP threads";
const NO_PYTHON: &str = "models run in this process, not in Python worker processes";

#[rustfmt::skip]
const fn key(name: &'static str, env: EnvName, kind: Kind, default: &'static str, stance: Stance) -> Key {
    Key { name, env, kind, default, stance }
}

/// TorchServe's keys, in the order of its reference.
#[rustfmt::skip]
pub const TORCHSERVE: &[Key] = &[
    key("inference_address", Ts, Address(Role::Inference), "http://127.0.0.1:8080", Supported),
    key("management_address", Ts, Address(Role::Management), "http://127.0.0.1:8081", Supported),
    key("metrics_address", Ts, Address(Role::Metrics), "http://127.0.0.1:8082", Supported),
    key("load_models", Ts, Text, "", Supported),
    key("model_store", Ts, Path, "", Supported),
    key("models", NoEnv, Json, "", Supported),
    key("model_snapshot", NoEnv, Json, "", Supported),
    key("workflow_store", Ts, Path, "", NotYet("workflows are not available in this version; TorchServe 0.12 refuses to register them too")),
    key("default_workers_per_model", Ts, Int(0, 4096), "0", Supported),
    key("default_response_timeout", Ts, Seconds(1, YEAR), "120", Supported),
    key("default_startup_timeout", Ts, Seconds(1, YEAR), "120", Supported),
    key("unregister_model_timeout", Ts, Seconds(1, YEAR), "120", Supported),
    key("job_queue_size", Ts, Int(1, 1_000_000), "100", Supported),
    key("number_of_gpu", Ts, Int(0, 1024), "", Supported),
    key("max_request_size", Ts, Bytes(1, TIB), "6553500", Supported),
    key("max_response_size", Ts, Bytes(1, TIB), "6553500", Supported),
    key("decode_input_request", Ts, Bool, "true", NotApplicable("a handler gets the bytes of the body and their media type, and decodes them itself")),
    key("default_service_handler", Ts, Text, "", Supported),
    key("service_envelope", Ts, Choice(&["", "body", "json", "kserve", "kservev2"]), "", Supported),
    key("limit_max_image_pixels", Ts, Bool, "true", Supported),
    // TorchServe's default lets every URL in: whoever may register a model could reach every host that
    // this server reaches.
    key("allowed_urls", Gated("use_env_allowed_urls"), Text, "", Supported),
    key("use_env_allowed_urls", NoEnv, Bool, "false", Supported),
    key("enable_model_api", Ts, Bool, "false", Supported),
    key("disable_token_authorization", Ts, Bool, "false", Supported),
    key("token_expiration_min", Named("TS_TOKEN_EXPIRATION_TIME_MIN"), Decimal, "60", Supported),
    key("cors_allowed_origin", Ts, Text, "", Supported),
    key("cors_allowed_methods", Ts, Text, "", Supported),
    key("cors_allowed_headers", Ts, Text, "", Supported),
    key("private_key_file", Ts, Path, "", Supported),
    key("certificate_file", Ts, Path, "", Supported),
    key("keystore", Ts, Path, "", Supported),
    key("keystore_pass", Ts, Text, "changeit", Supported),
    key("keystore_type", Ts, Text, "PKCS12", Supported),
    key("enable_metrics_api", Ts, Bool, "true", Supported),
    // TorchServe's default is `log`, with an empty /metrics; ours is what most set.
    key("metrics_mode", Ts, Choice(&["prometheus", "log", "legacy"]), "prometheus", Supported),
    key("metrics_config", Ts, Path, "", Supported),
    key("model_metrics_auto_detect", Ts, Bool, "false", NotApplicable("handlers have no metrics of their own; the durations of their steps are always measured")),
    key("disable_system_metrics", Ts, Bool, "false", Supported),
    key("system_metrics_cmd", NoEnv, Text, "", NotApplicable("no command is run: the metrics of the machine are read from the kernel")),
    key("metric_time_interval", NoEnv, Seconds(1, YEAR), "60", Supported),
    key("grpc_inference_address", Ts, Text, "127.0.0.1", NotYet(GRPC)),
    key("grpc_management_address", Ts, Text, "127.0.0.1", NotYet(GRPC)),
    key("grpc_inference_port", Ts, Int(0, 65535), "7070", NotYet(GRPC)),
    key("grpc_management_port", Ts, Int(0, 65535), "7071", NotYet(GRPC)),
    key("grpc_inference_max_connection_age_ms", Ts, Int(1, LONG), "", NotYet(GRPC)),
    key("grpc_management_max_connection_age_ms", Ts, Int(1, LONG), "", NotYet(GRPC)),
    key("grpc_inference_max_connection_age_grace_ms", Ts, Int(0, LONG), "", NotYet(GRPC)),
    key("grpc_management_max_connection_age_grace_ms", Ts, Int(0, LONG), "", NotYet(GRPC)),
    key("enable_grpc_ssl", Ts, Bool, "false", NotYet(GRPC)),
    key("ts_open_inference_protocol", Always("TS_OPEN_INFERENCE_PROTOCOL"), Bool, "false", NotApplicable("the Open Inference Protocol is always on")),
    key("ts_header_key_sequence_id", Named("TS_HEADER_KEY_SEQUENCE_ID"), Header, "ts_request_sequence_id", Supported),
    key("ts_header_key_sequence_start", Named("TS_HEADER_KEY_SEQUENCE_START"), Header, "ts_request_sequence_start", Supported),
    key("ts_header_key_sequence_end", Named("TS_HEADER_KEY_SEQUENCE_END"), Header, "ts_request_sequence_end", Supported),
    key("number_of_netty_threads", Ts, Int(0, 1024), "0", Supported),
    key("netty_client_threads", Ts, Int(0, INT), "0", NotApplicable(NO_NETTY)),
    key("use_native_io", NoEnv, Bool, "true", NotApplicable(NO_NETTY)),
    key("io_ratio", NoEnv, Int(1, 100), "50", NotApplicable(NO_NETTY)),
    key("prefer_direct_buffer", Ts, Bool, "false", NotApplicable(NO_NETTY)),
    key("async_logging", Ts, Bool, "false", NotApplicable("the log is always written by a thread of its own")),
    key("debug", Ts, Bool, "false", NotApplicable("there is no worker process to attach a debugger to")),
    key("blacklist_env_vars", Ts, Text, "", NotApplicable(NO_PYTHON)),
    key("install_py_dep_per_model", Ts, Bool, "false", NotApplicable(NO_PYTHON)),
    key("ipex_enable", Ts, Bool, "false", NotApplicable(NO_PYTHON)),
    key("ipex_gpu_enable", Ts, Bool, "false", NotApplicable(NO_PYTHON)),
    key("cpu_launcher_enable", Ts, Bool, "false", NotApplicable("workers are threads of this process with one computing thread each")),
    key("cpu_launcher_args", Ts, Text, "", NotApplicable("workers are threads of this process with one computing thread each")),
    key("initial_worker_port", Ts, Int(0, 65535), "9000", NotApplicable("workers are threads of this process and open no ports")),
    key("initial_distribution_port", Ts, Int(0, 65535), "29500", NotApplicable("workers are threads of this process and open no ports")),
    key("cpp_log_config", Ts, Path, "", NotApplicable("there is no C++ worker process")),
    key("model_server_home", Ts, Path, "", NotApplicable("nothing is installed beside the program")),
    key("enable_envvars_config", NoEnv, Bool, "false", Supported),
    key("version", NoEnv, Text, "", NotApplicable("the program knows its version")),
];

/// What TorchServe's launcher reads from the file, what the server writes into snapshots, and what
/// earlier versions had.
#[rustfmt::skip]
pub const TORCHSERVE_EXTRA: &[Key] = &[
    key("vmargs", NoEnv, Text, "", NotApplicable(NO_JVM)),
    key("plugins_path", NoEnv, Path, "", NotApplicable("Java plug-ins cannot be loaded")),
    key("python", NoEnv, Text, "", NotApplicable(NO_PYTHON)),
    key("tsConfigFile", NoEnv, Path, "", NotApplicable("it is written into snapshots only")),
    key("metrics_format", Ts, Choice(&["prometheus"]), "prometheus", NotApplicable("TorchServe had it before metrics_mode; Prometheus' text is the only format")),
];

/// Keys that TorchServe does not have.
#[rustfmt::skip]
pub const OWN: &[Key] = &[
    // `fill` waits for maxBatchDelay as TorchServe does, even when no other request can come.
    key("batch_policy", Ts, Choice(&["work_conserving", "fill"]), "work_conserving", Supported),
    // Threads are cheap to ask for and dear to have: one call must not start thousands.
    key("workers_max", Ts, Int(1, 4096), "256", Supported),
    // Photographs and large bodies are read by these, not by the HTTP threads; 0: one a core.
    key("decode_threads", Ts, Int(0, 1024), "0", Supported),
    // Of a compressed request body beyond its first mebibyte: how far it may inflate.
    key("max_request_ratio", Ts, Int(1, 1_000_000), "200", Supported),
    // gzip for clients that accept it. `all`: predictions, too.
    key("response_compression", Ts, Choice(&["descriptions", "all", "off"]), "descriptions", Supported),
    key("log_format", Ts, Choice(&["text", "json"]), "text", Supported),
    // access_log.log, model_log.log and ts_log.log in LOG_LOCATION; `auto`: when that is set.
    key("log_files", Ts, Choice(&["auto", "true", "false"]), "auto", Supported),
    key("access_log", Ts, Bool, "true", Supported),
    // Durations only: what a client could measure itself, in parts.
    key("server_timing", Ts, Bool, "true", Supported),
    // `latest` or a file: the models to start with. TorchServe restores without being asked.
    key("restore_snapshot", Ts, Path, "", Supported),
    // Of `unix:/PATH` addresses: who may connect. Group: a proxy of the same group.
    key("unix_socket_mode", Ts, Choice(&["0600", "0660", "0666"]), "0600", Supported),
    // Of each listener, so that clients of the inference API do not shut out the operator. An
    // address is one IPv4 address or one IPv6 /64; 0: no cap, for a proxy with very many connections.
    key("connections_max", Ts, Int(1, 1_000_000), "10000", Supported),
    key("connections_max_per_address", Ts, Int(0, 1_000_000), "1024", Supported),
    // A connection without a request; longer than the 60 s after which most proxies close theirs.
    key("keep_alive_timeout", Ts, Seconds(1, 3600), "75", Supported),
    // For each request head; nobody needs more for some kilobytes.
    key("head_timeout", Ts, Seconds(1, 3600), "5", Supported),
    // Without a byte of the body; and bytes a second, over ten seconds.
    key("body_timeout", Ts, Seconds(1, 3600), "30", Supported),
    key("body_min_rate", Ts, Bytes(0, TIB), "1 KiB", Supported),
    // The same for a client that takes an answer.
    key("write_timeout", Ts, Seconds(1, 3600), "30", Supported),
    key("write_min_rate", Ts, Bytes(0, TIB), "1 KiB", Supported),
    // Requests of one HTTP/2 connection at a time; browsers and proxies open about a hundred.
    key("streams_max", Ts, Int(1, 65_536), "256", Supported),
    // Bytes of request bodies in memory, of all clients together; what is more is refused with 503.
    key("body_memory_max", Ts, Bytes(1, TIB), "1 GiB", Supported),
    // Bytes of a request's target; TorchServe's parser takes a line of 4096.
    key("url_max_length", Ts, Bytes(1, 65_534), "16 KiB", Supported),
    // Parts of a multipart body, fields of a form, pairs of a query.
    key("parts_max", Ts, Int(1, 1_000_000), "1024", Supported),
    // Who can reach the management API without a key can change the models, and a model is code: on
    // an address of other machines that needs this word.
    key("allow_open_management", Ts, Bool, "false", Supported),
    // Unpacking an archive stops at these; a larger model raises them, a zip bomb meets them.
    key("archive_max_size", Ts, Bytes(1, TIB), "8 GiB", Supported),
    key("archive_max_entries", Ts, Int(1, 10_000_000), "10000", Supported),
    key("archive_max_ratio", Ts, Int(1, 1_000_000), "200", Supported),
    // A download stops at these.
    key("download_max_size", Ts, Bytes(1, TIB), "8 GiB", Supported),
    key("download_timeout", Ts, Seconds(1, YEAR), "3600", Supported),
    // Bytes a second, over ten seconds.
    key("download_min_rate", Ts, Bytes(0, TIB), "10 KiB", Supported),
    key("download_allowed_networks", Ts, Text, "", Supported),
];

/// All keys of the three tables.
pub fn all() -> impl Iterator<Item = &'static Key> {
    TORCHSERVE.iter().chain(TORCHSERVE_EXTRA).chain(OWN)
}

/// The key of this name.
pub fn find(name: &str) -> Option<&'static Key> {
    all().find(|key| key.name == name)
}

// === impl Key ===

impl Key {
    /// The name of the environment variable, where there is one.
    pub fn env_name(&self) -> Option<String> {
        match self.env {
            Ts | Gated(_) => Some(format!("TS_{}", self.name.to_ascii_uppercase())),
            Named(name) | Always(name) => Some(name.to_string()),
            NoEnv => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn torchserve_has_72_keys_9_of_them_without_an_environment_variable() {
        assert_eq!(TORCHSERVE.len(), 72);
        let without: Vec<&str> =
            TORCHSERVE.iter().filter(|key| key.env == NoEnv).map(|key| key.name).collect();
        assert_eq!(
            without,
            [
                "models",
                "model_snapshot",
                "use_env_allowed_urls",
                "system_metrics_cmd",
                "metric_time_interval",
                "use_native_io",
                "io_ratio",
                "enable_envvars_config",
                "version",
            ]
        );
    }

    #[test]
    fn names_and_environment_variables_are_unique() {
        let names: BTreeSet<&str> = all().map(|key| key.name).collect();
        assert_eq!(names.len(), all().count());
        let variables: Vec<String> = all().filter_map(Key::env_name).collect();
        assert_eq!(variables.iter().collect::<BTreeSet<_>>().len(), variables.len());
    }

    #[test]
    fn environment_names_follow_torchserve_with_its_exceptions() {
        for (name, variable) in [
            ("job_queue_size", Some("TS_JOB_QUEUE_SIZE")),
            ("token_expiration_min", Some("TS_TOKEN_EXPIRATION_TIME_MIN")),
            ("ts_open_inference_protocol", Some("TS_OPEN_INFERENCE_PROTOCOL")),
            ("ts_header_key_sequence_id", Some("TS_HEADER_KEY_SEQUENCE_ID")),
            ("allowed_urls", Some("TS_ALLOWED_URLS")),
            ("models", None),
        ] {
            assert_eq!(find(name).unwrap().env_name().as_deref(), variable, "{name}");
        }
        assert!(find("nothing").is_none());
    }

    #[test]
    fn every_stance_but_supported_gives_a_reason() {
        for key in all() {
            if let NotApplicable(reason) | NotYet(reason) = key.stance {
                assert!(reason.len() > 10 && !reason.ends_with('.'), "{}", key.name);
            }
        }
    }
}
