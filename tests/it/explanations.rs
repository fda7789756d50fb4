//! Explanations: by occlusion where a handler has them, TorchServe's error where it has none.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

use crate::support::{Answer, TestServer, checkout, close, request};

/// A copy of a small archive with another `model-config.yaml`.
fn with_config(store: &Path, archive: &str, config: &str) {
    let file = File::open(checkout(&format!("tests/goldens/archives/{archive}.mar"))).unwrap();
    let mut from = zip::ZipArchive::new(file).unwrap();
    let to = File::create(store.join(format!("{archive}.mar"))).unwrap();
    let mut to = zip::ZipWriter::new(to);
    for index in 0..from.len() {
        let mut entry = from.by_index(index).unwrap();
        let name = entry.name().unwrap().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        if name.ends_with("MANIFEST.json") {
            let mut manifest: Value = serde_json::from_slice(&content).unwrap();
            manifest["model"]["configFile"] = json!("model-config.yaml");
            content = manifest.to_string().into_bytes();
        }
        to.start_file(name, SimpleFileOptions::default()).unwrap();
        to.write_all(&content).unwrap();
    }
    to.start_file("model-config.yaml", SimpleFileOptions::default()).unwrap();
    to.write_all(config.as_bytes()).unwrap();
    to.finish().unwrap();
}

fn start(archives: &[(&str, &str)], lines: &[&str]) -> TestServer {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    fs::create_dir(&store).unwrap();
    for (archive, config) in archives {
        with_config(&store, archive, config);
    }
    TestServer::start_in(folder, &store, &[&["load_models=all"], lines].concat())
}

fn post(server: &TestServer, path: &str, body: &[u8]) -> Answer {
    request(server.inference, "POST", path, &[], body)
}

/// The scores of the small MLP for one row.
fn mlp(server: &TestServer, row: [f64; 4]) -> Vec<f64> {
    let answer = server.predict("mlp", json!(row).to_string()).json();
    answer.as_array().unwrap().iter().map(|score| score.as_f64().unwrap()).collect()
}

#[test]
fn a_number_is_worth_what_the_model_says_less_without_it() {
    let server = TestServer::start(&["mlp"], &[]);
    let row = [0.5, -1.0, 2.0, 3.0];
    let whole = mlp(&server, row);
    for (target, score) in whole.iter().enumerate() {
        let expected: Vec<f64> = (0..4)
            .map(|at| {
                let mut without = row;
                without[at] = 0.0;
                score - mlp(&server, without)[target]
            })
            .collect();
        for path in ["/explanations/mlp", "/explanations/mlp/1.0/x", "/v1/models/mlp:explain"] {
            let body = json!({"data": row, "target": target}).to_string();
            let answer = post(&server, path, body.as_bytes());
            assert_eq!(answer.status, 200, "{}", answer.text());
            close(&answer.json(), &json!(expected), 1e-4);
        }
        // Whole numbers are explained, too, and the answer has the input's shape.
        let instances =
            json!({"instances": [{"data": row, "target": target}, {"data": row, "target": 0}]});
        let answer =
            post(&server, "/v1/models/mlp:explain", instances.to_string().as_bytes()).json();
        close(&answer["explanations"][0], &json!(expected), 1e-4);
        assert_eq!(answer["explanations"].as_array().unwrap().len(), 2);
    }
    // Without a target the greatest output is explained.
    let best = (0..3).max_by(|a, b| whole[*a].total_cmp(&whole[*b])).unwrap();
    let explicit = json!({"data": row, "target": best}).to_string();
    let explicit = post(&server, "/explanations/mlp", explicit.as_bytes()).text();
    assert_eq!(
        post(&server, "/explanations/mlp", json!(row).to_string().as_bytes()).text(),
        explicit
    );
    assert_eq!(post(&server, "/explanations/mlp", b"[1, 2, 3, 4]").status, 200, "whole numbers");
    for path in ["/mlp/predict", "/models/mlp/invoke", "/invocations"] {
        let body = json!(row).to_string();
        let headers = [("explain", "True")];
        let answer = request(server.inference, "POST", path, &headers, body.as_bytes());
        assert_eq!(answer.text(), explicit, "{path}: the header asks for it");
    }
}

