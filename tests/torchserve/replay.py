"""Sends the cases of a run to a server and writes down what it answered, normalised.

Normalised is what no client may rely on: ids, times, ports, paths of this machine, sizes of memory,
the values of metrics. Everything else is kept byte for byte. Headers are kept without their order.
"""

import re
import tempfile
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import store
from exchange import Closed, Connection
from servers import Server

UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b")
FIELDS = [
    (re.compile(r'("startTime": )"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"'), r'\1"<time>"'),
    (re.compile(r'("memoryUsage": )\d+'), r"\1<bytes>"),
    (re.compile(r'("pid": )\d+'), r"\1<pid>"),
    (re.compile(r'("id": )"9\d{3}"'), r'\1"<worker>"'),
]
PROMETHEUS = "text/plain; version=0.0.4"
PATIENCE = 20


class Replay:
    """One run against one server."""

    def __init__(self, command, run, folder):
        self.run = run
        self.folder = folder
        self.store, self.outside = store.build(folder)
        self.origin, self.origin_address = store.serve(self.outside)
        self.command = command
        self.old_inference_key = None

    def answers(self):
        """The normalised answer of each case, by its id."""
        try:
            with Server(self.command, self.run, self.folder, self.store) as server:
                self.old_inference_key = server.keys().get("inference")
                return {case.id: self.one(server, case) for case in self.run.cases}
        finally:
            self.origin.shutdown()
            self.origin.server_close()

    def one(self, server, case):
        time.sleep(self.run.pause)
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self.exchange(server, case)
            if case.until is None or re.search(case.until, answer["body"]):
                return answer
            if time.monotonic() > deadline:
                return answer  # the comparison tells
            time.sleep(0.1)

    def exchange(self, server, case):
        # TorchServe resets connections when it closes them: an answer can be lost on its way.
        for _ in range(5):
            with Connection(server.addresses[case.to]) as connection:
                try:
                    answer = self.ask(connection, server, case)
                except Closed:
                    continue
                return self.normalise(answer, is_kept(connection, answer))
        return {"status": 0, "headers": {}, "body": "", "kept": False}

    def ask(self, connection, server, case):
        if case.raw is not None:
            connection.send(case.raw)
            return connection.answer(case.method)
        head, body = self.request(server, case)
        if not case.expect:
            connection.send(head + body)
            return connection.answer(case.method)
        connection.send(head)
        connection.receive()
        if connection.rest.startswith(b"HTTP/1.1 100"):
            connection.send(body)
        return connection.answer(case.method)

    def request(self, server, case):
        keys = server.keys()
        values = {
            "$STORE": str(self.store),
            "$OUTSIDE": str(self.outside),
            "$ORIGIN": self.origin_address,
            "$INFERENCE_KEY": keys.get("inference", ""),
            "$OLD_INFERENCE_KEY": self.old_inference_key or "",
            "$MANAGEMENT_KEY": keys.get("management", ""),
            "$API_KEY": keys.get("API", ""),
        }

        def filled(text):
            return re.sub(r"\$[A-Z_]+", lambda found: values[found[0]], text)

        lines = [f"{case.method} {filled(case.target)} {case.version}", "Host: localhost"]
        lines += [f"{name}: {filled(value)}" for name, value in case.headers]
        if case.expect:
            lines.append("Expect: 100-continue")
        body = case.body
        if case.chunked:
            lines.append("Transfer-Encoding: chunked")
            pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
        elif body or case.method not in ("GET", "HEAD", "OPTIONS"):
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1"), body

    def normalise(self, answer, kept):
        body = answer.body.decode("utf-8", "backslashreplace")
        headers = {}
        for name, _ in answer.headers:
            headers[name] = normal_header(name, answer.header(name), answer)
        if headers.get("content-type", "").startswith(PROMETHEUS):
            body = normal_metrics(body)
        for path, word in [(self.store, "<store>"), (self.outside, "<outside>")]:
            body = body.replace(str(path), word)
        body = UUID.sub("<uuid>", body.replace(self.origin_address, "<origin>"))
        for pattern, word in FIELDS:
            body = pattern.sub(word, body)
        entry = {"status": answer.status, "headers": headers, "body": body, "kept": kept}
        if answer.interim:
            entry["interim"] = answer.interim
        return entry


def is_kept(connection, answer):
    """Whether the connection answers another request. Where the end is announced, it must come."""
    if answer.header("connection") == "close":
        return not connection.ends()
    connection.send(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
    try:
        connection.answer("GET")
    except (Closed, OSError, ValueError):
        return False
    return True


def normal_header(name, value, answer):
    if name == "content-length" and (not answer.body or int(value) == len(answer.body)):
        return "<length>" if answer.body else value if value == "0" else "<length>"
    if name == "date" and parsedate_to_datetime(value):
        return "<date>"
    return UUID.sub("<uuid>", value)


def normal_metrics(text):
    """The lines, sorted, without values, hosts and worker numbers; each once."""
    lines = set()
    for line in text.splitlines():
        if not line.startswith("#"):
            line = re.sub(r'(?i)(hostname=")[^"]*"', r'\1<host>"', line)
            line = re.sub(r"W-\d+-", "W-<worker>-", line)
            line = re.sub(r" -?[0-9.E+-]+$| (NaN|[+-]Inf)$", " <value>", line)
        lines.add(line)
    return "\n".join(sorted(lines)) + ("\n" if lines else "")


def replay(command, run):
    """The normalised answers of a server to a run, by case."""
    with tempfile.TemporaryDirectory(prefix="torchserve-") as name:
        return Replay(command, run, Path(name).resolve()).answers()
