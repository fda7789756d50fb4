//! `doctor`: how safely a configuration would serve on this machine, and the fix of each weak point.
//!
//! `machine.rs` looks, `posture.rs` judges, here it is printed.

mod machine;
mod posture;

use std::fmt;
use std::process::ExitCode;

use serde::Serialize;

use super::EX_CONFIG;
use crate::cli::{Doctor, Overrides};
use crate::config::{Config, ProcessEnvironment};
use machine::Machine;
use posture::{Finding, State};

/// Everything that was found.
#[derive(Serialize)]
struct Report {
    /// The configuration file, if there is one.
    config: Option<String>,
    /// How many findings are weak points.
    weak: usize,
    findings: Vec<Finding>,
}

/// Prints the report.
pub fn doctor(flags: &Doctor) -> ExitCode {
    let overrides = Overrides {
        ts_config: flags.file.clone(),
        model_store: flags.model_store.clone(),
        disable_token_auth: flags.disable_token_auth,
        enable_model_api: flags.enable_model_api,
        ..Overrides::default()
    };
    let config = match Config::load(&overrides, &ProcessEnvironment) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(EX_CONFIG);
        }
    };
    let findings = posture::of(&config, &Machine::look(&config));
    let weak = findings.iter().filter(|finding| finding.state == State::Weak).count();
    let config = config.file.map(|file| file.display().to_string());
    let report = Report { config, weak, findings };
    match flags.json {
        true => println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default()),
        false => print!("{report}"),
    }
    if weak == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.config.as_deref().unwrap_or("(no file: the defaults)"))?;
        for Finding { area, state, what, fix } in &self.findings {
            let state = match state {
                State::Good => "good",
                State::Weak => "WEAK",
            };
            writeln!(f, "{state}  {area:<11} {what}")?;
            if let Some(fix) = fix {
                writeln!(f, "{:18}fix: {fix}", "")?;
            }
        }
        match self.weak {
            0 => writeln!(f, "No weak point."),
            1 => writeln!(f, "One weak point."),
            weak => writeln!(f, "{weak} weak points."),
        }
    }
}
