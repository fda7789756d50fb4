//! Pictures over HTTP: the forms of answers, batches with broken pictures in them, and what Python
//! says of odd ones.

use std::io::{Cursor, Read};
use std::path::Path;

use serde_json::Value;

use crate::support::{Answer, TestServer, checkout, close, request};

fn image(name: &str) -> Vec<u8> {
    std::fs::read(checkout(&format!("tests/goldens/images/{name}"))).unwrap()
}

fn ask(server: &TestServer, model: &str, accept: &str, body: &[u8]) -> Answer {
    let path = format!("/predictions/{model}");
    let headers = [("Accept", accept), ("Content-Type", "application/octet-stream")];
    request(server.inference, "POST", &path, &headers, body)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// A server of one archive that lies elsewhere.
fn serving(archive: &Path) -> TestServer {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    std::fs::create_dir(&store).unwrap();
    std::fs::copy(archive, store.join(archive.file_name().unwrap())).unwrap();
    TestServer::start_in(folder, &store, &["load_models=all"])
}

#[test]
fn a_mask_comes_as_json_in_pieces_as_raw_numbers_and_as_a_png() {
    let server = TestServer::start(&["tiny_segmenter"], &["default_workers_per_model=1"]);
    let photo = image("flower_rgb.png");
    let json = ask(&server, "tiny_segmenter", "*/*", &photo);
    assert_eq!(json.status, 200, "{}", json.text());
    assert_eq!(json.header("transfer-encoding").as_deref(), Some("chunked"));
    assert_eq!(json.header("content-type").as_deref(), Some("application/json"));
    let rows: Vec<Vec<[f32; 2]>> = serde_json::from_slice(&json.body).unwrap();
    assert_eq!((rows.len(), rows[0].len()), (224, 224));

    let raw = ask(&server, "tiny_segmenter", "application/octet-stream", &photo);
    assert_eq!(raw.header("content-type").as_deref(), Some("application/octet-stream"));
    assert_eq!(raw.header("tensor-shape").as_deref(), Some("224,224,2"));
    assert_eq!(raw.header("tensor-datatype").as_deref(), Some("FP32"));
    assert_eq!(floats(&raw.body), rows.concat().concat());

    let png = ask(&server, "tiny_segmenter", "image/png, */*;q=0.5", &photo);
    assert_eq!(png.header("content-type").as_deref(), Some("image/png"));
    let mask = image::load_from_memory(&png.body).unwrap().into_luma8();
    let classes: Vec<f32> = mask.as_raw().iter().map(|class| f32::from(*class)).collect();
    let listed: Vec<f32> = rows.iter().flatten().map(|pixel| pixel[0]).collect();
    assert_eq!(classes, listed);
    assert!(classes.contains(&0.0) && classes.contains(&1.0));

    // The model's scores are -x and x: the probability is a half and more.
    assert!(rows.iter().flatten().all(|pixel| (0.5..=1.0).contains(&pixel[1])));
}

#[test]
fn a_classifiers_raw_answer_is_every_probability() {
    let server = TestServer::start(&["tiny_classifier", "mlp"], &["default_workers_per_model=1"]);
    let photo = image("flower_rgb.png");
    let named = ask(&server, "tiny_classifier", "*/*", &photo).json();
    let raw = ask(&server, "tiny_classifier", "application/octet-stream", &photo);
    assert_eq!(raw.header("tensor-shape").as_deref(), Some("3"));
    for (value, name) in floats(&raw.body).iter().zip(["red", "green", "blue"]) {
        close(&named[name], &Value::from(f64::from(*value)), 1e-7);
    }
    let path = "/predictions/mlp";
    let headers = [("Accept", "application/octet-stream")];
    let raw = request(server.inference, "POST", path, &headers, b"[0.1, -0.2, 0.3, 0.4]");
    let json = server.predict("mlp", "[0.1, -0.2, 0.3, 0.4]").json();
    assert_eq!((raw.status, raw.header("tensor-shape").as_deref()), (200, Some("3")));
    let numbers: Vec<f64> = floats(&raw.body).iter().map(|value| f64::from(*value)).collect();
    // serde_json reads the last bit of a number as it likes.
    close(&json, &Value::from(numbers), 1e-7);
}

#[test]
fn each_broken_picture_of_a_batch_fails_by_itself() {
    let models = r#"models={"tiny_classifier": {"1.0": {"batchSize": 64, "maxBatchDelay": 400}}}"#;
    let lines = [models, "batch_policy=fill", "default_workers_per_model=1", "job_queue_size=200"];
    let server = TestServer::start(&["tiny_classifier"], &lines);
    let good: Vec<Vec<u8>> = [
        "flower_rgb.png",
        "flower_palette.png",
        "flower.gif",
        "flower_cmyk.jpg",
        "china_grey.jpg",
        "china_tall.png",
        "flower_lossless.webp",
        "flower_rgba_opaque.png",
    ]
    .map(image)
    .into();
    let alone: Vec<Value> = good
        .iter()
        .map(|picture| {
            let answer = ask(&server, "tiny_classifier", "*/*", picture);
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.json()
        })
        .collect();
    let cut = |name: &str, part: usize| image(name)[..image(name).len() / part].to_vec();
    let broken: Vec<(Vec<u8>, &str)> = vec![
        (cut("flower_rgb.png", 2), "the PNG image cannot be decoded"),
        (cut("china_grey.jpg", 2), "the JPEG image cannot be decoded: it is truncated"),
        (b"no picture at all".to_vec(), "no image format is recognised"),
        (Vec::new(), "the body is empty"),
        (cut("flower_lossless.webp", 3), "the WebP image cannot be decoded"),
        (b"\x89PNG\r\n\x1a\n".to_vec(), "the PNG image cannot be decoded"),
    ];
    std::thread::scope(|scope| {
        for index in 0..64 {
            let (server, good, alone, broken) = (&server, &good, &alone, &broken);
            scope.spawn(move || {
                if index % 3 == 1 {
                    let (body, reason) = &broken[index / 3 % broken.len()];
                    let answer = ask(server, "tiny_classifier", "*/*", body);
                    let (status, kind, message) = answer.error();
                    assert_eq!((status, &*kind), (400, "BadRequestException"), "{message}");
                    assert!(message.contains(reason), "{message} is not {reason}");
                } else {
                    let which = index % good.len();
                    let answer = ask(server, "tiny_classifier", "*/*", &good[which]);
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    close(&answer.json(), &alone[which], 1e-6);
                }
            });
        }
    });
}

#[test]
fn odd_pictures_have_pythons_probabilities() {
    let server = TestServer::start(&["tiny_convnet"], &["default_workers_per_model=1"]);
    let text = std::fs::read_to_string(checkout("tests/goldens/pictures.json")).unwrap();
    let goldens: Value = serde_json::from_str(&text).unwrap();
    let file = std::fs::read(checkout("tests/goldens/pictures.zip")).unwrap();
    let mut archive = zip::ZipArchive::new(Cursor::new(file)).unwrap();
    let mut compared = 0;
    for golden in goldens["pictures"].as_array().unwrap() {
        let name = golden["file"].as_str().unwrap();
        let mut picture = Vec::new();
        archive.by_name(name).unwrap().read_to_end(&mut picture).unwrap();
        let answer = ask(&server, "tiny_convnet", "*/*", &picture);
        if golden["read"] == false {
            assert_eq!(answer.status, 400, "{name}");
            continue;
        }
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let lossy = name.ends_with("jpg") || name.contains("lossy");
        let got = answer.json();
        if golden["exact"] == false {
            continue;
        }
        for (class, expected) in golden["tiny_convnet"].as_object().unwrap() {
            let far = (got[class].as_f64().unwrap() - expected.as_f64().unwrap()).abs();
            assert!(far <= if lossy { 1e-4 } else { 1e-6 }, "{name}: {class} differs by {far}");
        }
        compared += 1;
    }
    assert!(compared >= 100, "only {compared}");
}

#[test]
fn faces_are_found_where_facenet_pytorch_finds_them_where_the_model_is_built() {
    let archive = checkout("models/mtcnn_face.mar");
    if !archive.exists() {
        println!("not run: `make models` builds models/mtcnn_face.mar");
        return;
    }
    let server = serving(&archive);
    let folder = checkout("models/mtcnn_face");
    let photo = std::fs::read(folder.join("sample.jpg")).unwrap();
    let answer = ask(&server, "mtcnn_face", "*/*", &photo);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let expected = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    close(&answer.json(), &serde_json::from_str(&expected).unwrap(), 1e-3);
    // Several at once, of several sizes: a list of tensors.
    let flower = image("flower_rgb.png");
    std::thread::scope(|scope| {
        for index in 0..6 {
            let (server, photo, flower, answer) = (&server, &photo, &flower, &answer);
            scope.spawn(move || {
                let body = if index % 2 == 0 { photo } else { flower };
                let got = ask(server, "mtcnn_face", "*/*", body).json();
                let faces = if index % 2 == 0 { answer.json() } else { Value::Array(vec![]) };
                close(&got, &faces, 1e-3);
            });
        }
    });
}

#[test]
fn what_is_where_is_seen_as_python_sees_it_where_the_model_is_built() {
    let archive = checkout("models/imagenet_map.mar");
    if !archive.exists() {
        println!("not run: `make models` builds models/imagenet_map.mar");
        return;
    }
    let server = serving(&archive);
    let folder = checkout("models/imagenet_map");
    let sample = std::fs::read(folder.join("sample.jpg")).unwrap();
    let answer = ask(&server, "imagenet_map", "image/png", &sample);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let expected = std::fs::read(folder.join("expected.png")).unwrap();
    let classes = |png: &[u8]| image::load_from_memory(png).unwrap().into_luma16().into_raw();
    let (got, expected) = (classes(&answer.body), classes(&expected));
    let wrong = got.iter().zip(&expected).filter(|(a, b)| a != b).count();
    // Where two classes are equally likely the last bit decides.
    assert!(got.len() == 28 * 28 && wrong <= 3, "{wrong} of {} places differ", got.len());
}
