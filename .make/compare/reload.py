"""Policy changes under load: what a change costs the requests that come meanwhile.

    make compare WHAT=reload                         10,000 preflights/s, changes, 100,000 origins
    make compare WHAT=reload ARGS="--binary PATH"    another build than the release one here
    make compare WHAT=reload ARGS=--help             rounds, seconds, rate

Open loop: `torchfront bench` offers a constant rate and takes the time from when a request was due, so
that a change that stops the server shows in every request behind it. The cases take turns, on one
server for each length of the list: with no change, and with one change after the other by
`POST /cors/reload`. An answer that is no 204 is an error and ends the program. That no answer mixes two
policies is tested, not measured: tests/it/cors_live/under_load.rs. Needs no other program.
"""

import contextlib
import http.client
import json
import os
import pathlib
import statistics
import sys
import threading
import time

import command_line
import generator
import machine
from machine import ROOT
from running import free_port, started

ORIGIN = "https://app.example.com"
TARGET = "/predictions/mlp"
PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
# They differ in everything that an answer to a preflight shows.
POLICIES = [
    "cors.max.age=11\ncors.allowed.headers=X-One\ncors.allow.credentials=true\n",
    "cors.max.age=22\ncors.allowed.headers=X-Two\ncors.allowed.methods=GET, POST, PUT\n",
]
MANY = 100_000
# Changes without traffic.
ALONE = 10


class Server:
    """One whose policy is changed; `origins` are in its file besides the one that asks."""

    def __init__(self, binary, origins):
        self.binary, self.origins, self.turn = binary, origins, 0

    def command(self, folder, port):
        self.folder, self.management = folder, free_port(port)
        self.lines = [
            f"inference_address=http://127.0.0.1:{port}",
            f"management_address=http://127.0.0.1:{self.management}",
            f"metrics_address=http://127.0.0.1:{free_port(port, self.management)}",
            f"model_store={ROOT / 'tests/goldens/archives'}",
            "load_models=mlp.mar",
            "disable_token_authorization=true",
            "access_log=false",
            f"cors.allowed.origin={ORIGIN}",
            "cors.selftest=off",
            # Only what is asked for changes it.
            "cors.allowed.origin.file.reload.s=0",
        ]
        if self.origins:
            self.lines.append("cors.allowed.origin.file=origins.txt")
        self.write()
        return [self.binary, "--foreground", "--ts-config", folder / "config.properties"]

    def write(self):
        """The next policy, and a list of which every line is another than before."""
        replace(self.folder / "config.properties", "\n".join([*self.lines, POLICIES[self.turn % 2]]))
        if self.origins:
            tenants = (f"https://t{n}.v{self.turn % 2}.example\n" for n in range(self.origins))
            replace(self.folder / "origins.txt", "".join(tenants))
        self.turn += 1

    def change(self):
        """Seconds of one change, from the request to its answer."""
        self.write()
        connection = http.client.HTTPConnection("127.0.0.1", self.management, timeout=60)
        with contextlib.closing(connection):
            begin = time.monotonic()
            connection.request("POST", "/cors/reload")
            report = json.load(connection.getresponse())
            seconds = time.monotonic() - begin
        if report.get("result") != "applied":
            sys.exit(f"a change was not applied: {json.dumps(report)[:500]}")
        return seconds


