//! The command line: TorchServe's flags with TorchServe's meaning, plus `cors`, `archive`, `migrate`,
//! `doctor` and `bench`.
//!
//! Called by `main.rs`. Only text is read here; what the values mean is decided in `config/`.

mod archive;
mod bench;
mod cors;
mod doctor;
mod migrate;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand};

pub use archive::{Archive, ArchiveFormat};
pub use bench::{Arrivals, Bench};
pub use cors::{
    CorsCheck, CorsDiff, CorsExplain, CorsExport, CorsProbe, CorsVectors, ExportTarget, Listener,
};
pub use doctor::Doctor;
pub use migrate::Migrate;

/// What the flags say about the configuration; a flag that was not given says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--ts-config`.
    pub ts_config: Option<PathBuf>,
    /// `--model-store`.
    pub model_store: Option<PathBuf>,
    /// `--workflow-store`.
    pub workflow_store: Option<PathBuf>,
    /// `--models`, one element a word.
    pub models: Vec<String>,
    /// `--log-config`.
    pub log_config: Option<PathBuf>,
    /// `--cpp-log-config`.
    pub cpp_log_config: Option<PathBuf>,
    /// `--plugins-path`.
    pub plugins_path: Option<PathBuf>,
    /// `--disable-token-auth`; false says nothing.
    pub disable_token_auth: bool,
    /// `--enable-model-api`; false says nothing.
    pub enable_model_api: bool,
    /// `--snapshot`; `latest` when it has no value.
    pub snapshot: Option<String>,
    /// `--no-config-snapshots`.
    pub no_config_snapshots: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Serve.
    Start {
        /// Until a signal; otherwise the program returns and a child serves.
        foreground: bool,
    },
    /// Stop the server that runs in the background.
    Stop {
        /// Wait until it has stopped.
        foreground: bool,
    },
    /// Print [`version_text`].
    Version,
    /// Print what is wrong with the CORS settings of a file.
    CorsCheck(CorsCheck),
    /// Print what the CORS settings do with one request.
    CorsExplain(CorsExplain),
    /// Look at the CORS of a running server, through the network.
    CorsProbe(Box<CorsProbe>),
    /// Write a CORS policy for an edge.
    CorsExport(CorsExport),
    /// Compare the CORS policies of two files.
    CorsDiff(CorsDiff),
    /// Hold a CORS policy against written expectations.
    CorsVectors(CorsVectors),
    /// Offer load to a URL.
    Bench(Box<Bench>),
    /// Make a model archive, or explain one.
    Archive(Box<Archive>),
    /// Report what of a TorchServe installation runs here.
    Migrate(Migrate),
    /// Report how safely a configuration would serve.
    Doctor(Doctor),
}

/// The whole command line.
///
/// `torchfront --ts-config FILE` is enough: without `--start` the server runs in the foreground.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "torchfront",
    about = "Serves PyTorch models over HTTP, from TorchServe's configuration and archives.",
    long_about = "Serves PyTorch models over HTTP, from TorchServe's configuration and archives.\n\n\
        `torchfront --ts-config FILE` serves in the foreground until it gets SIGTERM or Ctrl-C; \
        with --start and without --foreground it goes to the background, as torchserve does.\n\n\
        A value from the command line overrides the same key in the file.",
    disable_version_flag = true,
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Clone, Args)]
struct Serve {
    /// Print the version and exit
    #[arg(short = 'v', long, conflicts_with_all = ["start", "stop"])]
    version: bool,

    /// Start the server; in the background, unless --foreground is given as well
    #[arg(long, conflicts_with = "stop")]
    start: bool,

    /// Stop the server that was started in the background
    #[arg(long)]
    stop: bool,

    /// Stay in the foreground: for containers and process supervisors; with --stop, wait for the
    /// end. The default without --start
    #[arg(long)]
    foreground: bool,

    /// The configuration file, in Java's properties format. The variable TS_CONFIG_FILE comes
    /// first; without either, ./config.properties where it exists, else built-in defaults
    #[arg(long, value_name = "FILE")]
    ts_config: Option<PathBuf>,

