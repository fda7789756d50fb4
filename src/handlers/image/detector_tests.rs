//! `object_detector` against what TorchServe's own handler answers (`goldens/make_answers.py`).

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::*;
use crate::engine::{Argument, Signature};
use crate::handlers::{Accept, NoFiles, built_in};

const PHOTO: &[u8] = include_bytes!("goldens/photo.jpg");
const ALPHA: &[u8] = include_bytes!("goldens/alpha.png");
const ANSWERS: &str = include_str!("goldens/answers.json");

fn handler(names: &str, settings: Json, kind: &str) -> Arc<dyn Handler> {
    let config = json!({ "object_detector": settings });
    let argument = Argument { name: "x".to_owned(), kind: kind.to_owned(), required: true };
    let settings = HandlerSettings {
        model: "test",
        version: "1.0",
        index_to_name: Some(names.as_bytes()),
        model_config: &config,
        signature: Signature { arguments: vec![argument] },
        limit_max_image_pixels: true,
        max_response_size: usize::MAX,
        envelope: Envelope::None,
        files: &NoFiles,
    };
    built_in("object_detector", settings).unwrap()
}

fn floats(shape: &[usize], values: Vec<f32>) -> Value {
    Value::Tensor(HostTensor::new(shape.to_vec(), Elements::Float32(values)).unwrap())
}

fn result(boxes: Vec<f32>, labels: Vec<i64>, scores: Vec<f32>) -> Value {
    let count = scores.len();
    let labels = HostTensor::new(vec![labels.len()], Elements::Int64(labels)).unwrap();
    Value::Dict(vec![
        ("boxes".to_owned(), floats(&[boxes.len() / 4, 4], boxes)),
        ("labels".to_owned(), Value::Tensor(labels)),
        ("scores".to_owned(), floats(&[count], scores)),
    ])
}

fn recorded() -> (Vec<Value>, Json) {
    let answers: Json = serde_json::from_str(ANSWERS).unwrap();
    let numbers = |list: &Json| -> Vec<f64> {
        list.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };
    let narrow = |list: &Json| numbers(list).iter().map(|value| *value as f32).collect();
    let results = answers["detections"].as_array().unwrap().iter().map(|one| {
        let labels = numbers(&one["labels"]).iter().map(|label| *label as i64).collect();
        result(narrow(&one["boxes"]), labels, narrow(&one["scores"]))
    });
    (results.collect(), answers.clone())
}

fn asked(rows: usize, form: Form) -> Asked {
    Asked::new(rows, form)
}

#[test]
fn detections_are_torchserves_own() {
    let (results, answers) = recorded();
    let names = answers["index_to_name"].to_string();
    let handler = handler(&names, json!({}), "Tensor[]");
    let each = vec![asked(1, Form::Plain); 3];
    let expected = answers["found"].as_array().unwrap();
    for output in [
        Value::List(results.clone()),
        // A scripted torchvision detector.
        Value::Tuple(vec![Value::Dict(vec![]), Value::List(results.clone())]),
    ] {
        let got = handler.postprocess(output, &each).unwrap();
        for (got, expected) in got.iter().zip(expected) {
            assert_eq!(got.body, expected.as_str().unwrap());
        }
    }
    let alone = handler.postprocess(results[0].clone(), &each[..1]).unwrap();
    assert_eq!(alone[0].body, expected[0].as_str().unwrap());
}

#[test]
fn the_threshold_is_the_operators_and_a_class_without_a_name_is_its_number() {
    let handler = handler(r#"{"0": "cat"}"#, json!({"threshold": 0.3}), "Tensor");
    let output = result(vec![0.0; 16], vec![0, 7, -1, 0], vec![0.3, 0.9, 0.31, f32::NAN]);
    let got = handler.postprocess(Value::List(vec![output]), &[asked(1, Form::Plain)]).unwrap();
    let read: Json = serde_json::from_slice(&got[0].body).unwrap();
    let names: Vec<&str> = read
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.as_object().unwrap().keys().find(|key| *key != "score").unwrap().as_str())
        .collect();
    assert_eq!(names, ["cat", "7", "-1"]);
}

fn preprocess(handler: &Arc<dyn Handler>, body: &[u8], accept: &str) -> Sample {
    let mut input = RequestInput::body(None, body.to_vec().into());
    input.accept = Accept::parse(accept);
    handler.preprocess(input).unwrap()
}

#[test]
fn pictures_keep_their_size_and_lie_between_0_and_1() {
    for kind in ["Tensor", "Tensor[]"] {
        let handler = handler("{}", json!({}), kind);
        let sample = preprocess(&handler, PHOTO, "");
        let tensor = match &sample.arguments[0] {
            Value::Tensor(tensor) => tensor.clone().squeeze().unwrap(),
            Value::List(list) => match list.as_slice() {
                [Value::Tensor(tensor)] => tensor.clone(),
                _ => panic!("{list:?}"),
            },
            other => panic!("{other:?}"),
        };
        assert_eq!(tensor.shape(), [3, 47, 61]);
        let Elements::Float32(values) = tensor.elements() else { panic!("{tensor:?}") };
        let whole = |value: &f32| ((value * 255.0).round() / 255.0 - value).abs() < 1e-7;
        assert!(values.iter().all(|value| (0.0..=1.0).contains(value) && whole(value)));
    }
}

