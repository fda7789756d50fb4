"""The differences from TorchServe that are meant, as data.

A rule names the requests (`RUN/CASE`, shell patterns), a field, and what both servers say there, as
regular expressions for the whole value (None: absent). It points to a numbered line of the section
"Differences from TorchServe" of the README, where the reason stands. The fields are those of
`compare.py`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"


@dataclass(eq=False)
class Rule:
    line: str
    requests: tuple
    field: str
    theirs: str
    ours: str

    def __str__(self):
        return f"{self.line}: {self.field} of {' '.join(self.requests)}"


RULES = []
ADDITIONS = [Addition("D45", r',\n    "measured": \{\n.*?\n    \}')]


def rule(line, requests, field, theirs, ours):
    RULES.append(Rule(line, tuple(requests.split()), field, theirs, ours))


def error(code, kind, message):
    """An error in TorchServe's form; `message` is a regular expression for the text in the JSON."""
    lines = f'{{\n  "code": {code},\n  "type": "{kind}",\n  "message": "'
    return f'{re.escape(lines)}{message}"\n\\}}\n'


def answers(line, requests, theirs, ours):
    """Other answers as a whole: both are (status, body)."""
    rule(line, requests, "status", str(theirs[0]), str(ours[0]))
    rule(line, requests, "body", theirs[1], ours[1])


@dataclass(eq=False)
class Addition:
    """A part of Torchfront's bodies that TorchServe's do not have: left out of the comparison."""

    line: str
    pattern: str

    def __str__(self):
        return f"{self.line}: the addition {self.pattern}"


ANY = r".*"
FAILED = (503, error(503, "InternalServerException", "Prediction failed"))
BAD = (400, error(400, "BadRequestException", ANY))
NO_ROUTE = (404, error(404, "ResourceNotFoundException", "Requested resource is not found.*"))
LABELS = r'\{\n(  "\w+": [0-9.e-]+,?\n)+\}'
HEALTHY = r'\{\n  "status": "Healthy"\n\}\n'
NO_KEY = (400, error(400, "InvalidKeyException", "Token Authorization failed.*"))
CACHING = {
    "cache-control": "no-cache; no-store, must-revalidate, private",
    "pragma": "no-cache",
    "expires": "Thu, 01 Jan 1970 00:00:00 UTC",
}

# --- every answer ----------------------------------------------------------------------------

rule("D01", "*", "header:date", None, "<date>")
rule("D01", "*", "header:x-content-type-options", None, "nosniff")
rule(
    "D01",
    "*",
    "header:cache-control",
    CACHING["cache-control"],
    "no-cache, no-store, must-revalidate, private",
)
rule("D01", "*", "header:connection", "keep-alive", None)
for name, value in CACHING.items():
    rule("D01", "*preflight*", f"header:{name}", value, None)
rule("D02", "*", "header:connection", "close", None)
rule("D02", "*", "kept", "False", "True")
rule("D02", "open/connection-close open/http-1.0", "kept", "True", "False")
rule("D02", "open/connection-close", "header:connection", "keep-alive", "close")
rule("D03", "*", "header:content-type", None, "application/json")
rule("D04", "open/request-id-*", "header:x-request-id", "<uuid>", r"my-own-id\.7")

# --- predictions -----------------------------------------------------------------------------

