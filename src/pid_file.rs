//! The file that `--stop` finds the background server by: `.model_server.pid` in the temporary
//! folder, as TorchServe's.
//!
//! Called by `main.rs` alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// The file of this user's server.
pub struct PidFile(PathBuf);

// === impl PidFile ===

impl PidFile {
    /// The file in `temp_dir`; it need not exist.
    pub fn in_dir(temp_dir: &Path) -> PidFile {
        PidFile(temp_dir.join(".model_server.pid"))
    }

    /// The process that the file names, if it is alive.
    pub fn running(&self) -> Option<Pid> {
        let text = fs::read_to_string(&self.0).ok()?;
        let pid = Pid::from_raw(text.trim().parse().ok()?)?;
        test_kill_process(pid).ok().map(|()| pid)
    }

    /// Names a process; a file that was left behind is replaced, a link is never followed.
    ///
    /// # Errors
    /// The operating system's.
    pub fn write(&self, pid: u32) -> io::Result<()> {
        self.remove();
        let mut file = OpenOptions::new().write(true).create_new(true).open(&self.0)?;
        writeln!(file, "{pid}")
    }

    /// Asks the process to stop (SIGTERM).
    ///
    /// # Errors
    /// The operating system's, for example when it belongs to another user.
    pub fn stop(&self, pid: Pid) -> io::Result<()> {
        kill_process(pid, Signal::TERM).map_err(io::Error::from)
    }

    /// Removes the file; one that is gone is no error.
    pub fn remove(&self) {
        let _gone = fs::remove_file(&self.0);
    }
}
