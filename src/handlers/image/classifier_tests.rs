//! `image_classifier` against pictures and pixels that Pillow made (`goldens/make.py`), and its
//! answers against numbers from PyTorch.

use std::sync::Arc;

use base64::Engine as _;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::engine::{DType, HostTensor, Signature};
use crate::handlers::{NoFiles, Parameter, built_in};

const PHOTO: &[u8] = include_bytes!("goldens/photo.jpg");
const ALPHA: &[u8] = include_bytes!("goldens/alpha.png");
const PALETTE: &[u8] = include_bytes!("goldens/palette.gif");

fn handler(index_to_name: Option<&str>, settings: Json) -> Arc<dyn Handler> {
    let config = json!({ "image_classifier": settings });
    let settings = HandlerSettings {
        model: "test",
        version: "1.0",
        index_to_name: index_to_name.map(str::as_bytes),
        model_config: &config,
        signature: Signature::default(),
        limit_max_image_pixels: true,
        max_response_size: usize::MAX,
        envelope: Envelope::None,
        files: &NoFiles,
    };
    built_in("image_classifier", settings).unwrap()
}

/// The settings of the golden pictures, and values that are the bytes themselves.
fn bytes_of(channels: u64) -> Json {
    let all = |value: f64| vec![value; usize::try_from(channels).unwrap()];
    json!({
        "resize": 24, "crop": [16, 20], "channels": channels, "mean": all(0.0), "std": all(1.0 / 255.0),
    })
}

fn send(handler: &Arc<dyn Handler>, media: Option<&str>, body: &[u8]) -> Result<Sample, String> {
    let input = RequestInput::body(media.map(str::to_owned), body.to_vec().into());
    handler.preprocess(input).map_err(|error| match error {
        HandlerError::BadInput(reason) => reason,
        HandlerError::Model(reason) => panic!("a bad request is no model error: {reason}"),
    })
}

fn tensor(sample: &Sample) -> (&[usize], &[f32]) {
    let [Value::Tensor(tensor)] = sample.arguments.as_slice() else { panic!("one tensor") };
    let Elements::Float32(values) = tensor.elements() else { panic!("float32") };
    (tensor.shape(), values)
}

/// The picture's bytes in rows of pixels, as the golden files have them.
fn pixels(handler: &Arc<dyn Handler>, picture: &[u8]) -> Vec<u8> {
    let sample = send(handler, Some("application/octet-stream"), picture).unwrap();
    let (shape, values) = tensor(&sample);
    let [1, channels, height, width] = *shape else { panic!("{shape:?}") };
    let at = |pixel: usize, channel: usize| values[channel * height * width + pixel].round() as u8;
    (0..height * width).flat_map(|p| (0..channels).map(move |c| at(p, c))).collect()
}

#[test]
fn pixels_are_pillows_own() {
    let handler = handler(None, bytes_of(3));
    let goldens: [(&str, &[u8], &[u8]); 5] = [
        ("photo.jpg", PHOTO, include_bytes!("goldens/photo.rgb")),
        ("cmyk.jpg", include_bytes!("goldens/cmyk.jpg"), include_bytes!("goldens/cmyk.rgb")),
        ("alpha.png", ALPHA, include_bytes!("goldens/alpha.rgb")),
        ("palette.gif", PALETTE, include_bytes!("goldens/palette.rgb")),
        ("gray16.png", include_bytes!("goldens/gray16.png"), include_bytes!("goldens/gray16.rgb")),
    ];
    for (name, picture, expected) in goldens {
        assert!(pixels(&handler, picture) == expected, "{name} differs from Pillow");
    }
}

#[test]
fn gray_is_weighted_as_pillow_weights_it() {
    let gray = handler(None, bytes_of(1));
    assert!(pixels(&gray, PHOTO) == include_bytes!("goldens/photo.gray"));
    let mut settings = bytes_of(1);
    settings["invert"] = json!(true);
    let inverted: Vec<u8> = include_bytes!("goldens/photo.gray").iter().map(|b| 255 - b).collect();
    assert!(pixels(&handler(None, settings), PHOTO) == inverted);
}

