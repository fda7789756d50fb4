//! Instances in and answers out, around the built-in handlers.

use serde_json::{Value as Json, json};

use super::*;
use crate::engine::{Argument, DType, Elements, HostTensor, Signature};
use crate::handlers::{HandlerSettings, NoFiles, Parameter, built_in};

fn enveloped(envelope: Envelope) -> Enveloped {
    let argument = Argument { name: "x".into(), kind: "Tensor".into(), required: true };
    let settings = HandlerSettings {
        model: "test",
        version: "1.0",
        index_to_name: None,
        model_config: &Json::Null,
        signature: Signature { arguments: vec![argument] },
        limit_max_image_pixels: true,
        max_response_size: usize::MAX,
        envelope,
        files: &NoFiles,
    };
    Enveloped::new(built_in("base_handler", settings).unwrap(), envelope, usize::MAX)
}

fn input(body: &str) -> RequestInput {
    let media = Some("application/json".to_owned());
    RequestInput::body(media, body.as_bytes().to_vec().into())
}

fn refused(handler: &Enveloped, input: RequestInput) -> String {
    match handler.preprocess(input) {
        Err(HandlerError::BadInput(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn instances_become_one_sample_and_their_answers_one_answer() {
    let handler = enveloped(Envelope::Json);
    let sample = handler.preprocess(input(r#"{"instances": [[1.5], [2.5]]}"#)).unwrap();
    let both = HostTensor::new(vec![2, 1], Elements::Float32(vec![1.5, 2.5])).unwrap();
    assert_eq!(sample.arguments, [Value::Tensor(both.clone())]);
    assert_eq!(sample.asked.rows, 2);
    assert_eq!(sample.bucket.as_deref(), Some(&[(DType::Float32, vec![1])][..]));
    let plain = Asked::new(1, Form::Plain);
    let three = HostTensor::new(vec![3, 1], Elements::Float32(vec![7.0, 1.5, 2.5])).unwrap();
    let answers = handler.postprocess(Value::Tensor(three), &[plain, sample.asked]).unwrap();
    assert_eq!(answers[0].body, "[\n  7.0\n]");
    assert_eq!(answers[1].body, r#"{"predictions": [[1.5], [2.5]]}"#);
}

#[test]
fn whole_numbers_beside_fractions_are_floats_and_alone_can_be_learnt() {
    let handler = enveloped(Envelope::KServe);
    let mixed = handler.preprocess(input(r#"{"instances": [[1], [2.5]]}"#)).unwrap();
    let expected = HostTensor::new(vec![2, 1], Elements::Float32(vec![1.0, 2.5])).unwrap();
    assert_eq!(mixed.arguments, [Value::Tensor(expected)]);
    let whole = handler.preprocess(input(r#"{"instances": [[1], [2]]}"#)).unwrap();
    let other = handler.reinterpret(&whole).unwrap();
    assert_eq!(other.asked, whole.asked);
    assert_eq!(other.bucket.as_deref(), Some(&[(DType::Float32, vec![1])][..]));
    assert!(handler.reinterpret(&other).is_none());
}

#[test]
fn an_explanation_runs_alone_and_each_instance_has_its_target() {
    let handler = enveloped(Envelope::KServe);
    let body = r#"{"instances": [{"data": [1.5], "target": 2}, {"data": [2.5]}]}"#;
    let sample = handler.preprocess(RequestInput { explain: true, ..input(body) }).unwrap();
    assert!(sample.bucket.is_none());
    let Form::Instances(instances) = &sample.asked.form else { panic!("{:?}", sample.asked) };
    assert_eq!(instances.key, "explanations");
    let tasks: Vec<Task> = instances.parts.iter().map(|part| part.task).collect();
    assert_eq!(tasks, [Task::Explain { target: Some(2) }, Task::Explain { target: None }]);

    let target = |value: &'static str| {
        let mut input = RequestInput { explain: true, ..input("[1.5]") };
        let (name, content_type) = ("target".to_owned(), None);
        input.parameters.push(Parameter { name, content_type, value: value.into() });
        enveloped(Envelope::None).preprocess(input).map(|sample| sample.asked.task)
    };
    assert_eq!(target(" 3 "), Ok(Task::Explain { target: Some(3) }));
    for wrong in ["-1", "1.5", "", "cat", "99999999999999999999999"] {
        assert!(target(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_no_list_of_equal_instances_is_refused_with_its_place() {
    let handler = enveloped(Envelope::Json);
    for (body, said) in [
        (json!([1]), "send a JSON object with a list `instances`"),
        (json!({"instances": {}}), "expected an array"),
        (json!({"instances": []}), "`instances` is empty"),
        (json!({"instances": [[1.5], [1.5, 2.5]]}), "/instances/1 does not fit with the first"),
        (json!({"instances": [[1.5], "x"]}), "/instances/1: "),
        (json!({"instances": [{"image": [1]}]}), "/instances/0: the request has no field `data`"),
        (json!({"instances": [{"data": {"b64": 5}}]}), "/instances/0/data/b64: expected a string"),
        (json!({"instances": vec![0; 65_537]}), "at most 65536 instances"),
    ] {
        let reason = refused(&handler, input(&body.to_string()));
        assert!(reason.contains(said), "{reason}");
    }
    assert!(refused(&handler, input("{\"instances\": [1")).contains("send a JSON object"));
    let members: String = (0..257).map(|i| format!("\"{i}\": 1,")).collect();
    let many = format!("{{\"instances\": [{{{members} \"data\": [1]}}]}}");
    assert!(refused(&handler, input(&many)).contains("at most 256 members"));
}

#[test]
fn a_few_bytes_of_instances_are_cheap_and_many_are_not() {
    let handler = enveloped(Envelope::None);
    let many = input(&format!("[{}1]", "1,".repeat(400)));
    assert!(handler.preprocess_is_cheap(&many));
    let on_kserves_route = RequestInput { protocol: Protocol::KServeV1, ..many };
    assert!(!handler.preprocess_is_cheap(&on_kserves_route));
}
