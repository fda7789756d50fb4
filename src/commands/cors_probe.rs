//! `cors probe`: the CORS of a running server, seen from outside.

use std::process::ExitCode;
use std::sync::Arc;

use super::{EX_CONFIG, USAGE, cors};
use crate::cli::CorsProbe;
use crate::cors::{Method, RequestSketch};
use crate::probe::{Expected, Plan, PlanError, Target, probe};

/// Tokens are short; a file that is longer is another one.
const MAX_TOKEN_FILE: u64 = 64 << 10;

/// Sends, judges, prints.
pub fn cors_probe(flags: &CorsProbe) -> ExitCode {
    let plan = match plan(flags) {
        Ok(plan) => plan,
        Err(status) => return status,
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("torchfront cors probe: {error}");
            return ExitCode::FAILURE;
        }
    };
    let report = runtime.block_on(probe(&plan));
    // A name server that does not answer is not waited for.
    runtime.shutdown_background();
    cors::print(flags.json, &report, &report.to_string());
    if let Some(file) = &flags.metrics_textfile
        && let Err(error) = report.add_to_textfile(file)
    {
        eprintln!("torchfront cors probe: {error}");
        return ExitCode::FAILURE;
    }
    if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn plan(flags: &CorsProbe) -> Result<Plan, ExitCode> {
    let usage = |error: PlanError| {
        eprintln!("torchfront cors probe: {error}");
        ExitCode::from(USAGE)
    };
    let url = Target::parse(&flags.url).map_err(usage)?;
    let edge = flags.edge.as_deref().map(Target::parse).transpose().map_err(usage)?;
    let mut expected = match &flags.ts_config {
        Some(file) => {
            let policies = cors::policies(file)?;
            let sketch = RequestSketch::new(Method::GET, &url.path_and_query());
            let policy =
                Arc::clone(policies.of(cors::listener(flags.listener)).policy_for(&sketch.facts()));
            Expected::of_policy(&policy).map_err(|error| {
                eprintln!("torchfront cors probe: {error}");
                ExitCode::from(EX_CONFIG)
            })?
        }
        None => Expected {
            methods: vec!["POST".to_owned()],
            headers: vec!["Content-Type".to_owned()],
            ..Expected::default()
        },
    };
    for (given, part) in [
        (&flags.origin, &mut expected.origins),
        (&flags.method, &mut expected.methods),
        (&flags.headers, &mut expected.headers),
        (&flags.expose, &mut expected.exposed),
    ] {
        if !given.is_empty() {
            part.clone_from(given);
        }
    }
    expected.credentials |= flags.credentials;
    let token = flags.token.as_deref().map(token).transpose().map_err(usage)?;
    let plan = Plan {
        url,
        edge,
        expected,
        request: flags.request.clone(),
        token,
        timeout: flags.timeout,
        max_latency: flags.max_latency,
    };
    plan.check().map_err(usage)?;
    Ok(plan)
}

/// The token itself, or what is in the file after `@`.
fn token(text: &str) -> Result<String, PlanError> {
    use std::io::Read;

    let Some(file) = text.strip_prefix('@') else { return Ok(text.to_owned()) };
    let mut content = String::new();
    let read = std::fs::File::open(file)
        .and_then(|file| file.take(MAX_TOKEN_FILE).read_to_string(&mut content));
    match read {
        Ok(_) => Ok(content.trim().to_owned()),
        Err(error) => Err(PlanError::Flag { flag: "--token", reason: format!("{file}: {error}") }),
    }
}
