//! `image_segmenter` against what TorchServe's own handler answers (`goldens/make_answers.py`).

use std::io::Cursor;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::*;
use crate::engine::Signature;
use crate::handlers::{Accept, NoFiles, built_in};

const PHOTO: &[u8] = include_bytes!("goldens/photo.jpg");
const ANSWERS: &str = include_str!("goldens/answers.json");

fn handler(settings: Json) -> Arc<dyn Handler> {
    let config = json!({ "image_segmenter": settings });
    let settings = HandlerSettings {
        model: "test",
        version: "1.0",
        index_to_name: None,
        model_config: &config,
        signature: Signature::default(),
        limit_max_image_pixels: true,
        max_response_size: usize::MAX,
        envelope: Envelope::None,
        files: &NoFiles,
    };
    built_in("image_segmenter", settings).unwrap()
}

fn tensor(shape: &[usize], values: Vec<f32>) -> Value {
    Value::Tensor(HostTensor::new(shape.to_vec(), Elements::Float32(values)).unwrap())
}

/// The scores of two pictures, as torchvision's models return them.
fn recorded() -> (Value, Json) {
    let answers: Json = serde_json::from_str(ANSWERS).unwrap();
    let number = |value: &Json| match value.as_f64() {
        Some(number) => number as f32,
        None => value.as_str().unwrap().parse().unwrap(),
    };
    let values = answers["scores"].as_array().unwrap().iter().map(number).collect();
    (Value::Dict(vec![("out".to_owned(), tensor(&[2, 5, 3, 4], values))]), answers)
}

fn asked(rows: usize, form: Form) -> Asked {
    Asked::new(rows, form)
}

/// Equal but for the last bit of a probability: exponentials differ by that.
fn same(got: &[u8], expected: &str) {
    let got = std::str::from_utf8(got).unwrap();
    let (mut lines, mut others) = (got.lines(), expected.lines());
    loop {
        match (lines.next(), others.next()) {
            (None, None) => return,
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => {
                let [x, y] = [a, b].map(|line| line.trim().trim_end_matches(',').parse::<f32>());
                let (x, y) = (x.expect(a), y.expect(b));
                assert!((x - y).abs() <= x.abs() * 2.5e-7, "{a} is not {b}");
            }
            (a, b) => panic!("{a:?} is not {b:?}"),
        }
    }
}

#[test]
fn masks_are_torchserves_own() {
    let (output, answers) = recorded();
    let handler = handler(json!({}));
    let each = [asked(1, Form::Plain), asked(1, Form::Pieces)];
    let got = handler.postprocess(output, &each).unwrap();
    for (got, expected) in got.iter().zip(answers["masks"].as_array().unwrap()) {
        same(&got.body, expected.as_str().unwrap());
        assert_eq!((got.content_type, &got.rest), ("application/json", &None));
    }
}

#[test]
fn many_classes_and_pixels_are_done_in_blocks() {
    // 600 pixels are three blocks; the class of a pixel is its number modulo the classes.
    let (classes, pixels) = (7, 600);
    let score = |at: usize| if at % pixels % classes == at / pixels { 3.0 } else { 0.0 };
    let values: Vec<f32> = (0..classes * pixels).map(score).collect();
    let output = tensor(&[1, classes, 20, 30], values);
    let got = handler(json!({})).postprocess(output, &[asked(1, Form::Raw)]).unwrap();
    assert_eq!(got[0].content_type, "application/octet-stream");
    let headers = [("tensor-datatype", "FP32".into()), ("tensor-shape", "20,30,2".into())];
    assert_eq!(got[0].headers, headers);
    let floats = got[0].body.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    let pairs: Vec<f32> = floats.collect();
    let expected = 3f32.exp() / (3f32.exp() + 6.0);
    for (at, pair) in pairs.as_chunks::<2>().0.iter().enumerate() {
        assert_eq!(pair[0], (at % classes) as f32);
        assert!((pair[1] - expected).abs() < 1e-6, "{pair:?}");
    }
}

/// The frame, its bytes, and palette and transparency.
fn decoded(png: &[u8]) -> (png::OutputInfo, Vec<u8>, [Option<Vec<u8>>; 2]) {
    let mut reader = png::Decoder::new(Cursor::new(png)).read_info().unwrap();
    let mut data = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut data).unwrap();
    let info = reader.info();
    let extras = [&info.palette, &info.trns].map(|part| part.as_ref().map(|part| part.to_vec()));
    (frame, data, extras)
}

