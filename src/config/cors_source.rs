//! The CORS settings again, while the server runs: the file that was read at the start, with the
//! variables that it lets in.
//!
//! Called by the server at a reload. Other keys are compared with what they were: they need a restart.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::source::Gathered;
use super::{Config, Environment, cors};
use crate::cors::{Compiled, Diagnostic, Files, ListenerFacts, Setting};

/// Where the CORS settings of a server come from.
#[derive(Debug)]
pub struct CorsSource<E> {
    /// None for a program that brings its own settings.
    file: Option<PathBuf>,
    environment: E,
    facts: ListenerFacts,
    settings: Vec<Setting>,
    /// The other keys at the start.
    others: BTreeMap<String, String>,
}

// === impl CorsSource ===

impl<E: Environment> CorsSource<E> {
    /// Of the server with this configuration.
    pub fn new(config: &Config, environment: E) -> Self {
        let others =
            config.file.as_deref().map(|file| others(&Gathered::of_file(file, &environment)));
        Self {
            file: config.file.clone(),
            facts: cors::facts(config),
            settings: cors::handed_over_all(&config.cors),
            others: others.unwrap_or_default(),
            environment,
        }
    }

    /// The settings at the start.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// The settings now, and the other keys that changed since the start. Blocks on the disk.
    ///
    /// # Errors
    /// What makes the file unreadable as a whole or in one of its lines.
    pub fn reread(&self) -> Result<(Vec<Setting>, Vec<String>), Vec<Diagnostic>> {
        let Some(file) = &self.file else { return Ok((self.settings.clone(), Vec::new())) };
        let found = Gathered::of_file(file, &self.environment);
        if !found.errors.is_empty() {
            return Err(found.errors.iter().map(cors::diagnostic).collect());
        }
        let now = others(&found);
        let mut changed: Vec<String> = now
            .iter()
            .filter(|(key, value)| self.others.get(*key) != Some(value))
            .map(|(key, _)| key.clone())
            .collect();
        changed.extend(self.others.keys().filter(|key| !now.contains_key(*key)).cloned());
        Ok((cors::handed_over_all(&found.cors), changed))
    }

    /// What settings make for the listeners as they are; `files` are those that they name.
    pub fn compile(&self, settings: &[Setting], files: &dyn Files) -> Compiled {
        cors::compile_with(settings, &self.facts, files, &self.environment)
    }
}

fn others(found: &Gathered) -> BTreeMap<String, String> {
    found.settings.values().map(|one| (one.key.clone(), one.value.clone())).collect()
}
