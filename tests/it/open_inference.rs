//! The Open Inference Protocol: `/v2`, its JSON and its binary tensors.

use serde_json::{Value, json};

use crate::support::{Answer, TestServer, checkout, close, request};

const LENGTH: &str = "inference-header-content-length";

fn get(server: &TestServer, path: &str) -> Answer {
    request(server.inference, "GET", path, &[], b"")
}

fn infer(server: &TestServer, model: &str, body: &Value) -> Answer {
    let path = format!("/v2/models/{model}/infer");
    request(server.inference, "POST", &path, &[], body.to_string().as_bytes())
}

/// JSON with raw tensors behind it, as `tritonclient` sends them.
fn infer_raw(server: &TestServer, model: &str, json: &Value, raw: &[u8]) -> Answer {
    let json = json.to_string();
    let path = format!("/v2/models/{model}/infer");
    let length = json.len().to_string();
    let headers = [("Inference-Header-Content-Length", &*length)];
    request(server.inference, "POST", &path, &headers, &[json.as_bytes(), raw].concat())
}

/// The JSON of an answer and the bytes behind it.
fn split(answer: &Answer) -> (Value, &[u8]) {
    let length = answer.header(LENGTH).unwrap_or_else(|| panic!("no length: {}", answer.text()));
    let (json, raw) = answer.body.split_at(length.parse().unwrap());
    (serde_json::from_slice(json).unwrap(), raw)
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn the_server_tells_what_it_is_and_whether_it_is_ready() {
    let server = TestServer::start(&["mlp", "mlp_v2", "configured", "digits", "list_str_in"], &[]);
    let about = get(&server, "/v2").json();
    assert_eq!(about["extensions"], json!(["binary_tensor_data"]));
    assert_eq!(about["extenstion"], json!(["kserve", "kubeflow"]), "as TorchServe spells it");
    assert_eq!(get(&server, "/v2/health/live").json(), json!({"live": true}));
    assert_eq!(get(&server, "/v2/health/ready").json(), json!({"ready": true}));
    for path in ["/v2/models/mlp/ready", "/v2/models/mlp/versions/2.0/ready"] {
        assert_eq!(get(&server, path).json(), json!({"name": "mlp", "ready": true}));
    }
    assert_eq!(get(&server, "/v2/models/mlp/versions/3.0/ready").status, 404);

    let metadata = get(&server, "/v2/models/mlp/versions/2.0").json();
    assert_eq!(metadata["versions"], json!(["1.0", "2.0"]));
    assert_eq!(metadata["platform"], "pytorch_torchscript");
    assert_eq!(metadata["inputs"], json!([{"name": "x", "datatype": "ANY", "shape": [-1]}]));
    let texts = &get(&server, "/v2/models/list_str_in").json()["inputs"];
    assert_eq!(*texts, json!([{"name": "texts", "datatype": "BYTES", "shape": [-1]}]));
    let digits = get(&server, "/v2/models/digits").json();
    assert_eq!(digits["inputs"], json!([{"name": "data", "datatype": "BYTES", "shape": [-1]}]));
    assert_eq!(digits["outputs"], json!([{"name": "output", "datatype": "BYTES", "shape": [-1]}]));

    // A model without workers is there and not ready.
    request(server.management, "PUT", "/models/mlp?min_worker=0&synchronous=true", &[], b"");
    let unready = get(&server, "/v2/models/mlp/ready");
    assert_eq!((unready.status, unready.json()["ready"].clone()), (503, json!(false)));
}

#[test]
fn every_element_type_comes_back_as_it_went_in_as_json_and_as_bytes() {
    let server = TestServer::start(&["echo"], &[]);
    for (datatype, data, raw) in [
        ("BOOL", json!([true, false]), vec![1, 0]),
        ("UINT8", json!([0, 255]), vec![0, 255]),
        ("INT8", json!([-128, 127]), vec![128, 127]),
        ("INT16", json!([-2, 256]), vec![254, 255, 0, 1]),
        ("INT32", json!([-1, 65536]), vec![255, 255, 255, 255, 0, 0, 1, 0]),
        (
            "INT64",
            json!([-1, 9007199254740993i64]),
            [-1i64, 9007199254740993].iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
        ("FP16", json!([0.5, -2.0]), vec![0, 56, 0, 192]),
        ("BF16", json!([0.5, -2.0]), vec![0, 63, 0, 192]),
        ("FP32", json!([0.5, -2.0]), little_endian(&[0.5, -2.0])),
        ("FP64", json!([0.1, -2.0]), [0.1f64, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect()),
    ] {
        let input = json!({"name": "x", "shape": [1, 2], "datatype": datatype, "data": data});
        let answer = infer(&server, "echo", &json!({"inputs": [input]}));
        let output = &answer.json()["outputs"][0];
        assert_eq!((&output["datatype"], &output["data"]), (&json!(datatype), &data), "{datatype}");
        let binary = json!({"binary_data_size": raw.len()});
        let input =
            json!({"name": "x", "shape": [1, 2], "datatype": datatype, "parameters": binary});
        // Any length of the JSON: the tensor may lie anywhere.
        for pad in 0..8 {
            let request = json!({
                "id": "x".repeat(pad), "inputs": [input], "parameters": {"binary_data_output": true},
            });
            let answer = infer_raw(&server, "echo", &request, &raw);
            assert_eq!(answer.status, 200, "{datatype}: {}", answer.text());
            assert_eq!(answer.header("content-type").as_deref(), Some("application/octet-stream"));
            let (json, bytes) = split(&answer);
            assert_eq!(bytes, raw, "{datatype}");
            assert_eq!(json["id"], "x".repeat(pad));
            let output = &json["outputs"][0];
            assert_eq!((&output["shape"], &output["parameters"]), (&json!([1, 2]), &binary));
        }
    }
    // PyTorch computes with no wider unsigned type: they come back wide enough.
    for (datatype, wider, raw) in [
        ("UINT16", "INT32", vec![255, 255]),
        ("UINT32", "INT64", vec![255, 255, 0, 0]),
        ("UINT64", "INT64", vec![255, 255, 0, 0, 0, 0, 0, 0]),
    ] {
        let size = json!({"binary_data_size": raw.len()});
        let raw_input =
            json!({"name": "x", "shape": [1], "datatype": datatype, "parameters": size});
        let json_input = json!({"name": "x", "shape": [1], "datatype": datatype, "data": [65535]});
        for answer in [
            infer_raw(&server, "echo", &json!({"inputs": [raw_input]}), &raw),
            infer(&server, "echo", &json!({"inputs": [json_input]})),
        ] {
            let output = &answer.json()["outputs"][0];
            assert_eq!((&output["datatype"], &output["data"]), (&json!(wider), &json!([65535])));
        }
    }
}

#[test]
fn the_answer_has_the_outputs_that_were_asked_for_in_that_order() {
    let server = TestServer::start(&["dict_out"], &[]);
    let input =
        json!({"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1.0, 2.0, 4.0, 3.0]});
    let ask = |outputs: Value, binary: bool| {
        let parameters = json!({"binary_data_output": binary, "priority": 1});
        let body = json!({"inputs": [input], "outputs": outputs, "parameters": parameters});
        infer(&server, "dict_out", &body)
    };
    let all = ask(json!([]), false).json();
    assert_eq!(all["outputs"].as_array().unwrap().len(), 3);
    assert_eq!((&all["model_name"], &all["model_version"]), (&json!("dict_out"), &json!("1.0")));
    let two = ask(json!([{"name": "output.argmax"}, {"name": "output.sum"}]), false).json();
    assert_eq!(two["outputs"][0]["data"], json!([1, 0]));
    assert_eq!(two["outputs"][1]["data"], json!([3.0, 7.0]));
    assert_eq!(two["outputs"].as_array().unwrap().len(), 2);
    let json_one = json!({"name": "output.argmax", "parameters": {"binary_data": false}});
    let mixed = ask(json!([json_one, {"name": "output.sum"}]), true);
    let (json, raw) = split(&mixed);
    assert_eq!(json["outputs"][0]["data"], json!([1, 0]));
    assert_eq!(json["outputs"][1].get("data"), None);
    assert_eq!(raw, little_endian(&[3.0, 7.0]));
    for (outputs, said) in [
        (json!([{"name": "sum"}]), "unexpected inference output `sum` for model `dict_out`"),
        (json!([{"name": "output.sum"}, {"name": "output.sum"}]), "asked for twice"),
        (json!([{"name": "output.sum", "parameters": {"classification": 2}}]), "not supported"),
        (json!([{}]), "/outputs/0: an output needs `name`"),
        (json!(vec![json!({"name": "a"}); 257]), "asked for twice"),
        (
            json!((0..257).map(|i| json!({"name": i.to_string()})).collect::<Vec<_>>()),
            "at most 256",
        ),
        (json!({}), "/outputs: expected an array"),
    ] {
        let answer = ask(outputs.clone(), false);
        let error = answer.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(answer.status == 400 && error.contains(said), "{outputs}: {}", answer.text());
    }
}

#[test]
fn strings_go_in_and_pictures_are_named() {
    let server = TestServer::start(&["list_str_in", "digits"], &[]);
    let texts =
        json!({"name": "texts", "shape": [2], "datatype": "BYTES", "data": ["a banana", "x"]});
    let expected = json!([8, 4, 2, 1, 0, 1]);
    let answer = infer(&server, "list_str_in", &json!({"inputs": [texts]})).json();
    assert_eq!(answer["outputs"][0]["data"], expected);
    let raw = b"\x08\0\0\0a banana\x01\0\0\0x";
    let parameters = json!({"binary_data_size": raw.len()});
    let texts =
        json!({"name": "texts", "shape": [2], "datatype": "BYTES", "parameters": parameters});
    let answer = infer_raw(&server, "list_str_in", &json!({"inputs": [texts]}), raw).json();
    assert_eq!(answer["outputs"][0]["data"], expected);

    let picture = |name| std::fs::read(checkout(&format!("models/samples/{name}.png"))).unwrap();
    let pictures = [picture("digit_7_a"), picture("digit_3_a")];
    let raw: Vec<u8> = pictures
        .iter()
        .flat_map(|bytes| [&u32::try_from(bytes.len()).unwrap().to_le_bytes()[..], bytes].concat())
        .collect();
    let input = json!({
        "name": "data", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": raw.len()},
    });
    let answer = infer_raw(&server, "digits", &json!({"inputs": [input]}), &raw).json();
    let output = &answer["outputs"][0];
    assert_eq!((&output["name"], &output["shape"]), (&json!("output"), &json!([2])));
    for (at, digit) in ["7", "3"].iter().enumerate() {
        let classes = output["data"][at].as_str().unwrap();
        assert!(classes.starts_with(&format!("{{\"{digit}\":")), "{classes}");
    }
    let many = vec![&*pictures[0]; 257];
    let raw: Vec<u8> = many
        .iter()
        .flat_map(|bytes| [&u32::try_from(bytes.len()).unwrap().to_le_bytes()[..], bytes].concat())
        .collect();
    let input = json!({
        "name": "data", "shape": [257], "datatype": "BYTES", "parameters": {"binary_data_size": raw.len()},
    });
    let refused = infer_raw(&server, "digits", &json!({"inputs": [input]}), &raw);
    assert_eq!(refused.error().0, 400, "a request has a bound of pictures");
}

#[test]
fn no_length_of_a_binary_request_is_believed() {
    let server = TestServer::start(&["echo", "configured"], &[]);
    let raw = little_endian(&[1.0, 2.0, 3.0, 4.0]);
    let input = |shape: Value, size: Value| {
        json!({"inputs": [{
            "name": "x", "shape": shape, "datatype": "FP32", "parameters": {"binary_data_size": size},
        }]})
    };
    for (shape, size, said) in [
        (json!([4]), json!(17), "binary_data_size is 17, and 16 bytes are left"),
        (json!([4]), json!(12), "4 bytes follow the JSON"),
        (json!([3]), json!(16), "16 bytes are not a tensor of shape [3]"),
        (json!([4]), json!(-1), "expected a number of bytes"),
        (json!([4]), json!(1.5), "expected a number of bytes"),
        (json!([4]), json!(u64::MAX), "expected a number of bytes"),
        (json!([1u64 << 62, 4]), json!(16), "is too large"),
        (json!([-1, 4]), json!(16), "a size (0 or more)"),
    ] {
        let answer = infer_raw(&server, "echo", &input(shape.clone(), size.clone()), &raw);
        let error = answer.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(answer.status == 400 && error.contains(said), "{shape} {size}: {}", answer.text());
    }
    // The declared shape is checked, too.
    let wrong = infer_raw(&server, "configured", &input(json!([2, 2]), json!(16)), &raw);
    assert_eq!(wrong.error().0, 400);
    let json = input(json!([4]), json!(16)).to_string();
    let body = [json.as_bytes(), &raw].concat();
    let path = "/v2/models/echo/infer";
    for length in ["99999999", "-1", "+5", "x", "", "18446744073709551616", "1", "0"] {
        let headers = [("Inference-Header-Content-Length", length)];
        let answer = request(server.inference, "POST", path, &headers, &body);
        assert_eq!(answer.error().0, 400, "{length}");
    }
    // Without the header the whole body is the JSON.
    assert_eq!(request(server.inference, "POST", path, &[], &body).error().0, 400);
    let lonely = request(server.inference, "POST", path, &[], json.as_bytes());
    assert!(lonely.error().2.contains("0 bytes are left"), "{}", lonely.text());
    let shared = json!({"inputs": [{
        "name": "x", "shape": [1], "datatype": "FP32", "parameters": {"shared_memory_region": "r"},
    }]});
    assert!(infer(&server, "echo", &shared).error().2.contains("shared memory is not supported"));
}

#[test]
fn what_tritonclient_sends_is_answered_as_it_reads_it() {
    let server = TestServer::start(&["mlp"], &[]);
    let recorded = std::fs::read(checkout("tests/goldens/tritonclient_infer.http")).unwrap();
    let end = recorded.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let (head, body) = (std::str::from_utf8(&recorded[..end]).unwrap(), &recorded[end + 4..]);
    let mut lines = head.split("\r\n");
    let path = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers: Vec<(&str, &str)> = lines
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| !["host", "content-length"].contains(&&*name.to_ascii_lowercase()))
        .collect();
    let answer = request(server.inference, "POST", path, &headers, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (json, raw) = split(&answer);
    assert_eq!(json["outputs"][0]["shape"], json!([2, 3]));
    let first: Vec<f32> =
        raw.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let expected = json!([-0.002535909414291382, -0.30278345942497253, -0.10256451368331909]);
    close(&json!(first[..3]), &expected, 1e-5);
    assert_eq!(raw.len(), 24);
}
