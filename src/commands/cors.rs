//! `cors check`, `explain`, `diff` and `export`: the CORS settings of files, without a server.

use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::{EX_CONFIG, USAGE};
use crate::cli::{self, CorsCheck, CorsDiff, CorsExplain, CorsExport};
use crate::config::{Config, ProcessEnvironment};
use crate::cors::{
    CheckReport, Compiled, ExportTarget, Listener, ListenerPolicies, PageHeader, PageRequest,
    Place, PolicyDiff, explain, export,
};

/// The exit status of `cors check --strict` for warnings.
const WARNINGS: u8 = 1;
/// The exit status of `cors explain` for a request that a page may not make.
const DENIED: u8 = 3;
/// The exit status of `cors diff` when something is allowed that was not.
const WIDENED: u8 = 4;
/// The exit status of `cors diff` when only less is allowed.
const NARROWED: u8 = 5;

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
    let policies = match policies(&asked.ts_config) {
        Ok(policies) => policies,
        Err(status) => return status,
    };
    let listener = listener(asked.listener);
    let page = PageRequest {
        origin: asked.origin.clone(),
        method: asked.method.clone(),
        headers: asked.headers.iter().map(|header| PageHeader::parse(header)).collect(),
        credentials: asked.credentials,
    };
    let explanation = explain(policies.of(listener), &page, "127.0.0.1", &asked.path);
    print(asked.json, &explanation, &explanation.to_string());
    if explanation.allowed { ExitCode::SUCCESS } else { ExitCode::from(DENIED) }
}

/// Prints which verdicts change.
pub fn cors_diff(files: &CorsDiff) -> ExitCode {
    let (old, new) = match (policies(&files.old), policies(&files.new)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(status), _) | (_, Err(status)) => return status,
    };
    let diff = PolicyDiff::new(&old, &new);
    print(files.json, &diff, &diff.to_string());
    match (diff.widened, diff.narrowed) {
        (true, _) => ExitCode::from(WIDENED),
        (false, true) => ExitCode::from(NARROWED),
        (false, false) => ExitCode::SUCCESS,
    }
}

/// Prints the policy for an edge, or why that cannot be.
pub fn cors_export(flags: &CorsExport) -> ExitCode {
    let policies = match policies(&flags.file) {
        Ok(policies) => policies,
        Err(status) => return status,
    };
    let listener = listener(flags.listener);
    let target = match flags.to {
        cli::ExportTarget::Nginx => ExportTarget::Nginx,
        cli::ExportTarget::IngressNginx => ExportTarget::IngressNginx,
        cli::ExportTarget::Envoy => ExportTarget::Envoy,
        cli::ExportTarget::Curl => ExportTarget::Curl,
    };
    let port = match listener {
        Listener::Inference => 8080,
        Listener::Management => 8081,
        Listener::Metrics => 8082,
    };
    let place = Place {
        listen: flags.listen.clone(),
        upstream: flags.upstream.clone().unwrap_or_else(|| format!("127.0.0.1:{port}")),
        path: flags.path.clone(),
    };
    for (flag, address) in [("--listen", &place.listen), ("--upstream", &place.upstream)] {
        if !is_address(address) {
            eprintln!("torchfront cors export: {flag} `{address}` is not HOST:PORT");
            return ExitCode::from(USAGE);
        }
    }
    match export(policies.of(listener), target, &place) {
        Ok(export) => {
            print!("{}", export.text);
            ExitCode::SUCCESS
        }
        Err(refusal) => {
            for reason in refusal.reasons {
                eprintln!("torchfront cors export: {reason}");
            }
            ExitCode::FAILURE
        }
    }
}

/// `host:port`, as it goes into the files of others.
fn is_address(text: &str) -> bool {
    let host = |host: &str| {
        !host.is_empty()
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b))
    };
    text.rsplit_once(':').is_some_and(|(name, port)| host(name) && port.parse::<u16>().is_ok())
}

/// The listener that a flag names.
pub(super) fn listener(named: cli::Listener) -> Listener {
    match named {
        cli::Listener::Inference => Listener::Inference,
        cli::Listener::Management => Listener::Management,
        cli::Listener::Metrics => Listener::Metrics,
    }
}

/// The policies of a file; what is wrong with it has been said.
pub(super) fn policies(file: &Path) -> Result<ListenerPolicies, ExitCode> {
    let compiled = compile(file)?;
    compiled.policies.ok_or_else(|| {
        for problem in &compiled.problems {
            eprintln!("{problem}");
        }
        ExitCode::from(EX_CONFIG)
    })
}

/// The settings of a file; a file that cannot be read has been said.
pub(super) fn compile(file: &Path) -> Result<Compiled, ExitCode> {
    Config::compile_cors(file, &ProcessEnvironment).map_err(|errors| {
        eprintln!("{errors}");
        ExitCode::from(EX_CONFIG)
    })
}

pub(super) fn print(json: bool, value: &impl Serialize, text: &str) {
    match json.then(|| serde_json::to_string_pretty(value)) {
        Some(Ok(json)) => println!("{json}"),
        Some(Err(error)) => eprintln!("torchfront: {error}"),
        None => println!("{}", text.trim_end()),
    }
}