#[test]
fn a_list_of_pictures_is_a_batch_whatever_their_sizes() {
    let list = handler("{}", json!({}), "Tensor[]");
    let (one, other) = (preprocess(&list, PHOTO, ""), preprocess(&list, ALPHA, ""));
    assert!(one.bucket.is_some() && one.bucket == other.bucket);
    let collated = list.collate(vec![one, other]).unwrap();
    let [Value::List(pictures)] = collated.as_slice() else { panic!("{collated:?}") };
    let shapes: Vec<_> = pictures
        .iter()
        .map(|picture| match picture {
            Value::Tensor(tensor) => tensor.shape().to_vec(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(shapes, [[3, 47, 61], [3, 29, 37]]);

    let tensor = handler("{}", json!({}), "Tensor");
    let (one, other) = (preprocess(&tensor, PHOTO, ""), preprocess(&tensor, ALPHA, ""));
    assert_ne!(one.bucket, other.bucket);
}

#[test]
fn several_pictures_of_one_request_may_differ_in_size_where_a_list_is_taken() {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    let data = [PHOTO, ALPHA].map(|picture| BASE64_STANDARD.encode(picture));
    let body = json!({"inputs": [{"name": "p", "shape": [2], "datatype": "BYTES", "data": data}]});
    let send = |kind: &str| {
        let body = body.to_string().into_bytes();
        let input = RequestInput::body(Some("application/json".to_owned()), body.into());
        handler("{}", json!({}), kind).preprocess(input)
    };
    let sample = send("Tensor[]").unwrap();
    assert_eq!(sample.asked.rows, 2);
    let error = send("Tensor").unwrap_err().to_string();
    assert!(error.contains("pictures of several sizes"), "{error}");
}

#[test]
fn raw_answers_have_every_tensor_of_what_was_found_and_its_names() {
    let handler = handler(r#"{"1": "cat"}"#, json!({}), "Tensor[]");
    let sample = preprocess(&handler, PHOTO, "application/octet-stream");
    assert_eq!(sample.asked.form, Form::Raw);
    let Value::Dict(mut members) = result(vec![1.0; 8], vec![1, 2], vec![0.9, 0.1]) else {
        panic!("a dict")
    };
    members.push(("points".to_owned(), floats(&[2, 2, 2], vec![5.0; 8])));
    members.push(("other".to_owned(), floats(&[3], vec![5.0; 3])));
    let output = Value::List(vec![Value::Dict(members)]);
    let got = handler.postprocess(output, &[sample.asked]).unwrap().remove(0);
    assert_eq!(got.content_type, "application/octet-stream");
    let length: usize = got.headers[0].1.parse().unwrap();
    let json: Json = serde_json::from_slice(&got.body[..length]).unwrap();
    let outputs: Vec<(String, String)> = json["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|output| (output["name"].as_str().unwrap().to_owned(), output["shape"].to_string()))
        .collect();
    let expected = [
        ("output.0.boxes", "[1,4]"),
        ("output.0.labels", "[1]"),
        ("output.0.scores", "[1]"),
        ("output.0.points", "[1,2,2]"),
        ("output.0.names", "[1]"),
    ];
    assert_eq!(outputs, expected.map(|(name, shape)| (name.to_owned(), shape.to_owned())));
    assert!(got.body.ends_with(b"\x03\0\0\0cat"));
}

#[test]
fn many_detections_come_in_pieces() {
    let handler = handler("{}", json!({}), "Tensor[]");
    let count = 4000;
    let output = || {
        let one = result(vec![1.5; 4 * count], vec![1; count], vec![0.75; count]);
        Value::List(vec![one])
    };
    let whole = handler.postprocess(output(), &[asked(1, Form::Plain)]).unwrap().remove(0);
    let answer = handler.postprocess(output(), &[asked(1, Form::Pieces)]).unwrap().remove(0);
    let rest = answer.rest.expect("pieces");
    let pieces = (0..).map_while(|index| rest.get(index));
    let body = pieces.fold(answer.body.to_vec(), |body, piece| [&body[..], &piece].concat());
    assert!(body == whole.body);
}

#[test]
fn other_results_are_a_model_error_that_says_what_is_served() {
    let handler = handler("{}", json!({}), "Tensor[]");
    let good = || result(vec![0.0; 4], vec![1], vec![0.9]);
    for (output, part) in [
        (Value::List(vec![good(), good()]), "one dict for each of 1 pictures, got 2 values"),
        (Value::List(vec![]), "got 0 values"),
        (floats(&[1], vec![0.0]), "got one value"),
        (Value::Tuple(vec![good()]), "got a tuple"),
        (Value::List(vec![floats(&[1], vec![0.0])]), "something else than a dict"),
        (Value::Dict(vec![("boxes".to_owned(), Value::Int(1))]), "got one of boxes"),
        (result(vec![0.0; 8], vec![1], vec![0.9]), "`boxes` [n, 4]"),
        (result(vec![0.0; 4], vec![1, 2], vec![0.9]), "`labels` [n]"),
    ] {
        let error = handler.postprocess(output, &[asked(1, Form::Plain)]).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
