//! `base_handler` from the request to the arguments and from the result to the answer.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::engine::{Argument, Elements, Signature};
use crate::handlers::{Envelope, NoFiles, Wanted, built_in};

fn handler(arguments: &[(&str, &str)], model_config: &Json) -> Arc<dyn Handler> {
    try_handler(arguments, model_config).unwrap()
}

fn try_handler(
    arguments: &[(&str, &str)],
    model_config: &Json,
) -> Result<Arc<dyn Handler>, HandlerError> {
    let argument = |(name, kind): &(&str, &str)| Argument {
        name: (*name).to_owned(),
        kind: (*kind).to_owned(),
        required: !kind.ends_with('?'),
    };
    let signature = Signature { arguments: arguments.iter().map(argument).collect() };
    let settings = HandlerSettings {
        model: "test",
        version: "1.0",
        index_to_name: None,
        model_config,
        signature,
        limit_max_image_pixels: true,
        max_response_size: usize::MAX,
        envelope: Envelope::None,
        files: &NoFiles,
    };
    built_in("base_handler", settings)
}

fn plain() -> Arc<dyn Handler> {
    handler(&[("x", "Tensor")], &Json::Null)
}

fn declared() -> Arc<dyn Handler> {
    let inputs = json!({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]});
    handler(&[("x", "Tensor")], &inputs)
}

fn send(handler: &Arc<dyn Handler>, body: &str) -> Result<Sample, String> {
    typed(handler, Some("application/json"), body.as_bytes())
}

fn typed(handler: &Arc<dyn Handler>, media: Option<&str>, body: &[u8]) -> Result<Sample, String> {
    let input = RequestInput::body(media.map(str::to_owned), body.to_vec().into());
    handler.preprocess(input).map_err(|error| match error {
        HandlerError::BadInput(reason) => reason,
        HandlerError::Model(reason) => panic!("a bad request is no model error: {reason}"),
    })
}

fn tensor(shape: &[usize], elements: Elements) -> Value {
    Value::Tensor(HostTensor::new(shape.to_vec(), elements).unwrap())
}

fn float32(shape: &[usize], values: &[f32]) -> Value {
    tensor(shape, Elements::Float32(values.to_vec()))
}

#[test]
fn one_sample_gets_a_batch_dimension() {
    let sample = send(&plain(), "[0.5, -0.25]").unwrap();
    assert_eq!(sample.arguments, [float32(&[1, 2], &[0.5, -0.25])]);
    assert_eq!(sample.asked, Asked::new(1, Form::Plain));
    assert_eq!(sample.bucket.as_deref(), Some(&[(DType::Float32, vec![2])][..]));
    assert_eq!(sample.inferred, 0);
    let number = send(&plain(), " 5.0 ").unwrap();
    assert_eq!(number.arguments, [float32(&[1], &[5.0])]);
    assert!(number.bucket.is_some());
    let empty = send(&plain(), "[]").unwrap();
    assert_eq!(empty.arguments, [float32(&[1, 0], &[])]);
    let flags = send(&plain(), "[[true], [false]]").unwrap();
    assert_eq!(flags.arguments, [tensor(&[1, 2, 1], Elements::Bool(vec![1, 0]))]);
}

#[test]
fn whole_numbers_have_a_second_reading_that_can_be_learnt() {
    let handler = plain();
    let sample = send(&handler, "[1, 2]").unwrap();
    assert_eq!(sample.arguments, [tensor(&[1, 2], Elements::Int64(vec![1, 2]))]);
    let other = handler.reinterpret(&sample).unwrap();
    assert_eq!(other.arguments, [float32(&[1, 2], &[1.0, 2.0])]);
    assert_eq!(other.bucket.as_deref(), Some(&[(DType::Float32, vec![2])][..]));
    assert_eq!(other.asked, sample.asked);
    assert!(handler.reinterpret(&other).is_none());
    assert!(handler.reinterpret(&send(&handler, "[1.0]").unwrap()).is_none());
    assert!(handler.reinterpret(&send(&handler, "[true]").unwrap()).is_none());
    handler.learn();
    handler.learn();
    let sample = send(&handler, "[1, 2]").unwrap();
    assert_eq!(sample.arguments, [float32(&[1, 2], &[1.0, 2.0])]);
    assert!(handler.reinterpret(&sample).is_none());
}

