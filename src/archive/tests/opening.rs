//! Archives as people make them: what is served, and what is explained.

use super::*;
use ArchiveErrorKind::{HandlerNotSupported, InvalidModel, ModelNotSupported, NotFound};
use std::os::unix::fs::{PermissionsExt, symlink};

fn manifest(fields: &str) -> String {
    format!(r#"{{"runtime": "python", "model": {{{fields}}}}}"#)
}

#[track_caller]
fn refused_manifest(fields: &str, kind: ArchiveErrorKind) -> String {
    Bench::new().refused("noop.mar", &mar_with_manifest(&manifest(fields)), kind)
}

#[test]
fn serves_a_mar_and_removes_it_when_dropped() {
    let bench = Bench::new();
    let content = mar(&[
        ("model.pt", b"weights"),
        ("index_to_name.json", b"{\"0\": \"cat\"}"),
        ("model-config.yaml", b"batchSize: 4\n"),
        ("MAR-INF/", b""),
        ("MAR-INF/MANIFEST.json", MANIFEST.as_bytes()),
    ]);
    let archive = bench.open_bytes("noop.mar", &content).expect("an archive");
    assert_eq!(fs::read(archive.serialized_file()).expect("a file"), b"weights");
    let labels = archive.index_to_name().expect("readable");
    assert_eq!(labels.as_deref(), Some(&b"{\"0\": \"cat\"}"[..]));
    assert_eq!(archive.model_config().and_then(|config| config.batch_size), Some(4));
    assert_eq!(archive.handler(), "base_handler");
    assert_eq!(archive.version(), "1.11");
    assert_eq!(archive.manifest().model_name.as_deref(), Some("noop"));
    assert_eq!(archive.read_file("nope", 10).expect("readable"), None);
    assert_eq!(archive.read_file("../../store/noop.mar", 10).expect("readable"), None);
    assert!(archive.read_file("model.pt", 3).is_err());
    drop(archive);
    bench.nothing_is_left();
}

#[test]
fn serves_streamed_zip64_and_stored_archives() {
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for options in [SimpleFileOptions::default(), stored, stored.large_file(true)] {
        let bench = Bench::new();
        // Streamed: sizes follow the data, as when an archive is written to a pipe.
        let mut streamed = zip::ZipWriter::new_stream(Vec::new());
        let mut seekable = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, content) in [("model.pt", "w"), ("MAR-INF/MANIFEST.json", MANIFEST)] {
            streamed.start_file(name, options).expect("a file");
            streamed.write_all(content.as_bytes()).expect("its content");
            seekable.start_file(name, options).expect("a file");
            seekable.write_all(content.as_bytes()).expect("its content");
        }
        let streamed = streamed.finish().expect("an archive").into_inner();
        assert!(bench.open_bytes("streamed.mar", &streamed).is_ok());
        let seekable = seekable.finish().expect("an archive").into_inner();
        assert!(bench.open_bytes("seekable.mar", &seekable).is_ok());
    }
}

#[test]
fn unpacks_privately_and_never_executably() {
    let bench = Bench::new();
    let archive = bench.open_bytes(
        "noop.tar.gz",
        &tar_gz(&[("n/model.pt", b"w"), ("n/MAR-INF/MANIFEST.json", MANIFEST.as_bytes())]),
    );
    let archive = archive.expect("an archive");
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o7777;
    assert_eq!(mode(archive.dir()), 0o700);
    assert_eq!(mode(&archive.dir().join("MAR-INF")), 0o700);
    // The entry's own mode was 0755.
    assert_eq!(mode(archive.serialized_file()), 0o600);
    assert_eq!(mode(&bench.unpack_dir()), 0o700);
}

#[test]
fn two_archives_of_one_file_do_not_share_a_directory() {
    let bench = Bench::new();
    let first = bench.open_bytes("noop.mar", &mar_with_manifest(MANIFEST)).expect("an archive");
    let second = bench.open(&bench.store().join("noop.mar")).expect("an archive");
    assert_ne!(first.dir(), second.dir());
    drop(first);
    assert!(second.serialized_file().is_file());
}

