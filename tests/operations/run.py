#!/usr/bin/env python3
"""Rules, dashboards and Prometheus: promtool's unit tests, then a real server scraped by a real
Prometheus, faults that must fire the alerts, and dashboards that ask only for what there is.

usage: run.py --bin PATH --model-store DIR [--prometheus PATH] [--promtool PATH] [--picture DIR]

--picture draws the panels of the dashboards from a run of a minute, see picture.py.
"""

import argparse
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
import urllib.error
import urllib.parse
import urllib.request

import metric_names
import picture

HERE = pathlib.Path(__file__).resolve().parent
DEPLOY = HERE.parent.parent / "deploy"
RULES = DEPLOY / "prometheus" / "torchfront-cors.rules.yml"
APP, ADMIN, NEW = "https://app.example.com", "https://admin.example.com", "https://new.example.com"
# Not the server's: Prometheus' own, and the operator's switch.
FOREIGN = {"ALERTS", "torchfront_maintenance"}
PATIENCE = 90


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def eventually(what, condition):
    end = time.time() + PATIENCE
    while time.time() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise SystemExit(f"operations: never: {what}")


def fetch(url, method="GET", headers=(), body=None):
    request = urllib.request.Request(url, method=method, headers=dict(headers), data=body)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Server:
    """The server under test, with everything switched on that the dashboards show."""

    def __init__(self, args, folder):
        self.ports = {name: free_port() for name in ("inference", "management", "metrics")}
        self.config = folder / "config.properties"
        self.folder = folder
        self.store = os.path.abspath(args.model_store)
        self.configure(f"cors.allowed.origin={APP}, https://*.preview.example.com")
        self.process = subprocess.Popen(
            [args.bin, "--foreground", "--ncs", "--ts-config", str(self.config)],
            cwd=folder, stdout=open(folder / "server.log", "w"), stderr=subprocess.STDOUT,
            env=dict(os.environ, LOG_LOCATION=str(folder), METRICS_LOCATION=str(folder)))

    def configure(self, *lines):
        addresses = [f"{name}_address=http://127.0.0.1:{port}" for name, port in self.ports.items()]
        self.config.write_text("\n".join([*addresses, "disable_token_authorization=true",
                                          f"model_store={self.store}", "load_models=mlp.mar",
                                          "cors.report.enabled=true", "cors.report.max.per.s=1000",
                                          "cors.exposed.headers=X-Request-Id",
                                          f"management_cors.allowed.origin={ADMIN}", *lines]) + "\n")

    def url(self, listener, path):
        return f"http://127.0.0.1:{self.ports[listener]}{path}"

    def up(self):
        if self.process.poll() is not None:
            raise SystemExit("operations: the server ended: " + (self.folder / "server.log").read_text())
        return answers(self.url("inference", "/ping"))

    def preflight(self, origin, method, headers="content-type"):
        return fetch(self.url("inference", "/predictions/mlp"), "OPTIONS",
                     [("Origin", origin), ("Access-Control-Request-Method", method),
                      ("Access-Control-Request-Headers", headers)])[0]

    def predict(self, origin, **headers):
        return fetch(self.url("inference", "/predictions/mlp"), "POST",
                     [("Origin", origin), ("Content-Type", "application/json"), *headers.items()],
                     b"[0.1, 0.2, 0.3, 0.4]")[0]

    def report(self, origin, **counts):
        body = json.dumps({"v": 1, "counts": counts}).encode()
        status, text = fetch(self.url("inference", "/cors/report"), "POST",
                             [("Origin", origin), ("Content-Type", "text/plain")], body)
        assert status == 204, (status, text)

    def reload(self):
        return fetch(self.url("management", "/cors/reload"), "POST")


class Probe:
    """`cors probe` of the server through an edge, with its results where a node exporter would have
    them."""

    def __init__(self, args, server, folder):
        self.program, self.server, self.file = args.bin, server, folder / "cors.prom"
        self.edge, self.port = None, free_port()
        probe = self

        class Textfile(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = probe.file.read_bytes() if probe.file.exists() else b""
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except BrokenPipeError:
                    # A scrape that was given up.
                    pass

            def log_message(self, *_):
                pass

        exporter = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Textfile)
        exporter.daemon_threads = True
        threading.Thread(target=exporter.serve_forever, daemon=True).start()
        self.exporter = exporter.server_port

    def put_edge(self, fault):
        self.stop()
        self.edge = subprocess.Popen(
            [sys.executable, str(HERE / "faulty_edge.py"), "--fault", fault, "--listen",
             f"127.0.0.1:{self.port}", "--to", f"127.0.0.1:{self.server.ports['inference']}"])
        url = f"http://127.0.0.1:{self.port}/ping"
        eventually("the edge serves", lambda: answers(url))

    def run(self):
        return subprocess.run(
            [self.program, "cors", "probe", self.server.url("inference", "/ping"), "--edge",
             f"http://127.0.0.1:{self.port}/ping", "--origin", APP, "--metrics-textfile", str(self.file)],
            capture_output=True, text=True, timeout=60)

    def stop(self):
        if self.edge:
            self.edge.terminate()
            self.edge.wait(10)
            self.edge = None


