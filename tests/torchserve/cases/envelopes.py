"""`service_envelope`: one run each, with `mlp` (base_handler) and `colours` (image_classifier)."""

import json

from . import JSON, MULTIPART, OCTETS, SMALL, base64_of, image, inference, management, multipart

ROW, OTHER = [0.5, -0.25, 0.125, 1.0], [1.0, 2.0, 3.0, -4.0]
MLP, COLOURS = "/predictions/mlp", "/predictions/colours"


def json_envelope():
    picture = base64_of(image("flower_rgb.png"))
    yield inference("json-one", "POST", MLP, {"instances": [ROW]})
    yield inference("json-two", "POST", MLP, {"instances": [ROW, OTHER]})
    yield inference("json-extra-keys", "POST", MLP, {"instances": [ROW], "signature_name": "x"})
    yield inference("json-no-instances", "POST", MLP, {})
    yield inference("json-bare-list", "POST", MLP, ROW)
    yield inference("json-no-rows", "POST", MLP, {"instances": []})
    yield inference("json-wrong-width", "POST", MLP, {"instances": [[1.0, 2.0]]})
    yield inference("json-ragged-rows", "POST", MLP, {"instances": [ROW, [1.0]]})
    yield inference("json-rows-of-text", "POST", MLP, {"instances": ["a"]})
    yield inference("json-octets", "POST", MLP, '{"instances": [[1, 2, 3, 4]]}', OCTETS)
    yield inference("json-broken", "POST", MLP, '{"instances": ', JSON)
    yield inference("json-nothing", "POST", MLP)
    yield inference("json-b64", "POST", COLOURS, {"instances": [{"data": {"b64": picture}}]})
    yield inference("json-b64-text", "POST", COLOURS, {"instances": [{"data": picture}]})
    yield inference("json-body-b64", "POST", COLOURS, {"instances": [{"body": {"b64": picture}}]})
    two = [{"data": {"b64": picture}}, {"data": picture}]
    yield inference("json-two-pictures", "POST", COLOURS, {"instances": two})
    yield inference("json-bare-b64", "POST", COLOURS, {"instances": [{"b64": picture}]})
    yield inference("json-b64-broken", "POST", COLOURS, {"instances": [{"data": {"b64": "!"}}]})
    part = multipart(("data", '{"instances": [[1, 2, 3, 4]]}', JSON, "x"))
    yield inference("json-multipart", "POST", MLP, part, MULTIPART)
    yield inference("json-v1", "POST", "/v1/models/mlp:predict", {"instances": [ROW]})
    yield inference("json-invocations", "POST", "/invocations?model_name=mlp", {"instances": [ROW]})


def body_envelope():
    yield inference("body-row", "POST", MLP, ROW)
    yield inference("body-whole-numbers", "POST", MLP, [1, 2, 3, 4])
    yield inference("body-wrong-width", "POST", MLP, [1.0, 2.0])
    yield inference("body-object", "POST", MLP, {"data": ROW})
    yield inference("body-octets", "POST", MLP, b"\0" * 16, OCTETS)
    yield inference("body-nothing", "POST", MLP)
    yield inference(
        "body-multipart", "POST", MLP, multipart(("data", str(ROW), JSON, "x")), MULTIPART
    )
    yield inference("body-echo-whole", "POST", "/predictions/echo", [1, 2, 3])
    yield inference("body-echo-float", "POST", "/predictions/echo", [1.5, -0.0, 1e-7, 123456789.0])
    yield inference("body-echo-true", "POST", "/predictions/echo", [True, False])
    yield inference("body-echo-matrix", "POST", "/predictions/echo", [[1, 2], [3, 4]])
    yield inference("body-echo-number", "POST", "/predictions/echo", "7", JSON)
    yield inference("body-echo-empty", "POST", "/predictions/echo", "[]", JSON)
    yield inference("body-picture", "POST", COLOURS, image("flower_rgb.png"), OCTETS)
    yield inference("body-small-picture", "POST", COLOURS, SMALL)


