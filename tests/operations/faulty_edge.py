#!/usr/bin/env python3
"""A proxy for game days: passes requests on and does to the CORS headers of the answers what edges do by
mistake.

usage: faulty_edge.py --to HOST:PORT [--listen HOST:PORT] [--fault NAME]

Faults: none, strip-origin, strip-vary, wildcard (with credentials), remove-method:NAME, drop-options.
"""

import argparse
import http.client
import http.server

ORIGIN, CREDENTIALS = "access-control-allow-origin", "access-control-allow-credentials"
METHODS = "access-control-allow-methods"
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


def changed(fault, headers):
    if fault == "strip-origin":
        return [(n, v) for n, v in headers if n != ORIGIN]
    if fault == "strip-vary":
        return [(n, v) for n, v in headers if n != "vary"]
    if fault == "wildcard":
        kept = [(n, v) for n, v in headers if n not in (ORIGIN, CREDENTIALS)]
        return kept + [(ORIGIN, "*"), (CREDENTIALS, "true")]
    if fault.startswith("remove-method:"):
        gone = fault.split(":", 1)[1]
        left = lambda value: ", ".join(m for m in map(str.strip, value.split(",")) if m != gone)
        return [(n, left(v) if n == METHODS else v) for n, v in headers]
    return headers


class Edge(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.fault == "drop-options" and self.command == "OPTIONS":
            status, headers, answer = 405, [], b""
        else:
            upstream = http.client.HTTPConnection(self.server.to, timeout=60)
            headers = {n: v for n, v in self.headers.items() if n.lower() not in HOP}
            upstream.request(self.command, self.path, body or None, headers)
            got = upstream.getresponse()
            answer = got.read()
            status, headers = got.status, [(n.lower(), v) for n, v in got.getheaders()]
            upstream.close()
        self.send_response_only(status)
        for name, value in changed(self.server.fault, headers):
            if name not in HOP:
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if status != 204 and self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = forward

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", required=True)
    parser.add_argument("--listen", default="127.0.0.1:9080")
    parser.add_argument("--fault", default="none")
    args = parser.parse_args()
    host, port = args.listen.rsplit(":", 1)
    server = http.server.ThreadingHTTPServer((host, int(port)), Edge)
    server.daemon_threads = True
    server.to, server.fault = args.to, args.fault
    server.serve_forever()


if __name__ == "__main__":
    main()
