//! The whole walk: sources to checked values, who wins, and every message.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::*;
use crate::cors::Listener;
use crate::metrics::{MetricsFiles, MetricsMode};
use crate::telemetry::{Destination, RollingSettings};

/// A configuration file in a folder of its own, with a model store beside it.
struct Scene {
    folder: tempfile::TempDir,
    overrides: Overrides,
    environment: BTreeMap<String, String>,
}

impl Scene {
    fn new(text: &str) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("store")).unwrap();
        fs::write(folder.path().join("c"), text).unwrap();
        let overrides = Overrides {
            ts_config: Some(folder.path().join("c")),
            model_store: Some(folder.path().join("store")),
            disable_token_auth: true,
            ..Overrides::default()
        };
        Scene { folder, overrides, environment: BTreeMap::new() }
    }

    fn env(mut self, name: &str, value: &str) -> Scene {
        self.environment.insert(name.to_string(), value.to_string());
        self
    }

    fn load(&self) -> Result<Config, ConfigErrors> {
        Config::load(&self.overrides, &self.environment)
    }

    /// The messages with the folder cut out: `c:1: key: ...`.
    fn messages(&self) -> Vec<String> {
        let errors = self.load().unwrap_err();
        errors.iter().map(|error| self.short(&error.to_string())).collect()
    }

    fn notes(&self) -> Vec<(Level, String)> {
        let notes = self.load().unwrap().notes;
        notes.into_iter().map(|note| (note.level, self.short(&note.text))).collect()
    }

    fn short(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

#[test]
fn the_defaults_are_torchserves_and_loopback() {
    let config = Config::default();
    assert_eq!(config.inference.to_string(), "http://127.0.0.1:8080");
    assert_eq!(config.management.to_string(), "http://127.0.0.1:8081");
    assert_eq!(config.metrics.to_string(), "http://127.0.0.1:8082");
    assert_eq!(config.address(Role::Metrics), &config.metrics);
    assert_eq!((config.job_queue_size, config.max_request_size), (100, 6_553_500));
    assert_eq!(config.max_response_size, 6_553_500);
    for timeout in [
        config.default_response_timeout,
        config.default_startup_timeout,
        config.unregister_model_timeout,
    ] {
        assert_eq!(timeout, Duration::from_secs(120));
    }
    assert!(config.enable_metrics_api);
    assert!(config.limit_max_image_pixels && config.access_log);
    assert!(!config.enable_model_api && !config.disable_token_authorization);
    assert_eq!((config.default_workers_per_model, config.http_workers), (None, None));
    assert_eq!((config.number_of_gpu, config.workers_max.get()), (None, 256));
    assert_eq!(config.batch_policy, BatchPolicy::WorkConserving);
    assert_eq!(config.log_format, LogFormat::Text);
    assert_eq!(
        config.archive_limits,
        ArchiveLimits { max_size: 8 << 30, max_entries: 10_000, max_ratio: 200 }
    );
    assert_eq!((config.model_store, config.load_models), (None, LoadModels::None));
    assert_eq!(config.notes, []);
}

#[test]
fn every_supported_key_reaches_its_field() {
    let scene = Scene::new(
        "inference_address=http://0.0.0.0:9080\nmanagement_address=http://0.0.0.0:9081\n\
         metrics_address=unix:/run/m.sock\nunix_socket_mode=0660\nenable_metrics_api=false\nnumber_of_netty_threads=4\n\
         load_models=a.mar,b=c.mar\nmodels={\\\n \"a\": {\"1.0\": {\"minWorkers\": 2}}\\\n}\n\
         default_workers_per_model=3\nworkers_max=64\ndefault_response_timeout=10\n\
         default_startup_timeout=11\nunregister_model_timeout=12\njob_queue_size=13\n\
         batch_policy=fill\ndecode_threads=3\nnumber_of_gpu=0\nmax_request_size=14\nmax_response_size=15 MiB\n\
         default_service_handler=image_classifier\n\
         service_envelope=kservev2\nlimit_max_image_pixels=false\nenable_model_api=true\narchive_max_size=1GiB\n\
         archive_max_entries=16\narchive_max_ratio=17\nlog_format=json\naccess_log=false\n\
         token_expiration_min=1.5\nts_header_key_sequence_id=X-Sequence\nallow_open_management=true\nconnections_max=20\nconnections_max_per_address=21\n\
         keep_alive_timeout=22\nhead_timeout=23\nbody_timeout=24\nbody_min_rate=25\n\
         write_timeout=26\nwrite_min_rate=27\nstreams_max=28\nbody_memory_max=29\n\
         url_max_length=30\nparts_max=31\n\
         max_request_ratio=18\nresponse_compression=all\n\
         metrics_mode=legacy\nmetric_time_interval=18\n",
    )
    .env("TEMP", "/scratch")
    .env("METRICS_LOCATION", "/metrics")
    .env("LOG_LOCATION", "/logs");
    let config = scene.load().unwrap();
    let tcp = |port| ListenAddress::Tcp { scheme: Scheme::Http, host: "0.0.0.0".to_string(), port };
    let entry = ModelEntry { min_workers: NonZeroUsize::new(2), ..ModelEntry::default() };
    assert_eq!(config.models.iter().collect::<Vec<_>>(), [("a", "1.0", &entry)]);
    let expected = Config {
        file: Some(scene.folder.path().join("c")),
        inference: tcp(9080),
        management: tcp(9081),
        metrics: ListenAddress::Unix("/run/m.sock".into()),
        unix_socket_mode: 0o660,
        tls: TlsIdentity::SelfSigned,
        enable_metrics_api: false,
        metrics_settings: MetricsSettings {
            mode: MetricsMode::Legacy,
            files: MetricsFiles::in_folder(std::path::Path::new("/metrics")),
            ..MetricsSettings::default()
        },
        system_metrics: Some(Duration::from_secs(18)),
        http_workers: NonZeroUsize::new(4),
        model_store: Some(scene.folder.path().join("store")),
        load_models: LoadModels::List(vec![
            LoadModel { name: None, archive: "a.mar".to_string() },
            LoadModel { name: Some("b".to_string()), archive: "c.mar".to_string() },
        ]),
        models: config.models.clone(),
        restore: None,
        snapshots: Some(crate::snapshot::SnapshotFolder::new("/logs/config")),
        effective: config.effective.clone(),
        default_workers_per_model: NonZeroUsize::new(3),
        workers_max: NonZeroUsize::new(64).unwrap(),
        default_response_timeout: Duration::from_secs(10),
        default_startup_timeout: Duration::from_secs(11),
        unregister_model_timeout: Duration::from_secs(12),
        job_queue_size: 13,
        batch_policy: BatchPolicy::Fill,
        number_of_gpu: Some(0),
        decode_threads: NonZeroUsize::new(3),
        max_request_size: 14,
        bodies: BodyBounds {
            timeout: Duration::from_secs(24),
            min_rate: 25,
            memory_max: 29,
            parts_max: 31,
        },
        connections: ConnectionBounds {
            total: 20,
            per_address: NonZeroUsize::new(21),
            keep_alive: Duration::from_secs(22),
            head_timeout: Duration::from_secs(23),
            write_timeout: Duration::from_secs(26),
            write_min_rate: 27,
            streams: 28,
        },
        url_max_length: 30,
        max_request_ratio: 18,
        response_compression: ResponseCompression::All,
        max_response_size: 15 << 20,
        default_service_handler: Some("image_classifier".to_string()),
        service_envelope: ServiceEnvelope::KServeV2,
        limit_max_image_pixels: false,
        enable_model_api: true,
        disable_token_authorization: true,
        allow_open_management: true,
        token_expiration: Duration::from_secs(90),
        key_file: "key_file.json".into(),
        archive_limits: ArchiveLimits { max_size: 1 << 30, max_entries: 16, max_ratio: 17 },
        downloads: config.downloads.clone(),
        temp_dir: "/scratch".into(),
        log_format: LogFormat::Json,
        log_sinks: config.log_sinks.clone(),
        server_timing: true,
        sequence_headers: ["x-sequence", "ts_request_sequence_start", "ts_request_sequence_end"]
            .map(String::from),
        traces: None,
        access_log: false,
        log_location: Some("/logs".into()),
        cors: Vec::new(),
        policies: ListenerPolicies::default(),
        notes: Vec::new(),
    };
    assert_eq!(format!("{config:#?}"), format!("{expected:#?}"));
}

#[test]
fn a_file_of_metrics_is_read_with_the_configuration_and_its_mistakes_are_told_with_it() {
    let scene = |yaml: &str| {
        let scene = Scene::new("");
        let path = scene.folder.path().join("metrics.yaml");
        fs::write(&path, yaml).unwrap();
        let text = format!("metrics_config={}\ndisable_system_metrics=true\n", path.display());
        let file = scene.folder.path().join("c");
        fs::write(&file, fs::read_to_string(&file).unwrap() + &text).unwrap();
        scene.load().map_err(|errors| errors.to_string())
    };
    let one = "ts_metrics:\n  counter:\n    - name: Requests2XX\n      unit: Count\n";
    let config = scene(&format!("{one}      dimensions: [A, B]\n")).unwrap();
    assert_eq!(config.system_metrics, None);
    assert_ne!(config.metrics_settings.definitions, MetricsSettings::default().definitions);
    let error = scene(one).unwrap_err();
    assert!(error.contains("metrics.yaml: line 3: Requests2XX has 2 values"), "{error}");
    assert!(error.contains("metrics_config"), "{error}");
    let missing = Scene::new("metrics_config=/none/metrics.yaml\n").load().unwrap_err();
    assert!(missing.to_string().contains("/none/metrics.yaml: cannot be read"), "{missing}");
}

#[test]
fn what_may_be_downloaded_is_checked_at_the_start() {
    let scene = Scene::new(
        "allowed_urls=https://a/.*,http://b/(\ndownload_allowed_networks=10.0.0.0/8, host\n\
         download_max_size=1 MiB\ndownload_timeout=0\ndownload_min_rate=0\n",
    );
    let messages = scene.messages();
    assert_eq!(messages.len(), 3, "{messages:?}");
    for (key, part) in [
        ("c:1: allowed_urls: ", "unclosed group"),
        ("c:2: download_allowed_networks: ", "\"host\" is none"),
        ("c:4: download_timeout: ", "seconds"),
    ] {
        let found = messages.iter().find(|message| message.starts_with(key));
        assert!(found.is_some_and(|message| message.contains(part)), "{key} {messages:?}");
    }
    let config = Scene::new("download_max_size=1 MiB\ndownload_min_rate=0\n").load().unwrap();
    assert_eq!((config.downloads.limits.max_size, config.downloads.limits.min_rate), (1 << 20, 0));
    assert_eq!(Config::default().downloads.limits, crate::download::DownloadLimits::default());
}

#[test]
fn the_command_line_beats_the_file() {
    let mut scene = Scene::new(
        "model_store=/file\nload_models=file.mar\nenable_model_api=false\n\
         disable_token_authorization=false\n",
    );
    scene.overrides.models = vec!["a.mar".to_string(), "b=c.mar".to_string()];
    scene.overrides.enable_model_api = true;
    let config = scene.load().unwrap();
    assert_eq!(config.model_store.as_deref(), Some(&*scene.folder.path().join("store")));
    assert_eq!(config.load_models, LoadModels::parse("a.mar,b=c.mar").unwrap());
    assert!(config.enable_model_api && config.disable_token_authorization);
}

#[test]
fn a_flag_that_is_absent_does_not_turn_a_key_off() {
    let mut scene = Scene::new("enable_model_api=true\ndisable_token_authorization=true\n");
    scene.overrides.disable_token_auth = false;
    let config = scene.load().unwrap();
    assert!(config.enable_model_api && config.disable_token_authorization);
}

#[test]
fn variables_beat_file_and_command_line_only_where_the_file_allows_it() {
    let text = "job_queue_size=1\n";
    let closed = Scene::new(text).env("TS_JOB_QUEUE_SIZE", "2").env("TS_MODEL_STORE", "/none");
    assert_eq!(closed.load().unwrap().job_queue_size, 1);
    let text = "job_queue_size=1\nenable_envvars_config=true\nio_ratio=50\n";
    let open = Scene::new(text)
        .env("TS_JOB_QUEUE_SIZE", "2")
        .env("TS_DISABLE_TOKEN_AUTHORIZATION", "false")
        .env("TS_IO_RATIO", "x")
        .env("TS_MODELS", "{");
    let config = open.load().unwrap();
    assert_eq!(config.job_queue_size, 2);
    assert!(!config.disable_token_authorization);
    // The key that opens the door cannot itself come through it.
    let scene = Scene::new("").env("TS_ENABLE_ENVVARS_CONFIG", "true").env("TS_DEBUG", "x");
    assert!(scene.load().is_ok());
    let wrong = Scene::new("enable_envvars_config=true").env("TS_JOB_QUEUE_SIZE", "many");
    assert_eq!(
        wrong.messages(),
        ["environment variable TS_JOB_QUEUE_SIZE: job_queue_size: got \"many\", expected a whole \
          number from 1 to 1000000"]
    );
}

#[test]
fn two_variables_follow_rules_of_their_own() {
    let scene = Scene::new("").env("TS_OPEN_INFERENCE_PROTOCOL", "maybe");
    assert!(scene.messages()[0].contains("TS_OPEN_INFERENCE_PROTOCOL: ts_open_inference_protocol"));
    let gated = |text| Scene::new(text).env("TS_ALLOWED_URLS", "https?://.*").notes();
    assert_eq!(gated("enable_envvars_config=true"), []);
    let without_the_door = gated("use_env_allowed_urls=true");
    assert!(!without_the_door.iter().any(|(_, text)| text.contains("TS_ALLOWED_URLS")));
    let both = gated("enable_envvars_config=true\nuse_env_allowed_urls=true");
    assert!(
        both.iter().any(|(_, text)| text.contains("TS_ALLOWED_URLS: allowed_urls")),
        "{both:?}"
    );
}

#[test]
fn the_variable_names_the_file_before_the_flag_does() {
    let scene = Scene::new("job_queue_size=7\n");
    let other = scene.folder.path().join("other");
    fs::write(&other, "job_queue_size=8\n").unwrap();
    let scene = scene.env("TS_CONFIG_FILE", other.to_str().unwrap());
    let config = scene.load().unwrap();
    assert_eq!((config.job_queue_size, config.file), (8, Some(other)));
    let [(level, text)] = scene.notes().try_into().unwrap();
    assert_eq!(level, Level::Warning);
    assert_eq!(
        text,
        "--ts-config c is not used: the environment variable TS_CONFIG_FILE=other comes first; \
         unset it to use the flag"
    );
}

#[test]
fn a_file_that_is_named_and_missing_is_an_error() {
    let mut scene = Scene::new("");
    scene.overrides.ts_config = Some(scene.folder.path().join("none"));
    scene.overrides.model_store = None;
    let missing = "file not found: none; give the path of a file";
    assert_eq!(scene.messages(), [format!("--ts-config: {missing}")]);
    let name = scene.folder.path().join("none");
    let scene = scene.env("TS_CONFIG_FILE", name.to_str().unwrap());
    assert_eq!(scene.messages(), [format!("TS_CONFIG_FILE: {missing}")]);
}

#[test]
fn a_file_is_read_as_utf_8_or_as_latin_1_and_not_beyond_its_limit() {
    let scene = Scene::new("default_service_handler=é\n");
    assert_eq!(scene.load().unwrap().default_service_handler.as_deref(), Some("é"));
    let file = scene.folder.path().join("c");
    fs::write(&file, b"default_service_handler=\xe9\n").unwrap();
    assert_eq!(scene.load().unwrap().default_service_handler.as_deref(), Some("é"));
    fs::write(&file, "#".repeat(1 << 20)).unwrap();
    assert!(scene.load().is_ok());
    fs::write(&file, "#".repeat((1 << 20) + 1)).unwrap();
    assert_eq!(scene.messages(), ["c: is larger than 1048576 bytes; is it a properties file?"]);
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_file() {
    let mut scene = Scene::new(
        "enable_model_api=yes\n\
         job_queue_size=0\n\
         inference_address=127.0.0.1:8080\n\
         default_service_handler=\\u12\n\
         metrics_config=$$NO_SUCH$$\n\
         load_models==\n\
         batch_policy=eager\n\
         default_response_timeout=2m\n\
         models={\"m\": 1}\n\
         netty_client_threads=some\n",
    );
    scene.overrides.model_store = None;
    let messages = scene.messages();
    let expected = [
        "c:1: enable_model_api: got \"yes\", expected true or false (TorchServe would take \
         anything but true as false)",
        "c:2: job_queue_size: got \"0\", expected a whole number from 1 to 1000000",
        "c:3: inference_address: got \"127.0.0.1:8080\", expected http://HOST[:PORT], \
         https://HOST[:PORT] or unix:/PATH, for example http://127.0.0.1:8080 or http://[::1]:8080",
        "c:4: \\u needs four hexadecimal digits, for example \\u00e9; write \\\\u for a backslash \
         and a u",
        "c:5: metrics_config: the environment variable NO_SUCH is not set; set it, or write the \
         value instead of $$NO_SUCH$$",
        "c:6: load_models: got \"=\", expected all, none, or a list like `a.mar, name=b.mar`",
        "c:7: batch_policy: got \"eager\", expected work_conserving or fill",
        "c:8: default_response_timeout: got \"2m\", expected seconds, a whole number from 1 to \
         31536000",
        "c:9: models: m: got \"1\", expected an object: {\"NAME\": {\"VERSION\": {\"minWorkers\": \
         1}}}",
        "c:10: netty_client_threads: got \"some\", expected a whole number from 0 to 2147483647",
        "model_store: is not set; give a folder with .mar files: model_store=DIR in the file, or \
         --model-store DIR",
    ];
    assert_eq!(messages, expected);
    assert_eq!(scene.load().unwrap_err().to_string().lines().count(), expected.len());
}

#[test]
fn the_model_store_must_be_a_folder_that_exists() {
    let mut scene = Scene::new("");
    scene.overrides.model_store = Some(scene.folder.path().join("c"));
    assert!(scene.messages()[0].starts_with("--model-store: model_store: c is not a directory; "));
    scene.overrides.model_store = Some("no/such".into());
    assert!(scene.messages()[0].starts_with(
        "--model-store: model_store: no/such does not exist in the working directory; give a "
    ));
}

#[test]
fn only_inference_and_management_may_share_an_address() {
    let ok = |text: &str| Scene::new(text).load().is_ok();
    let same = "inference_address=http://0.0.0.0:8085\nmanagement_address=http://0.0.0.0:8085\n\
                allow_open_management=true\n";
    assert!(ok(same));
    let free = "inference_address=http://127.0.0.1:0\nmanagement_address=http://127.0.0.1:0\n\
                metrics_address=http://127.0.0.1:0\n";
    assert!(ok(free));
    assert!(ok("metrics_address=http://127.0.0.1:8080\nenable_metrics_api=false"));
    let scene = Scene::new("metrics_address=http://127.0.0.1:8081");
    assert_eq!(
        scene.messages(),
        ["c:1: metrics_address: http://127.0.0.1:8081 is taken by management_address \
          (http://127.0.0.1:8081); choose another port; only inference and management may share \
          one"]
    );
    let scene = Scene::new("inference_address=http://0.0.0.0:8081");
    assert_eq!(
        scene.messages(),
        ["management_address: http://127.0.0.1:8081 is taken by inference_address \
          (http://0.0.0.0:8081); write both alike to share one listener, or choose another port"]
    );
}

#[test]
fn who_may_manage_from_other_machines_without_a_token_is_nobody_by_accident() {
    let open = "management_address=http://0.0.0.0:9081\n";
    let messages = Scene::new(open).messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(
        messages[0].starts_with("c:1: management_address: other machines can reach http://0.0")
    );
    assert!(messages[0].ends_with("allow_open_management=true"), "{messages:?}");
    assert!(Scene::new(&format!("{open}allow_open_management=true\n")).load().is_ok());
    // Predictions without a key are the operator's choice.
    assert!(Scene::new("inference_address=http://0.0.0.0:9080\n").load().is_ok());
    let mut with_keys = Scene::new(open);
    with_keys.overrides.disable_token_auth = false;
    assert!(with_keys.load().is_ok());
}

#[test]
fn workers_are_bounded() {
    let messages = Scene::new("default_workers_per_model=300\n").messages();
    assert!(messages[0].contains("at most workers_max (256); raise that first"), "{messages:?}");
    assert!(Scene::new("default_workers_per_model=300\nworkers_max=300\n").load().is_ok());
}

#[test]
fn notes_say_what_has_no_effect_and_why() {
    let scene = Scene::new(
        "async_logging=true\ngrpc_inference_port=7070\ngrpc_management_port=9071\n\
         metrics_mode=prometheus\njob_queue_sise=3\nmy.own.key=1\ndebug=false\n\
         max_request_size=1\nmax_request_size=2\n",
    );
    assert_eq!(scene.load().unwrap().max_request_size, 2);
    let mut notes = scene.notes();
    notes.sort_by(|a, b| a.1.cmp(&b.1));
    let expected = [
        (
            Level::Notice,
            "c:1: async_logging: has no effect: the log is always written by a thread of its own",
        ),
        (
            Level::Warning,
            "c:3: grpc_management_port: has no effect: gRPC is not available in this version; \
             only REST listeners are started",
        ),
        (
            Level::Warning,
            "c:5: \"job_queue_sise\" is not a known key and has no effect; did you mean \
             job_queue_size?",
        ),
        (Level::Warning, "c:6: \"my.own.key\" is not a known key and has no effect"),
        (
            Level::Notice,
            "c:7: debug: has no effect: there is no worker process to attach a debugger to",
        ),
        (
            Level::Warning,
            "c:9: max_request_size: is set on line 8 already; the last one is used, remove the \
             other",
        ),
    ]
    .map(|(level, text)| (level, text.to_string()));
    assert_eq!(notes, expected);
}

#[test]
fn tokens_are_asked_for_unless_the_operator_says_otherwise() {
    for text in ["", "disable_token_authorization=false"] {
        let mut scene = Scene::new(text);
        scene.overrides.disable_token_auth = false;
        assert_eq!(scene.notes(), []);
        let config = scene.load().unwrap();
        assert!(!config.disable_token_authorization);
        assert_eq!(config.token_expiration, Duration::from_secs(3600));
        assert_eq!(config.key_file, Path::new("key_file.json"));
    }
    assert_eq!(Scene::new("").notes(), []);
}

#[test]
fn a_token_lives_for_minutes_and_fractions_of_them_but_for_some_time() {
    let read = |minutes: &str| Scene::new(&format!("token_expiration_min={minutes}")).load();
    assert_eq!(read("0.25").unwrap().token_expiration, Duration::from_secs(15));
    assert_eq!(read("52560000").unwrap().token_expiration.as_secs(), 100 * 365 * 24 * 3600);
    for minutes in ["0", "0.0000001", "52560001", "1e300"] {
        let said = read(minutes).unwrap_err().to_string();
        let expected =
            format!("got \"{minutes}\", expected minutes, more than 0 and at most 52560000");
        assert!(said.contains(&expected), "{said}");
    }
}

#[test]
fn flags_without_meaning_give_a_notice() {
    let mut scene = Scene::new("");
    scene.overrides.plugins_path = Some("jars".into());
    let notes = scene.notes();
    assert!(notes.iter().all(|(level, _)| *level == Level::Notice), "{notes:?}");
    assert!(notes[0].1.starts_with("--plugins-path: plugins_path: has no effect"), "{notes:?}");
}

#[test]
fn log_files_come_with_log_location_or_when_asked_for_and_log4j_decides_alone() {
    let files = |config: &Config| {
        let paths = config.log_sinks.iter().map(|sink| match &sink.to {
            Destination::File(file) => file.path.display().to_string(),
            Destination::Stdout => "out".to_owned(),
            Destination::Stderr => "err".to_owned(),
        });
        paths.collect::<Vec<_>>()
    };
    let load = |scene: Scene| scene.load().unwrap();
    assert_eq!(files(&load(Scene::new(""))), ["out"]);
    let named = load(Scene::new("").env("LOG_LOCATION", "/l"));
    let all = ["out", "/l/access_log.log", "/l/model_log.log", "/l/ts_log.log"];
    assert_eq!(files(&named), all);
    let silent = load(Scene::new("log_files=false\n").env("LOG_LOCATION", "/l"));
    assert_eq!(files(&silent), ["out"]);
    assert_eq!(files(&load(Scene::new("log_files=true\n")))[1], "logs/access_log.log");

    let log4j = r#"<Configuration><Appenders>
        <File name="f" fileName="${env:LOG_LOCATION}/mine.log"/><Console name="c"/>
        <File name="m" fileName="/m/mine.log"/></Appenders>
        <Loggers><Root level="warn"><AppenderRef ref="f"/><AppenderRef ref="c"/></Root>
        <Logger name="MODEL_METRICS" additivity="false"><AppenderRef ref="m"/></Logger></Loggers>
        </Configuration>"#;
    let with_flag = |lines: &str| {
        let mut scene = Scene::new(lines).env("LOG_LOCATION", "/l");
        let path = scene.folder.path().join("log4j2.xml");
        fs::write(&path, log4j).unwrap();
        scene.overrides.log_config = Some(path);
        load(scene)
    };
    let config = with_flag("");
    assert_eq!(files(&config), ["/l/mine.log", "out"]);
    let model = RollingSettings { path: "/m/mine.log".into(), size: None, daily: false, keep: 7 };
    assert_eq!(config.metrics_settings.files.model, model);
    assert_eq!(config.notes, []);
    assert_ne!(config.log_sinks[1].layout, Layout::Json);
    assert_eq!(with_flag("log_format=json\n").log_sinks[1].layout, Layout::Json);

    let scene = Scene::new("vmargs=-Xmx4g -Dlog4j.configurationFile=file:///none/log4j2.xml\n");
    let config = load(scene);
    assert_eq!(files(&config), ["out"]);
    let note = config.notes.iter().find(|note| note.level == Level::Warning).unwrap();
    assert!(note.text.contains("/none/log4j2.xml: cannot be read"), "{}", note.text);
    let mut scene = Scene::new("");
    scene.overrides.log_config = Some("/none/log4j2.xml".into());
    let error = scene.load().unwrap_err().to_string();
    assert!(error.contains("--log-config: /none/log4j2.xml does not exist"), "{error}");
}

#[test]
fn no_value_of_a_secret_is_repeated() {
    let scene = Scene::new("keystore_pass=hunter2\nkeystore=k\n");
    assert!(!format!("{:?}", scene.load()).contains("hunter2"));
}

#[test]
fn cors_settings_become_policies_with_their_warnings_among_the_notes() {
    let scene = Scene::new("x=1\ncors.allowed.origin=https://a.example\n");
    let policies = scene.load().unwrap().policies;
    assert!(policies.of(Listener::Inference).base().is_on());
    assert!(!policies.of(Listener::Management).base().is_on());
    let notes = scene.notes();
    let found = notes.iter().any(|(level, text)| {
        *level == Level::Warning && text.starts_with("c:2: cors.") && text.ends_with("[CORS-W111]")
    });
    assert!(found, "{notes:?}");
}

#[test]
fn cors_mistakes_are_reported_with_all_others_and_keys_keep_their_dots() {
    let scene = Scene::new(
        "debug=x\ncors.allowed.origin=https://a.example\ncors.allowed.origin.file=none\n\
         cors.allowed.origin=https://b.example\nmanagement.cors.x=1\n",
    );
    let messages = scene.messages();
    for (message, (start, code)) in messages.iter().zip([
        ("c:1: debug: got", "as false)"),
        ("c:3: cors.allowed.origin.file: ", "[CORS-E090]"),
        ("c:4: cors.allowed.origin: ", "[CORS-E002]"),
        ("c:5: management.cors.x: ", "[CORS-E001]"),
    ]) {
        assert!(message.starts_with(start) && message.ends_with(code), "{message}");
    }
    assert_eq!(messages.len(), 4);
}

#[test]
fn variables_set_cors_policies_only_where_the_file_allows_it() {
    let on = |text: &str| {
        let scene = Scene::new(text).env("TS_CORS_ALLOWED_ORIGIN", "https://a.example");
        scene.load().unwrap().policies.of(Listener::Inference).base().is_on()
    };
    assert!(on("enable_envvars_config=true"));
    assert!(!on(""));
}

#[test]
fn cors_settings_can_be_compiled_without_a_server() {
    let scene = Scene::new("debug=x\ncors.allowed.origin=https://a.example/\n")
        .env("TS_CONFIG_FILE", "/no/such/file");
    let file = scene.folder.path().join("c");
    let compiled = Config::compile_cors(&file, &scene.environment).unwrap();
    assert_eq!(compiled.problems.len(), 1);
    assert_eq!((compiled.problems[0].code, compiled.problems[0].line), ("CORS-E014", 2));
    let missing = Config::compile_cors(Path::new("no/such"), &scene.environment).unwrap_err();
    assert!(missing.to_string().starts_with("no/such: cannot be read: "), "{missing}");
    fs::write(&file, "k=\\u1").unwrap();
    assert!(Config::compile_cors(&file, &scene.environment).is_err());
}

#[test]
fn the_packages_own_file_loads_without_a_word() {
    // Cargo runs tests in the folder of the package, where the file is found without a name.
    let config = Config::load(&Overrides::default(), &BTreeMap::new()).unwrap();
    assert_eq!(config.file.as_deref(), Some(Path::new("config.properties")));
    assert_eq!(config.notes, []);
    for role in Role::ALL {
        assert!(config.address(role).is_loopback(), "{role:?}");
    }
    assert_eq!(config.load_models, LoadModels::parse("digits.mar").unwrap());
    assert_eq!(config.model_store.as_deref(), Some(Path::new("models")));
    assert!(config.disable_token_authorization && !config.enable_model_api);
    assert!(config.policies.of(Listener::Inference).base().is_on());
    assert!(!config.policies.of(Listener::Management).base().is_on());
}