def answers(url):
    try:
        return fetch(url)[0] == 200
    except OSError:
        return False


class Prometheus:
    def __init__(self, program, server, probe, folder):
        self.port = free_port()
        # Nobody waits ten minutes for a test.
        rules = re.sub(r"^( *for): .*$", r"\1: 0s", RULES.read_text(), flags=re.M)
        (folder / "rules.yml").write_text(rules)
        (folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [{"job_name": "torchfront", "static_configs": [
                {"targets": [f"127.0.0.1:{server.ports['metrics']}"]}]},
                {"job_name": "node", "static_configs": [
                    {"targets": [f"127.0.0.1:{probe.exporter}"]}]}]}))
        self.process = subprocess.Popen(
            [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=error"],
            stdout=open(folder / "prometheus.log", "w"), stderr=subprocess.STDOUT)

    def ask(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        status, text = fetch(f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}")
        if status == 503:
            raise OSError("Prometheus is not ready")
        answer = json.loads(text)
        if answer["status"] != "success":
            raise SystemExit(f"operations: {parameters}: {answer['error']}")
        return answer["data"]

    def query(self, expression):
        return self.ask("query", query=expression)["result"]

    def firing(self):
        try:
            alerts = self.ask("alerts")["alerts"]
        except OSError:
            return {}
        return {alert["labels"]["alertname"]: alert["labels"] for alert in alerts
                if alert["state"] == "firing"}


def panels():
    """Dashboard, panel, expression as Grafana sends it."""
    for path in sorted((DEPLOY / "grafana").glob("*.json")):
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            for target in panel["targets"]:
                if panel["datasource"]["type"] == "prometheus":
                    yield path.name, panel, plain(target["expr"]), target.get("legendFormat", "")
        for note in board["annotations"]["list"]:
            yield path.name, {"title": note["name"]}, plain(note["expr"]), ""


def plain(expression):
    return expression.replace("$__rate_interval", "1m").replace("$listener", ".*")


def check_names(server, probe):
    """Everything that rules and dashboards ask for is exported, recorded or Prometheus' own."""
    text = fetch(server.url("metrics", "/metrics"))[1] + probe.file.read_text()
    exported = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M):
        suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        exported |= {name + suffix for suffix in suffixes}
    rules = RULES.read_text()
    recorded = set(re.findall(r"record: (\S+)", rules))
    known = exported | recorded | FOREIGN
    asked = {name: f"{board}: {panel['title']}" for board, panel, expression, _ in panels()
             for name in metric_names.names(expression)}
    blocks = re.findall(r"expr: (?:\|\n((?: {10}.*\n)+)|(.*)\n)", rules)
    assert len(blocks) == len(re.findall(r"expr:", rules)), "an expression is not read"
    asked |= {name: "rules" for block in blocks for name in metric_names.names("".join(block))}
    missing = {name: where for name, where in asked.items() if name not in known}
    if missing:
        raise SystemExit(f"operations: nobody exports {missing}")
    unseen = {name for name in exported if name.startswith("ts_cors_")} - {
        name for name in asked}
    unseen = {name for name in unseen if not name.endswith(("_sum", "_count"))}
    if unseen:
        raise SystemExit(f"operations: neither rule nor dashboard shows {unseen}")
    return len(asked)


def healthy(server, prometheus):
    # A counter that begins with its first report has not increased yet for Prometheus.
    server.report(APP, ok=0, blocked=0)
    eventually("the counters of the page are seen",
               lambda: len(prometheus.query(f'ts_cors_client_events_total{{origin="{APP}"}}')) > 1)
    for _ in range(120):
        assert server.preflight(APP, "POST") == 204
    for _ in range(30):
        assert server.predict(APP) == 200
    server.report(APP, ok=500)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--model-store", required=True)
    parser.add_argument("--prometheus", default=shutil.which("prometheus"))
    parser.add_argument("--promtool", default=shutil.which("promtool"))
    parser.add_argument("--picture")
    args = parser.parse_args()
    args.bin = os.path.abspath(args.bin)
    for command in (["check", "rules", str(RULES)],
                    ["check", "config", str(DEPLOY / "prometheus" / "prometheus.yml")],
                    ["test", "rules", "torchfront-cors.test.yml"]):
        done = subprocess.run([args.promtool, *command], cwd=RULES.parent, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="operations-"))
    running, probe = [], None
    try:
        server = Server(args, folder)
        running.append(server.process)
        eventually("the server serves", server.up)
        probe = Probe(args, server, folder)
        probe.put_edge("none")
        done = probe.run()
        assert done.returncode == 0, done.stdout + done.stderr
        prometheus = Prometheus(args.prometheus, server, probe, folder)
        running.append(prometheus.process)
        eventually("Prometheus scrapes", lambda: scraped(prometheus))
        if args.picture:
            picture.record(server, probe, APP)
        else:
            alerts(server, probe, prometheus)
        asked = check_names(server, probe)
        empty = []
        for board, panel, expression, _ in panels():
            if not prometheus.query(expression):
                empty.append(f"{board}: {panel['title']}")
        if args.picture:
            picture.draw(prometheus, DEPLOY / "grafana", plain, pathlib.Path(args.picture))
        print(f"operations: rules tested, {asked} metric names exported, alerts fired; "
              f"{len(empty)} panels have nothing to show in this run")
    finally:
        if probe:
            probe.stop()
        for process in reversed(running):
            process.send_signal(signal.SIGTERM)
            process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def scraped(prometheus):
    try:
        return prometheus.query("up == 1 and on () cors:policy:current")
    except OSError:
        return False


