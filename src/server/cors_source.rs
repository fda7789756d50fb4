//! Hands the configuration's CORS settings to the policies in force.

use crate::config::{CorsSource, ProcessEnvironment};
use crate::cors::{Compiled, Diagnostic, Files, Setting};
use crate::cors_live::{PolicySource, Reread};

/// The configuration of this process.
pub(super) struct FromConfig(pub(super) CorsSource<ProcessEnvironment>);

impl PolicySource for FromConfig {
    fn reread(&self) -> Result<Reread, Vec<Diagnostic>> {
        let (settings, restart) = self.0.reread()?;
        Ok(Reread { settings, restart })
    }

    fn compile(&self, settings: &[Setting], files: &dyn Files) -> Compiled {
        self.0.compile(settings, files)
    }
}