#[test]
fn every_way_to_send_a_picture_gives_the_same_tensor() {
    use base64::prelude::BASE64_STANDARD;
    let handler = handler(None, bytes_of(3));
    let expected = send(&handler, Some("image/png"), ALPHA).unwrap();
    assert_eq!(tensor(&expected).0, [1, 3, 16, 20]);
    assert_eq!(expected.bucket.as_deref(), Some(&[(DType::Float32, vec![3, 16, 20])][..]));
    let text = BASE64_STANDARD.encode(ALPHA);
    let folded =
        text.as_bytes().chunks(76).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\r\n");
    for (media, body) in [
        (None, ALPHA.to_vec()),
        (Some("application/json"), ALPHA.to_vec()),
        (Some("text/plain"), text.clone().into_bytes()),
        (Some("text/plain"), folded.into_bytes()),
        (Some("text/plain"), text.trim_end_matches('=').as_bytes().to_vec()),
        (Some("text/plain"), format!("data:image/png;base64,{text}").into_bytes()),
        (Some("application/json"), format!("\"{text}\"").into_bytes()),
        (
            Some("application/json"),
            format!(" {{\"target\": 0, \"data\": \"{text}\"}}").into_bytes(),
        ),
        (Some("application/json"), format!("{{\"body\": \"{text}\"}}").into_bytes()),
        (Some("application/x-www-form-urlencoded"), text.clone().into_bytes()),
        (None, format!("\"{text}\"").into_bytes()),
    ] {
        let sample = send(&handler, media, &body).unwrap();
        assert_eq!(tensor(&sample), tensor(&expected), "{media:?}");
    }
}

