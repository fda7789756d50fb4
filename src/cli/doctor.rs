//! `torchfront doctor`: its flags.

use std::path::PathBuf;

use clap::Args;

/// `doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    about = "Report how safely a configuration would serve on this machine",
    long_about = "Reads the configuration as a start would and looks at the machine: who can reach \
        which API and with what key, TLS, CORS, the bounds on clients, threads against the cores \
        that are granted, GPUs, and the folders that are written. Each weak point comes with its \
        fix. No address is opened, no model is loaded, nothing is written.",
    after_help = "Exit status: 0: no weak point, 1: weak points, 78: the configuration is wrong."
)]
pub struct Doctor {
    /// The configuration file; without it the one that a start would find
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// The folder with model archives, where the file names none
    #[arg(long, value_name = "DIR")]
    pub model_store: Option<PathBuf>,

    /// Judge a start with --disable-token-auth
    #[arg(long)]
    pub disable_token_auth: bool,

    /// Judge a start with --enable-model-api
    #[arg(long)]
    pub enable_model_api: bool,

    /// Print JSON for programs
    #[arg(long)]
    pub json: bool,
}
