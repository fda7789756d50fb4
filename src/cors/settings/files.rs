//! The files that settings name, as they are on disk or as they were.

use std::{fs::File, io::Read, path::Path, sync::Arc};

/// Where the content of files comes from.
pub trait Files {
    /// The whole file as text.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn read(&self, path: &Path) -> Result<Arc<str>, String>;
}

/// The files as they are now. Reading blocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

/// Enough for 10^5 tenants with room to spare; more is a mistake.
const MAX_FILE_BYTES: u64 = 64 << 20;

impl Files for Disk {
    fn read(&self, path: &Path) -> Result<Arc<str>, String> {
        let file = File::open(path).map_err(|why| why.to_string())?;
        let mut text = String::new();
        file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(|why| why.to_string())?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(format!("larger than {MAX_FILE_BYTES} bytes"));
        }
        Ok(text.into())
    }
}