answers("D05", "open/* envelope-*/*", FAILED, BAD)
rule("D05", "open/form-broken-escape", "status", "500", "400")
rule("D05", "open/form-broken-escape", "body", error(500, "ErrorDataDecoderException", ANY), BAD[1])
converted = "china_grey.jpg china_grey.png flower.gif flower_cmyk.jpg flower_palette.png flower_rgba_opaque.png"
answers(
    "D06", " ".join(f"open/picture-{name}" for name in converted.split()), FAILED, (200, LABELS)
)
answers("D07", "open/classifier-of-three open/json-one-channel", FAILED, (200, LABELS))
answers("D08", "open/base-handler-list open/base-handler-object", FAILED, (200, r"\[.*\]"))
understood = "json-in-capitals json-without-type json-as-octets json-with-byte-order-mark multipart-field multipart-text form-base64"
answers("D09", " ".join(f"open/{name}" for name in understood.split()), FAILED, (200, LABELS))
NOT_A_NUMBER = r'\{\n(  "\w+": NaN,?\n)+\}'
rule("D10", "open/json-not-a-number", "body", NOT_A_NUMBER, NOT_A_NUMBER)
answers("D10", "open/json-infinity", (200, NOT_A_NUMBER), BAD)
rule("D11", "open/predict-describe-header", "body", "null", LABELS)

# --- HTTP ------------------------------------------------------------------------------------

LARGE = "open/too-large*"
rule("D12", LARGE, "body", "", error(413, "RequestEntityTooLargeException", ANY))
rule("D12", LARGE, "header:content-length", "0", "<length>")
rule("D12", LARGE, "header:x-request-id", None, "<uuid>")
rule("D12", LARGE, "header:cache-control", None, "no-cache, no-store, must-revalidate, private")
rule("D12", LARGE, "header:pragma", None, "no-cache")
rule("D12", LARGE, "header:expires", None, CACHING["expires"])
rule("D12", LARGE, "header:connection", None, "close")
rule("D12", LARGE, "kept", "True", "False")
rule("D12", "open/too-large-expected", "interim", None, r"\[100\]")
answers("D12", "open/too-large-on-404", (413, ""), NO_ROUTE)
answers("D12", "open/too-large-on-ping", (413, ""), (200, HEALTHY))
rule("D12", "open/too-large-on-metrics", "status", "413", "200")
rule("D12", "open/too-large-on-metrics", "body", "", "# HELP .*")
rule("D12", "open/too-large-on-metrics", "header:content-type", None, "text/plain; .*")
INVALID = (400, error(400, "BadRequestException", "Invalid HTTP message\\."))
answers("D13", "open/long-target open/large-headers", INVALID, (200, HEALTHY))
answers("D13", "open/absolute-target", NO_ROUTE, (200, HEALTHY))
answers(
    "D13",
    "open/asterisk-target",
    (500, error(500, "ArrayIndexOutOfBoundsException", ANY)),
    NO_ROUTE,
)
unescaped = (403, error(403, "IllegalArgumentException", ANY))
answers("D13", "open/broken-escape open/escape-cut-off", unescaped, NO_ROUTE)
answers("D13", "open/expect-other", (417, ""), (200, LABELS))
rule("D13", "open/expect-other", "header:content-length", "0", "<length>")
rule("D13", "open/expect-other", "header:x-request-id", None, "<uuid>")
rule(
    "D13",
    "open/expect-other",
    "header:cache-control",
    None,
    "no-cache, no-store, must-revalidate, private",
)
rule("D13", "open/expect-other", "header:pragma", None, "no-cache")
rule("D13", "open/expect-other", "header:expires", None, CACHING["expires"])
STRICT = "no-host two-hosts length-negative length-and-chunked bytes-in-path"
BROKEN = " ".join(
    f"open/{name}"
    for name in f"{STRICT} no-version garbage header-without-colon length-not-a-number two-lengths".split()
)
answers("D14", " ".join(f"open/{name}" for name in STRICT.split()), ("200|404", ANY), (400, ""))
rule("D14", BROKEN, "body", INVALID[1], "")
rule("D14", BROKEN, "kept", "True", "False")
rule("D14", BROKEN, "header:connection", "keep-alive", "close")
rule("D14", BROKEN, "header:content-length", "<length>", "0")
rule("D14", BROKEN, "header:content-type", "application/json", None)
rule("D14", BROKEN, "header:x-request-id", "<uuid>", None)
for name, value in CACHING.items():
    rule("D14", BROKEN, f"header:{name}", value, None)
rule("D15", "open/models-by-head open/model-by-head", "status", "405", "200")

