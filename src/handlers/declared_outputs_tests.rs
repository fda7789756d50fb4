//! Declared outputs: what is read, chosen, made of them and told.

use serde_json::json;

use super::*;
use crate::engine::Signature;
use crate::handlers::{Envelope, NoFiles};

fn read(outputs: Json) -> Result<Vec<DeclaredOutput>, String> {
    let model_config = json!({ "outputs": outputs });
    let settings = HandlerSettings {
        model: "m",
        version: "1.0",
        index_to_name: Some(br#"{"0": "cat", "1": "dog", "2": "owl"}"#),
        model_config: &model_config,
        signature: Signature::default(),
        limit_max_image_pixels: true,
        max_response_size: usize::MAX,
        envelope: Envelope::None,
        files: &NoFiles,
    };
    DeclaredOutput::read_all(&settings).map_err(|error| error.to_string())
}

fn tensor(rows: usize, numbers: &[f32]) -> Value {
    let shape = vec![rows, numbers.len() / rows];
    Value::Tensor(HostTensor::new(shape, Elements::Float32(numbers.to_vec())).unwrap())
}

fn tell(outputs: Json, result: &Value, asked: &[Asked]) -> Result<Vec<Json>, String> {
    let served = Served { name: "m".into(), version: "1.0".into(), max_response_size: usize::MAX };
    let answers = answers(&read(outputs)?, &served, result, asked);
    let answers = answers.map_err(|error| error.to_string())?;
    Ok(answers.iter().map(|answer| serde_json::from_slice(&answer.body).unwrap()).collect())
}

fn plain() -> Asked {
    Asked::new(1, Form::Plain)
}

#[test]
fn a_batch_of_classes_is_told_with_labels_best_first() {
    let logits = [0.0f32, 2.0f32.ln(), 1.0f32.ln(), 5.0f32.ln(), 0.0, 0.0];
    let result = Value::Dict(vec![
        ("other".into(), tensor(2, &[7.0, 8.0])),
        ("logits".into(), tensor(2, &logits)),
    ]);
    let outputs =
        json!([{"from": "output.logits", "activation": "softmax", "top_k": 2, "labels": true}]);
    let told = tell(outputs, &result, &[plain(), plain()]).unwrap();
    let best = |answer: &Json| {
        let members = answer.as_object().unwrap().iter();
        let mut rounded: Vec<_> =
            members.map(|(name, p)| (name.clone(), (p.as_f64().unwrap() * 1e4).round())).collect();
        rounded.sort_by(|a, b| b.1.total_cmp(&a.1));
        rounded
    };
    assert_eq!(best(&told[0]), [("dog".to_owned(), 5000.0), ("cat".to_owned(), 2500.0)]);
    assert_eq!(best(&told[1]), [("cat".to_owned(), 7143.0), ("dog".to_owned(), 1429.0)]);
}

#[test]
fn several_outputs_are_an_object_and_the_protocol_gets_labels_beside_the_numbers() {
    let result = Value::Tuple(vec![tensor(1, &[0.0]), tensor(1, &[3.0, 1.0])]);
    let outputs = json!([
        {"name": "risk", "activation": "sigmoid", "datatype": "FP32", "shape": [-1, 1]},
        {"name": "kind", "labels": ["a", "b"], "top_k": 1},
    ]);
    let told = tell(outputs.clone(), &result, &[plain()]).unwrap();
    assert_eq!(told, [json!({"risk": [0.5], "kind": {"a": 3.0}})]);
    let form = Form::OpenInference(Box::default());
    let told = tell(outputs, &result, &[Asked::new(1, form)]).unwrap();
    assert_eq!(
        told[0]["outputs"],
        json!([
            {"name": "risk", "shape": [1, 1], "datatype": "FP32", "data": [0.5]},
            {"name": "kind", "shape": [1, 1], "datatype": "FP32", "data": [3.0]},
            {"name": "kind_labels", "shape": [1, 1], "datatype": "BYTES", "data": ["a"]},
        ])
    );
}

#[test]
fn a_result_that_is_not_as_declared_is_the_models_fault() {
    let result = tensor(1, &[1.0, 2.0]);
    for (outputs, says) in [
        (json!([{"from": "output.x"}]), "no tensor output.x; it has output"),
        (json!([{}, {}]), "no tensor number 1"),
        (json!([{"datatype": "FP32", "shape": [-1, 3]}]), "expected FP32[-1, 3], got FP32[1, 2]"),
    ] {
        let error = tell(outputs, &result, &[plain()]).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
    let two = tell(json!([{}]), &result, &[plain(), plain()]).unwrap_err();
    assert!(two.contains("not one row for each of 2 rows"), "{two}");
}

#[test]
fn a_wrong_declaration_is_told_with_its_place() {
    for (outputs, says) in [
        (json!({}), "outputs must be a list"),
        (json!([5]), "outputs[0] must be a map"),
        (json!([{"kind": 1}]), "outputs[0] has an unknown key `kind`"),
        (json!([{}, {"activation": "relu"}]), "outputs[1] activation must be one of"),
        (json!([{"top_k": 0}]), "outputs[0] top_k must be 1 or more"),
        (json!([{"labels": "x"}]), "outputs[0] labels must be"),
        (json!([{"datatype": "FP31"}]), "outputs[0] datatype must be one of"),
        (json!([{"name": 1}]), "outputs[0] name must be a string"),
    ] {
        let error = read(outputs).unwrap_err();
        assert!(error.starts_with("model-config.yaml: ") && error.contains(says), "{error}");
    }
}
