"""What the clients ask and must get. Run by `run.py` in the environment of the clients:

    checks.py KEY_FILE INFERENCE MANAGEMENT METRICS
"""

import gzip
import json
import subprocess
import sys
import traceback
from pathlib import Path

import numpy
import requests
import tritonclient.http as triton
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[2]
SEVEN = ROOT / "models/samples/digit_7_a.png"
ROW = [0.5, -1.0, 2.0, 0.25]
KEYS, INFERENCE, MANAGEMENT, METRICS = sys.argv[1:]
KEYS = {name: entry["key"] for name, entry in json.loads(Path(KEYS).read_text()).items()}
TOKEN = {"Authorization": f"Bearer {KEYS['inference']}"}
MANAGER = {"Authorization": f"Bearer {KEYS['management']}"}


def curl_uploads_a_file():
    """`curl -T`, the form of TorchServe's README."""
    header = f"Authorization: {TOKEN['Authorization']}"
    url = f"http://{INFERENCE}/predictions/digits"
    said = subprocess.run(["curl", "-sS", "--fail", "-H", header, "-T", SEVEN, url],
                          check=True, capture_output=True).stdout
    assert next(iter(json.loads(said))) == "7", said
    form = subprocess.run(["curl", "-sS", "--fail", "--compressed", "-H", header, "-F",
                           f"data=@{SEVEN}", url], check=True, capture_output=True).stdout
    assert form == said
    # Large enough for `Expect: 100-continue`.
    padded = SEVEN.read_bytes() + bytes(2_000_000)
    large = subprocess.run(["curl", "-sS", "--fail", "-H", header, "-H", "Expect: 100-continue",
                            "-H", "Content-Type: image/png", "--data-binary", "@-", url],
                           input=padded, check=True, capture_output=True).stdout
    assert large == said


def requests_posts_files_json_and_compressed_bodies():
    with requests.Session() as session:
        session.headers.update(TOKEN)
        url = f"http://{INFERENCE}/predictions"
        image = session.post(f"{url}/digits", files={"data": SEVEN.open("rb")})
        assert image.status_code == 200 and next(iter(image.json())) == "7", image.text
        plain = session.post(f"{url}/mlp", json=ROW)
        assert plain.status_code == 200 and len(plain.json()) == 3, plain.text
        assert plain.headers["Content-Type"] == "application/json"
        packed = gzip.compress(json.dumps(ROW).encode())
        kind = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        assert session.post(f"{url}/mlp", data=packed, headers=kind).json() == plain.json()
        chunks = iter([b"[0.5, -1.0", b", 2.0, 0.25]"])
        assert session.post(f"{url}/mlp", data=chunks).json() == plain.json()
        missing = session.post(f"{url}/nothing", json=ROW)
        assert (missing.status_code, missing.json()["type"]) == (404, "ModelNotFoundException")
        session.headers.clear()
        assert session.post(f"{url}/mlp", json=ROW).status_code == 400
        assert session.get(f"http://{INFERENCE}/ping").json() == {"status": "Healthy"}


def requests_manages_models():
    with requests.Session() as session:
        session.headers.update(MANAGER)
        url = f"http://{MANAGEMENT}/models"
        many = {"url": "mlp.mar", "model_name": "again", "initial_workers": 1}
        assert session.post(url, params=many).status_code == 200
        assert session.post(url, json=many).status_code == 409
        assert "again" in [model["modelName"] for model in session.get(url).json()["models"]]
        scaled = session.put(f"{url}/again", params={"min_worker": 2, "synchronous": "true"})
        assert scaled.json() == {"status": "Workers scaled to 2 for model: again"}, scaled.text
        assert len(session.get(f"{url}/again").json()[0]["workers"]) == 2
        assert session.delete(f"{url}/again").status_code == 200
        described = session.get(f"http://{MANAGEMENT}/api-description")
        assert described.headers["Content-Encoding"] == "gzip"
        assert described.json()["openapi"] == "3.0.1"