#[test]
fn open_inference_explains_in_its_own_form_row_by_row() {
    let server = TestServer::start(&["mlp"], &[]);
    let rows = [[0.5, -1.0, 2.0, 3.0], [1.0, 0.0, 0.0, 0.0]];
    let body = json!({"id": "a", "inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP32", "data": rows}]});
    let answer = post(&server, "/v2/models/mlp/explain", body.to_string().as_bytes()).json();
    let output = &answer["outputs"][0];
    assert_eq!((&answer["id"], &output["shape"]), (&json!("a"), &json!([2, 4])));
    let data: Vec<f64> =
        output["data"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    for (at, row) in rows.iter().enumerate() {
        let alone = post(&server, "/explanations/mlp", json!(row).to_string().as_bytes()).json();
        close(&json!(data[at * 4..][..4]), &alone, 1e-5);
    }
    assert_eq!(data[5..], [0.0; 3], "what is zero cannot be taken away");
}

#[test]
fn a_picture_is_explained_square_by_square() {
    // Red: 10 x the mean of the red channel, so that each square is worth its share.
    let config = "explanations:\n  patches: 16\n  batch_size: 5\n";
    let server = start(&[("tiny_classifier", config)], &[]);
    let tensor: Vec<Vec<Vec<f64>>> = (0..3)
        .map(|channel| {
            (0..8)
                .map(|y| {
                    (0..8).map(|x| if channel == 0 && y < 4 && x < 2 { 1.0 } else { 0.0 }).collect()
                })
                .collect()
        })
        .collect();
    let body = json!({"data": tensor, "target": 0}).to_string();
    let answer = post(&server, "/explanations/tiny_classifier", body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    for channel in 0..3 {
        for y in 0..8 {
            for x in 0..8 {
                // 4 x 4 squares of 2 x 2 pixels, each 4 / 64 of the picture.
                let expected = if y < 4 && x < 2 { 10.0 * 4.0 / 64.0 } else { 0.0 };
                let got = answer[channel][y][x].as_f64().unwrap();
                assert!((got - expected).abs() < 1e-5, "{channel} {y} {x}: {got}");
            }
        }
    }
    // A picture file, the class by name of a form field.
    let image = fs::read(checkout("tests/goldens/images/flower_rgb.png")).unwrap();
    let mut form = b"--x\r\nContent-Disposition: form-data; name=\"target\"\r\n\r\n2\r\n--x\r\n\
        Content-Disposition: form-data; name=\"data\"; filename=\"a\"\r\n\r\n"
        .to_vec();
    form.extend_from_slice(&image);
    form.extend_from_slice(b"\r\n--x--\r\n");
    let headers = [("Content-Type", "multipart/form-data; boundary=x")];
    let path = "/explanations/tiny_classifier";
    let answer = request(server.inference, "POST", path, &headers, &form);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let size = |value: &Value| value.as_array().unwrap().len();
    assert_eq!((size(&answer), size(&answer[0]), size(&answer[0][0])), (3, 224, 224));
}

#[test]
fn what_cannot_be_explained_is_said() {
    let server = start(
        &[
            ("mlp", "minWorkers: 1\n"),
            ("fixed_batch1", "minWorkers: 1\n"),
            ("dict_out", ""),
            ("list_str_in", ""),
            ("tiny_segmenter", ""),
        ],
        &[],
    );
    for (model, body, status, said) in [
        (
            "mlp",
            json!({"data": [1.0, 2.0, 3.0, 4.0], "target": 3}),
            400,
            "target is 3, and the model has 3 outputs",
        ),
        ("mlp", json!({"data": [1.0, 2.0, 3.0, 4.0], "target": "red"}), 400, "target must be"),
        ("mlp", json!({"data": [1.0, 2.0, 3.0]}), 400, "shapes cannot be multiplied"),
        (
            "list_str_in",
            json!({"inputs": [{"name": "texts", "list": ["a"]}]}),
            400,
            "tensors alone",
        ),
        ("dict_out", json!([1.0, 2.0]), 503, "Prediction failed"),
    ] {
        let answer = post(&server, &format!("/explanations/{model}"), body.to_string().as_bytes());
        let (got, _, message) = answer.error();
        assert!(got == status && message.contains(said), "{model} {body}: {got} {message}");
    }
    let picture = std::fs::read(checkout("tests/goldens/images/flower_rgb.png")).unwrap();
    let (status, _, message) = post(&server, "/explanations/tiny_segmenter", &picture).error();
    assert!(status == 400 && message.contains("no explanations"), "{status} {message}");
    // A model that takes one row at a time is asked one row at a time.
    let answer = post(&server, "/explanations/fixed_batch1", b"[1.0, 2.0, 3.0, 4.0]");
    assert_eq!((answer.status, answer.json()), (200, json!([0.0, 0.0, 0.0, 8.0])));
}