def kserve_envelope():
    picture = base64_of(image("flower_rgb.png"))
    yield inference("kserve-one", "POST", "/v1/models/mlp:predict", {"instances": [ROW]})
    yield inference("kserve-two", "POST", "/v1/models/mlp:predict", {"instances": [ROW, OTHER]})
    yield inference("kserve-predictions", "POST", MLP, {"instances": [ROW]})
    yield inference("kserve-octets", "POST", MLP, '{"instances": [[1.0, 2, 3, 4]]}', OCTETS)
    yield inference("kserve-no-instances", "POST", MLP, {})
    yield inference(
        "kserve-picture", "POST", "/v1/models/colours:predict", {"instances": [{"data": picture}]}
    )
    small = {"instances": [{"data": SMALL}]}
    yield inference("kserve-small", "POST", "/v1/models/colours:predict", small)
    yield inference("kserve-explain", "POST", "/v1/models/colours:explain", small)
    yield inference("kserve-wrong-width", "POST", "/v1/models/mlp:predict", {"instances": [[1.0]]})
    yield inference("kserve-extra", "POST", "/v1/models/mlp:predict", {"instances": [ROW], "x": 1})
    yield management("kserve-ready", "GET", "/v1/models/mlp")


def tensor(data, shape, datatype="FP32", name="input-0"):
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def kservev2_envelope():
    for id, path in [
        ("root", ""),
        ("live", "/health/live"),
        ("ready", "/health/ready"),
        ("health", "/health"),
    ]:
        yield inference(f"oip-{id}", "GET", f"/v2{path}")
    yield inference("oip-root-post", "POST", "/v2")
    yield inference("oip-versions", "POST", "/v2/models/echo/versions/1.0/infer", {})
    yield inference("oip-model", "GET", "/v2/models/echo")
    yield inference("oip-model-ready", "GET", "/v2/models/echo/ready")
    infer = "/v2/models/echo/infer"
    one = {"id": "request-7", "inputs": [tensor([1, 2, 3], [3], "INT64")]}
    yield inference("v2-echo-whole", "POST", infer, one)
    without_id = {"inputs": [tensor([1.5, 2.5, 3.5, 4.5], [2, 2])]}
    yield inference("v2-echo-float", "POST", infer, without_id)
    two = {
        "id": "x",
        "inputs": [tensor([1, 2], [2], "INT64", "a"), tensor([3, 4], [2], "INT64", "b")],
    }
    yield inference("v2-two-inputs", "POST", infer, two)
    yield inference("v2-blank-id", "POST", infer, {"id": " ", **without_id})
    yield inference("v2-wrong-shape", "POST", infer, {"id": "x", "inputs": [tensor([1, 2], [3])]})
    yield inference("v2-no-inputs", "POST", infer, {"id": "x"})
    yield inference("v2-broken", "POST", infer, "{", JSON)
    yield inference("v2-octets", "POST", infer, '{"id":"y","inputs":[]}', OCTETS)
    yield inference(
        "v2-mlp", "POST", "/v2/models/mlp/infer", {"id": "m", "inputs": [tensor(ROW, [4])]}
    )
    small = tensor([1.0, 0.5, 0.25, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.125], [3, 2, 2])
    picture = tensor([base64_of(image("flower_rgb.png"))], [1], "BYTES", "picture")
    colours = "/v2/models/colours/infer"
    batch = {**small, "shape": [1, 3, 2, 2]}
    yield inference("v2-classify-batch", "POST", colours, {"id": "b", "inputs": [batch]})
    yield inference("v2-classify", "POST", colours, {"id": "c", "inputs": [small]})
    yield inference("v2-classify-without-id", "POST", colours, {"inputs": [small]})
    yield inference("v2-classify-picture", "POST", colours, {"id": "p", "inputs": [picture]})
    text = '{"id": "o", "inputs": [%s]}' % json.dumps(small)
    yield inference("v2-classify-octets", "POST", colours, text, OCTETS)
    yield inference(
        "v2-explain", "POST", "/v2/models/colours/explain", {"id": "e", "inputs": [small]}
    )
    yield inference("v2-predictions", "POST", "/predictions/echo", one)
    yield inference("v2-no-model", "POST", "/v2/models/nothing/infer", one)
