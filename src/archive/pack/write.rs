//! From a folder of files to the archive at its place, at once: a file or folder of another name
//! first, then renamed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{PackError, io_error};

/// The mode of what is written: the server's user need not be the one who made it.
const FILE_MODE: u32 = 0o644;

/// Writes `target` with `content`, which is given the names of the files in `folder`.
pub(super) fn file(
    folder: &Path,
    target: &Path,
    force: bool,
    content: impl FnOnce(&[(PathBuf, String)], &mut File) -> io::Result<()>,
) -> Result<(), PackError> {
    use std::os::unix::fs::PermissionsExt;

    let failed = || io_error("cannot write", target);
    let mut files = Vec::new();
    names(folder, "", &mut files).map_err(failed())?;
    files.sort_by(|a, b| a.1.cmp(&b.1));
    let beside = target.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".torchfront-archive.")
        .permissions(fs::Permissions::from_mode(FILE_MODE))
        .tempfile_in(beside)
        .map_err(failed())?;
    content(&files, file.as_file_mut()).map_err(failed())?;
    file.as_file().sync_all().map_err(failed())?;
    let placed = if force { file.persist(target) } else { file.persist_noclobber(target) };
    match placed {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(PackError::Exists(target.display().to_string()))
        }
        Err(error) => Err(failed()(error.error)),
    }
}

/// A `.mar` file.
pub(super) fn zip(files: &[(PathBuf, String)], out: &mut File, compress: bool) -> io::Result<()> {
    let method = if compress { CompressionMethod::Deflated } else { CompressionMethod::Stored };
    let mut zip = ZipWriter::new(BufWriter::new(out));
    for (path, name) in files {
        let mut content = File::open(path)?;
        let large = content.metadata()?.len() >= u64::from(u32::MAX);
        let options = SimpleFileOptions::default()
            .compression_method(method)
            .large_file(large)
            .unix_permissions(FILE_MODE);
        zip.start_file(name.as_str(), options)?;
        io::copy(&mut content, &mut zip)?;
    }
    zip.finish()?.flush()
}

/// A `.tar.gz` file with everything below `top`.
pub(super) fn tgz(files: &[(PathBuf, String)], out: &mut File, top: &str) -> io::Result<()> {
    let mut tar = tar::Builder::new(GzEncoder::new(BufWriter::new(out), Compression::default()));
    for (path, name) in files {
        let mut content = File::open(path)?;
        let mut header = tar::Header::new_gnu();
        header.set_size(content.metadata()?.len());
        header.set_mode(FILE_MODE);
        tar.append_data(&mut header, format!("{top}/{name}"), &mut content)?;
    }
    tar.into_inner()?.finish()?.flush()
}

/// Puts the folder itself in place.
pub(super) fn folder(folder: TempDir, target: &Path, force: bool) -> Result<(), PackError> {
    use std::os::unix::fs::PermissionsExt;

    let failed = || io_error("cannot write", target);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).map_err(failed())?;
    // What was there, out of the way and back again if the new one cannot be placed.
    let mut old = None;
    if force && target.exists() {
        let beside = target.parent().unwrap_or(Path::new("."));
        let aside = tempfile::Builder::new()
            .prefix(".torchfront-archive.")
            .tempdir_in(beside)
            .map_err(failed())?;
        fs::rename(target, aside.path().join("old")).map_err(failed())?;
        old = Some(aside);
    }
    // A folder that came in between is not replaced unless it is empty: rename says so.
    if let Err(error) = fs::rename(folder.path(), target) {
        if let Some(aside) = old {
            fs::rename(aside.path().join("old"), target).map_err(failed())?;
        }
        return Err(failed()(error));
    }
    let _ = folder.keep();
    Ok(())
}

/// Every file below `folder` and its name in the archive.
fn names(folder: &Path, inside: &str, files: &mut Vec<(PathBuf, String)>) -> io::Result<()> {
    for entry in folder.read_dir()? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| {
            let text = format!("the name {name:?} is not UTF-8; rename the file");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        let path = entry.path();
        if path.is_dir() {
            names(&path, &format!("{inside}{name}/"), files)?;
        } else {
            files.push((path, format!("{inside}{name}")));
        }
    }
    Ok(())
}
