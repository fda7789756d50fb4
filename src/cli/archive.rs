//! `torchfront archive`: the flags of `torch-model-archiver`, and `--explain`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `archive`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    about = "Make a model archive, or explain one",
    long_about = "Makes a model archive from the flags of torch-model-archiver. The model is loaded \
        first: what this server could not serve is refused with the reason, or made with a warning \
        under --force.\n\n\
        With --explain FILE: prints the manifest of an archive, its handler, the arguments of its \
        model, and each key of model-config.yaml that is read for it, with its value or default.",
    after_help = "Examples:\n  \
        torchfront archive --model-name digits --version 1.0 --serialized-file digits.pt \
        --handler image_classifier --config-file model-config.yaml --export-path models\n  \
        torchfront archive --explain models/digits.mar\n\n\
        Exit status: 0: made, or could be served, 1: not, 2: wrong flags."
)]
pub struct Archive {
    /// The archive's name, and the model's
    #[arg(long, value_name = "NAME", required_unless_present = "explain")]
    pub model_name: Option<String>,

    /// The model's version
    #[arg(short = 'v', long, value_name = "VERSION", required_unless_present = "explain")]
    pub version: Option<String>,

    /// A built-in handler, or a Python file with an optional `:function`
    #[arg(long, value_name = "HANDLER", required_unless_present = "explain")]
    pub handler: Option<String>,

    /// The TorchScript file
    #[arg(long, value_name = "FILE")]
    pub serialized_file: Option<PathBuf>,

    /// The Python file of an eager model
    #[arg(long, value_name = "FILE")]
    pub model_file: Option<PathBuf>,

    /// More files, between commas: paths, patterns with `*`, `?` and `[]`, or folders, whose contents
    /// are taken
    #[arg(long, value_name = "A,B")]
    pub extra_files: Option<String>,

    /// The language of the handler
    #[arg(long, value_name = "RUNTIME", value_parser = ["python", "python3", "LSP"], default_value = "python")]
    pub runtime: String,

    /// The folder for the archive; the working directory without it
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub export_path: PathBuf,

    /// NAME.mar compressed (default) or not (zip-store), NAME.tar.gz (tgz), or a folder NAME
    /// (no-archive)
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = ArchiveFormat::Default)]
    pub archive_format: ArchiveFormat,

    /// Replace an archive of that name, and make one that this server cannot serve
    #[arg(short = 'f', long)]
    pub force: bool,

    /// Python packages; they are kept in the archive, and nothing is installed here
    #[arg(short = 'r', long, value_name = "FILE")]
    pub requirements_file: Option<PathBuf>,

    /// The model's settings: model-config.yaml
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config_file: Option<PathBuf>,

    /// Explain this archive, or folder, and make none
    #[arg(long, value_name = "FILE", exclusive = false, conflicts_with_all = ["model_name", "version", "handler"])]
    pub explain: Option<PathBuf>,

    /// With --explain: print JSON for programs
    #[arg(long, requires = "explain")]
    pub json: bool,
}

/// `--archive-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ArchiveFormat {
    /// A compressed zip.
    Default,
    /// A zip that is not compressed.
    ZipStore,
    /// A gzipped tar.
    Tgz,
    /// A folder.
    NoArchive,
}
