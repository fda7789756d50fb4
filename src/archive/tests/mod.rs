//! Tests of the whole room, through [`ModelArchive::open`]: what is served, what is refused, and
//! that a refused archive leaves nothing behind.

mod hostile_tar;
mod hostile_zip;
mod opening;
mod random_bytes;
mod raw_zip;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

use super::*;

const BUILT_IN: [&str; 3] = ["base_handler", "image_classifier", "tensors"];

const MANIFEST: &str = r#"{"model": {"modelName": "noop", "serializedFile": "model.pt",
                           "handler": "base_handler", "modelVersion": "1.11"}}"#;

/// A model store and an unpack directory of their own.
struct Bench {
    root: TempDir,
    limits: ArchiveLimits,
}

impl Bench {
    fn new() -> Bench {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir(root.path().join("store")).expect("a directory");
        Bench { root, limits: ArchiveLimits::default() }
    }

    fn with_limits(limits: ArchiveLimits) -> Bench {
        Bench { limits, ..Bench::new() }
    }

    fn store(&self) -> PathBuf {
        self.root.path().join("store")
    }

    fn unpack_dir(&self) -> PathBuf {
        self.root.path().join("unpacked")
    }

    fn put(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.store().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, content).expect("a file");
        path
    }

    fn open(&self, source: &Path) -> Result<ModelArchive, ArchiveError> {
        let choice = HandlerChoice { built_in: &BUILT_IN, ..HandlerChoice::default() };
        self.open_with(source, &choice)
    }

    fn open_with(
        &self,
        source: &Path,
        choice: &HandlerChoice<'_>,
    ) -> Result<ModelArchive, ArchiveError> {
        ModelArchive::open(source, &self.limits, &self.unpack_dir(), choice)
    }

    fn open_bytes(&self, name: &str, content: &[u8]) -> Result<ModelArchive, ArchiveError> {
        self.open(&self.put(name, content))
    }

    /// Opens, expects a refusal of this kind that leaves nothing on disk and tells nothing of this
    /// machine's paths, and returns its text.
    #[track_caller]
    fn refused(&self, name: &str, content: &[u8], kind: ArchiveErrorKind) -> String {
        let error = self.open_bytes(name, content).expect_err("a refusal");
        self.check(&error, kind)
    }

    #[track_caller]
    fn check(&self, error: &ArchiveError, kind: ArchiveErrorKind) -> String {
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{text}");
        assert!(!text.contains(&*self.root.path().to_string_lossy()), "{text}");
        assert!(text.len() < 1000 && text.lines().count() == 1, "{text}");
        self.nothing_is_left();
        text
    }

    #[track_caller]
    fn nothing_is_left(&self) {
        if let Ok(entries) = fs::read_dir(self.unpack_dir()) {
            assert_eq!(entries.count(), 0, "the unpack directory is not empty");
        }
        let mut around: Vec<_> = fs::read_dir(self.root.path())
            .expect("a list")
            .map(|entry| entry.expect("an entry").file_name())
            .filter(|name| name != "store" && name != "unpacked")
            .collect();
        around.sort();
        assert!(around.is_empty(), "written outside: {around:?}");
    }
}

/// A zip as torch-model-archiver writes it.
fn mar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in entries {
        let options = SimpleFileOptions::default();
        if name.ends_with('/') {
            writer.add_directory(*name, options).expect("a directory");
        } else {
            writer.start_file(*name, options).expect("a file");
            writer.write_all(content).expect("its content");
        }
    }
    writer.finish().expect("an archive").into_inner()
}

/// A good archive with this manifest.
fn mar_with_manifest(manifest: &str) -> Vec<u8> {
    mar(&[("model.pt", b"weights"), ("MAR-INF/MANIFEST.json", manifest.as_bytes())])
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).expect("memory");
    encoder.finish().expect("memory")
}

/// A tar header whose name is not checked, as `tar::Builder` would.
fn tar_header(name: &[u8], kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_size(size);
    header.set_cksum();
    header
}

/// A gzipped tar; a name that ends with `/` is a directory.
fn tar_gz(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let kind =
            if name.ends_with('/') { tar::EntryType::Directory } else { tar::EntryType::Regular };
        let header = tar_header(name.as_bytes(), kind, content.len() as u64);
        builder.append(&header, *content).expect("an entry");
    }
    gzip(&builder.into_inner().expect("an archive"))
}