def alerts(server, probe, prometheus):
    """A sound server alarms nobody; each fault alarms whom it should."""
    healthy(server, prometheus)
    eventually("the healthy traffic is seen",
               lambda: prometheus.query("cors:client_events:increase5m >= 100 and on () "
                                        "cors:preflights_listed:increase5m{listener='inference'} >= 100"))
    assert not prometheus.firing(), prometheus.firing()

    # A client begins to send a method that the policy does not have.
    for _ in range(120):
        assert server.preflight(APP, "DELETE") == 403
    ticket = eventually("CorsPreflightsMisconfiguredFast fires",
                        lambda: prometheus.firing().get("CorsPreflightsMisconfiguredFast"))
    shown = json.loads(fetch(server.url("management", "/cors/policy"))[1])
    assert ticket["hash"] and ticket["hash"] in json.dumps(shown), (ticket, shown)
    assert "CorsPreflightsMisconfiguredWithImpact" not in prometheus.firing()

    # Pages report that browsers block them: now it is a page.
    server.report(APP, blocked=900)
    eventually("CorsClientsBlockedFast fires", lambda: "CorsClientsBlockedFast" in prometheus.firing())
    eventually("the page fires",
               lambda: "CorsPreflightsMisconfiguredWithImpact" in prometheus.firing())

    # The edge begins to strip a header: the probe says so.
    assert "CorsProbeFails" not in prometheus.firing()
    probe.put_edge("strip-origin")
    done = probe.run()
    assert done.returncode == 1 and "is stripped" in done.stdout, done.stdout + done.stderr
    eventually("CorsProbeFails fires", lambda: "CorsProbeFails" in prometheus.firing())
    probe.put_edge("none")

    # A new policy is wrong, the next opens everything, then the old one comes back.
    server.configure("cors.allowed.origin=null")
    status, said = server.reload()
    assert status >= 400 and "CORS-E012" in said, (status, said)
    eventually("CorsPolicyRejected fires", lambda: "CorsPolicyRejected" in prometheus.firing())
    server.configure("cors.allowed.origin=*")
    assert server.reload()[0] == 200
    eventually("CorsWildcard fires", lambda: "CorsWildcard" in prometheus.firing())
    server.configure(f"cors.allowed.origin={APP}, https://*.preview.example.com")
    assert server.reload()[0] == 200
    eventually("CorsPolicyRolledBack fires", lambda: "CorsPolicyRolledBack" in prometheus.firing())
    eventually("CorsWildcard ends", lambda: "CorsWildcard" not in prometheus.firing())


if __name__ == "__main__":
    main()
