//! What `torch-model-archiver` 0.12 makes of the same flags (recorded in `tests/goldens/manifests`), and
//! what is refused.

use std::fs;
use std::path::Path;

use super::*;
use crate::archive::{ArchiveLimits, Contents};

/// Files as the recorded archives were made from.
fn files() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in [
        ("model.pt", "weights"),
        ("index_to_name.json", "{}"),
        ("d/a.txt", "a"),
        ("d/sub/b.txt", "b"),
        ("d/__pycache__/c.pyc", "c"),
        ("d/.hidden/d.txt", "d"),
        ("n1.txt", "x"),
        (".n2.txt", "x"),
        ("reqs.txt", "numpy"),
        ("settings.yaml", "batchSize: 4"),
        ("code/handler.py", "x=1"),
        ("code/net.py", "y=1"),
        ("w.pth", "w"),
    ] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, content).expect("a file");
    }
    fs::create_dir(folder.path().join("out")).expect("a folder");
    folder
}

fn pack(folder: &Path) -> Pack {
    let below = |name: &str| folder.join(name).display().to_string();
    Pack {
        model_name: "mlp.two".to_owned(),
        version: "2.1-ä".to_owned(),
        handler: "base_handler".to_owned(),
        built_in: vec!["base_handler".to_owned()],
        serialized_file: Some(folder.join("model.pt")),
        model_file: None,
        extra_files: Some(["index_to_name.json", "d", "n*.txt"].map(below).join(",")),
        requirements_file: Some(folder.join("reqs.txt")),
        config_file: Some(folder.join("settings.yaml")),
        runtime: Runtime::Python,
        format: Format::Zip,
        force: false,
    }
}

fn eager(folder: &Path) -> Pack {
    Pack {
        model_name: "eager".to_owned(),
        version: "1.0".to_owned(),
        handler: folder.join("code/handler.py").display().to_string(),
        serialized_file: Some(folder.join("w.pth")),
        model_file: Some(folder.join("code/net.py")),
        extra_files: None,
        requirements_file: None,
        config_file: None,
        runtime: Runtime::Python3,
        ..pack(folder)
    }
}

/// Every file below `folder`, sorted.
fn listing(folder: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, names: &mut Vec<String>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(root, &path, names);
            } else {
                names.push(path.strip_prefix(root).expect("below").display().to_string());
            }
        }
    }
    let mut names = Vec::new();
    walk(folder, folder, &mut names);
    names.sort();
    names
}

/// A manifest without the line that holds the time.
fn timeless(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("\"createdOn\"")).collect();
    assert_eq!(lines.len() + 1, text.lines().count(), "one line holds the time");
    lines.join("\n")
}

#[test]
fn the_manifest_and_the_names_are_those_of_torch_model_archiver() {
    let folder = files();
    let out = folder.path().join("out");
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/manifests");
    let names: [&[&str]; 2] = [
        &[
            "MAR-INF/MANIFEST.json",
            "a.txt",
            "index_to_name.json",
            "model.pt",
            "n1.txt",
            "reqs.txt",
            "settings.yaml",
            "sub/b.txt",
        ],
        &["MAR-INF/MANIFEST.json", "handler.py", "net.py", "w.pth"],
    ];
    for (pack, names) in [pack(folder.path()), eager(folder.path())].into_iter().zip(names) {
        let staged = pack.stage(&out).expect("staged");
        let text = fs::read_to_string(staged.path().join("MAR-INF/MANIFEST.json")).expect("text");
        let expected = recorded.join(format!("{}.json", pack.model_name));
        let expected = fs::read_to_string(expected).expect("the recorded manifest");
        assert_eq!(timeless(&text), timeless(&expected));
        assert_eq!(listing(staged.path()), names);
    }
    assert!(listing(&out).is_empty(), "what was staged and not written is gone");
}

