//! Every small archive answers what Python answered.

use serde_json::{Value, json};

use crate::support::{TestServer, checkout, close, golden_archives, request};

fn served() -> Vec<(String, Value)> {
    let Value::Object(archives) = golden_archives() else { panic!("no archives") };
    archives.into_iter().filter(|(_, archive)| archive["refused"].is_null()).collect()
}

#[test]
fn archives_answer_what_python_answered() {
    // `mlp_v2` is the second version of `mlp`; it is asked in a test of its own.
    let archives: Vec<_> = served().into_iter().filter(|(name, _)| name != "mlp_v2").collect();
    let names: Vec<&str> = archives.iter().map(|(name, _)| name.as_str()).collect();
    let server = TestServer::start(&names, &["default_workers_per_model=1"]);
    let mut asked = 0;
    for (name, archive) in &archives {
        if archive["handler"] == "base_handler" {
            asked += base_handler(&server, name, archive);
        }
        asked += pictures(&server, name, archive);
    }
    assert!(asked >= 40, "only {asked} cases");
}

fn list<'a>(archive: &'a Value, key: &str) -> &'a [Value] {
    archive[key].as_array().map_or(&[], Vec::as_slice)
}

fn base_handler(server: &TestServer, name: &str, archive: &Value) -> usize {
    let tolerance = archive["abs_tol"].as_f64().unwrap();
    for case in list(archive, "sequence").iter().chain(list(archive, "cases")) {
        let body = json!({"inputs": case["inputs"]}).to_string();
        let answer = server.predict(name, &body);
        let context = format!("{name}/{}: {}", case["id"], answer.text());
        if let Some(error) = case["error"].as_str() {
            let (status, _, message) = answer.error();
            // Raised by the model: not for the client's eyes. Refused by an operator or before it:
            // the reason.
            let hidden = status == 503 && message == "Prediction failed";
            let told = message.contains(error) || message.contains("takes");
            assert!(hidden || (status == 400 && told), "{context}");
            continue;
        }
        assert_eq!(answer.status, 200, "{context}");
        let expected = json!({
            "model_name": archive["model_name"],
            "model_version": archive["version"],
            "outputs": outputs(&case["outputs"]),
        });
        close(&answer.json(), &expected, tolerance);
    }
    for case in list(archive, "plain") {
        let answer = server.predict(name, case["body"].to_string());
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        close(&answer.json(), &case["answer"], tolerance);
    }
    ["sequence", "cases", "plain"].iter().map(|key| list(archive, key).len()).sum()
}

/// Plain values are tensors without dimensions on the wire, and `None` is none.
fn outputs(recorded: &Value) -> Vec<Value> {
    let output = |output: &Value| {
        let Some(scalar) = output.get("scalar") else { return Some(output.clone()) };
        let datatype = match scalar {
            Value::Null => return None,
            Value::Bool(_) => "BOOL",
            Value::String(_) => "BYTES",
            Value::Number(number) if number.is_i64() => "INT64",
            _ => "FP64",
        };
        let (name, data) = (&output["name"], [scalar]);
        Some(json!({"name": name, "shape": [], "datatype": datatype, "data": data}))
    };
    recorded.as_array().unwrap().iter().filter_map(output).collect()
}

fn pictures(server: &TestServer, name: &str, archive: &Value) -> usize {
    let tolerance = archive["abs_tol"].as_f64().unwrap().max(1e-3);
    for case in list(archive, "pictures") {
        let file = case["file"].as_str().unwrap();
        let image = std::fs::read(checkout(file)).unwrap();
        let path = format!("/predictions/{name}");
        let answer = request(server.inference, "PUT", &path, &[], &image);
        assert_eq!(answer.status, 200, "{name} {file}: {}", answer.text());
        close(&answer.json(), &case["answer"], tolerance);
    }
    list(archive, "pictures").len()
}

