//! What the doctor looks at besides the configuration: cores, memory, descriptors, GPUs, folders.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::process::{Resource, getrlimit, getuid};

use crate::config::{Config, TlsIdentity};
use crate::engine::available_cores;

/// This machine, as this user sees it.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// Cores that the cgroup and the affinity grant.
    pub(super) cores: usize,
    /// Bytes of memory that the cgroup, or the machine, has.
    pub(super) memory: Option<u64>,
    /// Descriptors that this process may open at most.
    pub(super) descriptors: Option<u64>,
    pub(super) gpus: usize,
    pub(super) is_root: bool,
    /// Folders that are written: what for, and the reason why it cannot be.
    pub(super) written: Vec<(&'static str, PathBuf, Option<String>)>,
    /// Files and folders that others than their owner can write or read, and should not.
    pub(super) exposed: Vec<(&'static str, PathBuf, u32)>,
}

// === impl Machine ===

impl Machine {
    /// Looks. Blocks on the disk.
    pub(super) fn look(config: &Config) -> Machine {
        Machine {
            cores: available_cores().get(),
            memory: memory(),
            descriptors: getrlimit(Resource::Nofile).maximum,
            gpus: gpus(),
            is_root: getuid().is_root(),
            written: written(config),
            exposed: exposed(config),
        }
    }
}

#[cfg(feature = "torch")]
fn gpus() -> usize {
    crate::engine::TorchEngine::cuda_devices()
}

#[cfg(not(feature = "torch"))]
fn gpus() -> usize {
    0
}

fn memory() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let limit = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse().ok());
    let total = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
    });
    limit.into_iter().chain(total).min()
}

fn written(config: &Config) -> Vec<(&'static str, PathBuf, Option<String>)> {
    let mut folders = vec![("unpacked archives (TEMP)", config.temp_dir.clone())];
    if let Some(snapshots) = &config.snapshots {
        folders.push(("snapshots (LOG_LOCATION)", snapshots.path().to_owned()));
    }
    if !config.disable_token_authorization {
        let folder = config.key_file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        folders.push(("the key file (working directory)", folder.to_owned()));
    }
    let judged = folders.into_iter().map(|(what, folder)| {
        let problem = unwritable(&folder);
        (what, folder, problem)
    });
    judged.collect()
}

/// Why nothing can be made in a folder, or where it will be.
fn unwritable(folder: &Path) -> Option<String> {
    // What is not there is made, below the nearest folder that is.
    let there = folder.ancestors().find(|path| path.exists() || path.as_os_str().is_empty());
    let there = there.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    access(there, Access::WRITE_OK | Access::EXEC_OK).err().map(|error| error.to_string())
}

fn exposed(config: &Config) -> Vec<(&'static str, PathBuf, u32)> {
    let mut found = Vec::new();
    let mut look = |what, path: &Path, forbidden: u32| {
        let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
        // A folder like /tmp, where nobody removes what is another's.
        if mode & forbidden != 0 && mode & 0o1000 == 0 {
            found.push((what, path.to_owned(), mode & 0o777));
        }
    };
    if let Some(store) = &config.model_store {
        look("the model store", store, 0o002);
    }
    if let Some(file) = &config.file {
        look("the configuration", file, 0o002);
    }
    match &config.tls {
        TlsIdentity::Pem { private_key_file, .. } => {
            look("private_key_file", private_key_file, 0o007)
        }
        TlsIdentity::Pkcs12 { keystore, .. } => look("keystore", keystore, 0o007),
        TlsIdentity::SelfSigned => {}
    }
    found
}