# --- tokens and pages ------------------------------------------------------------------------

rule("D16", "tokens/*", "header:www-authenticate", None, "Bearer")
answers("D17", "tokens/*-pings", NO_KEY, (200, HEALTHY))
answers("D18", "tokens/token-below", (200, "\n"), NO_KEY)
NO_RENEWAL = (400, error(400, "InvalidKeyException", "Token Authentication failed.*"))
answers("D18", "tokens/token-in-path", NO_RENEWAL, (404, error(404, "ModelNotFoundException", ANY)))
answers("D18", "tokens/token-in-query", NO_RENEWAL, (200, r'\{\n  "models": \[.*'))
rule("D19", "pages/*", "header:access-control-allow-headers", "X-Custom-Header", None)
rule("D19", "pages/*", "header:access-control-allow-methods", "GET, POST, PUT, OPTIONS", None)
rule("D19", "pages/*", "header:access-control-allow-origin", "https://page.example", None)
rule(
    "D19",
    "pages/*",
    "header:vary",
    None,
    "Origin(, Access-Control-Request-Method, Access-Control-Request-Headers)?",
)
PREFLIGHT = "pages/cors-preflight pages/cors-preflight-unknown-model"
rule("D19", PREFLIGHT, "status", "200|404", "204")
rule(
    "D19",
    PREFLIGHT,
    "header:access-control-allow-headers",
    "X-Custom-Header",
    "Content-Type, X-Custom-Header",
)
rule("D19", PREFLIGHT, "header:access-control-max-age", None, "600")
rule("D19", PREFLIGHT, "header:content-length", "<length>", None)
rule("D19", PREFLIGHT, "header:content-type", "application/json", None)
rule("D19", PREFLIGHT, "body", ANY, "")
rule("D19", "pages/cors-preflight-other", "status", "200", "403")
rule(
    "D19", "pages/cors-preflight-other", "body", r"\{\n  \"openapi.*", r'.*"CorsDeniedException".*'
)
FOREIGN = (403, r'\{"code":403,"type":"CorsDeniedException".*')
answers(
    "D20",
    "open/origin-writes-management",
    (404, error(404, "ModelNotFoundException", ANY)),
    FOREIGN,
)

# --- management ------------------------------------------------------------------------------

for text in (
    "Model name is not defined.",
    "Runtime is not defined or invalid.",
    "Failed to parse signature.json.",
):
    theirs = error(400, "InvalidModelException", re.escape(text))
    ours = error(400, "InvalidModelException", ANY)
    rule("D21", "open/register-*", "body", theirs, ours)
NULL = (500, error(500, "NullPointerException", ANY))
INVALID_MODEL = (400, error(400, "InvalidModelException", ANY))
answers("D21", "open/register-empty-manifest", NULL, INVALID_MODEL)
answers("D25", "open/register-json-empty", NULL, BAD)
bad_json = "bad list text bad-number"
bad_json = " ".join(f"open/register-json-{name}" for name in bad_json.split())
answers("D25", bad_json, (500, error(500, "JsonSyntaxException", ANY)), BAD)

REGISTERED = (200, r'\{\n  "status": "Model \\".*registered with 0 initial workers\..*"\n\}\n')
NOT_STARTED = (500, error(500, "InternalServerException", "Failed to start workers for model .*"))
UNREGISTERED = (200, r'\{\n  "status": "Model \\"\w+\\" unregistered"\n\}\n')
NO_MODEL = (404, error(404, "ModelNotFoundException", "Model not found: .*"))
DESCRIBED = (200, r'\[\n  \{\n    "modelName": .*')
answers(
    "D22",
    "open/register-without-handler open/register-bad-yaml open/register-eager",
    REGISTERED,
    INVALID_MODEL,
)
NO_HANDLER = (400, error(400, "HandlerNotSupportedException", ANY))
answers("D22", "open/register-python-handler", REGISTERED, NO_HANDLER)
answers(
    "D22", "open/register-bad-weights open/register-missing-weights", NOT_STARTED, INVALID_MODEL
)
answers("D22", "open/register-unknown-handler", NOT_STARTED, NO_HANDLER)
CONFLICT = (409, error(409, "ConflictStatusException", ANY))
answers("D22", "open/register-bad-weights-later", CONFLICT, INVALID_MODEL)
answers("D22", "open/scale-bad-weights", NOT_STARTED, NO_MODEL)
refused = "without-handler bad-yaml python-handler eager bad-weights"
answers(
    "D22", " ".join(f"open/unregister-{name}" for name in refused.split()), UNREGISTERED, NO_MODEL
)
answers("D22", "open/bad-weights-model open/register-bad-yaml-model", DESCRIBED, NO_MODEL)

