//! `cors check` and `cors explain`: the CORS settings of a file, without a server.

use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::EX_CONFIG;
use crate::cli::{CorsCheck, CorsExplain};
use crate::config::{Config, ProcessEnvironment};
use crate::cors::{CheckReport, Compiled, Listener, PageHeader, PageRequest, explain};

/// The exit status of `cors check --strict` for warnings.
const WARNINGS: u8 = 1;
/// The exit status of `cors explain` for a request that a page may not make.
const DENIED: u8 = 3;

/// Prints every finding, the policies and who may do what.
pub fn cors_check(check: &CorsCheck) -> ExitCode {
    let compiled = match compile(&check.file) {
        Ok(compiled) => compiled,
        Err(status) => return status,
    };
    let report = CheckReport::new(&compiled);
    print(check.json, &report, &report.to_string());
    if !report.problems.is_empty() {
        ExitCode::from(EX_CONFIG)
    } else if check.strict && !report.warnings.is_empty() {
        ExitCode::from(WARNINGS)
    } else {
        ExitCode::SUCCESS
    }
}

/// Prints what becomes of one request of a page, and why.
pub fn cors_explain(asked: &CorsExplain) -> ExitCode {
    let compiled = match compile(&asked.ts_config) {
        Ok(compiled) => compiled,
        Err(status) => return status,
    };
    let Some(policies) = &compiled.policies else {
        for problem in &compiled.problems {
            eprintln!("{problem}");
        }
        return ExitCode::from(EX_CONFIG);
    };
    let listener = match asked.listener {
        crate::cli::Listener::Inference => Listener::Inference,
        crate::cli::Listener::Management => Listener::Management,
        crate::cli::Listener::Metrics => Listener::Metrics,
    };
    let page = PageRequest {
        origin: asked.origin.clone(),
        method: asked.method.clone(),
        headers: asked.headers.iter().map(|header| page_header(header)).collect(),
        credentials: asked.credentials,
    };
    let explanation = explain(policies.of(listener), &page, "127.0.0.1", &asked.path);
    print(asked.json, &explanation, &explanation.to_string());
    if explanation.allowed { ExitCode::SUCCESS } else { ExitCode::from(DENIED) }
}

/// `Name` or `Name: value`.
fn page_header(text: &str) -> PageHeader {
    let (name, value) = match text.split_once(':') {
        Some((name, value)) => (name, Some(value.trim().to_owned())),
        None => (text, None),
    };
    PageHeader { name: name.trim().to_owned(), value }
}

/// The settings of a file; a file that cannot be read has been said.
fn compile(file: &Path) -> Result<Compiled, ExitCode> {
    Config::compile_cors(file, &ProcessEnvironment).map_err(|errors| {
        eprintln!("{errors}");
        ExitCode::from(EX_CONFIG)
    })
}

fn print(json: bool, value: &impl Serialize, text: &str) {
    match json.then(|| serde_json::to_string_pretty(value)) {
        Some(Ok(json)) => println!("{json}"),
        Some(Err(error)) => eprintln!("torchfront: {error}"),
        None => println!("{}", text.trim_end()),
    }
}
