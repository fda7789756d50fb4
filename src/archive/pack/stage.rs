//! Which file goes where in an archive: everything at the top, as `torch-model-archiver` has it.

use std::fs;
use std::path::{Path, PathBuf};

use glob::MatchOptions;

use super::super::manifest::Runtime;
use super::{Pack, PackError, io_error};

/// Folders that hold no part of a model.
const UNWANTED: [&str; 2] = ["__MACOSX", "__pycache__"];
/// Files and folders in one archive: what a server unpacks that is not told otherwise.
const MAX_ENTRIES: usize = 10_000;
/// Folders within folders; a link that leads in a circle ends here.
const MAX_DEPTH: usize = 32;
/// As in Python: `*` does not match a leading dot.
const PATTERN: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// Copies into one folder, counting.
struct Copier<'a> {
    folder: &'a Path,
    entries: usize,
}

/// Copies every file that the flags name.
pub(super) fn copy_all(pack: &Pack, folder: &Path) -> Result<(), PackError> {
    let mut copier = Copier { folder, entries: 0 };
    let files = [
        ("--model-file", &pack.model_file),
        ("--serialized-file", &pack.serialized_file),
        ("--requirements-file", &pack.requirements_file),
        ("--config-file", &pack.config_file),
        ("--handler", &handler_file(pack)),
    ];
    for (flag, path) in files {
        if let Some(path) = path {
            copier.file(flag, path)?;
        }
    }
    match &pack.extra_files {
        Some(list) => copier.extra_files(list),
        None => Ok(()),
    }
}

/// The last component of a path.
pub(super) fn file_name(path: &Path) -> Option<String> {
    path.file_name().map(|name| name.to_string_lossy().into_owned())
}

/// The handler's own file; none when it is built in.
fn handler_file(pack: &Pack) -> Option<PathBuf> {
    let handler = pack.handler.as_str();
    if pack.built_in.iter().any(|name| name == handler) {
        return None;
    }
    let module = handler.split_once(':').map_or(handler, |(module, _)| module);
    let extension = match pack.runtime {
        Runtime::Lsp if matches!(handler, "BaseHandler" | "TorchScriptHandler") => return None,
        Runtime::Lsp => ".so",
        Runtime::Python | Runtime::Python3 => ".py",
    };
    let stem = module.strip_suffix(extension).unwrap_or(module);
    Some(PathBuf::from(format!("{stem}{extension}")))
}

// === impl Copier ===

impl Copier<'_> {
    /// One file to the top of the archive.
    fn file(&mut self, flag: &'static str, path: &Path) -> Result<(), PackError> {
        if !path.is_file() {
            let problem = if path.is_dir() { "is a directory" } else { "file not found" };
            return Err(wrong(flag, path, problem));
        }
        let Some(name) = path.file_name() else { return Err(wrong(flag, path, "has no name")) };
        self.copy(flag, path, Path::new(name))
    }

    fn extra_files(&mut self, list: &str) -> Result<(), PackError> {
        const FLAG: &str = "--extra-files";
        for given in list.split(',').map(str::trim).filter(|given| !given.is_empty()) {
            let is_pattern = given.contains(['*', '?', '[']) && !Path::new(given).exists();
            let paths = if is_pattern {
                let found = glob::glob_with(given, PATTERN)
                    .map_err(|error| wrong(FLAG, Path::new(given), &error.to_string()))?;
                let paths: Vec<PathBuf> = found
                    .take(MAX_ENTRIES)
                    .collect::<Result<_, _>>()
                    .map_err(|error| wrong(FLAG, Path::new(given), &error.to_string()))?;
                if paths.is_empty() {
                    return Err(wrong(FLAG, Path::new(given), "matches no file"));
                }
                paths
            } else {
                vec![PathBuf::from(given)]
            };
            for path in paths {
                if path.is_dir() {
                    self.contents(FLAG, &path, Path::new(""), 0)?;
                } else {
                    self.file(FLAG, &path)?;
                }
            }
        }
        Ok(())
    }

    /// What a folder holds, below `inside` in the archive.
    fn contents(
        &mut self,
        flag: &'static str,
        path: &Path,
        inside: &Path,
        depth: usize,
    ) -> Result<(), PackError> {
        if depth > MAX_DEPTH {
            return Err(wrong(flag, path, "lies too deep; does a link lead in a circle?"));
        }
        for entry in path.read_dir().map_err(io_error("cannot read", path))? {
            let entry = entry.map_err(io_error("cannot read", path))?;
            let (name, path) = (entry.file_name(), entry.path());
            let inside = inside.join(&name);
            if path.is_dir() {
                let shown = name.to_string_lossy();
                if !shown.starts_with('.') && !UNWANTED.contains(&&*shown) {
                    self.count(flag, &path)?;
                    self.contents(flag, &path, &inside, depth + 1)?;
                }
            } else if path.is_file() {
                self.copy(flag, &path, &inside)?;
            }
        }
        Ok(())
    }

    fn copy(&mut self, flag: &'static str, path: &Path, name: &Path) -> Result<(), PackError> {
        self.count(flag, path)?;
        let target = self.folder.join(name);
        if target.exists() {
            let (path, name) = (path.display().to_string(), name.display().to_string());
            return Err(PackError::Twice { flag, path, name });
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(io_error("cannot make", parent))?;
        }
        fs::copy(path, &target).map_err(io_error("cannot copy", path))?;
        Ok(())
    }

    fn count(&mut self, flag: &'static str, path: &Path) -> Result<(), PackError> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            let path = path.display().to_string();
            return Err(PackError::TooMany { flag, path, max: MAX_ENTRIES });
        }
        Ok(())
    }
}

fn wrong(flag: &'static str, path: &Path, problem: &str) -> PackError {
    PackError::File { flag, path: path.display().to_string(), problem: problem.to_owned() }
}
