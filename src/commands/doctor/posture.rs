//! What of a configuration is weak on a machine, and the fix. PURE.

use std::time::Duration;

use serde::Serialize;

use super::machine::Machine;
use crate::config::{Config, Level, Role, TlsIdentity};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) area: &'static str,
    pub(super) state: State,
    pub(super) what: String,
    /// What to do; none where nothing is.
    pub(super) fix: Option<String>,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Good,
    /// Something to mend, or to know of.
    Weak,
}

/// Collects.
struct Posture<'a> {
    config: &'a Config,
    machine: &'a Machine,
    found: Vec<Finding>,
}

/// Descriptors that a server needs besides its connections.
const OWN_DESCRIPTORS: u64 = 256;
/// Keys that are good for longer are as good as passwords.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// Judges everything, in the order in which it is read.
pub(super) fn of(config: &Config, machine: &Machine) -> Vec<Finding> {
    let mut posture = Posture { config, machine, found: Vec::new() };
    posture.listeners();
    posture.keys();
    posture.tls();
    posture.notes();
    posture.bounds();
    posture.threads();
    posture.gpus();
    posture.files();
    posture.found
}

// === impl Posture ===

impl Posture<'_> {
    fn good(&mut self, area: &'static str, what: impl Into<String>) {
        self.found.push(Finding { area, state: State::Good, what: what.into(), fix: None });
    }

    fn weak(&mut self, area: &'static str, what: impl Into<String>, fix: impl Into<String>) {
        let (what, fix) = (what.into(), Some(fix.into()));
        self.found.push(Finding { area, state: State::Weak, what, fix });
    }

    fn listeners(&mut self) {
        let keys = !self.config.disable_token_authorization;
        for role in Role::ALL {
            let (area, key) = match role {
                Role::Inference => ("inference", keys),
                Role::Management => ("management", keys),
                // As in TorchServe, whose metrics listener never asks.
                Role::Metrics => ("metrics", false),
            };
            if role == Role::Metrics && !self.config.enable_metrics_api {
                self.good(area, "off");
                continue;
            }
            let address = self.config.address(role);
            let local = match role {
                Role::Inference => "inference_address=http://127.0.0.1:8080 behind a proxy",
                Role::Management => "management_address=http://127.0.0.1:8081",
                Role::Metrics => "metrics_address=http://127.0.0.1:8082, or a private address",
            };
            match (address.is_loopback(), key) {
                (true, _) => self.good(area, format!("{address}: only this machine")),
                (false, true) => self.good(area, format!("{address}: who has the key")),
                (false, false) if role == Role::Metrics => {
                    self.weak(area, format!("{address} tells its metrics to everybody"), local);
                }
                (false, false) => {
                    let fix = format!("disable_token_authorization=false, or {local}");
                    self.weak(area, format!("{address} asks nobody for a key"), fix);
                }
            }
        }
    }

    fn keys(&mut self) {
        let config = self.config;
        match (config.disable_token_authorization, config.enable_model_api) {
            (true, true) => self.weak(
                "tokens",
                "off, and models can be registered over HTTP: every program of this machine can \
                 bring its own code",
                "disable_token_authorization=false, or enable_model_api=false",
            ),
            (true, false) => self.good("tokens", "off; models cannot be registered over HTTP"),
            (false, _) if config.token_expiration > LONG => self.weak(
                "tokens",
                format!("a key is good for {} hours", config.token_expiration.as_secs() / 3600),
                "token_expiration_min=60",
            ),
            (false, _) => self.good("tokens", "on"),
        }
    }

    fn tls(&mut self) {
        let config = self.config;
        let served = |role: &Role| *role != Role::Metrics || config.enable_metrics_api;
        let roles: Vec<Role> = Role::ALL.into_iter().filter(served).collect();
        let is_open = |role: &&Role| {
            let address = config.address(**role);
            !address.is_loopback() && !address.is_tls()
        };
        let plain: Vec<&str> = roles.iter().filter(is_open).map(|role| role.key()).collect();
        if !plain.is_empty() {
            self.weak(
                "TLS",
                format!("{}: keys and data travel readable", plain.join(", ")),
                "https:// with private_key_file and certificate_file, or a proxy that speaks TLS",
            );
        } else if roles.iter().any(|role| config.address(*role).is_tls()) {
            match config.tls {
                TlsIdentity::SelfSigned => self.weak(
                    "TLS",
                    "the certificate is self-signed and new at each start: browsers refuse it",
                    "private_key_file and certificate_file",
                ),
                TlsIdentity::Pem { .. } | TlsIdentity::Pkcs12 { .. } => self.good("TLS", "on"),
            }
        } else {
            self.good("TLS", "not needed: nothing leaves this machine");
        }
    }

    /// CORS, downloads and the rest: what a start warns of, with its fix in its words.
    fn notes(&mut self) {
        let warnings: Vec<String> = self
            .config
            .notes
            .iter()
            .filter(|note| note.level == Level::Warning)
            .map(|note| note.text.clone())
            .collect();
        if warnings.is_empty() {
            self.good("settings", "a start warns of nothing, CORS included");
        }
        for warning in warnings {
            let (what, fix) = match warning.rsplit_once("; ") {
                Some((what, fix)) => (what.to_owned(), fix.to_owned()),
                None => (warning, "see the documentation of the key".to_owned()),
            };
            self.weak("settings", what, fix);
        }
    }

    fn bounds(&mut self) {
        let config = self.config;
        let connections = config.connections.total as u64;
        // Inference and management; metrics.
        let needed = connections + OWN_DESCRIPTORS;
        match self.machine.descriptors {
            Some(most) if most < needed => self.weak(
                "bounds",
                format!("connections_max={connections} needs {needed} descriptors, and {most} are granted"),
                format!(
                    "LimitNOFILE={needed} (ulimit -Hn), or connections_max={}",
                    most.saturating_sub(OWN_DESCRIPTORS).max(1)
                ),
            ),
            _ => self.good("bounds", format!("{connections} connections fit the descriptors")),
        }
        let bodies = config.bodies.memory_max as u64;
        match self.machine.memory {
            Some(memory) if bodies > memory / 2 => self.weak(
                "bounds",
                format!(
                    "body_memory_max={bodies} is more than half of the {memory} bytes of memory"
                ),
                format!("body_memory_max={}", memory / 4),
            ),
            _ => self.good("bounds", format!("{bodies} bytes of bodies fit the memory")),
        }
        if config.max_request_size > config.bodies.memory_max {
            self.weak(
                "bounds",
                format!(
                    "a body of max_request_size={} never fits body_memory_max",
                    config.max_request_size
                ),
                format!("body_memory_max={} or more", config.max_request_size),
            );
        }
    }

    fn threads(&mut self) {
        let cores = self.machine.cores;
        for (key, asked) in [
            ("default_workers_per_model", self.config.default_workers_per_model),
            ("number_of_netty_threads", self.config.http_workers),
            ("decode_threads", self.config.decode_threads),
        ] {
            let Some(asked) = asked.map(std::num::NonZeroUsize::get) else { continue };
            // On a GPU a worker waits more than it computes.
            if asked > cores && self.machine.gpus == 0 {
                let what = format!(
                    "{key}={asked} on {cores} granted cores: they stand in each other's way"
                );
                self.weak("threads", what, format!("{key}={cores}, or 0 for the default"));
            }
        }
        if !self.found.iter().any(|finding| finding.area == "threads") {
            self.good("threads", format!("fit the {cores} granted cores"));
        }
    }

    fn gpus(&mut self) {
        let seen = self.machine.gpus;
        match self.config.number_of_gpu {
            Some(asked) if asked > seen => self.weak(
                "GPU",
                format!("number_of_gpu={asked}, and {seen} are seen: the server will not start"),
                format!("number_of_gpu={seen}, or a build with CUDA and its driver"),
            ),
            _ => self.good("GPU", format!("{seen} seen")),
        }
    }

    fn files(&mut self) {
        for (what, path, problem) in &self.machine.written {
            let path = path.display();
            match problem {
                Some(problem) => {
                    let what = format!("{path}, for {what}, cannot be written: {problem}");
                    self.weak("files", what, format!("let this user write in {path}"));
                }
                None => self.good("files", format!("{path}: {what}")),
            }
        }
        for (what, path, mode) in &self.machine.exposed {
            let (path, letter) = (path.display(), if mode & 0o002 != 0 { "w" } else { "rwx" });
            self.weak(
                "files",
                format!("{what}, {path}, is open to every user (mode {mode:04o})"),
                format!("chmod o-{letter} {path}"),
            );
        }
        match self.machine.is_root {
            true => self.weak(
                "user",
                "root: a model's code could do everything",
                "a user of its own, as in deploy/torchfront.service",
            ),
            false => self.good("user", "not root"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::config::{ListenAddress, Scheme};

    fn machine() -> Machine {
        Machine {
            cores: 2,
            memory: Some(16 << 30),
            descriptors: Some(65_536),
            gpus: 0,
            is_root: false,
            written: vec![("unpacked archives", "/tmp".into(), None)],
            exposed: Vec::new(),
        }
    }

    fn weak(config: &Config, machine: &Machine) -> Vec<String> {
        let findings = of(config, machine);
        assert!(findings.iter().all(|each| (each.state == State::Weak) == each.fix.is_some()));
        let weak = findings.into_iter().filter(|each| each.state == State::Weak);
        weak.map(|each| format!("{}: {}", each.area, each.what)).collect()
    }

    fn everywhere(port: u16) -> ListenAddress {
        ListenAddress::Tcp { scheme: Scheme::Http, host: "0.0.0.0".to_owned(), port }
    }

    #[test]
    fn the_defaults_have_no_weak_point() {
        assert_eq!(weak(&Config::default(), &machine()), Vec::<String>::new());
    }

    #[test]
    fn every_weak_point_of_a_configuration_is_found() {
        let config = Config {
            inference: everywhere(8080),
            management: everywhere(8081),
            metrics: everywhere(8082),
            disable_token_authorization: true,
            enable_model_api: true,
            number_of_gpu: Some(1),
            default_workers_per_model: NonZeroUsize::new(64),
            max_request_size: 2 << 30,
            ..Config::default()
        };
        let found = weak(&config, &machine());
        for (at, start) in [
            "inference: http://0.0.0.0:8080 asks nobody for a key",
            "management: http://0.0.0.0:8081 asks nobody for a key",
            "metrics: http://0.0.0.0:8082 tells its metrics to everybody",
            "tokens: off, and models can be registered",
            "TLS: inference_address, management_address, metrics_address: keys and data travel",
            "bounds: a body of max_request_size=2147483648 never fits",
            "threads: default_workers_per_model=64 on 2 granted cores",
            "GPU: number_of_gpu=1, and 0 are seen",
        ]
        .into_iter()
        .enumerate()
        {
            assert!(found.get(at).is_some_and(|got| got.starts_with(start)), "{start}: {found:#?}");
        }
        assert_eq!(found.len(), 8, "{found:#?}");
    }

    #[test]
    fn every_weak_point_of_a_machine_is_found() {
        let small = Machine {
            memory: Some(1 << 30),
            descriptors: Some(1024),
            is_root: true,
            written: vec![("snapshots", "/logs".into(), Some("Read-only".to_owned()))],
            exposed: vec![("the model store", "/models".into(), 0o777)],
            ..machine()
        };
        let found = weak(&Config::default(), &small);
        assert_eq!(found.len(), 5, "{found:#?}");
        assert!(found[0].contains("10256 descriptors, and 1024 are granted"));
        assert!(found[2].contains("/logs, for snapshots, cannot be written: Read-only"));
        assert!(found[3].contains("/models, is open to every user (mode 0777)"));
    }
}
