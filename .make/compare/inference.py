"""Inference: Torchfront next to TorchServe 0.12 and LitServe, same models, same bytes.

    make compare WHAT=inference                                   every contender that is installed
    make compare WHAT=inference ARGS="--rounds 7 --seconds 20"    figures to quote
    make compare WHAT=inference ARGS="--only torchfront --rounds 1 --seconds 2"
    make compare WHAT=inference ARGS="--json run.json --chart docs/images/inference.svg"

Workloads: a 4-16-3 network as JSON over 32 connections and over one, resnet18 with a photograph over
16. Each server has both models loaded, with as many workers as there are cores; "tuned" is one thread
a worker and batches of up to 32 and 8. Logs are as each server writes them by default. The floors are
actix-web and libtorch with nothing around them, for the small network alone (examples/bare_inference).

One server is alive at a time and the contenders take turns (A B C A B C ...), so that what the machine
does besides falls on all of them. Server and wrk share the same cores; wrk is a closed loop. Every
answer is compared with what Python's torch says before the clock starts and after it stopped. A ratio
is the median of the ratios within each round, with its 95 % confidence interval (bootstrap). CPU and
memory (PSS) are those of the server's whole process tree. Prints Markdown. Needs wrk.
"""

import http.client
import json
import pathlib
import subprocess
import sys

import client
import command_line
import machine
import peers
import tables
from machine import ROOT
from running import free_port, started

BOUNDARY = "torchfront-compare"
CACHE = peers.CACHE / "compare"
PHOTO = ROOT / "models/samples/photos/flower.jpg"
BASE = "TorchServe, tuned"
HANDLER = "floor: forward in the handler"
QUEUE = "floor: naive queue, one worker"
# In seconds: a check may find the queue full of what the client no longer waits for.
PATIENCE = 180
# What gives not one answer in the time of a measurement gets so many times as long, once.
LONGER = 5


class Contender:
    """A server: how it is started on a port, and how near its answers must be to Python's."""

    def __init__(
        self, name, command, environment=None, multipart=False, tolerance=1e-3, model=None
    ):
        self.name = name
        self.model = model  # the only one that it serves, or None for both
        self.command = command  # (folder, port) -> arguments
        self.environment = environment or {}
        self.multipart = multipart  # whether it takes photographs as multipart/form-data alone
        self.tolerance = tolerance  # relative
        self.rounds = []


class Workload:
    """A request, how many at once, and what is wrong with an answer to it."""

    def __init__(self, name, model, connections, body, content_type, wrong):
        self.name, self.model, self.connections = name, model, connections
        self.body, self.content_type, self.wrong = body, content_type, wrong

    def content(self, contender):
        """Body and Content-Type as the contender takes them."""
        if not contender.multipart or self.content_type == "application/json":
            return self.body, self.content_type
        head = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="data"; filename="photo"\r\n'
            f"Content-Type: {self.content_type}\r\n\r\n"
        )
        body = head.encode() + self.body + f"\r\n--{BOUNDARY}--\r\n".encode()
        return body, f"multipart/form-data; boundary={BOUNDARY}"


# --- the contenders --------------------------------------------------------------------------


def properties(folder, port, store, lines):
    file = folder / "config.properties"
    management = free_port(port)
    own = [
        f"inference_address=http://127.0.0.1:{port}",
        f"management_address=http://127.0.0.1:{management}",
        f"metrics_address=http://127.0.0.1:{free_port(port, management)}",
        f"model_store={store}",
        "load_models=mlp.mar,resnet18.mar",
        "disable_token_authorization=true",
        *lines,
    ]
    file.write_text("\n".join([*own, ""]))
    return file


def batches(workers):
    """Batches of up to 32 and 8; the same lines for TorchServe and for Torchfront."""

    def model(archive, size, delay):
        settings = {"defaultVersion": True, "marName": archive, "batchSize": size}
        settings |= {"minWorkers": workers, "maxWorkers": workers, "maxBatchDelay": delay}
        return {"1.0": {**settings, "responseTimeout": 120}}

    models = {"mlp": model("mlp.mar", 32, 1), "resnet18": model("resnet18.mar", 8, 20)}
    return ["models=" + json.dumps(models)]


def torchfront(binary, store, workers):
    def command(folder, port):
        file = properties(folder, port, store, batches(workers))
        return [binary, "--foreground", "--ts-config", file]

    return command


def torchserve(lines):
    def command(folder, port):
        store = CACHE / "torchserve"
        return [
            peers.TORCHSERVE / "bin/torchserve", "--start", "--foreground", "--ncs",
            "--disable-token-auth", "--enable-model-api",
            "--ts-config", properties(folder, port, store, lines), "--model-store", store,
        ]  # fmt: skip

    return command