#[test]
fn tensors_that_tell_their_type_have_no_second_reading() {
    let body = r#"{"inputs":[{"name":"x","shape":[1,2],"datatype":"INT64","data":[1,2]}]}"#;
    let sample = send(&plain(), body).unwrap();
    assert_eq!(sample.arguments, [tensor(&[1, 2], Elements::Int64(vec![1, 2]))]);
    assert!(plain().reinterpret(&sample).is_none());
}

#[test]
fn a_sample_may_stand_under_data_or_body() {
    for body in [
        r#"{"data":[1.5]}"#,
        r#"{"body":[1.5]}"#,
        r#"{"target":0,"data":[1.5],"body":[7.5]}"#,
        r#"{"data":[],"body":[1.5]}"#,
        r#"{"data":null,"body":[1.5]}"#,
    ] {
        assert_eq!(send(&plain(), body).unwrap().arguments, [float32(&[1, 1], &[1.5])], "{body}");
    }
}

#[test]
fn multipart_fields_are_read_like_bodies() {
    let field = |name: &str, value: &'static str| Parameter {
        name: name.to_owned(),
        content_type: None,
        value: value.into(),
    };
    let handler = plain();
    let input = RequestInput {
        parameters: vec![field("other", "x"), field("data", "[1.5]")],
        ..RequestInput::default()
    };
    assert!(handler.preprocess(input).is_ok());
    let input = RequestInput {
        parameters: vec![field("data", ""), field("body", "[1.5]")],
        ..RequestInput::default()
    };
    assert!(handler.preprocess(input).is_ok());
    let input =
        RequestInput { parameters: vec![field("image", "[1.5]")], ..RequestInput::default() };
    let error = handler.preprocess(input).unwrap_err().to_string();
    assert!(
        error.starts_with("the request has no field `data` or `body`; its fields: [\"image\"]")
    );
    assert!(handler.preprocess(RequestInput::default()).is_err());
}

#[test]
fn any_media_type_that_may_be_json_is_tried_as_json() {
    let media = [None, Some("text/plain"), Some("application/x-www-form-urlencoded")];
    for media in media.into_iter().chain([Some("application/octet-stream"), Some("image/png")]) {
        assert!(typed(&plain(), media, b"[1.5]").is_ok(), "{media:?}");
    }
    let error = typed(&plain(), Some("application/octet-stream"), b"\x00\x01").unwrap_err();
    assert!(error.starts_with("raw bytes are taken only where model-config.yaml declares"));
}

#[test]
fn what_is_no_sample_is_refused_with_the_reason() {
    for (body, part) in [
        ("", "the body is empty; send one sample"),
        (" \n", "the body is empty"),
        ("{broken", "expected a name in double quotes, got broken (byte 1)"),
        ("hello", "the body is not JSON: expected a JSON value, got hello (byte 0)"),
        ("null", "the body is null"),
        ("\"text\"", "the body is a string"),
        ("[\"a\"]", "/0: expected a number, got a string (byte 1)"),
        ("[1.0, 2.0", "/2: expected `,` or `]`, got the end of the body"),
        ("[1.0] x", "expected the end, got x (byte 6)"),
        ("[1.0][2.0]", "expected the end"),
        ("[[1.0,2.0],[1.0]]", "/1: expected an array of 2, got 1"),
        ("[9223372036854775808]", "/0: 9223372036854775808 does not fit int64"),
        ("{\"instances\":[[1.0]]}", "`instances` is the form of an envelope"),
        ("{\"x\":[1.0]}", "the object has none of `inputs`, `data` and `body`"),
        ("{}", "the object has none of"),
        ("{\"data\":\"text\"}", "expected a number, got a string"),
        ("{\"data\":[1.0]", "expected `,` or `}`"),
        ("{\"data\":[1.0]}}", "expected the end"),
    ] {
        let error = send(&plain(), body).unwrap_err();
        assert!(error.contains(part), "{body}: {error}");
    }
}