#[test]
fn every_format_holds_the_same_files_and_is_read_again() {
    let folder = files();
    let out = folder.path().join("out");
    let mut seen = Vec::new();
    for (format, name) in [
        (Format::Zip, "mlp.two.mar"),
        (Format::ZipStore, "mlp.two.mar"),
        (Format::Tgz, "mlp.two.tar.gz"),
        (Format::Folder, "mlp.two"),
        (Format::Folder, "mlp.two"),
    ] {
        let pack = Pack { format, force: true, version: "2.1".into(), ..pack(folder.path()) };
        let target = pack.stage(&out).expect("staged").write().expect("written");
        assert_eq!(target, out.join(name));
        let contents =
            Contents::read(&target, &ArchiveLimits::default(), folder.path()).expect(name);
        assert_eq!(contents.manifest.model_name.as_deref(), Some("mlp.two"));
        assert_eq!(fs::read(contents.dir.join("model.pt")).expect("a file"), b"weights");
        assert_eq!(contents.model_config.expect("settings").batch_size, Some(4));
        seen.push(listing(&contents.dir));
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
    let mut left: Vec<_> = fs::read_dir(&out).expect("a folder").flatten().collect();
    left.sort_by_key(fs::DirEntry::file_name);
    assert_eq!(left.len(), 3, "nothing but the archives: {left:?}");
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let folder = files();
    let staged = pack(folder.path()).stage(&folder.path().join("out")).expect("staged");
    let target = |name: &str| folder.path().join("out").join(name);
    let zip = |name: &str| {
        write::file(staged.path(), &target(name), false, |files, out| write::zip(files, out, true))
            .expect("written");
        fs::read(target(name)).expect("a file")
    };
    assert_eq!(zip("a"), zip("b"));
}

#[test]
fn an_archive_that_is_there_is_replaced_only_by_force_and_stays_whole() {
    let folder = files();
    let out = folder.path().join("out");
    for (format, name) in [(Format::Zip, "mlp.two.mar"), (Format::Folder, "mlp.two")] {
        let pack = Pack { format, ..pack(folder.path()) };
        let late = pack.stage(&out).expect("nothing is there yet");
        pack.stage(&out).expect("staged").write().expect("written");
        let error = pack.stage(&out).expect_err("it is there").to_string();
        assert!(error.contains("already exists") && error.contains("--force"), "{error}");
        late.write().expect_err("another one came first");
        assert!(out.join(name).exists());
    }
    // Not even by force is one replaced by half of another.
    let broken = Pack { force: true, ..pack(folder.path()) };
    let before = fs::read(out.join("mlp.two.mar")).expect("a file");
    let staged = broken.stage(&out).expect("staged");
    fs::remove_file(staged.path().join("model.pt")).expect("removed");
    std::os::unix::fs::symlink("nowhere", staged.path().join("model.pt")).expect("a link");
    assert!(matches!(staged.write(), Err(PackError::Io { .. })));
    assert_eq!(fs::read(out.join("mlp.two.mar")).expect("a file"), before);
    assert_eq!(fs::read_dir(&out).expect("a folder").count(), 2);
}

#[test]
fn what_is_wrong_is_said_with_its_flag() {
    let folder = files();
    let out = folder.path().join("out");
    let said = |change: &dyn Fn(&mut Pack)| {
        let mut pack = pack(folder.path());
        change(&mut pack);
        pack.stage(&out).expect_err("refused").to_string()
    };
    let below = |name: &str| folder.path().join(name);
    for name in ["", ".a", "a/b", "ä", "a b"] {
        assert!(said(&|pack| pack.model_name = name.to_owned()).contains("--model-name"), "{name}");
    }
    let missing = said(&|pack| pack.serialized_file = Some(below("none.pt")));
    assert!(missing.contains("--serialized-file") && missing.contains("none.pt"), "{missing}");
    let handler = said(&|pack| pack.handler = below("code/mine:run").display().to_string());
    assert!(handler.contains("--handler") && handler.contains("mine.py"), "{handler}");
    let none = said(&|pack| pack.extra_files = Some(below("*.none").display().to_string()));
    assert!(none.contains("matches no file"), "{none}");
    let twice = said(&|pack| pack.extra_files = Some(below("model.pt").display().to_string()));
    assert!(twice.contains("has a file `model.pt` already"), "{twice}");
    let circle = below("d/sub/again");
    std::os::unix::fs::symlink(below("d"), &circle).expect("a link");
    let deep = said(&|pack| pack.extra_files = Some(below("d").display().to_string()));
    assert!(deep.contains("circle") || deep.contains("Too many levels"), "{deep}");
    fs::remove_file(circle).expect("removed");
    let nowhere = pack(folder.path()).stage(&below("nowhere")).expect_err("no folder");
    assert!(nowhere.to_string().contains("--export-path"), "{nowhere}");
    assert!(listing(&out).is_empty());
}

#[test]
fn a_handler_with_a_function_is_found() {
    let folder = files();
    let handler = folder.path().join("code/handler.py:run").display().to_string();
    let pack = Pack { handler, ..eager(folder.path()) };
    let staged = pack.stage(&folder.path().join("out")).expect("staged");
    assert!(staged.path().join("handler.py").is_file());
    let text = fs::read_to_string(staged.path().join("MAR-INF/MANIFEST.json")).expect("text");
    assert!(text.contains("\"handler\": \"handler.py:run\""), "{text}");
}
