"""Predictions, explanations, envelopes, the Open Inference Protocol."""

from .form import ANY, ARRAY, BAD, FAILED, LABELS, NO_MODEL, NO_ROUTE, answers, cases, error, rule

answers("D05", "open/* envelope-*/*", FAILED, BAD)
rule("D05", "open/form-broken-escape", "status", "500", "400")
rule("D05", "open/form-broken-escape", "body", error(500, "ErrorDataDecoderException", ANY), BAD[1])
converted = "china_grey.jpg china_grey.png flower.gif flower_cmyk.jpg flower_palette.png flower_rgba_opaque.png"
answers("D06", cases("open/picture-", converted), FAILED, (200, LABELS))
answers("D07", "open/classifier-of-three open/json-one-channel", FAILED, (200, LABELS))
answers("D08", "open/base-handler-list open/base-handler-object", FAILED, (200, r"\[.*\]"))
understood = "json-in-capitals json-without-type json-as-octets json-with-byte-order-mark multipart-field multipart-text form-base64"
answers("D09", cases("open/", understood), FAILED, (200, LABELS))
NOT_A_NUMBER = r'\{\n(  "\w+": NaN,?\n)+\}'
rule("D10", "open/json-not-a-number", "body", NOT_A_NUMBER, NOT_A_NUMBER)
answers("D10", "open/json-infinity", (200, NOT_A_NUMBER), BAD)
rule("D11", "open/predict-describe-header", "body", "null", LABELS)

explained = "open/explain open/explain-* open/invocations-explain open/v?-explain"
rule(
    "D38",
    f"{explained} envelope-kserve/kserve-explain",
    "body",
    ARRAY + r"|\{.*\}",
    ARRAY + r"|\{.*\}",
)
answers("D38", "open/explain-target open/explain-base-handler", FAILED, (200, ARRAY))
answers("D09", "open/invocations-form-base64", FAILED, (200, LABELS))
PREDICTIONS = r'\{\s*"predictions": \[.*'
answers("D09", "open/v1-instances-without-envelope", FAILED, (200, PREDICTIONS))
answers(
    "D09",
    "envelope-json/json-octets envelope-json/json-bare-b64 envelope-json/json-multipart",
    FAILED,
    (200, PREDICTIONS),
)
answers("D30", "envelope-body/body-whole-numbers", FAILED, (200, ARRAY))
answers("D09", "envelope-body/body-object", FAILED, (200, ARRAY))
answers("D09", "envelope-body/body-picture envelope-body/body-small-picture", FAILED, (200, LABELS))
V2 = "open/unknown-v2 open/unknown-v2-health-* open/unknown-v2-models-colours open/unknown-v2-models-colours-ready"
answers("D39", V2, NO_ROUTE, (200, r"\{\n.*\}\n"))
answers(
    "D39",
    "envelope-kservev2/oip-model envelope-kservev2/oip-model-ready",
    NO_ROUTE,
    (200, r"\{\n.*\}\n"),
)
answers("D39", "open/unknown-v2-models-colours-versions-1.0-infer", NO_ROUTE, BAD)
answers("D39", "open/v2-infer-version", NO_ROUTE, (200, LABELS))
answers("D39", "envelope-kservev2/oip-versions", (501, ANY), BAD)
name = r'  "name": "%s",\n  "version": "%s",'
root = name % ("Torchfront", r"[\d.]+") + r'\n  "extensions": \[\n    "binary_tensor_data"\n  \],'
rule("D39", "envelope-kservev2/oip-root*", "lines", name % ("Torchserve", "0.12.0"), root)
told = r'  "message": "Model not found: nothing"'
rule(
    "D39",
    "open/v2-infer-no-such-model envelope-kservev2/v2-no-model",
    "lines",
    told,
    rf'{told},\n  "error": .*',
)
INFERRED = r'\{"id":".*","model_name":"(echo|mlp|colours)","model_version":"1.0","outputs":\[.*\]\}'
tensors = "v2-echo-whole v2-echo-float v2-blank-id v2-mlp v2-predictions v2-classify-batch"
answers(
    "D40",
    cases("envelope-kservev2/", tensors),
    FAILED,
    (200, INFERRED),
)
rule("D40", "envelope-kservev2/v2-classify*", "body", r'\{\n  "id": .*"outputs": .*', INFERRED)
mismatch = error(503, "InternalServerException", "number of batch response mismatched")
rule("D05", "envelope-kservev2/v2-octets", "body", mismatch, BAD[1])

NO_VERSION = (404, error(404, "ModelVersionNotFoundException", "Model version:  does not exist.*"))
answers("D47", "open/predict-empty-version", NO_VERSION, (200, LABELS))
double = "open/management-unknown-double-models--1.0"
rule("D47", double, "body", NO_MODEL[1], NO_ROUTE[1])
NO_NAME = (400, error(400, "BadRequestException", "Parameter model_name is required\\."))
answers("D47", "open/unknown-invocations-x", NO_ROUTE, NO_NAME)
unbatched = "v2-classify v2-classify-without-id v2-classify-octets v2-explain"
TENSORS = (200, r'\{\n  "id": .*"outputs": .*')
UNBATCHED = (400, error(400, "BadRequestException", ANY)[: -len("\n\\}\n")] + r",\n.*\}\n")
answers("D40", cases("envelope-kservev2/", unbatched), TENSORS, UNBATCHED)
