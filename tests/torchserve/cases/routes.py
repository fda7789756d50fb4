"""The other routes of the inference listener: health, descriptions, explanations, KServe, legacy."""

from . import FORM, MULTIPART, OCTETS, SMALL, base64_of, image, inference, metrics, multipart


def health():
    yield inference("ping", "GET", "/ping")
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
        yield inference(f"ping-by-{method.lower()}", method, "/ping")
    yield inference("ping-slash", "GET", "/ping/")
    yield inference("ping-below", "GET", "/ping/x/y")
    yield inference("ping-query", "GET", "/ping?a=b")
    yield inference("ping-in-capitals", "GET", "/PING")


def descriptions():
    yield inference("describe-inference", "OPTIONS", "/")
    yield inference("describe-inference-old", "GET", "/api-description")
    yield inference("describe-inference-old-post", "POST", "/api-description")
    yield inference("describe-inference-old-below", "GET", "/api-description/x")
    yield inference("describe-model", "OPTIONS", "/predictions/colours")
    yield inference("describe-model-version", "OPTIONS", "/predictions/colours/1.0")
    yield inference("describe-model-no-version", "OPTIONS", "/predictions/colours/9")
    yield inference("describe-no-such-model", "OPTIONS", "/predictions/InvalidModel")
    yield inference("describe-predictions", "OPTIONS", "/predictions")
    yield inference("describe-explanations", "OPTIONS", "/explanations/colours")
    yield inference("describe-invoke", "OPTIONS", "/models/colours/invoke")
    yield inference("describe-legacy", "OPTIONS", "/colours/predict")
    yield inference("describe-kserve-v1", "OPTIONS", "/v1/models/colours:predict")
    yield inference("describe-kserve-v2", "OPTIONS", "/v2/models/colours/infer")
    yield inference("describe-unknown", "OPTIONS", "/nothing/here")
    yield metrics("describe-metrics", "OPTIONS", "/")
    yield metrics("describe-metrics-old", "GET", "/api-description")


def unknown():
    for method in ("GET", "POST", "PUT", "DELETE", "HEAD"):
        yield inference(f"root-by-{method.lower()}", method, "/")
    paths = """/x /models /models/ /models/colours /models/colours/1.0 /models/colours/invoke/x
        /explanations /invocations/x /v1 /v1/models /v1/models/colours /v2 /v2/models
        /v2/models/colours /v2/models/colours/ready /v2/health/live /v2/health/ready
        /v2/models/colours/versions/1.0/infer /wfpredict /wfpredict/x /WFPREDICT/x
        /metrics /token /token?type=inference /workflows /colours /colours/1.0/x/predict
        /favicon.ico /a/b/c/d/e/f"""
    for path in paths.split():
        name = path.strip("/").replace("/", "-") + ("-slash" if path.endswith("/") else "")
        yield inference(f"unknown-{name}", "GET", path)


def explanations():
    yield inference("explain", "POST", "/explanations/colours", SMALL)
    yield inference("explain-version", "POST", "/explanations/colours/1.0", SMALL)
    yield inference("explain-no-such-version", "POST", "/explanations/colours/3", SMALL)
    yield inference("explain-no-such-model", "POST", "/explanations/nothing", SMALL)
    yield inference("explain-no-name", "POST", "/explanations/", SMALL)
    part = [("data", "[[[1.0]],[[0.5]],[[0.25]]]", "application/json", "x")]
    target = [*part, ("target", "2", None, None)]
    yield inference(
        "explain-multipart", "POST", "/explanations/colours", multipart(*part), MULTIPART
    )
    yield inference(
        "explain-target", "POST", "/explanations/colours", multipart(*target), MULTIPART
    )
    yield inference("explain-bad", "POST", "/explanations/colours", "x", OCTETS)
    yield inference("explain-base-handler", "POST", "/explanations/mlp", [1, 2, 3, 4])