STARTED = r'\{\n  "status": "Model \\".*registered with 1 initial workers"\n\}\n'
over_yaml = "register register-json-lenient register-yaml-workers"
rule("D23", " ".join(f"open/{name}" for name in over_yaml.split()), "body", STARTED, REGISTERED[1])
WORKER = r'    "workers": \[\n      \{\n        "id": "<worker>",\n.*\n      \}\n    \],'
ONE = rf'    "minWorkers": 1,\n    "maxWorkers": 2,\n{WORKER}'
NONE = r'    "minWorkers": 0,\n    "maxWorkers": 0,\n    "workers": \[\],'
rule("D23", "open/bare-workers open/yaml-workers-model", "lines", ONE, NONE)
delayed = r'    "maxBatchDelay": %s,\n    "workers"'
theirs, ours = (
    text.replace('    "workers"', delayed % delay) for text, delay in [(ONE, -10000), (NONE, 50)]
)
rule("D23", "open/register-json-lenient-model", "lines", theirs, ours)
over = r'    "maxWorkers": %s,\n    "responseTimeout": %s,\n    "startupTimeout": %s,'
rule("D23", "open/register-over-yaml-model", "lines", over % (2, 30, 60), over % (1, 11, 13))
delay = r'    "maxBatchDelay": %s,'
rule("D24", "open/register-json-model", "lines", delay % -10000, delay % 100)
numbers = r'    "batchSize": %s,\n    "maxBatchDelay": %s,\n    "responseTimeout": %s,'
rule("D24", "open/register-negative-model", "lines", numbers % (0, -5, 0), numbers % (1, 100, 60))
negative = error(500, "IndexOutOfBoundsException", "Index -1 out of bounds for length 0")
rule(
    "D24",
    "open/scale-negative",
    "body",
    negative,
    error(500, "IndexOutOfBoundsException", "min_worker is -1; .*"),
)
answers("D26", "open/register-blank-in-name", REGISTERED, BAD)
answers("D26", "open/blank-in-name-model", DESCRIBED, NO_MODEL)
answers(
    "D26", "open/unregister-blank-in-name", (200, r'.*\\"two words\\" unregistered.*'), NO_MODEL
)
rule(
    "D28",
    "open/workflows-register-no-url",
    "body",
    error(400, "BadRequestException", "Parameter url is required\\."),
    BAD[1],
)
answers("D34", "shared/shared-metrics", (200, ""), NO_ROUTE)
rule("D34", "shared/shared-metrics", "header:content-type", "text/plain; .*", "application/json")
rule("D34", "shared/shared-metrics", "header:content-length", "0", "<length>")
at_startup = r'    "loadedAtStartup": %s,'
second = "open/versions-second open/versions-all open/scale-version-workers"
rule("D27", second, "lines", at_startup % "true", at_startup % "false")
first = "open/scale-up-workers open/scale-workers open/left-colours"
rule("D27", first, "lines", at_startup % "false", at_startup % "true")
answers("D28", "open/workflows-register", (404, error(404, "WorkflowNotFoundException", ANY)), BAD)

# --- metrics ---------------------------------------------------------------------------------

