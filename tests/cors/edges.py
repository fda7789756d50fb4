#!/usr/bin/env python3
"""The exports of `torchfront cors export`, proved: starts nginx and Envoy with what was written, in front
of a stub that sends CORS headers of its own, and sends them the conformance cases; runs the script for
curl against the same nginx.

usage: edges.py --bin PATH [--nginx PATH] [--envoy PATH] [--only P01,P04] [-v]

Only what the policy decides is judged: preflights whole, of other answers the CORS headers and Vary. A
case that an edge cannot tell apart is named in SKIPPED with the reason. Exit status 0: all as expected.
"""

import argparse
import concurrent.futures
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).parent
OURS = ("access-control-", "timing-allow-origin", "vary")
PREFLIGHT = {"origin", "access-control-request-method"}

# Case, edge, reason. A trailing `*` stands for the rest of an identifier.
SKIPPED = [
    ("P12-*", "both", "block.disallowed stays with the server"),
    ("P01-LOOK-902", "nginx", "before 1.23 nginx sees the first of two lines; no browser sends two"),
    ("P01-PF-015", "nginx", "before 1.23 nginx sees the first of two lines; no browser sends two"),
    ("P01-PF-020", "nginx", "an empty header is a missing one to nginx; no browser sends it"),
]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Stub(http.server.BaseHTTPRequestHandler):
    """Answers everything, with CORS headers that must not arrive."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        self.send_response(200)
        for name, value in [("Access-Control-Allow-Origin", "https://stub.invalid"),
                            ("Access-Control-Allow-Credentials", "true"),
                            ("Access-Control-Expose-Headers", "X-Stub"),
                            ("Timing-Allow-Origin", "https://stub.invalid"),
                            ("Vary", "Accept-Encoding"), ("X-Reached", "stub"),
                            ("Content-Length", "0")]:
            self.send_header(name, value)
        self.end_headers()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = answer

    def __getattr__(self, name):
        # Methods that nobody has heard of.
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *_):
        pass


class Nginx:
    name = "nginx"
    suffix = "conf"

    def __init__(self, program, exported, folder):
        conf = folder / "nginx.conf"
        temp = "".join(f"{kind}_temp_path {folder}/{kind};\n"
                       for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        conf.write_text(f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr error;\n"
                        f"events {{}}\nhttp {{\naccess_log off;\n{temp}include {exported};\n}}\n")
        self.process = subprocess.Popen([program, "-p", str(folder), "-e", "stderr", "-c", str(conf)],
                                        stderr=open(folder / "log", "w"))


class Envoy:
    name = "envoy"
    suffix = "yaml"

    def __init__(self, program, exported, folder):
        self.process = subprocess.Popen(
            [program, "-c", str(exported), "--disable-hot-restart", "--concurrency", "1", "-l", "error"],
            stderr=open(folder / "log", "w"), stdout=subprocess.DEVNULL)


def wait_for(port, process, log):
    end = time.time() + 30
    while time.time() < end:
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"the edge did not start: {log.read_text()[-2000:]}")


def send(port, request, fill):
    lines = [f"{request['method']} {fill(request['path'])} HTTP/1.1"]
    headers = [(name, fill(value)) for name, value in request.get("headers", [])]
    if not any(name.lower() == "host" for name, _ in headers):
        headers.insert(0, ("Host", f"127.0.0.1:{port}"))
    body = request.get("body", "")
    body = (body["repeat"] * body["count"] if isinstance(body, dict) else fill(body)).encode()
    lines += [f"{name}: {value}" for name, value in headers]
    lines += [f"Content-Length: {len(body)}", "Connection: close"]
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        s.settimeout(10)
        try:
            s.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        except OSError:
            pass
        data = b""
        while b"\r\n\r\n" not in data:
            piece = s.recv(65536)
            if not piece:
                break
            data += piece
    head = data.split(b"\r\n\r\n")[0].decode("latin1").split("\r\n")
    status = int(head[0].split()[1]) if head[0] else 0
    answer = [tuple(part.strip() for part in line.split(":", 1)) for line in head[1:]]
    return status, [(name.lower(), value) for name, value in answer]


def judge(case, status, headers, fill):
    """What is not as expected; None: the edge decides nothing of it."""
    expect, bad, judged = case["expect"], [], 0
    reached = ("x-reached", "stub") in headers
    value = lambda name: ", ".join(v for n, v in headers if n == name.lower())
    listed = lambda name: [e.strip().lower() for e in value(name).split(",") if e.strip()]
    names = lambda v: [e.strip().lower() for e in (v if isinstance(v, list) else v.split(","))]
    ours = lambda name: name.lower().startswith(OURS)

    def check(right, text):
        nonlocal judged
        judged += 1
        if not right:
            bad.append(text)

    asked = {name.lower() for name, _ in case["request"].get("headers", [])}
    preflight = case["request"]["method"] == "OPTIONS" and PREFLIGHT <= asked
    if preflight and "status" in expect:
        check(status == expect["status"], f"status {status}, not {expect['status']}")
        if expect["status"] in (204, 403):
            check(not reached, "the preflight reached the server")
    for name, want in expect.get("headers_equal", {}).items():
        if ours(name):
            check(value(name) == fill(want), f"{name} is {value(name)!r}, not {fill(want)!r}")
    for name, want in expect.get("headers_list_equal", {}).items():
        if ours(name):
            check(sorted(listed(name)) == sorted(names(want)), f"{name} lists {listed(name)}")
    for name, want in expect.get("headers_list_contains", {}).items():
        if ours(name):
            check(set(names(want)) <= set(listed(name)), f"{name} lists {listed(name)}")
    for name, want in expect.get("headers_list_not_contains", {}).items():
        if ours(name):
            check(not set(names(want)) & set(listed(name)), f"{name} lists {listed(name)}")
    for name in expect.get("headers_present", []):
        if ours(name):
            check(value(name), f"{name} is missing")
    for name in expect.get("headers_absent", []):
        if ours(name):
            check(not value(name), f"{name} is {value(name)!r}")
    for name, count in expect.get("header_line_count", {}).items():
        if ours(name) and name.lower() != "vary":
            check(sum(n == name.lower() for n, _ in headers) == count, f"{name} is not there {count} times")
    if expect.get("no_cors_headers"):
        found = [n for n, _ in headers if n.startswith("access-control-")]
        check(not found, f"there are {found}")
    for name in expect.get("vary_contains", []):
        if name.lower() == "origin" or name.lower().startswith("access-control-"):
            check(name.lower() in listed("vary"), f"Vary is {value('vary')!r}, without {name}")
    for name in expect.get("vary_not_contains", []):
        check(name.lower() not in listed("vary"), f"Vary is {value('vary')!r}, with {name}")
    if "https://stub.invalid" in value("access-control-allow-origin") + value("timing-allow-origin"):
        bad.append("the server's own CORS header arrived")
    return bad if judged else None


def skipped(case, edge):
    for pattern, where, reason in SKIPPED:
        found = case["id"].startswith(pattern[:-1]) if pattern.endswith("*") else case["id"] == pattern
        if found and where in (edge, "both"):
            return reason
    if "connection" in case:
        return "it is about a connection"
    return None


class Run:
    def __init__(self, args):
        self.args = args
        self.counts = dict(passed=0, failed=0, skipped=0, refused=0)
        self.stub = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stub)
        self.stub.daemon_threads = True
        threading.Thread(target=self.stub.serve_forever, daemon=True).start()

    def export(self, target, listener, config, port):
        return subprocess.run(
            [self.args.bin, "cors", "export", "--to", target, "--listener", listener,
             "--listen", f"127.0.0.1:{port}", "--upstream", f"127.0.0.1:{self.stub.server_port}",
             str(config)], capture_output=True, text=True, timeout=60)

    def group(self, edge, program, group, listener):
        cases = [case for case in group["cases"] if case["listener"] == listener]
        if not cases:
            return
        folder = pathlib.Path(tempfile.mkdtemp(prefix="edges-"))
        fill = self.filler(folder)
        try:
            for name, text in group["policy"].get("files", {}).items():
                pathlib.Path(fill(name)).write_text(text)
            config = folder / "config.properties"
            config.write_text("\n".join(map(fill, group["policy"]["properties"])) + "\n")
            port = free_port()
            made = self.export(edge.name, listener, config, port)
            if made.returncode:
                self.counts["refused"] += 1
                if self.args.verbose:
                    print(f"refused {edge.name} {group['policy_id']} {listener}: {made.stderr.strip()}")
                # A refusal has a reason.
                assert made.returncode == 1 and made.stderr, made
                return
            exported = folder / f"exported.{edge.suffix}"
            exported.write_text(made.stdout)
            running = edge(program, exported, folder)
            try:
                wait_for(port, running.process, folder / "log")
                for case in cases:
                    if "mutate" in case:
                        # What follows is about a file that changed.
                        break
                    self.case(edge.name, case, port, fill)
                whole = not skipped(cases[0], edge.name)
                if edge is Nginx and listener == "inference" and whole:
                    self.curl(group, config, port)
            finally:
                running.process.send_signal(signal.SIGTERM)
                running.process.wait(10)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def case(self, edge, case, port, fill):
        reason = skipped(case, edge)
        bad = None
        if not reason:
            try:
                bad = judge(case, *send(port, case["request"], fill), fill)
            except (OSError, UnicodeEncodeError) as error:
                bad = [f"connection: {error}"]
            reason = "the edge decides nothing of it" if bad is None else None
        if reason:
            self.counts["skipped"] += 1
        elif bad:
            self.counts["failed"] += 1
            print(f"FAIL {edge} {case['id']} {case['title']}\n     " + "; ".join(bad))
        else:
            self.counts["passed"] += 1
        if self.args.verbose and reason:
            print(f"skip {edge} {case['id']} {case['title']}: {reason}")

    def curl(self, group, config, port):
        """Every command of the script gets what the lines below it say."""
        if not shutil.which("curl"):
            raise SystemExit("edges: curl is not installed")
        made = subprocess.run([self.args.bin, "cors", "export", "--to", "curl", str(config)],
                              capture_output=True, text=True, timeout=60)
        if made.returncode:
            self.counts["refused"] += 1
            return
        for block in made.stdout.split("\n\n")[1:]:
            command = "\n".join(line for line in block.splitlines() if not line.startswith("#"))
            said = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60,
                                  env=dict(os.environ, url=f"http://127.0.0.1:{port}/ping")).stdout
            said = [line.strip().lower() for line in said.splitlines()]
            vary = {e.strip() for line in said if line.startswith("vary:") for e in line[5:].split(",")}
            bad = []
            for want in re.findall(r"^# expect: (.*)$", block, re.M):
                want = want.lower()
                found = any(line == want or line.startswith(want + " ") for line in said)
                if want.startswith("vary:"):
                    found = {e.strip() for e in want[5:].split(",")} <= vary
                if not found:
                    bad.append(f"no {want!r} in {said}")
            for unwanted in re.findall(r"^# expect no: (.*)$", block, re.M):
                if any(line.startswith(unwanted.lower() + ":") for line in said):
                    bad.append(f"there is {unwanted}")
            self.counts["failed" if bad else "passed"] += 1
            if bad:
                print(f"FAIL curl {group['policy_id']} {command}\n     " + "; ".join(bad))

    @staticmethod
    def filler(folder):
        values = {"{tmp}": str(folder), "{model}": "mlp", "{model_pct}": "%6dlp",
                  "{inference_port}": "8080", "{inference_origin}": "http://127.0.0.1:8080",
                  "{management_origin}": "http://127.0.0.1:8081"}

        def fill(text):
            for name, value in values.items():
                text = text.replace(name, value)
            return text
        return fill


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--nginx", default=shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin"))
    parser.add_argument("--envoy", default=os.environ.get("ENVOY") or shutil.which("envoy"))
    parser.add_argument("--only", default="")
    parser.add_argument("-v", "--verbose", action="store_true")
    args = parser.parse_args()
    args.bin = os.path.abspath(args.bin)
    run = Run(args)
    only = [name for name in args.only.split(",") if name]
    vectors = json.loads((HERE / "vectors.json").read_text())
    def all_groups(edge, program):
        if not program:
            print(f"edges: no {edge.name}: its export is not proved here")
            return
        for group in vectors["groups"]:
            shared = "shared_listener" in group.get("requires", [])
            if group["kind"] != "http" or shared or (only and group["policy_id"] not in only):
                continue
            for listener in ("inference", "management"):
                run.group(edge, program, group, listener)

    with concurrent.futures.ThreadPoolExecutor() as both:
        started = [both.submit(all_groups, Nginx, args.nginx), both.submit(all_groups, Envoy, args.envoy)]
        for done in started:
            done.result()
    counts = run.counts
    print(f"edges: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped; "
          f"{counts['refused']} exports refused with the reason")
    sys.exit(1 if counts["failed"] or not counts["passed"] else 0)


if __name__ == "__main__":
    main()