def tritonclient_infers():
    client = triton.InferenceServerClient(INFERENCE)
    assert client.is_server_live(headers=dict(TOKEN)) and client.is_server_ready(headers=dict(TOKEN))
    assert client.is_model_ready("mlp", headers=dict(TOKEN))
    assert client.is_model_ready("mlp", "1.0", headers=dict(TOKEN))
    assert not client.is_model_ready("nothing", headers=dict(TOKEN))
    assert "binary_tensor_data" in client.get_server_metadata(headers=dict(TOKEN))["extensions"]
    metadata = client.get_model_metadata("mlp", headers=dict(TOKEN))
    name = metadata["inputs"][0]["name"]
    rows = numpy.array([ROW, [1.0, 0.0, -0.5, 2.0]], dtype=numpy.float32)
    tensor = triton.InferInput(name, list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows)
    (output,) = client.infer("mlp", [tensor], headers=dict(TOKEN)).get_response()["outputs"]
    output = output["name"]
    answers = []
    for binary in (False, True):
        for coding in (None, "gzip", "deflate"):
            tensor = triton.InferInput(name, list(rows.shape), "FP32")
            tensor.set_data_from_numpy(rows, binary_data=binary)
            wanted = [triton.InferRequestedOutput(output, binary_data=binary)]
            result = client.infer("mlp", [tensor], outputs=wanted, request_id="r-1",
                                  headers=dict(TOKEN), request_compression_algorithm=coding,
                                  response_compression_algorithm=coding)
            assert result.get_response()["id"] == "r-1"
            answers.append(result.as_numpy(output))
    assert answers[0].shape == (2, 3) and answers[0].dtype == numpy.float32
    assert all(numpy.allclose(answer, answers[0], atol=1e-6) for answer in answers)
    alone = requests.post(f"http://{INFERENCE}/predictions/mlp", json=ROW, headers=dict(TOKEN)).json()
    assert numpy.allclose(answers[0][0], alone, atol=1e-6), (answers[0], alone)
    waiting = [client.async_infer("mlp", [tensor], headers=dict(TOKEN)) for _ in range(8)]
    assert all(numpy.allclose(each.get_result().as_numpy(output), answers[0], atol=1e-6)
               for each in waiting)
    image = triton.InferInput("data", [1], "BYTES")
    image.set_data_from_numpy(numpy.array([SEVEN.read_bytes()], dtype=object))
    digits = client.infer("digits", [image], headers=dict(TOKEN))
    name = digits.get_response()["outputs"][0]["name"]
    assert b"7" in bytes(digits.as_numpy(name).flatten()[0])[:5], digits.get_response()
    try:
        client.infer("nothing", [tensor], headers=dict(TOKEN))
        raise AssertionError("a model that is not there")
    except triton.InferenceServerException as error:
        assert "Model not found: nothing" in str(error), error
    client.close()


def prometheus_reads_the_metrics():
    url = f"http://{METRICS}/metrics"
    answer = requests.get(url)
    assert answer.headers["Content-Encoding"] == "gzip"
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert families["ts_request_duration_seconds"].type == "histogram"
    samples = families["ts_inference_requests"].samples
    asked = [sample for sample in samples if sample.labels["model_name"] == "digits"]
    assert asked and sum(sample.value for sample in asked) >= 3, samples
    buckets = [sample for sample in families["ts_request_duration_seconds"].samples
               if sample.labels.get("le") == "+Inf" and sample.labels["model_name"] == "mlp"]
    assert buckets[0].value > 0
    host = families["Requests2XX"].samples[0]
    assert host.labels["Level"] == "Host" and host.value > 0
    chosen = requests.get(url, params=[("name[]", "Requests2XX")]).text
    assert [f.name for f in text_string_to_metric_families(chosen)] == ["Requests2XX"], chosen


def main():
    checks = [curl_uploads_a_file, requests_posts_files_json_and_compressed_bodies,
              requests_manages_models, tritonclient_infers, prometheus_reads_the_metrics]
    failed = 0
    for check in checks:
        try:
            check()
            print(f"ok      {check.__name__}")
        except Exception:
            failed += 1
            print(f"FAILED  {check.__name__}")
            traceback.print_exc()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