#[test]
fn declared_inputs_are_checked_while_reading() {
    let handler = declared();
    let sample = send(&handler, "[1, 2, 3, 4]").unwrap();
    assert_eq!(sample.arguments, [float32(&[1, 4], &[1.0, 2.0, 3.0, 4.0])]);
    assert_eq!(sample.inferred, 0);
    for (body, part) in [
        ("[1,2,3]", "expected an array of 4, got 3 (byte 7); the model takes FP32[-1, 4]"),
        ("[[1,2,3,4]]", "/0: expected a number, got an array"),
        ("[true,false,true,true]", "/0: expected a number, got true"),
        (
            r#"{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[1,2,3,4]}]}"#,
            "/inputs/0: expected FP32[-1, 4], got FP64[1, 4]",
        ),
        (
            r#"{"inputs":[{"name":"x","shape":[1000000000000,5],"datatype":"FP32","data":[]}]}"#,
            "/inputs/0: expected FP32[-1, 4], got FP32[1000000000000, 5]",
        ),
        (
            r#"{"inputs":[{"name":"x","scalar":4}]}"#,
            "/inputs/0: expected FP32[-1, 4], got a whole number",
        ),
    ] {
        let error = send(&handler, body).unwrap_err();
        assert!(error.contains(part), "{body}: {error}");
    }
    let wrong = try_handler(&[("x", "Tensor")], &json!({"inputs": [{"datatype": "?"}]}));
    assert!(matches!(wrong, Err(HandlerError::Model(_))));
}

#[test]
fn raw_bytes_are_taken_for_one_declared_input() {
    let bytes: Vec<u8> = (0..8u8).flat_map(|v| f32::from(v).to_le_bytes()).collect();
    let sample = typed(&declared(), Some("application/octet-stream"), &bytes).unwrap();
    let values: Vec<f32> = (0..8u8).map(f32::from).collect();
    assert_eq!(sample.arguments, [float32(&[2, 4], &values)]);
    assert_eq!(sample.asked, Asked::new(2, Form::Plain));
    assert!(typed(&declared(), Some("application/octet-stream"), &bytes[..15]).is_err());
}

#[test]
fn open_inference_inputs_become_arguments_by_name_or_position() {
    let multi = handler(
        &[("ids", "Tensor"), ("mask", "Tensor"), ("scale", "Tensor"), ("extra", "Tensor?")],
        &Json::Null,
    );
    let input = |name: &str, shape: Json, datatype: &str, data: Json| json!({"name": name, "shape": shape, "datatype": datatype, "data": data});
    let ids = |name| input(name, json!([2, 3]), "INT64", json!([1, 2, 3, 4, 5, 6]));
    let mask = |name| input(name, json!([2, 1]), "BOOL", json!([[true], [false]]));
    let scale = |name| input(name, json!([2]), "FP32", json!([0.5, 2]));
    let expected = [
        tensor(&[2, 3], Elements::Int64(vec![1, 2, 3, 4, 5, 6])),
        tensor(&[2, 1], Elements::Bool(vec![1, 0])),
        float32(&[2], &[0.5, 2.0]),
    ];
    for inputs in [
        json!({"id": "7", "inputs": [ids("input0"), mask("input1"), scale("input2")]}),
        json!({"inputs": [scale("scale"), ids("ids"), mask("mask")], "id": "7"}),
    ] {
        let sample = send(&multi, &inputs.to_string()).unwrap();
        assert_eq!(sample.arguments, expected);
        let wanted = Wanted { id: Some("7".to_owned()), ..Wanted::default() };
        let form = Form::OpenInference(Box::new(wanted));
        assert_eq!(sample.asked, Asked::new(2, form));
        let sizes = [(DType::Int64, vec![3]), (DType::Bool, vec![1]), (DType::Float32, vec![])];
        assert_eq!(sample.bucket.as_deref(), Some(&sizes[..]));
    }
    let few = json!({"inputs": [ids("input0"), mask("input1")]}).to_string();
    let error = send(&multi, &few).unwrap_err();
    assert_eq!(error, "missing scale; the model takes ids, mask, scale, extra (optional)");
    let many = json!({"inputs": vec![ids("i"); 5]}).to_string();
    assert!(send(&multi, &many).unwrap_err().starts_with("5 inputs for a model that takes 4"));
    let error = send(&multi, "[1]").unwrap_err();
    assert!(error.starts_with("one array is one input, and the model needs mask, scale too"));
}

