//! Which names a model and its version may have, and the name of a model that has none. PURE.
//!
//! Names come from clients, manifests and file names, and end up in URLs, metric labels, log lines
//! and thread names: one alphabet for all.

use super::error::ArchiveError;
use super::printable::Printable;

/// Characters of a name or version.
const MAX_LENGTH: usize = 128;

/// Extensions that are not part of a model's name, longest first.
const EXTENSIONS: [&str; 4] = [".tar.gz", ".model", ".tgz", ".mar"];

/// Checks a model's name: 1 to 128 of `A-Z a-z 0-9 . _ -`, not starting with a dot.
///
/// # Errors
/// [`ArchiveError::InvalidName`].
pub fn check_model_name(name: &str) -> Result<(), ArchiveError> {
    check("Model name", name)
}

/// Checks a version by the same rule.
///
/// # Errors
/// [`ArchiveError::InvalidName`].
pub fn check_model_version(version: &str) -> Result<(), ArchiveError> {
    check("Model version", version)
}

/// The name of a model whose manifest has none: its file's name without the extension, every
/// character but ASCII letters, digits and `_` replaced by `_`, as TorchServe does at start-up.
/// (TorchServe keeps `.tar.gz` as `_tar_gz`; here it is an extension like `.mar`.)
pub fn default_model_name(file_name: &str) -> String {
    let stem = EXTENSIONS.iter().find_map(|extension| file_name.strip_suffix(extension));
    stem.unwrap_or(file_name)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}

fn check(what: &'static str, name: &str) -> Result<(), ArchiveError> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    let length_fits = (1..=MAX_LENGTH).contains(&name.len());
    if length_fits && !name.starts_with('.') && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(ArchiveError::InvalidName { what, name: Printable::new(name) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_ordinary_names_and_versions() {
        for name in ["resnet-18", "noop_v1.0", "A", "1.0", &"x".repeat(128)] {
            assert!(check_model_name(name).is_ok(), "{name}");
            assert!(check_model_version(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn refuses_names_that_break_urls_labels_or_logs() {
        let long = "x".repeat(129);
        for name in ["", ".", "..", ".a", "a/b", "a%2fb", "a b", "a\nb", "é", "\u{202e}a", &long] {
            let error = check_model_name(name).expect_err(name);
            assert!(error.to_string().len() < 500);
            assert!(check_model_version(name).is_err(), "{name}");
        }
    }

    #[test]
    fn names_an_unnamed_model_after_its_file() {
        assert_eq!(default_model_name("resnet-18.mar"), "resnet_18");
        assert_eq!(default_model_name("my model.v2.tar.gz"), "my_model_v2");
        assert_eq!(default_model_name("plain.tgz"), "plain");
        assert_eq!(default_model_name("old.model"), "old");
        assert_eq!(default_model_name("a-directory"), "a_directory");
        assert_eq!(default_model_name("modèle.mar"), "mod_le");
    }
}
