//! What must hold whatever archives, manifests and `model-config.yaml` files are registered.
//!
//! Called by the fuzz targets and by `tests/it/fuzz_corpus.rs`, as `invariants.rs`.

use std::fs;
use std::path::{Component, Path, PathBuf};

use torchfront::archive::{ArchiveLimits, HandlerChoice, ModelArchive, ModelConfig};

const LIMITS: ArchiveLimits = ArchiveLimits { max_size: 1 << 20, max_entries: 64, max_ratio: 200 };

/// A file of the model store: `m.mar`, `m.tar.gz` and a name without an ending.
pub fn archive(data: &[u8]) {
    let folder = Folder::new();
    for name in ["m.mar", "m.tar.gz", "m.tgz", "m"] {
        let (file, unpacked) = (folder.0.join(name), folder.0.join("unpacked"));
        fs::write(&file, data).unwrap();
        if let Ok(archive) = open(&file, &unpacked) {
            check(&archive, &unpacked);
        }
        // Refused or dropped: nothing stays.
        assert_eq!(fs::read_dir(&unpacked).map_or(0, Iterator::count), 0, "{name} left something");
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1 + usize::from(unpacked.exists()));
        fs::remove_file(&file).unwrap();
    }
}

/// `MAR-INF/MANIFEST.json`.
pub fn manifest(data: &[u8]) {
    let folder = Folder::new();
    let model = folder.0.join("m");
    fs::create_dir_all(model.join("MAR-INF")).unwrap();
    fs::write(model.join("MAR-INF/MANIFEST.json"), data).unwrap();
    fs::write(model.join("model.pt"), b"").unwrap();
    fs::write(folder.0.join("outside.pt"), b"").unwrap();
    let Ok(archive) = open(&model, &folder.0.join("unpacked")) else { return };
    check(&archive, &folder.0.join("m"));
    let manifest = archive.manifest();
    for name in [
        &manifest.serialized_file,
        &manifest.model_file,
        &manifest.source_vocab,
        &manifest.requirements_file,
        &manifest.config_file,
    ]
    .into_iter()
    .flatten()
    {
        let mut parts = Path::new(name).components();
        let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
        assert!(plain && !name.contains(['/', '\\', '\0']), "{name:?} is no plain name");
    }
}

/// `model-config.yaml`.
pub fn model_config(data: &[u8]) {
    let read = || ModelConfig::parse("model-config.yaml", data);
    match (read(), read()) {
        (Ok(first), Ok(second)) => {
            assert_eq!(format!("{first:?}"), format!("{second:?}"));
            // What aliases multiply is bounded.
            assert!(first.rest.to_string().len() <= 64 * data.len() + (1 << 20));
        }
        (Err(error), Err(_)) => assert!(error.to_string().len() < 4096, "{error}"),
        _ => panic!("read twice, and not the same"),
    }
}

fn open(source: &Path, unpacked: &Path) -> Result<ModelArchive, torchfront::archive::ArchiveError> {
    let choice = HandlerChoice { built_in: &["base_handler"], ..HandlerChoice::default() };
    let opened = ModelArchive::open(source, &LIMITS, unpacked, &choice);
    if let Err(error) = &opened {
        let text = error.to_string();
        assert!(text.len() < 4096, "{text}");
        assert!(!text.contains(&*unpacked.parent().unwrap().to_string_lossy()), "a path: {text}");
    }
    opened
}

/// Only plain files and folders, within the limits, below `root`.
fn check(archive: &ModelArchive, root: &Path) {
    let root = root.canonicalize().unwrap();
    assert!(archive.dir().canonicalize().unwrap().starts_with(&root));
    assert!(archive.serialized_file().canonicalize().unwrap().starts_with(&root));
    let (mut bytes, mut entries, mut folders) = (0, 0, vec![root]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
            let metadata = fs::symlink_metadata(entry.path()).unwrap();
            assert!(metadata.is_dir() || metadata.is_file(), "{:?} is special", entry.path());
            if metadata.is_dir() {
                folders.push(entry.path());
            }
            bytes += if metadata.is_file() { metadata.len() } else { 0 };
            entries += 1;
        }
    }
    assert!(bytes <= LIMITS.max_size && entries <= LIMITS.max_entries + 1, "{entries}: {bytes}");
}

/// A folder that is removed at the end; in memory where there is such a place.
struct Folder(PathBuf);

// === impl Folder ===

impl Folder {
    fn new() -> Folder {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("torchfront-fuzz-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _left = fs::remove_dir_all(&self.0);
    }
}
