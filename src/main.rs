//! The command `torchfront`: arguments, configuration, server, exit status; nothing else.

mod allocator;

use std::process::ExitCode;

use clap::Parser;
use torchfront::cli::{Action, Cli, version_text};
use torchfront::commands;

fn main() -> ExitCode {
    allocator::give_back_sooner();
    let program = std::env::args_os().next().unwrap_or_default();
    let (action, overrides) = Cli::parse().called_as(&program).into_parts();
    match action {
        Action::Start { foreground: true } => commands::serve(&overrides),
        Action::Start { foreground: false } => commands::start_in_background(&overrides),
        Action::Stop { foreground } => commands::stop(foreground),
        Action::Version => {
            println!("{}", version_text());
            ExitCode::SUCCESS
        }
        Action::CorsCheck(check) => commands::cors_check(&check),
        Action::CorsExplain(explain) => commands::cors_explain(&explain),
        Action::CorsProbe(probe) => commands::cors_probe(&probe),
        Action::CorsExport(flags) => commands::cors_export(&flags),
        Action::CorsDiff(diff) => commands::cors_diff(&diff),
        Action::CorsVectors(vectors) => commands::cors_vectors(&vectors),
        Action::Archive(flags) => commands::archive(&flags),
        Action::Migrate(flags) => commands::migrate(&flags),
        Action::Doctor(flags) => commands::doctor(&flags),
        Action::Bench(flags) => commands::bench(&flags),
    }
}
