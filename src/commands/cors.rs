//! `cors check` and `cors explain`.

use std::process::ExitCode;

use crate::cli::{CorsCheck, CorsExplain};

/// placeholder
pub fn cors_check(_: &CorsCheck) -> ExitCode {
    ExitCode::SUCCESS
}
/// placeholder
pub fn cors_explain(_: &CorsExplain) -> ExitCode {
    ExitCode::SUCCESS
}