#[test]
fn an_array_is_a_finished_tensor() {
    let handler = handler(None, json!({}));
    let sample = send(&handler, Some("application/json"), b"[[[1, 2.5]], [[0, -1]]]").unwrap();
    assert_eq!(tensor(&sample), (&[1, 2, 1, 2][..], &[1.0, 2.5, 0.0, -1.0][..]));
    for body in ["[true]", "[[1],[1,2]]", "[\"a\"]", "[1"] {
        assert!(send(&handler, Some("application/json"), body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn what_is_no_picture_is_refused_with_the_reason() {
    let handler = handler(None, json!({}));
    let octets = Some("application/octet-stream");
    for (media, body, part) in [
        (octets, &b""[..], "the body is empty; send the bytes of an image (JPEG"),
        (octets, b"no picture", "no image format is recognised"),
        (octets, &PHOTO[..PHOTO.len() / 2], "the JPEG image cannot be decoded: it is truncated"),
        (octets, &PHOTO[..PHOTO.len() - 4], "the JPEG image cannot be decoded: it is truncated"),
        (octets, &PHOTO[..20], "the JPEG image cannot be decoded"),
        (octets, &ALPHA[..ALPHA.len() / 2], "the PNG image cannot be decoded"),
        (octets, &PALETTE[..PALETTE.len() / 2], "the GIF image cannot be decoded"),
        (octets, b"RIFF\x10\0\0\0WEBPVP8 ", "the WebP image cannot be decoded"),
        (octets, b"BM\0\0\0\0", "the BMP image cannot be decoded"),
        (octets, b"II*\0\x08\0\0\0", "the TIFF image cannot be decoded"),
        (Some("text/plain"), b"{not base64}", "the text is not base64"),
        (Some("text/plain"), b"aGVsbG8=", "no image format is recognised"),
        (
            Some("application/json"),
            b"{\"image\": \"x\"}",
            "has none of `data`, `body` and `inputs`",
        ),
        (Some("application/json"), b"{broken", "expected a name in double quotes"),
        (Some("application/json"), b"null", "the JSON is null"),
        (Some("application/json"), b"5", "the JSON is a number"),
        (Some("application/json"), b"\"aGVsbG8=\" x", "no image format"),
    ] {
        let error = send(&handler, media, body).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    let input = RequestInput {
        parameters: vec![Parameter {
            name: "image".to_owned(),
            content_type: None,
            value: PHOTO.into(),
        }],
        ..RequestInput::default()
    };
    let error = handler.preprocess(input).unwrap_err().to_string();
    assert!(
        error.starts_with("the request has no field `data` or `body`; its fields: [\"image\"]")
    );
}

#[test]
fn bytes_behind_a_picture_do_no_harm() {
    let handler = handler(None, bytes_of(3));
    let longer: Vec<u8> = PHOTO.iter().copied().chain([1, 2, 3]).collect();
    assert_eq!(pixels(&handler, &longer), pixels(&handler, PHOTO));
}

/// A PNG that says it is `width` x `height` and has no pixels.
fn bomb(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend_from_slice(&width.to_be_bytes());
    header.extend_from_slice(&height.to_be_bytes());
    header.extend_from_slice(&[8, 2, 0, 0, 0]);
    let crc = header.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ (0xEDB8_8320 * (crc & 1)))
    });
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    png.extend_from_slice(&header);
    png.extend_from_slice(&(!crc).to_be_bytes());
    png.extend_from_slice(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    png
}

#[test]
fn bombs_are_refused_by_their_header() {
    let limited = handler(None, json!({}));
    let error = send(&limited, None, &bomb(13_378, 13_378)).unwrap_err();
    assert!(error.contains("13378x13378 is more than 178956970 pixels"), "{error}");
    let error = send(&limited, None, &bomb(65_501, 1)).unwrap_err();
    assert!(error.contains("the image is refused"), "{error}");
    // Just below: the header passes, the missing pixels do not.
    let error = send(&limited, None, &bomb(13_377, 13_377)).unwrap_err();
    assert!(error.contains("the PNG image cannot be decoded"), "{error}");
    // A JPEG whose frame header says 65,535 x 65,535.
    let frame = PHOTO.windows(2).position(|bytes| bytes == [0xff, 0xc0]).unwrap();
    let mut photo = PHOTO.to_vec();
    photo[frame + 5..frame + 9].fill(0xff);
    let error = send(&limited, None, &photo).unwrap_err();
    assert!(error.contains("the image is refused"), "{error}");
}

#[test]
fn a_picture_of_one_row_needs_no_more_memory_than_its_crop() {
    let mut body = Vec::new();
    let row = image::RgbImage::from_fn(60_000, 1, |x, _| image::Rgb([(x % 251) as u8, 7, 9]));
    row.write_to(&mut std::io::Cursor::new(&mut body), image::ImageFormat::Png).unwrap();
    // Whole, it would be 15,360,000 x 256.
    let sample = send(&handler(None, json!({})), None, &body).unwrap();
    assert_eq!(tensor(&sample).0, [1, 3, 224, 224]);
    let error = send(&handler(None, json!({"crop": null})), None, &body).unwrap_err();
    assert!(
        error.contains("the image is refused: it would be 15360000x256 for the model"),
        "{error}"
    );
}

#[test]
fn what_is_smaller_than_the_crop_lies_on_black() {
    let mut settings = bytes_of(1);
    settings["resize"] = json!([1, 2]);
    settings["crop"] = json!([4, 5]);
    settings["invert"] = json!(true);
    let mut body = Vec::new();
    let white = image::GrayImage::from_pixel(3, 3, image::Luma([250]));
    white.write_to(&mut std::io::Cursor::new(&mut body), image::ImageFormat::Png).unwrap();
    let expected = [
        [0, 0, 0, 0, 0], //
        [0, 5, 5, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ];
    assert_eq!(pixels(&handler(None, settings), &body), expected.concat());
}

fn answer(
    handler: &Arc<dyn Handler>,
    shape: &[usize],
    elements: Elements,
    count: usize,
) -> Result<Vec<String>, String> {
    let output = Value::Tensor(HostTensor::new(shape.to_vec(), elements).unwrap());
    let asked = vec![Asked::new(1, Form::Plain); count];
    let answers = handler.postprocess(output, &asked).map_err(|error| error.to_string())?;
    Ok(answers.iter().map(|answer| String::from_utf8_lossy(&answer.body).into_owned()).collect())
}

// `torch.tensor([1., 3., 2., 0.]).softmax(0)` in PyTorch 2.13:
// 0.0871443152, 0.6439142823, 0.2368828207, 0.0320586041.
#[test]
fn the_best_classes_come_first() {
    let names = r#"{"0": "cat", "1": ["n2", "dog"], "2": "tiger \u00e9"}"#;
    let logits = Elements::Float32(vec![1.0, 3.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let answers = answer(&handler(Some(names), json!({})), &[2, 4], logits, 2).unwrap();
    let read: serde_json::Map<String, Json> = serde_json::from_str(&answers[0]).unwrap();
    let expected = [
        ("dog", 0.643_914_282_3),
        ("tiger é", 0.236_882_820_7),
        ("cat", 0.087_144_315_2),
        ("3", 0.032_058_604_1),
    ];
    for (name, probability) in expected {
        assert!((read[name].as_f64().unwrap() - probability).abs() < 1e-7, "{name}");
    }
    let order: Vec<_> =
        answers[0].lines().filter_map(|line| line.trim().split('"').nth(1)).collect();
    assert_eq!(order, ["dog", "tiger \\u00e9", "cat", "3"]);
    // Equal ones in the order of their classes.
    assert_eq!(
        answers[1],
        "{\n  \"cat\": 0.25,\n  \"dog\": 0.25,\n  \"tiger \\u00e9\": 0.25,\n  \"3\": 0.25\n}"
    );
}

#[test]
fn only_the_top_classes_are_told() {
    let logits = Elements::Float32((0..100u8).map(f32::from).collect());
    let five = answer(&handler(None, json!({})), &[1, 100], logits.clone(), 1).unwrap();
    let order: Vec<_> = five[0].lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert_eq!(order, ["99", "98", "97", "96", "95"]);
    let one = answer(&handler(None, json!({"top_k": 1})), &[1, 100], logits, 1).unwrap();
    assert_eq!(one[0].lines().count(), 3);
}

#[test]
fn a_label_that_comes_twice_keeps_its_place_and_takes_the_later_value() {
    let names = r#"{"0": "crane", "1": "maillot", "2": "crane"}"#;
    let logits = Elements::Float64(vec![3f64.ln(), 2f64.ln(), 0.0]);
    let answers = answer(&handler(Some(names), json!({})), &[1, 3], logits, 1).unwrap();
    let order: Vec<_> = answers[0].lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert_eq!(order, ["crane", "maillot"]);
    let read: Json = serde_json::from_str(&answers[0]).unwrap();
    assert!((read["crane"].as_f64().unwrap() - 1.0 / 6.0).abs() < 1e-15);
}

#[test]
fn every_float_type_is_served_and_what_is_no_number_comes_first() {
    use half::{bf16, f16};
    let handler = handler(None, json!({}));
    let halves = Elements::Float16(vec![f16::from_f32(0.0); 2]);
    let expected = "{\n  \"0\": 0.5,\n  \"1\": 0.5\n}";
    assert_eq!(answer(&handler, &[1, 2], halves, 1).unwrap()[0], expected);
    let brain = Elements::Bfloat16(vec![bf16::from_f32(0.0); 2]);
    assert_eq!(answer(&handler, &[1, 2], brain, 1).unwrap()[0], expected);
    let nan = Elements::Float32(vec![0.0, f32::NAN]);
    assert_eq!(answer(&handler, &[1, 2], nan, 1).unwrap()[0], "{\n  \"0\": NaN,\n  \"1\": NaN\n}");
    let large = Elements::Float32(vec![1e38, f32::NEG_INFINITY]);
    assert_eq!(
        answer(&handler, &[1, 2], large, 1).unwrap()[0],
        "{\n  \"0\": 1.0,\n  \"1\": 0.0\n}"
    );
}

#[test]
fn other_results_are_a_model_error_that_says_what_is_served() {
    let handler = handler(None, json!({}));
    for (shape, elements, count) in [
        (&[2, 2][..], Elements::Float32(vec![0.0; 4]), 1),
        (&[1, 2], Elements::Float32(vec![0.0; 2]), 2),
        (&[2], Elements::Float32(vec![0.0; 2]), 2),
        (&[1, 2, 1], Elements::Float32(vec![0.0; 2]), 1),
        (&[1, 0], Elements::Float32(vec![]), 1),
        (&[1, 2], Elements::Int64(vec![0; 2]), 1),
    ] {
        let error = answer(&handler, shape, elements, count).unwrap_err();
        assert!(error.contains("returns floats of shape [") && error.contains("got "), "{error}");
    }
    let asked = [Asked::new(1, Form::Plain)];
    let tuple = handler.postprocess(Value::Tuple(vec![]), &asked);
    assert!(matches!(tuple, Err(HandlerError::Model(reason)) if reason.contains("one tensor")));
}

#[test]
fn a_wrong_index_to_name_is_an_error_at_load() {
    let settings = HandlerSettings {
        model: "test",
        version: "1.0",
        index_to_name: Some(b"{\"0\": 5}"),
        model_config: &Json::Null,
        signature: Signature::default(),
        limit_max_image_pixels: true,
        max_response_size: usize::MAX,
        envelope: Envelope::None,
        files: &NoFiles,
    };
    assert!(matches!(built_in("image_classifier", settings), Err(HandlerError::Model(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(
        which in 0..4usize,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        tail in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let handler = handler(None, bytes_of(3));
        let mut body = [PHOTO, ALPHA, PALETTE, &[]][which].to_vec();
        if !body.is_empty() {
            for (at, byte) in changes {
                let at = at.index(body.len());
                body[at] = byte;
            }
            if tail.len() % 3 == 0 {
                body.truncate(cut.index(body.len()));
            }
        }
        body.extend(tail);
        for media in [None, Some("application/json"), Some("text/plain")] {
            let _ = send(&handler, media, &body);
        }
    }
}

#[test]
fn examples_are_pictures_of_the_models_size_and_always_the_same() {
    for (settings, shape) in [
        (json!({}), Some([2, 3, 224, 224])),
        (bytes_of(1), Some([2, 1, 16, 20])),
        (json!({"resize": [20, 30], "crop": null}), Some([2, 3, 20, 30])),
        (json!({"resize": 28, "crop": null}), Some([2, 3, 28, 28])),
        (json!({"resize": null, "crop": null}), None),
    ] {
        let handler = handler(None, settings);
        let example = handler.example(2);
        assert_eq!(example, handler.example(2));
        let Some(example) = example else {
            assert_eq!(shape, None);
            continue;
        };
        let [Value::Tensor(tensor)] = example.as_slice() else { panic!("one tensor") };
        assert_eq!(Some(tensor.shape()), shape.as_ref().map(<[usize; 4]>::as_slice));
        let Elements::Float32(values) = tensor.elements() else { panic!("float32") };
        assert!(values.iter().any(|value| *value != values[0]));
    }
    assert_eq!(handler(None, json!({})).example(usize::MAX), None);
}
