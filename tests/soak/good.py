"""Clients that behave: every request gets its answer, and the answer is that request's."""

import json
import math
import struct

import serving
import wire

MLP = [0.1, -0.2, 0.3, 0.4]
MLP_ANSWER = [-0.0025359094, -0.3027834, -0.1025645]
JSON = {"Content-Type": "application/json"}
PAUSE = 0.03


def visitors(root):
    expected = json.loads((root / "models/samples/expected.json").read_text())["samples"]
    pictures = [
        ((root / "models/samples" / name).read_bytes(), str(sample["digit"]))
        for name, sample in sorted(expected.items())
    ]

    def digits(context):
        picture, digit = context.random.choice(pictures)
        headers, body = {"Content-Type": "image/png"}, picture
        if context.random.random() < 0.3:
            headers, body = multipart(picture)
        answer = predict(context, "digits", "/predictions/digits", headers, body)
        best = max(answer.json().items(), key=lambda pair: pair[1])[0]
        expect(best == digit, f"a {digit} was read as {best}")

    return [mlp, mlp, canary, canary, canary, poison, counter, digits, open_inference, asides, browser]


def predict(context, model, path, headers, body, status=200):
    answer = context.ask("inference", "POST", path, headers, body)
    context.tally.count("good clients", answer.status)
    expect(answer.status == status, f"{path}: {answer}")
    if answer.status == 200:
        context.tally.predicted(model)
    context.pause(PAUSE)
    return answer


def expect(condition, text):
    if not condition:
        raise wire.Wrong(text)


def close(got, expected):
    same = len(got) == len(expected) and all(
        math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-5) for a, b in zip(got, expected)
    )
    expect(same, f"{got} is not {expected}")


def mlp(context):
    paths = [
        "/predictions/mlp",
        "/predictions/mlp/1.0",
        "/models/mlp/invoke",
        "/mlp/predict",
        "/v1/models/mlp:predict",
        "/invocations?model_name=mlp",
    ]
    path = context.random.choice(paths)
    close(predict(context, "mlp", path, JSON, json.dumps(MLP).encode()).json(), MLP_ANSWER)


def canary(context):
    """The sum of its own numbers, which nobody else sends."""
    row = [float(context.random.randrange(1 << 20)) for _ in range(4)]
    answer = predict(context, "batch_probe", "/predictions/batch_probe", JSON, json.dumps(row).encode())
    got = answer.json()[0]
    expect(abs(got - sum(row)) <= 1, f"the sum of {row} is not {got}: another's row")


def poison(context):
    """Every fourth fails its own batch, and nobody else's."""
    path = "/predictions/error_on_negative"
    if context.random.random() < 0.25:
        predict(context, "error_on_negative", path, JSON, b"[4.0, -1.0]", 503)
        return
    root = float(context.random.randrange(1, 4096))
    body = json.dumps([root * root, 16.0]).encode()
    close(predict(context, "error_on_negative", path, JSON, body).json(), [root, 4.0])


def counter(context):
    answer = predict(context, "counter", "/predictions/counter", JSON, b"[1.0, 1.0, 1.0, 1.0]")
    expect(answer.json()[0] >= 1, f"counted {answer}")


def open_inference(context):
    """JSON and binary tensors of the Open Inference Protocol."""
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32"}
    path = "/v2/models/mlp/infer"
    if context.random.random() < 0.5:
        body = json.dumps({"inputs": [{**tensor, "data": MLP}]}).encode()
        answer = predict(context, "mlp", path, JSON, body).json()
        close(answer["outputs"][0]["data"], MLP_ANSWER)
        return
    raw = struct.pack("<4f", *MLP)
    tensor["parameters"] = {"binary_data_size": len(raw)}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": len(head),
    }
    answer = predict(context, "mlp", path, headers, head + raw)
    start = int(answer.headers["inference-header-content-length"])
    close(struct.unpack("<3f", answer.body[start:]), MLP_ANSWER)


def asides(context):
    """The routes that ask no model, and explanations."""
    role, method, path, status = context.random.choice(
        [
            ("inference", "GET", "/ping", 200),
            ("inference", "OPTIONS", "/", 200),
            ("inference", "GET", "/api-description", 200),
            ("inference", "GET", "/openapi.json", 200),
            ("inference", "GET", "/v2", 200),
            ("inference", "GET", "/v2/health/ready", 200),
            ("inference", "GET", "/v2/models/mlp", 200),
            ("inference", "GET", "/v2/models/mlp/ready", 200),
            ("inference", "POST", "/predictions/nobody", 404),
            ("inference", "POST", "/explanations/mlp", 200),
            ("management", "GET", "/models", 200),
            ("management", "GET", "/models/mlp", 200),
            ("management", "GET", "/models/mlp/all", 200),
            ("management", "GET", "/v1/models/mlp", 200),
        ]
    )
    body = json.dumps(MLP).encode() if method == "POST" else b""
    answer = context.ask(role, method, path, JSON, body)
    context.tally.count("good clients", answer.status)
    expect(answer.status == status, f"{method} {path}: {answer}")
    context.pause(2 * PAUSE)


def browser(context):
    """Preflights: one origin is always let in, one never, one comes and goes."""
    origin = context.random.choice([serving.ORIGIN, serving.SOMETIMES, "https://never.example"])
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    answer = context.ask("inference", "OPTIONS", "/predictions/mlp", headers)
    granted = answer.headers.get("access-control-allow-origin")
    context.tally.count("preflights", "granted" if granted else "refused")
    expect(granted in (None, origin, "*"), f"{origin} was granted as {granted}")
    if origin == serving.ORIGIN:
        expect(granted == origin, f"{origin} was refused: {answer} {answer.headers}")
    if origin == "https://never.example":
        expect(granted is None, f"{origin} was granted")
    context.pause(PAUSE)


def multipart(picture):
    start = b'--b\r\nContent-Disposition: form-data; name="data"; filename="a.png"\r\n\r\n'
    return {"Content-Type": "multipart/form-data; boundary=b"}, start + picture + b"\r\n--b--\r\n"