def floor(how, cores):
    """What actix-web and libtorch do for the small network with no server around them."""
    program = machine.release() / "examples/bare_inference"
    batch = ["32"] if how == "queue" else []

    def command(_, port):
        address = f"127.0.0.1:{port}"
        return [program, how, address, str(cores), CACHE / "mlp.pt", *batch]

    return command


def litserve(workers):
    app = pathlib.Path(__file__).with_name("litserve_app.py")
    return lambda _, port: [peers.LITSERVE / "bin/python", app, port, CACHE, workers]


def contenders(arguments):
    binary, cores = (
        pathlib.Path(arguments.binary or machine.release() / "torchfront"),
        arguments.cores,
    )
    listed = [
        Contender("torchfront", torchfront(binary, CACHE, cores)),
        Contender(
            "torchfront, bfloat16", torchfront(binary, CACHE / "bfloat16", cores), tolerance=0.1
        ),
    ]
    if (machine.release() / "examples/bare_inference").exists():
        for name, how in ((HANDLER, "in-handler"), (QUEUE, "queue")):
            listed.append(Contender(name, floor(how, cores), model="mlp"))
    if peers.has_torchserve():
        default = peers.torchserve_environment(tuned=False)
        listed.append(Contender("TorchServe", torchserve([]), default))
        tuned = peers.torchserve_environment(tuned=True)
        listed.append(Contender(BASE, torchserve(batches(cores)), tuned))
    else:
        print(peers.TORCHSERVE_SETUP, file=sys.stderr)
    environment = peers.litserve_environment()
    if environment is not None:
        listed.append(Contender("LitServe, tuned", litserve(cores), environment, multipart=True))
    else:
        print(peers.LITSERVE_SETUP, file=sys.stderr)
    names = ", ".join(repr(each.name) for each in listed)
    chosen = [each for each in listed if not arguments.only or each.name in arguments.only]
    if not chosen:
        sys.exit(f"--only: not one of {names}")
    return chosen


# --- what is asked and what must come back ---------------------------------------------------


def prepare(photo):
    """Builds the archives where they are missing or were made for another photograph."""
    source = pathlib.Path(__file__).with_name("archives.py")
    stamp = CACHE / "made_from"
    wanted = f"{source.read_text()}\n{photo} {photo.stat().st_size}"
    if not ((CACHE / "expected.json").exists() and stamp.exists() and stamp.read_text() == wanted):
        make = [sys.executable, ROOT / "models/make.py", "--run", source, CACHE, photo]
        subprocess.run(make, check=True)
        stamp.write_text(wanted)
    return json.loads((CACHE / "expected.json").read_text())


def workloads(photo, expected):
    def wrong_numbers(answer, tolerance):
        near = isinstance(answer, list) and len(answer) == len(expected["mlp"])
        near = near and all(
            abs(got - want) <= tolerance * max(abs(want), 0.1)
            for got, want in zip(answer, expected["mlp"])
        )
        return None if near else f"want {expected['mlp']}"

    def wrong_classes(answer, tolerance):
        """The order of classes that are nearly equal may differ; their probabilities may not."""
        ranked = sorted(expected["resnet18"], reverse=True)
        if not isinstance(answer, dict) or len(answer) != 5:
            return "want five classes"
        for (label, got), at_rank in zip(answer.items(), ranked):
            want = expected["resnet18"][int(label)]
            if abs(got - want) > tolerance * want or abs(got - at_rank) > tolerance * at_rank:
                return f"class {label}: {got}, want {want}; {at_rank} at its rank"
        return None

    sample = json.dumps(expected["sample"]).encode()
    size = f"{photo.stat().st_size / 1000:.0f} KB"
    return [
        Workload(
            "4-16-3 network, JSON, c=32", "mlp", 32, sample, "application/json", wrong_numbers
        ),
        Workload("4-16-3 network, JSON, c=1", "mlp", 1, sample, "application/json", wrong_numbers),
        Workload(
            f"resnet18, {size} JPEG, c=16",
            "resnet18",
            16,
            photo.read_bytes(),
            "image/jpeg",
            wrong_classes,
        ),  # fmt: skip
    ]


def fault(contender, workload, port):
    """What is wrong with the contender's answer, or None."""
    body, content_type = workload.content(contender)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        headers = {"Content-Type": content_type}
        connection.request("POST", f"/predictions/{workload.model}", body, headers)
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    if response.status != 200:
        return f"answered {response.status}: {content[:300]!r}"
    try:
        answer = json.loads(content)
        wrong = workload.wrong(answer, contender.tolerance)
    except (ValueError, TypeError, LookupError):
        wrong = "not the expected form"
    return wrong and f"answered {content[:300]!r}: {wrong}"


