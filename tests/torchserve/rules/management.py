"""The management listener."""

import re

from .form import ANY, BAD, NO_MODEL, NO_ROUTE, addition, answers, cases, error, rule

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
bad_json = cases("open/register-json-", bad_json)
answers("D25", bad_json, (500, error(500, "JsonSyntaxException", ANY)), BAD)

REGISTERED = (200, r'\{\n  "status": "Model \\".*registered with 0 initial workers\..*"\n\}\n')
NOT_STARTED = (500, error(500, "InternalServerException", "Failed to start workers for model .*"))
UNREGISTERED = (200, r'\{\n  "status": "Model \\"\w+\\" unregistered"\n\}\n')
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
answers("D22", cases("open/unregister-", refused), UNREGISTERED, NO_MODEL)
answers("D22", "open/bad-weights-model open/register-bad-yaml-model", DESCRIBED, NO_MODEL)

STARTED = r'\{\n  "status": "Model \\".*registered with 1 initial workers"\n\}\n'
over_yaml = "register register-json-lenient register-yaml-workers"
rule("D23", cases("open/", over_yaml), "body", STARTED, REGISTERED[1])
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

NOT_ALLOWED = (
    404,
    error(404, "ModelNotFoundException", "Given URL .* does not match any allowed URL.*"),
)
DOWNLOAD = (400, error(400, "DownloadArchiveException", "Failed to download archive from: .*"))
answers("D46", "shared/shared-register-http", DOWNLOAD, NOT_ALLOWED)
failed = cases("open/", "register-connection-refused register-http-404")
caused = error(400, "DownloadArchiveException", r"Failed to download archive from: .* \(.*\)")
rule("D21", failed, "body", DOWNLOAD[1], caused)
SCHEME = (400, error(400, "BadRequestException", "Models are not fetched from .*"))
NOT_AT = (404, error(404, "ModelNotFoundException", "Model not found at: .*"))
answers("D46", "open/register-s3 open/register-ftp", NOT_AT, SCHEME)
rule("D46", "open/register-no-such-file-url", "body", DOWNLOAD[1], SCHEME[1])
answers("D46", "open/register-file-url", REGISTERED, SCHEME)
answers("D46", "open/unregister-file-url", UNREGISTERED, NO_MODEL)
unreadable = error(400, "BadRequestException", "The URL cannot be downloaded: .*")
rule("D46", "open/register-malformed-url", "body", DOWNLOAD[1], unreadable)

addition("D45", r',\n    "measured": \{\n.*?\n    \}')
