//! Models that remember: a state for each sequence, and nobody else's.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use crate::support::{Answer, Client, TestServer, checkout, request};

const ID: &str = "ts_request_sequence_id";

/// `archive` under another name, with this handler and this `model-config.yaml`.
fn configured(archive: &Path, store: &Path, name: &str, handler: &str, config: &Value) {
    let mut old = ZipArchive::new(fs::File::open(archive).unwrap()).unwrap();
    let mut model = Vec::new();
    old.by_name("model.pt").unwrap().read_to_end(&mut model).unwrap();
    let mut new = ZipWriter::new(Cursor::new(Vec::new()));
    let manifest = json!({
        "createdOn": "01/01/2026 00:00:00", "runtime": "python", "archiverVersion": "0.12.0",
        "model": {"modelName": name, "serializedFile": "model.pt", "handler": handler,
                  "modelVersion": "1.0", "configFile": "model-config.yaml"},
    });
    for (entry, content) in [
        ("model.pt", model),
        ("model-config.yaml", config.to_string().into_bytes()),
        ("MAR-INF/MANIFEST.json", manifest.to_string().into_bytes()),
    ] {
        new.start_file(entry, SimpleFileOptions::default()).unwrap();
        new.write_all(&content).unwrap();
    }
    fs::write(store.join(format!("{name}.mar")), new.finish().unwrap().into_inner()).unwrap();
}

fn start(archive: &str, name: &str, handler: &str, config: &Value) -> TestServer {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    fs::create_dir(&store).unwrap();
    configured(&checkout(archive), &store, name, handler, config);
    TestServer::start_in(folder, &store, &["load_models=all", "default_workers_per_model=2"])
}

fn accumulator(limits: &Value) -> TestServer {
    let mut config = json!({"sequenceBatching": true, "sequenceMaxIdleMSec": 60000});
    config.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
    start("tests/goldens/archives/accumulator.mar", "sum", "base_handler", &config)
}

fn add(client: &mut Client, headers: &[(&str, &str)], number: f32) -> Answer {
    let headers = [headers, &[("Content-Type", "application/json")]].concat();
    client.request("POST", "/predictions/sum", &headers, format!("[{number:.1}]").as_bytes())
}

/// A row of one number.
fn sum(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()[0].clone()
}

fn header(answer: &Answer, name: &str) -> Option<String> {
    let found = answer.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.clone())
}

