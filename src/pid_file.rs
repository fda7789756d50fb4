//! The file that `--stop` finds the background server by: `.model_server.pid` in the temporary
//! folder, as TorchServe's.
//!
//! Called by `main.rs` alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// The file of this user's server. Others may write into the folder: what the file says is not
/// believed, it must be this user's and name a process of this program.
pub struct PidFile(PathBuf);

/// A process id has fewer digits.
const MOST_BYTES: u64 = 32;

// === impl PidFile ===

impl PidFile {
    /// The file in `temp_dir`; it need not exist.
    pub fn in_dir(temp_dir: &Path) -> PidFile {
        PidFile(temp_dir.join(".model_server.pid"))
    }

    /// The process that the file names, if it is alive and this program.
    pub fn running(&self) -> Option<Pid> {
        let file = self.open()?;
        let mut text = String::new();
        file.take(MOST_BYTES).read_to_string(&mut text).ok()?;
        // 0 and negative numbers are whole groups of processes to kill(2), 1 is the system's first.
        let number = text.trim().parse::<i32>().ok().filter(|number| *number > 1)?;
        let pid = Pid::from_raw(number)?;
        test_kill_process(pid).ok()?;
        is_this_program(number).then_some(pid)
    }

    /// The file, where it is a file of this user and no link.
    fn open(&self) -> Option<File> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&self.0).ok()?;
        let facts = file.metadata().ok()?;
        let user = rustix::process::geteuid().as_raw();
        (facts.is_file() && facts.uid() == user).then_some(file)
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

/// True when a process has the name of this one; where processes show no names, nothing is known
/// against it. A number that was left behind may be another's by now.
fn is_this_program(pid: i32) -> bool {
    let name = |process: &str| fs::read(format!("/proc/{process}/comm")).ok();
    let Some(own) = name("self") else { return true };
    name(&pid.to_string()) == Some(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_of_this_program_in_a_file_of_this_user_is_its_server() {
        let folder = tempfile::tempdir().unwrap();
        let file = PidFile::in_dir(folder.path());
        assert_eq!(file.running(), None);
        let own = std::process::id();
        file.write(own).unwrap();
        assert_eq!(file.running().map(Pid::as_raw_pid), Some(own as i32));
        for text in ["", "0", "1", "-1", "-2147483648", "99999999999", "own", "4194304"] {
            fs::write(&file.0, text).unwrap();
            assert_eq!(file.running(), None, "{text}");
        }
        // Alive, and another program.
        let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let is_started = || {
            let name = fs::read_to_string(format!("/proc/{}/comm", other.id()));
            name.is_ok_and(|name| name == "sleep\n")
        };
        while !is_started() {
            std::thread::yield_now();
        }
        file.write(other.id()).unwrap();
        assert_eq!(file.running(), None);
        other.kill().unwrap();
        other.wait().unwrap();
        // A link to a file that would do.
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, own.to_string()).unwrap();
        file.remove();
        std::os::unix::fs::symlink(&elsewhere, &file.0).unwrap();
        assert_eq!(file.running(), None);
    }
}