# --- one turn --------------------------------------------------------------------------------


def turn(contender, jobs, arguments):
    """Starts the server and measures every workload."""
    results = {}
    jobs = [job for job in jobs if contender.model in (None, job.model)]
    with started(contender.name, contender.command, contender.environment) as server:

        def check(workload):
            return fault(contender, workload, server.port)

        first = {job.model: job for job in jobs}.values()
        ready = [server.wait_until_right(lambda job=job: check(job)) for job in first]
        results["start"] = {"seconds": max(ready)}
        for job in jobs:
            body, content_type = job.content(contender)
            file = server.folder / "body"
            file.write_bytes(body)
            headers = {"Content-Type": content_type}
            script = client.script(server.folder / "job.lua", "POST", headers, file)
            url = f"http://127.0.0.1:{server.port}/predictions/{job.model}"
            client.wrk(url, script, job.connections, arguments.warm_up)
            for seconds in (arguments.seconds, LONGER * arguments.seconds):
                before = server.cpu_seconds()
                result = client.wrk(url, script, job.connections, seconds)
                cpu = server.cpu_seconds() - before
                if result["requests"]:
                    break
            try:
                problem = check(job)
            except (OSError, http.client.HTTPException) as error:
                problem = str(error) or type(error).__name__
            if problem:
                sys.exit(f"{contender.name}, {job.name}, after the measurement: {problem}")
            if not result["requests"]:
                sys.exit(f"{contender.name}, {job.name}: no answer in time; raise --seconds")
            if result["errors"]:
                log = server.log.read_text(errors="replace")[-2000:]
                sys.exit(f"{contender.name}, {job.name}: {result['errors']} errors\n{log}")
            results[job.name] = {
                "rate": result["requests"] / result["us"] * 1e6,
                "p50_ms": result["p50"] / 1000,
                "p99_ms": result["p99"] / 1000,
                "cpu_ms": cpu * 1000 / result["requests"],
            }
        results["memory"] = {"bytes": server.memory()}
    contender.rounds.append(results)


# --- the whole comparison ------------------------------------------------------------------


def measure(arguments):
    client.need_wrk()
    photo = pathlib.Path(arguments.photo).resolve()
    if not arguments.no_build and not arguments.binary:
        machine.build("--bin", "torchfront", "--example", "bare_inference")
    expected = prepare(photo)
    # Before anything is confined: building may use all cores.
    cores = machine.pin(arguments.cores)
    arguments.cores = len(cores)
    measured, jobs = contenders(arguments), workloads(photo, expected)
    conditions = {
        **machine.describe(cores),
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "versions": {"torch": expected["torch"]},
    }
    if arguments.binary:
        conditions["commit"] = f"{arguments.binary} (checkout: {conditions['commit']})"
    if any(each.name.startswith("TorchServe") for each in measured):
        conditions["versions"]["TorchServe"] = peers.version(peers.TORCHSERVE, "torchserve")
    if any(each.name.startswith("LitServe") for each in measured):
        conditions["versions"]["LitServe"] = peers.version(peers.LITSERVE, "litserve")
    for number in range(arguments.rounds):
        for each in measured:
            print(f"round {number + 1} of {arguments.rounds}: {each.name}", file=sys.stderr)
            turn(each, jobs, arguments)
    found = tables.figures(measured, jobs, BASE)
    print(tables.markdown(found, conditions), end="")
    if arguments.json:
        rounds = {each.name: each.rounds for each in measured}
        everything = {"conditions": conditions, **found, "rounds": rounds}
        pathlib.Path(arguments.json).write_text(json.dumps(everything, indent=1) + "\n")
    if arguments.chart:
        pathlib.Path(arguments.chart).write_text(tables.picture(found, conditions))


def main(argv):
    parser = command_line.parser("inference", __doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--warm-up", type=int, default=2, help="seconds before each measurement")
    parser.add_argument("--cores", type=int, default=2, help="shared by server and wrk")
    parser.add_argument("--photo", default=PHOTO, metavar="JPEG", help=f"instead of {PHOTO.name}")
    parser.add_argument("--only", action="append", metavar="NAME", help="these contenders alone")
    parser.add_argument("--json", metavar="FILE", help="every round's figures")
    parser.add_argument("--chart", metavar="FILE.svg", help="bars, for the README")
    parser.add_argument("--binary", metavar="FILE", help="this torchfront, not the release build")
    parser.add_argument("--no-build", action="store_true", help="what was built last")
    measure(parser.parse_args(argv))