#[test]
fn many_clients_at_once_never_see_each_others_state() {
    let server = accumulator(&json!({"maxNumSequence": 64}));
    let address = server.inference;
    let clients: Vec<_> = (0..64)
        .map(|number| {
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                let id = format!("client-{number}");
                let mut total = 0.0;
                for step in 0..12 {
                    let addend = (number * 100 + step) as f32;
                    total += addend;
                    let answer = add(&mut client, &[(ID, &id)], addend);
                    assert_eq!(sum(&answer), json!(total), "{id}, step {step}");
                    assert_eq!(header(&answer, ID).as_deref(), Some(&*id));
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    let described = server.manage("/models/sum").json();
    assert_eq!(described[0]["stateful"], json!(true));
    assert_eq!(described[0]["maxNumSequence"], json!(64));
    // All 64 are there, and there is no room for another one until one ends.
    let mut client = Client::connect(address);
    assert_eq!(add(&mut client, &[(ID, "one-more")], 1.0).error().0, 503);
    let last = add(&mut client, &[(ID, "client-0"), ("ts_request_sequence_end", "true")], 1.0);
    assert_eq!(sum(&last), json!(67.0));
    let mut client = Client::connect(address);
    assert_eq!(sum(&add(&mut client, &[(ID, "one-more")], 1.0)), json!(1.0));
}

#[test]
fn a_sequence_begins_without_an_id_and_anew_when_it_is_told_to() {
    let server = accumulator(&json!({"maxNumSequence": 4}));
    let mut client = Client::connect(server.inference);
    let first = add(&mut client, &[], 1.0);
    let id = header(&first, ID).unwrap();
    assert!(id.starts_with("ts-seq-"), "{id}");
    assert_eq!(sum(&add(&mut client, &[(ID, &id)], 2.0)), json!(3.0));
    let anew = [(ID, &*id), ("ts_request_sequence_start", "true")];
    assert_eq!(sum(&add(&mut client, &anew, 5.0)), json!(5.0));
    let wrong = add(&mut client, &[(ID, "no blanks")], 1.0).error();
    assert_eq!(wrong.0, 400, "{wrong:?}");
    let mut client = Client::connect(server.inference);
    assert_eq!(sum(&add(&mut client, &[(ID, &id)], 1.0)), json!(6.0));
}

#[test]
fn the_headers_have_the_names_that_the_configuration_gives_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    fs::create_dir(&store).unwrap();
    let config = json!({"sequenceBatching": true, "sequenceMaxIdleMSec": 60000});
    let archive = checkout("tests/goldens/archives/accumulator.mar");
    configured(&archive, &store, "sum", "base_handler", &config);
    let lines = [
        "load_models=all",
        "ts_header_key_sequence_id=X-Talk",
        "ts_header_key_sequence_start=X-Talk-Start",
    ];
    let server = TestServer::start_in(folder, &store, &lines);
    let mut client = Client::connect(server.inference);
    let first = add(&mut client, &[("x-talk", "a")], 1.0);
    assert_eq!((header(&first, "x-talk").as_deref(), header(&first, ID)), (Some("a"), None));
    assert_eq!(sum(&add(&mut client, &[("X-Talk", "a")], 2.0)), json!(3.0));
    let anew = [("X-Talk", "a"), ("X-Talk-Start", "true")];
    assert_eq!(sum(&add(&mut client, &anew, 5.0)), json!(5.0));
    // Of no meaning any more: a sequence of its own.
    assert_eq!(sum(&add(&mut client, &[(ID, "a")], 1.0)), json!(1.0));
}

fn speech() -> (Vec<f32>, Vec<f64>) {
    let folder = checkout("tests/conformance/models/silero_vad/cases");
    let samples = fs::read(folder.join("speech.in.f32")).unwrap();
    let samples = samples.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    let golden = fs::read_to_string(folder.join("speech.out.json")).unwrap();
    let golden: Value = serde_json::from_str(&golden).unwrap();
    let probabilities = golden["probs_in_order_from_reset"].as_array().unwrap();
    (samples.collect(), probabilities.iter().map(|p| p.as_f64().unwrap()).collect())
}

fn wav(samples: &[f32], sample_format: hound::SampleFormat) -> Vec<u8> {
    let bits_per_sample = if sample_format == hound::SampleFormat::Int { 16 } else { 32 };
    let spec = hound::WavSpec { channels: 1, sample_rate: 16_000, bits_per_sample, sample_format };
    let mut file = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
    for sample in samples {
        match sample_format {
            hound::SampleFormat::Int => writer.write_sample((sample * 32768.0) as i16).unwrap(),
            hound::SampleFormat::Float => writer.write_sample(*sample).unwrap(),
        }
    }
    writer.finalize().unwrap();
    file.into_inner()
}

#[test]
fn speech_is_found_as_python_finds_it_whole_and_part_by_part() {
    let config = json!({
        "sequenceBatching": true, "sequenceMaxIdleMSec": 60000, "maxNumSequence": 8,
        "audio": {"chunk": 512},
    });
    let archive = "tests/conformance/models/silero_vad/silero_vad.mar";
    let server = start(archive, "speech", "audio", &config);
    let (samples, expected) = speech();
    let check = |answer: &Answer, expected: &[f64]| {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let got = answer.json();
        let got: Vec<f64> =
            got.as_array().unwrap().iter().map(|row| row[0].as_f64().unwrap()).collect();
        assert_eq!(got.len(), expected.len());
        for (number, (got, expected)) in got.iter().zip(expected).enumerate() {
            assert!((got - expected).abs() < 2e-3, "part {number}: {got}, not {expected}");
        }
    };
    let send = |id: &str, body: &[u8]| {
        request(server.inference, "POST", "/predictions/speech", &[(ID, id)], body)
    };
    check(&send("whole", &wav(&samples, hound::SampleFormat::Float)), &expected);
    // Two clients in turns, one half a second ahead.
    let parts: Vec<&[f32]> = samples.chunks(8 * 512).collect();
    let part = |id: &str, number: usize| {
        let from = number * 8;
        let answer = send(id, &wav(parts[number], hound::SampleFormat::Int));
        check(&answer, &expected[from..(from + 8).min(expected.len())]);
    };
    for number in 0..8 {
        part("ahead", number);
        if number > 0 {
            part("behind", number - 1);
        }
    }
    let none = send("broken", b"RIFF\0\0\0\0WAVEfmt ").error();
    assert_eq!(none.0, 400, "{none:?}");
}