    /// The folder with model archives; mandatory here or as model_store in the file. Models are
    /// loaded from nowhere else
    #[arg(long, value_name = "DIR")]
    model_store: Option<PathBuf>,

    /// Archives to load at the start: `all`, or names in the model store, each with an optional
    /// name to register under (`A.mar B=C.mar`). Default: none
    #[arg(long, value_name = "[NAME=]ARCHIVE", num_args = 1.., action = ArgAction::Append)]
    models: Vec<String>,

    /// Let every client in that can connect. Without it clients need the keys that the server writes
    /// to `key_file.json`
    #[arg(long, visible_alias = "dt")]
    disable_token_auth: bool,

    /// Let clients register and unregister models. Off by default, because a model is code
    #[arg(long)]
    enable_model_api: bool,

    /// Start with the models of a snapshot in place of load_models: of this file, or of the latest
    /// one in $LOG_LOCATION/config (./logs/config) if there is any. All other settings are those of
    /// the configuration file
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "latest")]
    snapshot: Option<String>,

    /// Write no snapshots to $LOG_LOCATION/config (./logs/config)
    #[arg(long, visible_alias = "ncs")]
    no_config_snapshots: bool,

    /// Accepted for TorchServe's sake: workflows are not available
    #[arg(long, value_name = "DIR")]
    workflow_store: Option<PathBuf>,

    /// TorchServe's log4j2.xml: its files, patterns and levels are followed as far as they can be
    #[arg(long, value_name = "FILE")]
    log_config: Option<PathBuf>,

    /// Accepted for TorchServe's sake: there is no C++ worker process
    #[arg(long, value_name = "FILE")]
    cpp_log_config: Option<PathBuf>,

    /// Accepted for TorchServe's sake: Java plug-ins cannot be loaded
    #[arg(long, visible_alias = "ppath", value_name = "PATH")]
    plugins_path: Option<PathBuf>,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// CORS: examine and compare settings, export them, look at a running server
    Cors {
        #[command(subcommand)]
        command: cors::Command,
    },
    Archive(Box<Archive>),
    Migrate(Migrate),
    Doctor(Doctor),
    Bench(Box<Bench>),
}

// === impl Cli ===

impl Cli {
    /// Takes the name into account that the program was called by: through a link called
    /// `torchserve` it starts in the background where TorchServe does, without `--start` as well.
    #[must_use]
    pub fn called_as(mut self, program: &OsStr) -> Cli {
        let starts = self.command.is_none() && !self.serve.version && !self.serve.stop;
        if starts && Path::new(program).file_name() == Some(OsStr::new("torchserve")) {
            self.serve.start = true;
        }
        self
    }

    /// What to do, and what the flags say about the configuration.
    pub fn into_parts(self) -> (Action, Overrides) {
        let serve = self.serve;
        let action = match self.command {
            Some(Command::Cors { command }) => command.into_action(),
            Some(Command::Archive(archive)) => Action::Archive(archive),
            Some(Command::Migrate(migrate)) => Action::Migrate(migrate),
            Some(Command::Doctor(doctor)) => Action::Doctor(doctor),
            Some(Command::Bench(bench)) => Action::Bench(bench),
            None if serve.version => Action::Version,
            None if serve.stop => Action::Stop { foreground: serve.foreground },
            None => Action::Start { foreground: serve.foreground || !serve.start },
        };
        let overrides = Overrides {
            ts_config: serve.ts_config,
            model_store: serve.model_store,
            workflow_store: serve.workflow_store,
            models: serve.models,
            log_config: serve.log_config,
            cpp_log_config: serve.cpp_log_config,
            plugins_path: serve.plugins_path,
            disable_token_auth: serve.disable_token_auth,
            enable_model_api: serve.enable_model_api,
            snapshot: serve.snapshot,
            no_config_snapshots: serve.no_config_snapshots,
        };
        (action, overrides)
    }
}