#[test]
fn serves_a_gzipped_tar_without_its_top_directory() {
    for top in ["noop", "."] {
        for name in ["noop.tar.gz", "noop.tgz", "noop.model"] {
            let bench = Bench::new();
            let model = format!("{top}/model.pt");
            let file = format!("{top}/MAR-INF/MANIFEST.json");
            let top = format!("{top}/");
            let content = tar_gz(&[(&top, b""), (&model, b"w"), (&file, MANIFEST.as_bytes())]);
            let archive = bench.open_bytes(name, &content).expect(name);
            assert_eq!(archive.version(), "1.11");
            assert!(archive.dir().join("model.pt").is_file());
        }
    }
}

#[test]
fn serves_a_directory_where_it_is() {
    let bench = Bench::new();
    bench.put("noop/model.pt", b"w");
    bench.put("noop/MAR-INF/MANIFEST.json", MANIFEST.as_bytes());
    bench.put("noop/extra/x.txt", b"x");
    let archive = bench.open(&bench.store().join("noop")).expect("an archive");
    assert_eq!(archive.dir(), bench.store().join("noop").canonicalize().expect("a path"));
    drop(archive);
    assert!(bench.store().join("noop/model.pt").is_file());
    assert!(!bench.unpack_dir().exists());
}

#[test]
fn serves_the_only_sub_directory_of_a_directory_without_a_model() {
    let bench = Bench::new();
    bench.put("outer/inner/model.pt", b"w");
    bench.put("outer/inner/MAR-INF/MANIFEST.json", MANIFEST.as_bytes());
    bench.put("outer/README.md", b"x");
    bench.put("outer/.git/config", b"x");
    let archive = bench.open(&bench.store().join("outer")).expect("an archive");
    assert!(archive.dir().ends_with("outer/inner"));

    bench.put("outer/second/x", b"x");
    assert!(bench.open(&bench.store().join("outer")).is_err());
}

#[test]
fn does_not_follow_links_out_of_a_directory() {
    let bench = Bench::new();
    bench.put("secret.pt", b"w");
    bench.put("noop/MAR-INF/MANIFEST.json", MANIFEST.as_bytes());
    symlink("../secret.pt", bench.store().join("noop/model.pt")).expect("a link");
    let error = bench.open(&bench.store().join("noop")).expect_err("a refusal");
    let text = bench.check(&error, InvalidModel);
    assert!(text.contains("`model.pt` is a symbolic link that leaves"), "{text}");

    fs::remove_file(bench.store().join("noop/model.pt")).expect("removed");
    bench.put("noop/weights.pt", b"w");
    symlink("weights.pt", bench.store().join("noop/model.pt")).expect("a link");
    assert!(bench.open(&bench.store().join("noop")).is_ok());

    fs::create_dir(bench.store().join("outer")).expect("a directory");
    symlink("../noop", bench.store().join("outer/link")).expect("a link");
    assert!(bench.open(&bench.store().join("outer")).is_err());
}

#[test]
fn explains_files_that_are_no_archives() {
    let bench = Bench::new();
    let error = bench.open(&bench.store().join("gone.mar")).expect_err("a refusal");
    assert_eq!(bench.check(&error, NotFound), "Model not found at: gone.mar");
    let text = bench.refused("model.pt", &mar(&[("x", b"x")]), InvalidModel);
    assert!(text.contains("bare weights"), "{text}");
    let text = bench.refused("noop.zip", &mar_with_manifest(MANIFEST), InvalidModel);
    assert!(text.contains("none of the known extensions"), "{text}");
    assert!(bench.refused("noop.mar", b"", InvalidModel).contains("it is empty"));
    assert!(bench.refused("noop.mar", b"<html>", InvalidModel).contains("first bytes"));
}

#[test]
fn explains_content_that_differs_from_the_extension() {
    let bench = Bench::new();
    let text = bench.refused("noop.mar", &tar_gz(&[("n/x", b"x")]), InvalidModel);
    assert!(text.contains("holds a gzipped tar archive, but its name says a zip"), "{text}");
    assert!(text.contains("end in .tar.gz"), "{text}");
    let text = bench.refused("noop.tgz", &mar_with_manifest(MANIFEST), InvalidModel);
    assert!(text.contains("end in .mar"), "{text}");
    assert!(bench.open_bytes("noop.model", &mar_with_manifest(MANIFEST)).is_ok());
}