def replace(path, text):
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def fault(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("OPTIONS", TARGET, headers=PREFLIGHT)
        answer = connection.getresponse()
        granted = answer.getheader("Access-Control-Allow-Origin")
    return None if (answer.status, granted) == (204, ORIGIN) else f"{answer.status}, {granted}"


def turn(server, port, pause, arguments):
    """One measurement, with a change every `pause` seconds or none."""
    changes, over, failure = [], threading.Event(), []

    def change():
        try:
            while not over.wait(pause):
                changes.append(server.change())
        # What is raised in a thread would be lost.
        except BaseException as error:
            failure.append(error)

    changing = threading.Thread(target=change)
    if pause:
        changing.start()
    load = ["--rate", str(arguments.rate), "--duration", f"{arguments.seconds}s", "--warm-up", "1s"]
    url = f"http://127.0.0.1:{port}{TARGET}"
    try:
        found = generator.offer(server.binary, url, load, "OPTIONS", PREFLIGHT, 204)
    finally:
        over.set()
        if pause:
            changing.join()
    if failure:
        raise failure[0]
    latency = found["latency_ms"]
    return {
        "ok": found["ok"],
        "unsent": found["unsent"],
        "late": (found["generator"]["late_ms"] or {}).get("p99"),
        **{name: latency[name] for name in ("p50", "p99", "p999")},
        "changes": changes,
    }


CASES = {
    "1 origin, no change": (0, 0),
    "1 origin, a change every 100 ms": (0, 0.1),
    "100,000 origins, no change": (MANY, 0),
    "100,000 origins, a reload a second": (MANY, 1.0),
}


def alone(server, running):
    """Milliseconds of a change without traffic: from request to answer, and of the processor. The
    latter says what it takes on a machine with other work, too."""
    before, seconds = running.cpu_seconds(), [server.change() for _ in range(ALONE)]
    spent = (running.cpu_seconds() - before) / ALONE
    return statistics.median(seconds) * 1e3, spent * 1e3


def table(rounds, conditions, arguments):
    print(
        f"{conditions['date']}, {conditions['processor']}, {conditions['cores']} cores shared with "
        f"the generator, load {conditions['load_before']} before the start; {arguments.rate:,} "
        f"preflights/s, {arguments.rounds} rounds of {arguments.seconds} s, medians and [lowest, "
        "highest]\n"
    )
    print("| case | answers | errors | p50, ms | p99, ms | p99.9, ms | changes | change, ms |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for name, runs in rounds.items():

        def spread(key):
            values = [run[key] for run in runs]
            return f"{statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"

        changes = [seconds * 1e3 for run in runs for seconds in run["changes"]]
        took = f"{statistics.median(changes):.1f}, at most {max(changes):.1f}" if changes else ""
        answers = sum(run["ok"] for run in runs)
        unsent = sum(run["unsent"] for run in runs)
        print(
            f"| {name} | {answers:,} | {unsent} | {spread('p50')} | {spread('p99')} "
            f"| {spread('p999')} | {len(changes) or ''} | {took} |"
        )
    late = [run["late"] for runs in rounds.values() for run in runs if run["late"] is not None]
    if late:
        print(f"\nThe generator itself was late by {statistics.median(late):.2f} ms at its p99.")


def measure(arguments):
    cores = machine.pin(arguments.cores)
    binary = arguments.binary or machine.release() / "torchfront"
    if not arguments.binary and not arguments.no_build:
        machine.build("--bin", "torchfront")
    conditions = machine.describe(cores)
    rounds = {name: [] for name in CASES}
    few, many = Server(binary, 0), Server(binary, MANY)
    with started("few", few.command) as first, started("many", many.command) as second:
        for running in (first, second):
            running.wait_until_right(lambda: fault(running.port))
        quiet = alone(few, first), alone(many, second)
        for number in range(arguments.rounds):
            for name, (origins, pause) in CASES.items():
                print(f"round {number + 1}: {name}, load {os.getloadavg()[0]:.2f}", file=sys.stderr)
                server, running = (many, second) if origins else (few, first)
                rounds[name].append(turn(server, running.port, pause, arguments))
    table(rounds, conditions, arguments)
    for what, (took, spent) in zip(("1 origin", f"{MANY:,} origins"), quiet):
        print(f"Without traffic, {what}: a change takes {took:.1f} ms, {spent:.1f} of the processor.")


def main(argv):
    parser = command_line.parser("reload", __doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--rate", type=int, default=10_000, help="preflights a second")
    parser.add_argument("--cores", type=int, default=2, help="shared by server and generator")
    parser.add_argument("--binary", type=pathlib.Path, help="measure this one")
    parser.add_argument("--no-build", action="store_true", help="what was built last")
    measure(parser.parse_args(argv))