#[test]
fn two_versions_are_served_side_by_side() {
    let server = TestServer::start(&["mlp", "mlp_v2"], &[]);
    let archives = golden_archives();
    let case = |name: &str| archives[name]["plain"][0].clone();
    let body = case("mlp")["body"].to_string();
    close(&server.predict("mlp", &body).json(), &case("mlp")["answer"], 1e-5);
    close(&server.predict("mlp/1.0", &body).json(), &case("mlp")["answer"], 1e-5);
    close(&server.predict("mlp/2.0", &body).json(), &case("mlp_v2")["answer"], 1e-5);
    let all = server.manage("/models/mlp/all").json();
    let versions: Vec<_> = all.as_array().unwrap().iter().map(|v| &v["modelVersion"]).collect();
    assert_eq!(versions, ["1.0", "2.0"]);
}

#[test]
fn photographs_are_classified_as_python_does_where_the_model_is_built() {
    let archive = checkout("models/efficientnet_lite0.mar");
    if !archive.exists() {
        println!("not run: `make models` builds models/efficientnet_lite0.mar");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    std::fs::create_dir(&store).unwrap();
    std::fs::copy(archive, store.join("efficientnet_lite0.mar")).unwrap();
    let server = TestServer::start_in(folder, &store, &["load_models=all"]);
    let goldens =
        std::fs::read_to_string(checkout("tests/goldens/efficientnet_lite0.json")).unwrap();
    let goldens: Value = serde_json::from_str(&goldens).unwrap();
    for golden in goldens["images"].as_array().unwrap() {
        if golden["orientation"] != "as_stored" {
            continue;
        }
        let file = golden["file"].as_str().unwrap();
        let image = std::fs::read(checkout(file)).unwrap();
        let path = "/predictions/efficientnet_lite0";
        let answer = request(server.inference, "PUT", path, &[], &image);
        assert_eq!(answer.status, 200, "{file}: {}", answer.text());
        let got = answer.json();
        let tolerance = 1e-3; // what the project promises; the goldens allow other resizers more
        for (label, probability) in golden["top5"].as_object().unwrap() {
            // By label, not by rank: the last ones can be near ties.
            match got.get(label) {
                Some(got) => close(got, probability, tolerance),
                None => assert!(probability.as_f64().unwrap() < 0.06, "{file}: no {label}: {got}"),
            }
        }
    }
}

#[test]
fn speech_is_heard_as_python_hears_it_where_the_model_is_built() {
    let archive = checkout("models/silero_vad.mar");
    if !archive.exists() {
        println!("not run: `make models` builds models/silero_vad.mar");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    std::fs::create_dir(&store).unwrap();
    std::fs::copy(archive, store.join("silero_vad.mar")).unwrap();
    let server = TestServer::start_in(folder, &store, &["load_models=all"]);
    let sample = std::fs::read(checkout("models/silero_vad/sample.wav")).unwrap();
    let expected = std::fs::read_to_string(checkout("models/silero_vad/expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    // Each of them is a sequence of its own.
    for _ in 0..2 {
        let answer = request(server.inference, "PUT", "/predictions/silero_vad", &[], &sample);
        assert_eq!(answer.status, 200, "{}", answer.text());
        close(&answer.json(), &expected, 1e-4);
    }
}

#[test]
fn sentences_are_embedded_as_python_does_where_the_model_is_built() {
    let archive = checkout("models/minilm_l6.mar");
    if !archive.exists() {
        println!("not run: `make models` builds models/minilm_l6.mar");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    std::fs::create_dir(&store).unwrap();
    std::fs::copy(archive, store.join("minilm_l6.mar")).unwrap();
    let server = TestServer::start_in(folder, &store, &["load_models=all"]);
    let goldens = std::fs::read_to_string(checkout("models/minilm_l6/goldens.json")).unwrap();
    let goldens: Vec<Value> = serde_json::from_str(&goldens).unwrap();
    let texts: Vec<&Value> = goldens.iter().map(|golden| &golden["text"]).collect();
    let expected: Vec<&Value> = goldens.iter().map(|golden| &golden["embedding"]).collect();
    let answer = server.predict("minilm_l6", json!(texts).to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    close(&answer.json(), &json!(expected), 1e-5);
    for golden in &goldens {
        let alone = server.predict("minilm_l6", golden["text"].to_string());
        close(&alone.json(), &golden["embedding"], 1e-5);
    }
}