/// What `--version` prints.
pub fn version_text() -> String {
    format!("Torchfront Version is {}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<(Action, Overrides), String> {
        let words = std::iter::once("torchfront").chain(line.split_whitespace());
        Cli::try_parse_from(words).map(Cli::into_parts).map_err(|error| error.to_string())
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_action_follows_torchserve_and_the_foreground_is_the_default_without_start() {
        for (line, action) in [
            ("", Action::Start { foreground: true }),
            ("--ts-config c", Action::Start { foreground: true }),
            ("--start", Action::Start { foreground: false }),
            ("--start --foreground", Action::Start { foreground: true }),
            ("--stop", Action::Stop { foreground: false }),
            ("--stop --foreground", Action::Stop { foreground: true }),
            ("-v", Action::Version),
            ("--version", Action::Version),
        ] {
            assert_eq!(parse(line).unwrap().0, action, "{line}");
        }
        for line in ["--start --stop", "--stop -v", "--start --version", "--nothing", "extra"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn through_a_link_called_torchserve_the_background_is_the_default() {
        let action = |program: &str, line: &str| {
            let words = std::iter::once(program).chain(line.split_whitespace());
            Cli::try_parse_from(words).unwrap().called_as(OsStr::new(program)).into_parts().0
        };
        for (program, line, expected) in [
            ("/usr/bin/torchserve", "--ncs", Action::Start { foreground: false }),
            ("torchserve", "--foreground", Action::Start { foreground: true }),
            ("torchserve", "--stop", Action::Stop { foreground: false }),
            ("torchserve", "--version", Action::Version),
            ("torchserve/torchfront", "", Action::Start { foreground: true }),
        ] {
            assert_eq!(action(program, line), expected, "{program} {line}");
        }
    }

    #[test]
    fn every_flag_of_torchserve_is_read_under_both_its_names() {
        let (_, overrides) = parse(
            "--start --ncs --foreground --ts-config c --model-store m --workflow-store w \
             --models a.mar b=c.mar --log-config l --cpp-log-config p --ppath j --dt \
             --enable-model-api",
        )
        .unwrap();
        assert_eq!(
            overrides,
            Overrides {
                ts_config: Some("c".into()),
                model_store: Some("m".into()),
                workflow_store: Some("w".into()),
                models: vec!["a.mar".into(), "b=c.mar".into()],
                log_config: Some("l".into()),
                cpp_log_config: Some("p".into()),
                plugins_path: Some("j".into()),
                disable_token_auth: true,
                enable_model_api: true,
                snapshot: None,
                no_config_snapshots: true,
            }
        );
        let long = "--no-config-snapshots --plugins-path j --disable-token-auth";
        let (_, overrides) = parse(long).unwrap();
        assert!(overrides.disable_token_auth && overrides.plugins_path.is_some());
        assert!(overrides.no_config_snapshots);
        let snapshot = |line| parse(line).unwrap().1.snapshot;
        assert_eq!(snapshot("--snapshot --ncs").as_deref(), Some("latest"));
        assert_eq!(snapshot("--snapshot f.cfg").as_deref(), Some("f.cfg"));
        assert_eq!(parse("").unwrap().1, Overrides::default());
    }

    #[test]
    fn the_cors_commands_are_parsed() {
        let (action, overrides) = parse("cors check --strict --json f.properties").unwrap();
        let check = CorsCheck { strict: true, json: true, file: "f.properties".into() };
        assert_eq!((action, overrides), (Action::CorsCheck(check), Overrides::default()));
        let (action, _) = parse(
            "cors explain --listener management --origin https://a.example --method PUT \
             --headers a,b --credentials --path /models/x --ts-config f",
        )
        .unwrap();
        assert_eq!(
            action,
            Action::CorsExplain(CorsExplain {
                listener: Listener::Management,
                origin: "https://a.example".into(),
                method: "PUT".into(),
                headers: vec!["a".into(), "b".into()],
                credentials: true,
                path: "/models/x".into(),
                json: false,
                ts_config: "f".into(),
            })
        );
        assert!(parse("cors explain --origin x").unwrap_err().contains("--ts-config"));
        assert!(parse("cors").is_err() && parse("cors check").is_err());
    }

    #[test]
    fn the_version_is_the_packages() {
        let text = version_text();
        assert!(text.starts_with("Torchfront Version is ") && text.contains('.'), "{text}");
    }
}
