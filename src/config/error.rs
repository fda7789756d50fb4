//! What is wrong with a configuration: every problem at once, each with its place and the fix.
//!
//! Built by all files of this room; shown by `main.rs`, which then exits with 78 (`EX_CONFIG`).

use std::fmt;

/// One problem: where, which key, what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Where the value comes from: `config.properties:12`, `--model-store`,
    /// `environment variable TS_JOB_QUEUE_SIZE`; none for a problem with no single place.
    pub origin: Option<String>,
    /// The line in the file, from 1, which `origin` shows too; none for other origins.
    pub line: Option<usize>,
    /// The key; none when the file itself is the problem.
    pub key: Option<String>,
    /// What was found, what was expected, how to fix it.
    pub problem: String,
}

/// Every problem of one configuration; never empty. Those of the file come first, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

/// Something to tell the operator that does not stop the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// How loud.
    pub level: Level,
    /// Place, key and reason in one sentence.
    pub text: String,
}

/// How loud a [`Note`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The server may not do what the operator expects.
    Warning,
    /// A setting has no meaning here; nothing is lost.
    Notice,
}

// === impl ConfigError ===

impl ConfigError {
    /// A problem with a file or a flag as a whole.
    pub(super) fn at(origin: impl Into<String>, problem: impl Into<String>) -> ConfigError {
        let (origin, problem) = (Some(origin.into()), problem.into());
        ConfigError { origin, line: None, key: None, problem }
    }

    /// A problem with a key that is not set.
    pub(super) fn unset(key: &str, problem: impl Into<String>) -> ConfigError {
        let (key, problem) = (Some(key.to_string()), problem.into());
        ConfigError { origin: None, line: None, key, problem }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.origin, &self.key].into_iter().flatten() {
            write!(f, "{part}: ")?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for ConfigError {}

// === impl ConfigErrors ===

impl ConfigErrors {
    /// `value`, unless there are errors.
    pub(super) fn check<T>(value: T, mut errors: Vec<ConfigError>) -> Result<T, ConfigErrors> {
        errors.sort_by_key(|error| error.line.unwrap_or(usize::MAX));
        if errors.is_empty() { Ok(value) } else { Err(ConfigErrors(errors)) }
    }

    /// The problems.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

// === impl Note ===

impl Note {
    /// A note at [`Level::Warning`].
    pub(super) fn warning(text: impl Into<String>) -> Note {
        Note { level: Level::Warning, text: text.into() }
    }

    /// A note at [`Level::Notice`].
    pub(super) fn notice(text: impl Into<String>) -> Note {
        Note { level: Level::Notice, text: text.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_shown_one_a_line_with_place_and_key() {
        let at_line = |line: usize, key: &str| ConfigError {
            origin: Some(format!("config.properties:{line}")),
            line: Some(line),
            key: Some(key.to_string()),
            problem: "got \"x\"".to_string(),
        };
        let errors = vec![
            ConfigError::at("--ts-config", "not readable"),
            ConfigError::unset("model_store", "is not set"),
            at_line(12, "job_queue_size"),
            at_line(9, "debug"),
        ];
        let errors = ConfigErrors::check((), errors).unwrap_err();
        assert_eq!(
            errors.to_string(),
            "config.properties:9: debug: got \"x\"\n\
             config.properties:12: job_queue_size: got \"x\"\n\
             --ts-config: not readable\n\
             model_store: is not set"
        );
        assert_eq!(errors.iter().count(), 4);
        assert_eq!(ConfigErrors::check(1, Vec::new()), Ok(1));
    }
}
