//! Archives that cannot be served: each is refused with a reason, nothing is left on disk, and the
//! others are served.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use zip::write::SimpleFileOptions;

use crate::support::{TestServer, checkout};

fn write_zip(path: &Path, entries: &[(&str, &[u8])]) {
    let mut zip = zip::ZipWriter::new(File::create(path).unwrap());
    for (name, content) in entries {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap();
}

fn manifest(handler: &str) -> Vec<u8> {
    format!(
        r#"{{"runtime": "python", "model": {{"modelName": "m", "serializedFile": "model.pt",
            "handler": "{handler}", "modelVersion": "1.0"}}}}"#
    )
    .into_bytes()
}

#[test]
fn refused_archives_leave_the_server_serving() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    fs::create_dir(&store).unwrap();
    let golden = |name: &str| checkout(&format!("tests/goldens/archives/{name}.mar"));
    for name in ["mlp", "not_torchscript", "python_handler", "eager"] {
        fs::copy(golden(name), store.join(format!("{name}.mar"))).unwrap();
    }
    let whole = fs::read(golden("mlp")).unwrap();
    fs::write(store.join("truncated.mar"), &whole[..whole.len() / 2]).unwrap();
    fs::write(store.join("text.mar"), b"this is no zip").unwrap();
    let base = manifest("base_handler");
    let name = "MAR-INF/MANIFEST.json";
    write_zip(&store.join("escaping.mar"), &[(name, &base), ("../../escaped.txt", b"x")]);
    write_zip(&store.join("nothing.mar"), &[("readme.txt", b"x")]);
    write_zip(&store.join("unknown.mar"), &[(name, &manifest("my_handler")), ("model.pt", b"x")]);

    let server = TestServer::start_in(folder, &store, &["load_models=all"]);
    assert_eq!(server.predict("mlp", "[0.1, -0.2, 0.3, 0.4]").status, 200);
    let listed = server.manage("/models").json();
    assert_eq!(listed["models"].as_array().unwrap().len(), 1, "{listed}");
    let unpacked = fs::read_dir(server.temp_dir()).unwrap();
    let left: Vec<_> = unpacked.flat_map(|each| walk(&each.unwrap().path())).collect();
    assert!(left.iter().all(|path| !path.contains("escaped")), "{left:?}");
    assert!(!server.folder.path().join("escaped.txt").exists());
    let models = left.iter().filter(|path| path.ends_with("model.pt")).count();
    assert_eq!(models, 1, "only what is served is on disk: {left:?}");
    let temp_dir = server.temp_dir();
    let entries = || fs::read_dir(&temp_dir).unwrap().count();
    assert_eq!(entries(), 1);
    server.begin_stop();
    for _ in 0..1000 {
        if entries() == 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("a stopped server leaves {:?}", fs::read_dir(&temp_dir).unwrap().collect::<Vec<_>>());
}

fn walk(path: &Path) -> Vec<String> {
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap();
        return entries.flat_map(|entry| walk(&entry.unwrap().path())).collect();
    }
    vec![path.display().to_string()]
}

#[test]
fn an_unpacked_folder_and_a_tarball_are_served_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    fs::create_dir(&store).unwrap();
    let file = File::open(checkout("tests/goldens/archives/mlp.mar")).unwrap();
    let mut archive = zip::ZipArchive::new(file).unwrap();
    let compressed = flate2::write::GzEncoder::new(
        File::create(store.join("packed.tar.gz")).unwrap(),
        flate2::Compression::fast(),
    );
    let mut tarball = tar::Builder::new(compressed);
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        let entry_name = entry.name().unwrap().into_owned();
        let mut content = Vec::new();
        std::io::copy(&mut entry, &mut content).unwrap();
        let path = store.join("folder").join(&entry_name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &content).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        let name = format!("packed/{entry_name}");
        tarball.append_data(&mut header, name, content.as_slice()).unwrap();
    }
    tarball.into_inner().unwrap().finish().unwrap();
    let lines = ["load_models=a=folder,b=packed.tar.gz"];
    let server = TestServer::start_in(folder, &store, &lines);
    for model in ["a", "b"] {
        assert_eq!(server.predict(model, "[0.1, -0.2, 0.3, 0.4]").status, 200, "{model}");
    }
    server.stop();
}

#[test]
fn settings_of_a_model_come_from_its_archive_then_from_the_models_property() {
    let entry = r#"models={"mlp":{"1.0":{"minWorkers":3,"batchSize":4,"maxBatchDelay":50,"responseTimeout":7}},"configured":{"1.0":{"batchSize":99}}}"#;
    let server = TestServer::start(&["mlp", "configured"], &[entry]);
    let of = |model: &str| server.manage(&format!("/models/{model}")).json()[0].clone();
    let mlp = of("mlp");
    assert_eq!((&mlp["minWorkers"], &mlp["batchSize"]), (&3.into(), &4.into()));
    assert_eq!((&mlp["maxBatchDelay"], &mlp["responseTimeout"]), (&50.into(), &7.into()));
    assert_eq!(mlp["workers"].as_array().unwrap().len(), 3);
    assert_ne!(of("configured")["batchSize"], 99, "the archive's own file comes first");
}
