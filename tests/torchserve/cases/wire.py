"""What HTTP itself may do: heads, limits, connections, request ids, encodings."""

import gzip

from . import JSON, OCTETS, SMALL, Case, inference, management, metrics

COLOURS = "/predictions/colours"


def raw(id, text, to="inference"):
    return Case(id, to, raw=text.encode("latin-1"), method=text.split(" ")[0])


def cases():
    ids = [("x-request-id", "my-own-id.7")]
    yield inference("request-id-of-client", "GET", "/ping", headers=ids)
    yield inference("request-id-unsound", "GET", "/ping", headers=[("x-request-id", "a b<c>")])
    yield inference("request-id-on-error", "GET", "/nothing", headers=ids)
    yield inference("connection-close", "GET", "/ping", headers=[("Connection", "close")])
    yield inference("connection-close-error", "GET", "/x", headers=[("Connection", "close")])
    yield inference("http-1.0", "GET", "/ping", version="HTTP/1.0")
    keep = [("Connection", "keep-alive")]
    yield inference("http-1.0-keep-alive", "GET", "/ping", headers=keep, version="HTTP/1.0")
    yield inference("accept-html", "GET", "/ping", headers=[("Accept", "text/html")])
    yield inference("accept-gzip", "GET", "/ping", headers=[("Accept-Encoding", "gzip")])
    yield inference("range", "GET", "/ping", headers=[("Range", "bytes=0-3")])
    yield inference("if-none-match", "GET", "/ping", headers=[("If-None-Match", "*")])
    yield inference("body-on-ping", "POST", "/ping", "x" * 1000, OCTETS)
    yield inference("body-on-404", "POST", "/nothing", "x" * 1000, OCTETS)

    yield inference("chunked", "POST", COLOURS, SMALL, chunked=True)
    yield inference("expect-continue", "POST", COLOURS, SMALL, expect=True)
    other = [("Expect", "something-else")]
    yield inference("expect-other", "POST", COLOURS, SMALL, headers=other)
    encoded = gzip.compress(b"[[[1.0]],[[0.5]],[[0.25]]]", mtime=0)
    coding = [("Content-Encoding", "gzip")]
    yield inference("gzip-json", "POST", COLOURS, encoded, JSON, headers=coding)
    yield inference("largest-body", "POST", COLOURS, "x" * 200_000, OCTETS)
    yield inference("too-large", "POST", COLOURS, "x" * 200_001, OCTETS)
    yield inference("too-large-on-404", "POST", "/nothing", "x" * 200_001, OCTETS)
    yield inference("too-large-on-ping", "POST", "/ping", "x" * 200_001, OCTETS)
    yield inference("too-large-expected", "POST", COLOURS, "x" * 200_001, OCTETS, expect=True)
    yield inference("too-large-chunked", "POST", COLOURS, "x" * 300_000, OCTETS, chunked=True)
    yield management("too-large-on-management", "POST", "/models", "x" * 200_001, JSON)
    yield metrics("too-large-on-metrics", "POST", "/metrics", "x" * 200_001, OCTETS)

    host = "Host: localhost\r\n"
    yield inference("long-target", "GET", "/ping?" + "a" * 5000)
    yield inference("longest-target", "GET", "/ping?" + "a" * 4000)
    yield inference("large-headers", "GET", "/ping", headers=[("X-Large", "a" * 9000)])
    yield inference("allowed-headers", "GET", "/ping", headers=[("X-Large", "a" * 7000)])
    yield raw("no-host", "GET /ping HTTP/1.1\r\n\r\n")
    yield raw("two-hosts", f"GET /ping HTTP/1.1\r\n{host}{host}\r\n")
    yield raw("unknown-method", f"BREW /ping HTTP/1.1\r\n{host}\r\n")
    yield raw("lower-case-method", f"get /ping HTTP/1.1\r\n{host}\r\n")
    yield raw("absolute-target", f"GET http://localhost/ping HTTP/1.1\r\n{host}\r\n")
    yield raw("asterisk-target", f"OPTIONS * HTTP/1.1\r\n{host}\r\n")
    yield raw("fragment", f"GET /ping#x HTTP/1.1\r\n{host}\r\n")
    yield raw("broken-escape", f"GET /ping%zz HTTP/1.1\r\n{host}\r\n")
    yield raw("escape-cut-off", f"GET /ping%2 HTTP/1.1\r\n{host}\r\n")
    yield raw("bytes-in-path", f"GET /ping\xff HTTP/1.1\r\n{host}\r\n")
    yield raw("no-version", "GET /ping\r\n\r\n")
    yield raw("garbage", "garbage\r\n\r\n")
    yield raw("header-without-colon", f"GET /ping HTTP/1.1\r\n{host}nonsense\r\n\r\n")
    yield raw("length-not-a-number", f"POST /ping HTTP/1.1\r\n{host}Content-Length: x\r\n\r\n")
    yield raw("length-negative", f"POST /ping HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\n")
    lengths = "Content-Length: 1\r\nContent-Length: 2\r\n"
    yield raw("two-lengths", f"POST /ping HTTP/1.1\r\n{host}{lengths}\r\nab")
    both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
    yield raw("length-and-chunked", f"POST /ping HTTP/1.1\r\n{host}{both}\r\n0\r\n\r\n")
    yield raw("bare-line-feeds", "GET /ping HTTP/1.1\nHost: localhost\n\n")
    origin = [("Origin", "https://page.example")]
    yield inference("origin-without-cors", "GET", "/ping", headers=origin)
    yield inference("origin-without-cors-post", "POST", COLOURS, SMALL, headers=origin)
    preflight = [*origin, ("Access-Control-Request-Method", "POST")]
    yield inference("preflight-without-cors", "OPTIONS", COLOURS, headers=preflight)
    yield management("origin-on-management", "GET", "/models", headers=origin)
    yield management("origin-writes-management", "PUT", "/models/nothing", headers=origin)
    yield management("preflight-of-management", "OPTIONS", "/models", headers=preflight)