#[test]
fn serves_an_archive_without_a_manifest_with_the_default_handler() {
    let bench = Bench::new();
    let source =
        bench.put("my-model.mar", &mar(&[("weights.pt", b"w"), ("source_vocab.pt", b"v")]));
    let choice = HandlerChoice {
        default_service_handler: Some("image_classifier"),
        built_in: &BUILT_IN,
        ..HandlerChoice::default()
    };
    let archive = bench.open_with(&source, &choice).expect("an archive");
    assert!(archive.serialized_file().ends_with("weights.pt"));
    assert_eq!((archive.handler(), archive.version()), ("image_classifier", "1.0"));
    assert_eq!(archive.manifest().runtime, Runtime::Python);
    assert!(archive.model_config().is_none());

    let name = archive.model_name(None, Unnamed::UseFileName).expect("a name");
    assert_eq!(name, "my_model");
    let error = archive.model_name(None, Unnamed::Refuse).expect_err("no name");
    assert!(error.to_string().starts_with("Model name is not defined."), "{error}");
    assert_eq!(archive.model_name(Some("a.b"), Unnamed::Refuse).expect("a name"), "a.b");
    assert!(archive.model_name(Some("../a"), Unnamed::UseFileName).is_err());
    drop(archive);

    let error = bench.open(&source).expect_err("no handler");
    let text = bench.check(&error, InvalidModel);
    assert!(text.contains("default_service_handler"), "{text}");
}