#[test]
fn a_png_holds_the_classes_or_their_colours() {
    let scores = || tensor(&[1, 3, 1, 3], vec![9.0, 0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 9.0]);
    let one = [asked(1, Form::Png)];
    let plain = handler(json!({})).postprocess(scores(), &one).unwrap();
    assert_eq!(plain[0].content_type, "image/png");
    let (frame, data, _) = decoded(&plain[0].body);
    assert_eq!((frame.width, frame.height, frame.color_type), (3, 1, png::ColorType::Grayscale));
    assert_eq!(data, [0, 1, 2]);

    let coloured = handler(json!({"palette": true})).postprocess(scores(), &one).unwrap();
    let (frame, data, [palette, transparency]) = decoded(&coloured[0].body);
    assert_eq!((frame.color_type, data), (png::ColorType::Indexed, vec![0, 1, 2]));
    // PASCAL VOC: black, dark red, dark green; nothing where class 0 is.
    assert_eq!(palette, Some(vec![0, 0, 0, 128, 0, 0, 0, 128, 0]));
    assert_eq!(transparency, Some(vec![0]));

    let many = tensor(&[1, 300, 1, 1], (0..300u16).map(f32::from).collect());
    let wide = handler(json!({"palette": true})).postprocess(many, &one).unwrap();
    let (frame, data, _) = decoded(&wide[0].body);
    assert_eq!((frame.bit_depth, data), (png::BitDepth::Sixteen, 299u16.to_be_bytes().to_vec()));
}

#[test]
fn the_form_is_the_one_that_the_client_accepts() {
    let handler = handler(json!({}));
    for (accept, pieces, form) in [
        ("*/*", false, Form::Plain),
        ("*/*", true, Form::Pieces),
        ("image/png", true, Form::Png),
        ("application/octet-stream", true, Form::Raw),
        ("text/html", true, Form::Pieces),
    ] {
        let mut input = RequestInput::body(None, PHOTO.into());
        input.accept = Accept::parse(accept);
        input.accept.pieces = pieces;
        let sample = handler.preprocess(input).unwrap();
        assert_eq!(sample.asked.form, form, "{accept}");
        let [Value::Tensor(tensor)] = sample.arguments.as_slice() else { panic!("one tensor") };
        assert_eq!(tensor.shape(), [1, 3, 224, 224]);
    }
}

#[test]
fn a_large_mask_comes_in_pieces_and_each_of_them_is_small() {
    let side = 224;
    let output = || tensor(&[1, 2, side, side], vec![0.25; 2 * side * side]);
    let handler = handler(json!({}));
    let whole = handler.postprocess(output(), &[asked(1, Form::Plain)]).unwrap().remove(0);
    let answer = handler.postprocess(output(), &[asked(1, Form::Pieces)]).unwrap().remove(0);
    let rest = answer.rest.expect("pieces");
    let mut body = answer.body.to_vec();
    for piece in (0..).map_while(|index| rest.get(index)) {
        assert!(piece.len() < 128 << 10, "{}", piece.len());
        body.extend_from_slice(&piece);
    }
    assert!(whole.rest.is_none() && whole.body == body);
}

#[test]
fn open_inference_gives_one_tensor_of_all_masks() {
    let (output, _) = recorded();
    let form = Form::OpenInference(Box::default());
    let answer = handler(json!({})).postprocess(output, &[asked(2, form)]).unwrap().remove(0);
    let json = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(json.contains(r#""name":"output","shape":[2,3,4,2],"datatype":"FP32""#), "{json}");

    let named =
        Wanted { named_after: Some(vec![("a".into(), 1), ("b".into(), 1)]), ..Wanted::default() };
    let (output, _) = recorded();
    let form = Form::OpenInference(Box::new(named));
    let answer = handler(json!({})).postprocess(output, &[asked(2, form)]).unwrap().remove(0);
    let json = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(json.contains(r#"{"name":"b","shape":[1],"datatype":"BYTES","data":[[[["#), "{json}");
}

#[test]
fn other_results_are_a_model_error_that_says_what_is_served() {
    let handler = handler(json!({}));
    let ints = HostTensor::new(vec![1, 1, 1, 1], Elements::Int64(vec![1])).unwrap();
    for output in [
        tensor(&[2, 1, 1, 1], vec![0.0; 2]),
        tensor(&[1, 1, 1], vec![0.0]),
        tensor(&[1, 0, 1, 1], vec![]),
        Value::Tensor(ints),
        Value::Dict(vec![("mask".to_owned(), tensor(&[1, 1, 1, 1], vec![0.0]))]),
        Value::Tuple(vec![]),
    ] {
        let error = handler.postprocess(output, &[asked(1, Form::Plain)]).unwrap_err().to_string();
        assert!(error.contains("floats of shape [1, classes, height, width]"), "{error}");
    }
    let empty = handler.postprocess(tensor(&[1, 2, 0, 3], vec![]), &[asked(1, Form::Plain)]);
    assert_eq!(empty.unwrap()[0].body, "[]");
}