def invocations():
    yield inference("invocations", "POST", "/invocations?model_name=colours", SMALL)
    yield inference("invocations-get", "GET", "/invocations?model_name=colours", SMALL)
    yield inference("invocations-no-name", "POST", "/invocations", SMALL)
    yield inference("invocations-empty-name", "POST", "/invocations?model_name=", SMALL)
    yield inference("invocations-no-such-model", "POST", "/invocations?model_name=nothing", SMALL)
    numbers = "[[[1.0]],[[0.5]],[[0.25]]]"
    parts = multipart(
        ("model_name", "colours", None, None), ("data", numbers, "application/json", "x")
    )
    yield inference("invocations-multipart", "POST", "/invocations", parts, MULTIPART)
    yield inference("invocations-form", "POST", "/invocations", "model_name=colours&data=x", FORM)
    picture = base64_of(image("flower_rgb.png")).replace("+", "%2B")
    form = f"model_name=colours&data={picture}"
    yield inference("invocations-form-base64", "POST", "/invocations", form, FORM)
    explained = [("explain", "True")]
    yield inference(
        "invocations-explain", "POST", "/invocations?model_name=colours", SMALL, headers=explained
    )
    yield inference("invocations-options", "OPTIONS", "/invocations?model_name=colours")


def invoke_and_legacy():
    yield inference("invoke", "POST", "/models/colours/invoke", SMALL)
    yield inference("invoke-get", "GET", "/models/colours/invoke", SMALL)
    yield inference("invoke-no-such-model", "POST", "/models/nothing/invoke", SMALL)
    yield inference("invoke-slash", "POST", "/models/colours/invoke/", SMALL)
    part = multipart(("data", "[[[1.0]],[[0.5]],[[0.25]]]", "application/json", "x"))
    yield inference("invoke-multipart", "POST", "/models/colours/invoke", part, MULTIPART)
    yield inference("legacy", "POST", "/colours/predict", SMALL)
    yield inference("legacy-version", "POST", "/colours/1.0/predict", SMALL)
    yield inference("legacy-no-such-version", "POST", "/colours/9/predict", SMALL)
    yield inference("legacy-no-such-model", "POST", "/nothing/predict", SMALL)
    small = base64_of(image("flower_rgb.png")[:600])
    yield inference("legacy-query-broken", "GET", f"/colours/predict?data={small}")
    yield inference("legacy-query-nothing", "GET", "/colours/predict")


def kserve():
    yield inference("v1-predict", "POST", "/v1/models/colours:predict", SMALL)
    yield inference("v1-predict-encoded", "POST", "/v1/models/colours%3Apredict", SMALL)
    yield inference("v1-predict-get", "GET", "/v1/models/colours:predict", SMALL)
    yield inference("v1-predict-no-such-model", "POST", "/v1/models/nothing:predict", SMALL)
    yield inference("v1-predict-suffix", "POST", "/v1/models/colours:predictx", SMALL)
    yield inference("v1-explain", "POST", "/v1/models/colours:explain", SMALL)
    yield inference("v1-explain-no-such-model", "POST", "/v1/models/nothing:explain", SMALL)
    yield inference("v1-other-verb", "POST", "/v1/models/colours:classify", SMALL)
    yield inference(
        "v1-instances-without-envelope",
        "POST",
        "/v1/models/colours:predict",
        {"instances": [SMALL]},
    )
    yield inference("v2-infer", "POST", "/v2/models/colours/infer", SMALL)
    yield inference("v2-infer-no-such-model", "POST", "/v2/models/nothing/infer", SMALL)
    yield inference("v2-explain", "POST", "/v2/models/colours/explain", SMALL)
    yield inference("v2-infer-below", "POST", "/v2/models/colours/infer/x", SMALL)
    yield inference("v2-infer-version", "POST", "/v2/models/colours/versions/1.0/infer", SMALL)


def cases():
    groups = [health, unknown, explanations, invocations, invoke_and_legacy, kserve]
    return [each for group in groups for each in group()]