#[test]
fn lists_and_scalars_become_python_values() {
    let take = |kind: &str, input: Json| {
        let sample =
            send(&handler(&[("a", kind)], &Json::Null), &json!({"inputs": [input]}).to_string())?;
        assert!(sample.bucket.is_none());
        Ok::<_, String>(sample.arguments.into_iter().next().unwrap())
    };
    let texts = Value::List(vec![Value::Str("a banana".into()), Value::Str("naïve 東".into())]);
    let list = json!({"name": "a", "list": ["a banana", "naïve 東"]});
    assert_eq!(take("str[]", list.clone()), Ok(texts.clone()));
    let bytes = json!({"shape": [2], "datatype": "BYTES", "data": ["a banana", "naïve 東"]});
    assert_eq!(take("str[]", bytes.clone()), Ok(texts));
    // TorchServe's clients: as many as there are.
    let texts_of = |shape: Json| json!({"shape": shape, "datatype": "BYTES", "data": ["x", "y"]});
    let two = Value::List(vec![Value::Str("x".into()), Value::Str("y".into())]);
    assert_eq!(take("str[]", texts_of(json!([-1]))), Ok(two));
    for wrong in [json!([-2]), json!([-1, 2]), json!([2, -1])] {
        let error = take("str[]", texts_of(wrong.clone())).unwrap_err();
        assert!(error.contains("expected a size (0 or more)"), "{wrong}: {error}");
    }
    let one = json!({"shape": [1], "datatype": "BYTES", "data": ["x"]});
    assert_eq!(take("str", one.clone()), Ok(Value::Str("x".into())));
    assert_eq!(take("str[]", one), Ok(Value::List(vec![Value::Str("x".into())])));
    assert_eq!(take("int", json!({"scalar": 3})), Ok(Value::Int(3)));
    assert_eq!(take("float", json!({"scalar": 3})), Ok(Value::Double(3.0)));
    assert_eq!(
        take("float[]", json!({"list": [1, 2.5]})),
        Ok(Value::List(vec![Value::Double(1.0), Value::Double(2.5)]))
    );
    assert_eq!(take("bool", json!({"scalar": true})), Ok(Value::Bool(true)));
    assert_eq!(take("Tensor?", json!({"scalar": null})), Ok(Value::None));
    let part = json!({"shape": [1], "datatype": "FP32", "data": [2.5]});
    let tensors = Value::List(vec![float32(&[1], &[2.5]), float32(&[1], &[2.5])]);
    assert_eq!(take("Tensor[]", json!({"list": [part.clone(), part]})), Ok(tensors));
    for (kind, input, part) in [
        ("Tensor", list, "/inputs/0/list: the model's argument is `Tensor`, got a list"),
        ("str[]", json!({"scalar": "x"}), "is `str[]`, got a string"),
        ("int", json!({"scalar": 1.5}), "is `int`, got a number with a fraction"),
        ("Tensor", json!({"scalar": null}), "is `Tensor`, got null"),
        (
            "str[]",
            json!({"list": ["a", 1]}),
            "/inputs/0/list/1: expected a string as before, got a whole",
        ),
        ("str[]", json!({"list": [[1]]}), "/inputs/0/list/0: expected a plain value, got an array"),
        (
            "str[]",
            json!({"shape": [3], "datatype": "BYTES", "data": ["a"]}),
            "expected 3 strings, got 1",
        ),
        (
            "str[]",
            json!({"shape": [0], "datatype": "BYTES", "data": ["a"]}),
            "expected 0 strings, got more",
        ),
        (
            "Tensor",
            json!({"name": "a"}),
            "has one of `data`, `list` and `scalar`, or the parameter",
        ),
        ("Tensor", json!({"data": [1]}), "/inputs/0: a tensor needs `datatype`"),
        ("Tensor", json!({"datatype": "FP32", "data": [1]}), "a tensor needs `shape`"),
    ] {
        let error = take(kind, input).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn open_inference_data_must_fill_the_shape() {
    let take = |shape: &str, data: &str| {
        let body = format!(r#"{{"inputs":[{{"shape":{shape},"datatype":"FP32","data":{data}}}]}}"#);
        send(&plain(), &body).map(|sample| sample.arguments.into_iter().next().unwrap())
    };
    assert_eq!(take("[]", "[3.5]"), Ok(float32(&[], &[3.5])));
    assert_eq!(take("[]", "3.5"), Ok(float32(&[], &[3.5])));
    assert_eq!(take("[0,4]", "[]"), Ok(float32(&[0, 4], &[])));
    assert_eq!(take("[2,0]", "[[],[]]"), Ok(float32(&[2, 0], &[])));
    assert_eq!(take("[2,1]", "[1,2]"), Ok(float32(&[2, 1], &[1.0, 2.0])));
    assert_eq!(take("[2,1]", "[[1],[2]]"), Ok(float32(&[2, 1], &[1.0, 2.0])));
    for (shape, data, part) in [
        ("[2,2]", "[1,2,3]", "/inputs/0/data: expected an array of 4, got 3"),
        ("[2,2]", "[[1,2],[3]]", "/inputs/0/data/1: expected an array of 2, got 1"),
        ("[2]", "[[1,2]]", "/inputs/0/data/0: expected a number, got an array"),
        ("[2]", "5", "expected an array of 2, got a number"),
        ("[-1]", "[1]", "/inputs/0/shape/0: expected a size (0 or more), got -1"),
        ("[1.5]", "[1]", "/inputs/0/shape/0: expected a size"),
        ("[9223372036854775807,2]", "[1]", "is too large"),
        ("[4611686018427387904]", "[1]", "expected an array of 4611686018427387904, got 1"),
        ("[65537,0]", "[]", "the shape [65537, 0] is too large"),
        ("[0,256,257]", "[]", "the shape [0, 256, 257] is too large"),
        ("[1]", "[\"a\"]", "/inputs/0/data/0: expected a number, got a string"),
    ] {
        let error = take(shape, data).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(take("[65536,0]", "[]"), Ok(float32(&[65536, 0], &[])));
    let empty_lists = format!("[[]{}]", ",[]".repeat(65_536));
    assert!(send(&plain(), &empty_lists).unwrap_err().contains("[65537, 0] is too large"));
    let deep = format!("[{}1]", "1,".repeat(64));
    assert!(take(&deep, "[1]").unwrap_err().contains("at most 64 dimensions"));
    let many = format!("{{\"inputs\":[{}{{}}]}}", r#"{"scalar":1},"#.repeat(256));
    assert!(send(&plain(), &many).unwrap_err().contains("at most 256 inputs"));
    let types = r#"{"inputs":[{"shape":[1],"datatype":"FLOAT","data":[1]}]}"#;
    assert!(
        send(&plain(), types).unwrap_err().contains("/inputs/0/datatype: expected one of BOOL")
    );
}

#[test]
fn samples_that_could_be_mixed_up_run_alone() {
    let bucket = |body: &str| send(&plain(), body).unwrap().bucket;
    let input = |shape: &str, data: &str| {
        format!(r#"{{"inputs":[{{"shape":{shape},"datatype":"FP32","data":{data}}}]}}"#)
    };
    assert!(bucket(&input("[2,1]", "[1,2]")).is_some());
    // A vector or a batch of two numbers? Nobody says.
    assert!(bucket(&input("[2]", "[1,2]")).is_none());
    assert!(bucket(&input("[]", "[1]")).is_none());
    assert!(bucket(&input("[0,1]", "[]")).is_none());
}

#[test]
fn a_batch_is_joined_and_its_answers_are_the_samples_own() {
    let handler = plain();
    let samples = vec![send(&handler, "[1.0,2.0]").unwrap(), send(&handler, "[3.0,4.0]").unwrap()];
    assert_eq!(samples[0].bucket, samples[1].bucket);
    let asked: Vec<_> = samples.iter().map(|sample| sample.asked.clone()).collect();
    let mut arguments = handler.collate(samples).unwrap();
    assert_eq!(arguments, [float32(&[2, 2], &[1.0, 2.0, 3.0, 4.0])]);
    let answers = handler.postprocess(arguments.remove(0), &asked).unwrap();
    assert_eq!(answers[0].body, "[\n  1.0,\n  2.0\n]");
    assert_eq!(answers[1].body, "[\n  3.0,\n  4.0\n]");
    assert_eq!(answers[0].content_type, "application/json");
}

#[test]
fn samples_that_do_not_fit_together_are_a_model_error() {
    let handler = plain();
    let samples = vec![send(&handler, "[1.0,2.0]").unwrap(), send(&handler, "[3.0]").unwrap()];
    assert!(matches!(handler.collate(samples), Err(HandlerError::Model(_))));
    assert_eq!(handler.collate(vec![]), Ok(vec![]));
}

#[test]
fn unknown_handlers_are_named() {
    let settings = HandlerSettings {
        model: "test",
        version: "1.0",
        index_to_name: None,
        model_config: &Json::Null,
        signature: Signature::default(),
        limit_max_image_pixels: true,
        max_response_size: usize::MAX,
        envelope: Envelope::None,
        files: &NoFiles,
    };
    let error = built_in("my_handler", settings).err().unwrap().to_string();
    assert!(error.starts_with("there is no built-in handler `my_handler`; there are base_handler"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = typed(&plain(), None, &body);
        let _ = typed(&declared(), Some("application/octet-stream"), &body);
    }

    #[test]
    fn no_json_like_text_makes_it_panic(
        body in "[\\[\\]{},:\"0-9.eE+\\-a-z \\\\]{0,60}",
        wrap in 0..4,
    ) {
        let body = match wrap {
            0 => body,
            1 => format!("{{\"data\":{body}}}"),
            2 => format!("{{\"inputs\":[{{\"shape\":[2,2],\"datatype\":\"INT8\",\"data\":{body}}}]}}"),
            _ => format!("{{\"inputs\":[{{\"name\":\"x\",{body}}}]}}"),
        };
        let _ = send(&plain(), &body);
        let _ = send(&declared(), &body);
    }

    #[test]
    fn every_array_that_python_writes_is_read_back(
        rows in proptest::collection::vec(proptest::collection::vec(any::<f32>(), 3), 1..5),
    ) {
        let mut text = crate::handlers::json_text::JsonText::with_capacity(
            crate::handlers::json_text::Layout::Indented, 0);
        let flat: Vec<f32> = rows.iter().flatten().copied().collect();
        let elements = Elements::Float32(flat.clone());
        text.elements(&elements, 0..flat.len(), &[rows.len(), 3]);
        let sample = typed(&plain(), None, &text.into_bytes()).unwrap();
        let Value::Tensor(tensor) = &sample.arguments[0] else { panic!() };
        prop_assert_eq!(tensor.shape(), [1, rows.len(), 3]);
        let Elements::Float32(read) = tensor.elements() else { panic!() };
        for (a, b) in read.iter().zip(&flat) {
            prop_assert!(a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()));
        }
    }
}

#[test]
fn examples_are_made_where_every_required_argument_is_declared_in_full() {
    let example = |arguments: &[(&str, &str)], inputs: Json| {
        let handler = handler(arguments, &json!({ "inputs": inputs }));
        assert_eq!(handler.example(3), handler.example(3));
        let shape = |value: &Value| match value {
            Value::Tensor(tensor) => (tensor.dtype(), tensor.shape().to_vec()),
            other => panic!("{other:?}"),
        };
        handler.example(3).map(|values| values.iter().map(shape).collect::<Vec<_>>())
    };
    let floats = json!({"name": "x", "datatype": "FP32", "shape": [-1, 4]});
    let integers = json!({"name": "y", "datatype": "INT64", "shape": [2]});
    let x = (DType::Float32, vec![3, 4]);
    let both = Some(vec![x.clone(), (DType::Int64, vec![2])]);
    let one = [("x", "Tensor")];
    let two = [("x", "Tensor"), ("y", "Tensor")];
    let optional = [("x", "Tensor"), ("y", "Tensor?")];
    assert_eq!(example(&one, json!([floats])), Some(vec![x.clone()]));
    assert_eq!(example(&two, json!([floats, integers])), both);
    assert_eq!(example(&optional, json!([floats, integers])), both);
    assert_eq!(example(&optional, json!([floats])), Some(vec![x]));
    assert_eq!(example(&two, json!([floats])), None);
    assert_eq!(example(&one, json!([])), None);
    assert_eq!(example(&[], json!([])), None);
    for shape in [json!([-1, -1]), json!([]), json!(null), json!([-1, 1_u64 << 40])] {
        assert_eq!(example(&one, json!([{"datatype": "FP32", "shape": shape}])), None, "{shape}");
    }
}
