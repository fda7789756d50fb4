//! `torchfront migrate`: its flags.

use std::path::PathBuf;

use clap::Args;

/// `migrate`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    about = "Report what of a TorchServe installation runs here",
    long_about = "Reads the configuration and the model store of a TorchServe installation and \
        reports, key by key and model by model, what runs as it is, what changes and what does not \
        run yet, each with the reason. Every model of the store is opened and loaded once; nothing is \
        written there.",
    after_help = "Exit status: 0: everything runs, 1: something does not, or cannot be read."
)]
pub struct Migrate {
    /// A config.properties, or a folder: with a config.properties in it, or a model store
    #[arg(value_name = "DIR|FILE")]
    pub path: PathBuf,

    /// The model store, where the file names none or it has been moved
    #[arg(long, value_name = "DIR")]
    pub model_store: Option<PathBuf>,

    /// Print JSON for programs
    #[arg(long)]
    pub json: bool,
}