own = "ts_batch_size|ts_[a-z]+_duration_seconds|ts_http_requests_total|ts_predictions_total|ts_queue_depth|ts_raw_forward_seconds|ts_serving_efficiency"
rule(
    "D41",
    "open/metrics* tokens/*-metrics",
    "sample",
    None,
    rf"(# (HELP|TYPE) )?({own})(_bucket|_sum|_count)?[ {{].*",
)
gone = r'WorkerName="W-<worker>-(bare|over|lenient|configured)_1\.0"|WorkerName="W-<worker>-colours_2\.0"'
gone += r'|model_name="colours",model_version="2\.0"|model_name="no_version",'
rule("D42", "open/metrics*", "sample", rf".*({gone}).*", None)
rule("D43", "open/metrics*", "sample", None, r'.*[nN]ame="(echo|tiny_classifier|mlp)".*')
rule("D44", "pages/cors-*-measures", "body", "", "# HELP .*")
rule("D44", "pages/cors-*-measures", "header:content-length", "0", "<length>")

# --- explanations, envelopes, Open Inference Protocol ----------------------------------------

ARRAY = r"\[.*\]"
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
    " ".join(f"envelope-kservev2/{name}" for name in tensors.split()),
    FAILED,
    (200, INFERRED),
)
rule("D40", "envelope-kservev2/v2-classify*", "body", r'\{\n  "id": .*"outputs": .*', INFERRED)
mismatch = error(503, "InternalServerException", "number of batch response mismatched")
rule("D05", "envelope-kservev2/v2-octets", "body", mismatch, BAD[1])


# --- what may be downloaded, paths with empty segments ---------------------------------------

NOT_ALLOWED = (
    404,
    error(404, "ModelNotFoundException", "Given URL .* does not match any allowed URL.*"),
)
DOWNLOAD = (400, error(400, "DownloadArchiveException", "Failed to download archive from: .*"))
answers("D46", "shared/shared-register-http", DOWNLOAD, NOT_ALLOWED)
SCHEME = (400, error(400, "BadRequestException", "Models are not fetched from .*"))
NOT_AT = (404, error(404, "ModelNotFoundException", "Model not found at: .*"))
answers("D46", "open/register-s3 open/register-ftp", NOT_AT, SCHEME)
rule("D46", "open/register-no-such-file-url", "body", DOWNLOAD[1], SCHEME[1])
answers("D46", "open/register-file-url", REGISTERED, SCHEME)
answers("D46", "open/unregister-file-url", UNREGISTERED, NO_MODEL)
unreadable = error(400, "BadRequestException", "The URL cannot be downloaded: .*")
rule("D46", "open/register-malformed-url", "body", DOWNLOAD[1], unreadable)
NO_VERSION = (404, error(404, "ModelVersionNotFoundException", "Model version:  does not exist.*"))
answers("D47", "open/predict-empty-version", NO_VERSION, (200, LABELS))
double = "open/management-unknown-double-models--1.0"
rule("D47", double, "body", NO_MODEL[1], NO_ROUTE[1])
NO_NAME = (400, error(400, "BadRequestException", "Parameter model_name is required\\."))
answers("D47", "open/unknown-invocations-x", NO_ROUTE, NO_NAME)
unbatched = "v2-classify v2-classify-without-id v2-classify-octets v2-explain"
TENSORS = (200, r'\{\n  "id": .*"outputs": .*')
UNBATCHED = (400, error(400, "BadRequestException", ANY)[: -len("\n\\}\n")] + r",\n.*\}\n")
answers(
    "D40", " ".join(f"envelope-kservev2/{name}" for name in unbatched.split()), TENSORS, UNBATCHED
)


def faults():
    """Rules that point to no line of the README."""
    lines = set(re.findall(r"^\| (D\d+) \|", README.read_text(), re.MULTILINE))
    return [
        f"rule {rule} points to no line of the README" for rule in RULES if rule.line not in lines
    ]
