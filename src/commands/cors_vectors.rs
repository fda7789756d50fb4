//! `cors vectors`: policies held against a file of expectations, without a server.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::{USAGE, cors};
use crate::cli::CorsVectors;
use crate::config::{Config, ProcessEnvironment};
use crate::cors::{
    Answers, Compiled, Placeholder, Vector, VectorFile, VectorOutcome, VectorPolicy,
};

/// What is printed.
#[derive(Serialize)]
struct Report {
    passed: usize,
    failed: usize,
    skipped: usize,
    cases: Vec<CaseReport>,
}

#[derive(Serialize)]
struct CaseReport {
    id: String,
    title: String,
    level: String,
    result: &'static str,
    /// Why it failed or was skipped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

/// Compiles each policy once.
struct Policies {
    folder: tempfile::TempDir,
    placeholders: Vec<Placeholder>,
    known: BTreeMap<VectorPolicy, Result<Compiled, String>>,
    /// For cases without a policy of their own.
    given: Option<Compiled>,
}

/// Judges every case.
pub fn cors_vectors(flags: &CorsVectors) -> ExitCode {
    let file = match read(&flags.file) {
        Ok(file) => file,
        Err(error) => {
            eprintln!("torchfront cors vectors: {}: {error}", flags.file.display());
            return ExitCode::from(USAGE);
        }
    };
    let given = match flags.ts_config.as_deref().map(cors::compile).transpose() {
        Ok(given) => given,
        Err(status) => return status,
    };
    let mut policies = match Policies::new(given) {
        Ok(policies) => policies,
        Err(error) => {
            eprintln!("torchfront cors vectors: no temporary folder: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut report = Report { passed: 0, failed: 0, skipped: 0, cases: Vec::new() };
    for group in &file.groups {
        let mut answers = Answers::default();
        for case in &group.cases {
            let policy = case.policy.as_ref().or(group.policy.as_ref());
            let outcome = match policies.compiled(policy) {
                Err(reason) => VectorOutcome::Failed(vec![reason]),
                Ok((compiled, _)) if case.is_config() => case.judge_config(compiled),
                Ok((compiled, placeholders)) => match &compiled.policies {
                    Some(policies) => case.judge(group, policies, placeholders, &mut answers),
                    None => {
                        let problems = compiled.problems.iter().map(ToString::to_string);
                        VectorOutcome::Failed(problems.collect())
                    }
                },
            };
            report.add(case, outcome);
        }
    }
    cors::print(flags.json, &report, &report.to_string());
    if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read(path: &Path) -> Result<VectorFile, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    VectorFile::parse(&text).map_err(|error| error.to_string())
}

// === impl Policies ===

impl Policies {
    fn new(given: Option<Compiled>) -> std::io::Result<Policies> {
        let folder = tempfile::tempdir()?;
        let placeholders = VectorFile::placeholders(&folder.path().display().to_string());
        Ok(Policies { folder, placeholders, known: BTreeMap::new(), given })
    }

    /// What a policy compiles to, by the way of every configuration file.
    fn compiled(
        &mut self,
        policy: Option<&VectorPolicy>,
    ) -> Result<(&Compiled, &[Placeholder]), String> {
        let Some(policy) = policy else {
            let given = self.given.as_ref();
            let given = given.ok_or("the case has no policy, and --ts-config gives none")?;
            return Ok((given, &self.placeholders));
        };
        let (folder, placeholders) = (self.folder.path(), &self.placeholders);
        let known = self.known.entry(policy.clone());
        let compiled = known.or_insert_with(|| compile(policy, folder, placeholders));
        let compiled = compiled.as_ref().map_err(|reason| reason.clone())?;
        Ok((compiled, placeholders))
    }
}

fn compile(
    policy: &VectorPolicy,
    folder: &Path,
    placeholders: &[Placeholder],
) -> Result<Compiled, String> {
    let write = |path: &Path, text: &str| {
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    let (properties, files) = policy.filled(placeholders);
    for (name, text) in files {
        let path = folder.join(name);
        // The file says what is written where: only below the folder that is thrown away.
        if path.parent() != Some(folder) || path.file_name().is_none() {
            return Err(format!("`{}` is not in {{tmp}}", path.display()));
        }
        write(&path, &text)?;
    }
    let path = folder.join("config.properties");
    write(&path, &properties)?;
    Config::compile_cors(&path, &ProcessEnvironment).map_err(|errors| errors.to_string())
}

// === impl Report ===

impl Report {
    fn add(&mut self, case: &Vector, outcome: VectorOutcome) {
        let (result, count, reasons) = match outcome {
            VectorOutcome::Passed => ("passed", &mut self.passed, Vec::new()),
            VectorOutcome::Failed(reasons) => ("failed", &mut self.failed, reasons),
            VectorOutcome::Skipped(reason) => ("skipped", &mut self.skipped, vec![reason]),
        };
        *count += 1;
        let (id, title, level) = (case.id.clone(), case.title.clone(), case.level.clone());
        self.cases.push(CaseReport { id, title, level, result, reasons });
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for case in self.cases.iter().filter(|case| case.result != "passed") {
            writeln!(f, "{} {} [{}] {}", case.result, case.id, case.level, case.title)?;
            for reason in &case.reasons {
                writeln!(f, "    {reason}")?;
            }
        }
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}
