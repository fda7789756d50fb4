"""Every answer, HTTP itself, tokens and pages."""

from .form import ANY, CACHING, FAILED, HEALTHY, LABELS, NO_KEY, NO_ROUTE, answers, cases, error, rule

rule("D01", "*", "header:date", None, "<date>")
rule("D01", "*", "header:x-content-type-options", None, "nosniff")
rule("D01", "*", "header:server-timing", None, r"queue;dur=.*")
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
STRICT = "no-host two-hosts length-negative length-and-chunked bytes-in-path bare-line-feeds"
UNREADABLE = "no-version garbage header-without-colon length-not-a-number two-lengths"
BROKEN = cases("open/", f"{STRICT} {UNREADABLE}")
answers("D14", cases("open/", STRICT), ("200|404", ANY), (400, ""))
rule("D14", BROKEN, "body", INVALID[1], "")
rule("D14", BROKEN, "kept", "True", "False")
rule("D14", BROKEN, "header:connection", "keep-alive", "close")
rule("D14", BROKEN, "header:content-length", "<length>", "0")
rule("D14", BROKEN, "header:content-type", "application/json", None)
rule("D14", BROKEN, "header:x-request-id", "<uuid>", None)
for name, value in CACHING.items():
    rule("D14", BROKEN, f"header:{name}", value, None)
rule("D15", "open/models-by-head open/model-by-head", "status", "405", "200")

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

rule("D59", "*", "header:vary", None, "Accept-Encoding(, Origin)?")
answers("D59", "open/gzip-json", FAILED, (200, LABELS))
