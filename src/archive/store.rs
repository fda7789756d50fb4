//! The model store: a url to one file or directory inside it, and the list of what it holds.
//!
//! Called by the registry before [`ModelArchive::open`](super::ModelArchive::open). Invariant: what
//! [`resolve`] returns lies directly in the store, and so does what it points to.

use std::path::{Path, PathBuf};

use super::error::ArchiveError;
use super::printable::Printable;

/// Extensions that `load_models=all` takes (TorchServe leaves out `.tgz`).
const LOADED: [&str; 3] = [".mar", ".model", ".tar.gz"];

/// The path of the model that `url` names: a file or directory directly in `model_store`.
///
/// As in TorchServe only the last component of a plain path counts (`sub/noop.mar` is `noop.mar`).
/// Unlike there, a directory elsewhere on the disk is never served, and URLs are not for here.
///
/// # Errors
/// [`ArchiveError::EmptyUrl`], [`ArchiveError::RelativePath`], [`ArchiveError::UrlNotSupported`],
/// [`ArchiveError::ModelNotFound`], [`ArchiveError::SymbolicLinkLeaves`], or the store itself cannot
/// be read.
pub fn resolve(model_store: &Path, url: &str) -> Result<PathBuf, ArchiveError> {
    if url.is_empty() {
        return Err(ArchiveError::EmptyUrl);
    }
    if let Some(scheme) = scheme(url) {
        return Err(ArchiveError::UrlNotSupported { scheme: Printable::new(scheme) });
    }
    if url.contains("..") {
        return Err(ArchiveError::RelativePath { url: Printable::new(url) });
    }
    let not_found = || ArchiveError::ModelNotFound { url: Printable::new(url) };
    let name = url.rsplit(['/', '\\']).next().unwrap_or(url);
    // `.` would be the store itself; hidden files are not models (`load_models=all` skips them).
    if name.is_empty() || name.starts_with('.') || name.contains(char::is_control) {
        return Err(not_found());
    }
    let store = model_store.canonicalize().map_err(ArchiveError::io("read", "model_store"))?;
    let target = match store.join(name).canonicalize() {
        Ok(target) => target,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(not_found()),
        Err(error) => return Err(ArchiveError::io("read", name)(error)),
    };
    if target == store || !target.starts_with(&store) {
        let name = Printable::new(name);
        return Err(ArchiveError::SymbolicLinkLeaves { name, inside: "the model store" });
    }
    if !target.is_file() && !target.is_dir() {
        return Err(not_found());
    }
    // The name as it was given: its extension and the default model name come from it.
    Ok(store.join(name))
}

/// What `load_models=all` loads: the names of files that end in `.mar`, `.model` or `.tar.gz` and of
/// directories that hold a model, sorted, each to be given to [`resolve`]. Hidden names are left out.
/// (TorchServe tries every directory; one beside the archives that holds samples is no model.)
///
/// # Errors
/// The store cannot be read.
pub fn scan(model_store: &Path) -> Result<Vec<String>, ArchiveError> {
    let unreadable = || ArchiveError::io("read", "model_store");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(model_store).map_err(unreadable())? {
        let entry = entry.map_err(unreadable())?;
        // A name that is not UTF-8 is kept lossily: resolving it fails and is reported.
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_archive = LOADED.iter().any(|extension| name.ends_with(extension));
        if !name.starts_with('.') && (is_archive || holds_model(&entry.path())) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// A directory with a manifest or a TorchScript file, in itself or in a directory directly inside.
fn holds_model(path: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(path) else { return false };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let marked = name == "MAR-INF" || Path::new(&name).extension().is_some_and(|e| e == "pt");
        marked || entry.path().join("MAR-INF").is_dir()
    })
}

/// The scheme of a real URL (`https`, `file`, `s3`); one letter is a drive, not a scheme.
fn scheme(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once(':')?;
    let mut letters = scheme.chars();
    let starts_well = letters.next().is_some_and(|c| c.is_ascii_alphabetic());
    let goes_on = letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    (starts_well && goes_on && scheme.len() > 1 && rest.starts_with('/')).then_some(scheme)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn store() -> tempfile::TempDir {
        let parent = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(parent.path().join("store/dir/MAR-INF")).expect("a directory");
        fs::create_dir_all(parent.path().join("store/samples")).expect("a directory");
        fs::write(parent.path().join("secret.mar"), "x").expect("a file");
        for name in ["b.mar", "a.tar.gz", "c.model", "d.tgz", ".hidden.mar", "notes.txt"] {
            fs::write(parent.path().join("store").join(name), "x").expect("a file");
        }
        parent
    }

    fn message(parent: &tempfile::TempDir, url: &str) -> String {
        let error = resolve(&parent.path().join("store"), url).expect_err(url);
        let text = error.to_string();
        assert!(!text.contains(&*parent.path().to_string_lossy()), "{text}");
        text
    }

    #[test]
    fn finds_files_and_directories_by_their_last_component() {
        let parent = store();
        let store = parent.path().join("store").canonicalize().expect("a path");
        for (url, name) in [
            ("b.mar", "b.mar"),
            ("sub/b.mar", "b.mar"),
            ("/etc/b.mar", "b.mar"),
            ("dir", "dir"),
            ("C:\\models\\b.mar", "b.mar"),
        ] {
            assert_eq!(resolve(&store, url).expect(url), store.join(name));
        }
    }

    #[test]
    fn answers_with_torchserves_messages() {
        let parent = store();
        assert_eq!(message(&parent, ""), "empty url");
        let relative = "Relative path is not allowed in url: ../secret.mar";
        assert_eq!(message(&parent, "../secret.mar"), relative);
        assert_eq!(message(&parent, "nope.mar"), "Model not found at: nope.mar");
        for url in ["/etc/passwd", ".", "/", "b.mar/", ".hidden.mar", "b\0.mar", "b.mar\n"] {
            assert!(message(&parent, url).starts_with("Model not found at: "), "{url}");
        }
        let long = "x".repeat(100_000);
        assert!(message(&parent, &long).len() < 500);
    }

    #[test]
    fn does_not_fetch_urls_nor_repeat_their_secrets() {
        let parent = store();
        for scheme in ["http", "https", "file", "s3", "gopher", "HTTP"] {
            let text = message(&parent, &format!("{scheme}://u:secret@host/../b.mar?sig=secret"));
            assert!(text.contains(&format!("{scheme}: URLs")), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
        assert!(message(&parent, "file:/etc/passwd").contains("file: URLs"));
    }

    #[test]
    fn refuses_symbolic_links_that_leave_the_store() {
        let parent = store();
        let store = parent.path().join("store");
        symlink(parent.path().join("secret.mar"), store.join("out.mar")).expect("a link");
        symlink(parent.path(), store.join("up")).expect("a link");
        symlink(&store, store.join("self")).expect("a link");
        symlink("b.mar", store.join("in.mar")).expect("a link");
        symlink("gone", store.join("gone.mar")).expect("a link");
        for url in ["out.mar", "up", "self"] {
            assert!(message(&parent, url).contains("leaves the model store"), "{url}");
        }
        assert!(resolve(&store, "in.mar").is_ok());
        assert!(message(&parent, "gone.mar").starts_with("Model not found at: "));
    }

    #[test]
    fn lists_what_load_models_all_loads() {
        let parent = store();
        let names = scan(&parent.path().join("store")).expect("a list");
        assert_eq!(names, ["a.tar.gz", "b.mar", "c.model", "dir"]);
        let error = scan(&parent.path().join("none")).expect_err("no store");
        assert!(error.to_string().starts_with("Cannot read `model_store`"), "{error}");
    }
}