#[test]
fn guesses_the_model_only_when_there_is_no_doubt() {
    let bench = Bench::new();
    let file = manifest(r#""handler": "base_handler""#);
    let with = |files: &[&str]| {
        let mut entries = vec![("MAR-INF/MANIFEST.json", file.as_bytes())];
        entries.extend(files.iter().map(|name| (*name, &b"w"[..])));
        bench.open_bytes("noop.mar", &mar(&entries))
    };
    let found = with(&["a.pt", "model.pt"]).expect("model.pt");
    assert!(found.serialized_file().ends_with("model.pt"));
    assert!(with(&["a.pt", "d/b.pt"]).expect("the only .pt").serialized_file().ends_with("a.pt"));
    let text = with(&["a.pt", "b.pt"]).expect_err("two").to_string();
    assert!(text.contains("several .pt files"), "{text}");
    let text = with(&["source_vocab.pt"]).expect_err("none").to_string();
    assert!(text.contains("no .pt file"), "{text}");
    let text = with(&["model.onnx"]).expect_err("onnx").to_string();
    assert!(text.contains("`model.onnx` is an ONNX model"), "{text}");
}

#[test]
fn explains_models_that_are_not_torchscript() {
    let handler = r#""handler": "base_handler""#;
    for (name, expected) in [
        ("model.pth", "a state dict"),
        ("model.onnx", "an ONNX model"),
        ("model.so", "AOTInductor"),
        ("model.pt2", "AOTInductor"),
        ("model", "not a TorchScript file"),
    ] {
        let fields = format!(r#"{handler}, "serializedFile": "{name}""#);
        let text = refused_manifest(&fields, ModelNotSupported);
        assert!(text.contains(expected) && text.contains("torch.jit"), "{text}");
    }
    let eager = format!(r#"{handler}, "serializedFile": "model.pt", "modelFile": "net.py""#);
    let text = refused_manifest(&eager, ModelNotSupported);
    assert!(text.contains("`modelFile` is `net.py`"), "{text}");
    let gone = format!(r#"{handler}, "serializedFile": "gone.pt""#);
    let text = refused_manifest(&gone, InvalidModel);
    assert!(text.contains("`serializedFile`") && text.contains("`gone.pt`"), "{text}");
}

#[test]
fn refuses_python_handlers_before_anything_else() {
    let bench = Bench::new();
    let fields = r#""handler": "my_handler.py:run", "modelFile": "net.py",
                    "serializedFile": "weights.pth""#;
    let content = mar(&[
        ("weights.pth", b"w"),
        ("net.py", b"import os"),
        ("my_handler.py", b"import os"),
        ("MAR-INF/MANIFEST.json", manifest(fields).as_bytes()),
    ]);
    let text = bench.refused("noop.mar", &content, HandlerNotSupported);
    assert!(text.contains("`my_handler.py:run` is a Python handler"), "{text}");
    assert!(text.contains("base_handler, image_classifier, tensors"), "{text}");
}

#[test]
fn an_overridden_handler_serves_an_archive_that_brings_python() {
    let bench = Bench::new();
    let fields = r#""handler": "h.py", "serializedFile": "model.pt""#;
    let source = bench.put(
        "noop.mar",
        &mar(&[
            ("model.pt", b"w"),
            ("h.py", b"import os"),
            ("MAR-INF/MANIFEST.json", manifest(fields).as_bytes()),
        ]),
    );
    let choice = HandlerChoice {
        handler_override: Some("tensors"),
        built_in: &BUILT_IN,
        ..HandlerChoice::default()
    };
    assert_eq!(bench.open_with(&source, &choice).expect("an archive").handler(), "tensors");
    let choice = HandlerChoice { handler_override: Some("h"), ..choice };
    let error = bench.open_with(&source, &choice).expect_err("python");
    bench.check(&error, HandlerNotSupported);
}

#[test]
fn begins_manifest_errors_with_torchserves_words() {
    let bench = Bench::new();
    for (content, start) in [
        ("{", "Failed to parse signature.json."),
        ("{}", "Missing Model entry in manifest file."),
        (r#"{"model": {}, "runtime": "java"}"#, "Runtime is not defined or invalid."),
    ] {
        let text = bench.refused("noop.mar", &mar_with_manifest(content), InvalidModel);
        assert!(text.starts_with(start), "{text}");
    }
    let huge = format!("{}{}", " ".repeat(2 << 20), MANIFEST);
    let kind = ArchiveErrorKind::LimitExceeded;
    let text = bench.refused("noop.mar", &mar_with_manifest(&huge), kind);
    assert!(text.contains("MANIFEST.json` is larger than 1048576 bytes"), "{text}");
}

#[test]
fn reads_the_yaml_that_the_manifest_names_or_the_default_one() {
    let bench = Bench::new();
    let named = r#""handler": "tensors", "configFile": "mine.yaml""#;
    let content = |fields: &str, yaml: &str, text: &str| {
        let file = manifest(fields);
        let manifest = ("MAR-INF/MANIFEST.json", file.as_bytes());
        mar(&[("model.pt", b"w"), (yaml, text.as_bytes()), manifest])
    };
    let batch_size = |content: &[u8]| {
        let archive = bench.open_bytes("noop.mar", content).expect("an archive");
        archive.model_config().and_then(|config| config.batch_size)
    };
    assert_eq!(batch_size(&content(named, "mine.yaml", "batchSize: 7")), Some(7));
    let unnamed = r#""handler": "tensors""#;
    assert_eq!(batch_size(&content(unnamed, "model-config.yaml", "batchSize: 8")), Some(8));
    assert_eq!(batch_size(&content(unnamed, "mine.yaml", "batchSize: 7")), None);

    let gone = content(named, "other.yaml", "");
    let text = bench.refused("noop.mar", &gone, InvalidModel);
    assert!(text.contains("`configFile`") && text.contains("`mine.yaml`"), "{text}");
    let typo = content(unnamed, "model-config.yaml", "a: 1\nb: [1\n");
    let text = bench.refused("noop.mar", &typo, InvalidModel);
    assert!(text.contains("`model-config.yaml` cannot be read: line "), "{text}");
}

#[test]
fn says_that_the_machine_failed_and_not_where() {
    let bench = Bench::new();
    let source = bench.put("noop.mar", &mar_with_manifest(MANIFEST));
    fs::write(bench.unpack_dir(), b"a file in the way").expect("a file");
    let error = bench.open(&source).expect_err("no directory");
    let text = error.to_string();
    assert_eq!(error.kind(), ArchiveErrorKind::Io, "{text}");
    assert!(text.contains("`noop.mar`"), "{text}");
    assert!(!text.contains(&*bench.root.path().to_string_lossy()), "{text}");
}

#[test]
fn archives_and_errors_travel_between_threads() {
    fn travels<T: Send + Sync + 'static>() {}
    travels::<ModelArchive>();
    travels::<ArchiveError>();
}
