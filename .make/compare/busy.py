"""Preflights while photographs keep every core busy: how long one waits.

    make compare WHAT=busy                           Torchfront, and the floor
    make compare WHAT=busy ARGS=--torchserve         TorchServe 0.12 too
    make compare WHAT=busy ARGS="--rounds 9"         figures to quote

`torchfront bench` sends a photograph to resnet18 over 16 connections; meanwhile another one sends
preflights, first one after the other over one connection, then at a constant rate, which takes the time
from when a request was due. The floor is a bare actix-http service in a process of its own beside
Torchfront's forwards: it waits for a core and for nothing else, and it receives no photographs. The
clients share the cores and wait for one themselves: `late` says how long the second did before it sent.
Contenders take turns; figures are medians of the rounds, a ratio is the median of the ratios within
each round.
"""

import concurrent.futures
import contextlib
import pathlib
import statistics
import sys
import time

import command_line
import generator
import inference
import machine
import peers
import preflight
from running import started

# Seconds until the server is busy, and that the photographs go on for after the last preflight.
AHEAD, BEHIND = 2, 2
PHOTOGRAPHS = ["--closed", "-c", "16", "--warm-up", "0s"]
ONE_BY_ONE = ["--closed", "-c", "1", "--warm-up", "500ms"]
RATE = 200  # preflights a second


class Contender(inference.Contender):
    """A server of photographs, and what answers preflights meanwhile: itself, or another program."""

    def __init__(self, name, command, environment=None, status=204, beside=None):
        super().__init__(name, command, environment)
        self.status = status  # of a preflight
        self.beside = beside  # (folder, port) -> arguments


# --- the contenders --------------------------------------------------------------------------


def torchfront(binary, workers):
    def command(folder, port):
        lines = inference.batches(workers) + preflight.policy(".")
        file = inference.properties(folder, port, inference.CACHE, lines)
        return [binary, "--foreground", "--ts-config", file]

    return command


def contenders(arguments):
    release, cores = machine.release(), arguments.cores
    ours = torchfront(arguments.binary, cores)
    listed = [
        Contender(
            "floor: bare actix-http beside",
            ours,
            beside=lambda _, port: [release / "examples/bare_http", f"127.0.0.1:{port}", str(cores)],
        ),
        Contender("torchfront", ours),
    ]
    if arguments.torchserve:
        if not peers.has_torchserve():
            sys.exit(peers.TORCHSERVE_SETUP)
        lines = inference.batches(cores) + preflight.policy("_")
        tuned = peers.torchserve_environment(tuned=True)
        listed.append(
            Contender("TorchServe 0.12, tuned", inference.torchserve(lines), tuned, status=200)
        )
    return listed


# --- one turn --------------------------------------------------------------------------------


def turn(contender, photograph, arguments):
    """Starts the server, keeps it busy and measures preflights meanwhile."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(
            started(contender.name, contender.command, contender.environment)
        )
        server.wait_until_right(lambda: inference.fault(contender, photograph, server.port))
        asked = server
        if contender.beside:
            asked = stack.enter_context(started(contender.name, contender.beside))
        asked.wait_until_right(lambda: wrong_status(contender, asked.port))

        def preflights(load):
            url = f"http://127.0.0.1:{asked.port}{preflight.TARGET}"
            load = [*load, "--duration", f"{arguments.seconds}s"]
            status = contender.status
            return generator.offer(
                arguments.binary, url, load, "OPTIONS", preflight.PREFLIGHT, status
            )

        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(1))
        seconds = AHEAD + 2 * (arguments.seconds + 1) + BEHIND
        load = pool.submit(
            generator.offer,
            arguments.binary,
            f"http://127.0.0.1:{server.port}/predictions/{photograph.model}",
            [*PHOTOGRAPHS, "--duration", f"{seconds}s"],
            body=inference.PHOTO,
        )
        time.sleep(AHEAD)
        before, clock = server.cpu_seconds(), time.monotonic()
        one_by_one = preflights(ONE_BY_ONE)
        at_rate = preflights(["--rate", str(RATE), "--warm-up", "500ms"])
        busy = (server.cpu_seconds() - before) / (time.monotonic() - clock) / arguments.cores
        if load.done():
            sys.exit(f"{contender.name}: the photographs ended before the preflights")
        photographs = load.result()["ok"] / seconds
    contender.rounds.append(
        {
            "p50": one_by_one["latency_ms"]["p50"],
            "p99": one_by_one["latency_ms"]["p99"],
            "p50 at rate": at_rate["latency_ms"]["p50"],
            "p99 at rate": at_rate["latency_ms"]["p99"],
            "late": at_rate["generator"]["late_ms"]["p99"],
            "photographs": photographs,
            "busy": busy,
        }
    )


def wrong_status(contender, port):
    status, _ = preflight.ask(port, preflight.PREFLIGHT)
    return None if status == contender.status else f"a preflight was answered with {status}"


# --- the table -------------------------------------------------------------------------------


def table(measured, conditions):
    floor = measured[0]
    print(
        f"{conditions['date']}, {conditions['processor']}, {conditions['cores']} cores shared with "
        f"the clients, torchfront {conditions['commit']}; milliseconds\n"
    )
    print(
        f"| preflights answered by | one by one: p50 | p99 | x floor | {RATE}/s: p50 | p99 | x floor "
        "| late, p99 | photographs/s | busy |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for each in measured:
        middle = {key: statistics.median(r[key] for r in each.rounds) for key in each.rounds[0]}

        def of_floor(key):
            pairs = zip(each.rounds, floor.rounds)
            return statistics.median(own[key] / base[key] for own, base in pairs)

        cells = [
            *(f"{middle[key]:.2f}" for key in ("p50", "p99")),
            f"{of_floor('p99'):.2f}",
            *(f"{middle[key]:.2f}" for key in ("p50 at rate", "p99 at rate")),
            f"{of_floor('p99 at rate'):.2f}",
            f"{middle['late']:.2f}",
            f"{middle['photographs']:.1f}",
            f"{middle['busy']:.0%}",
        ]
        print(f"| {each.name} | " + " | ".join(cells) + " |")
    print("\nbusy: of the cores, by the server of photographs. p99 of the rounds:")
    for each in measured:
        for key in ("p99", "p99 at rate"):
            print(f"  {each.name}, {key}: " + " ".join(f"{one[key]:.2f}" for one in each.rounds))


def measure(arguments):
    if not arguments.no_build:
        machine.build("--bin", "torchfront", "--example", "bare_http")
    arguments.binary = pathlib.Path(
        arguments.binary or machine.release() / "torchfront"
    ).resolve()
    expected = inference.prepare(inference.PHOTO)
    cores = machine.pin(arguments.cores)
    arguments.cores = len(cores)
    conditions = machine.describe(cores)
    if arguments.binary != machine.release() / "torchfront":
        conditions["commit"] = f"{arguments.binary} (checkout: {conditions['commit']})"
    measured = contenders(arguments)
    *_, photograph = inference.workloads(inference.PHOTO, expected)
    for number in range(arguments.rounds):
        for each in measured:
            print(f"round {number + 1} of {arguments.rounds}: {each.name}", file=sys.stderr)
            turn(each, photograph, arguments)
    table(measured, conditions)


def main(argv):
    parser = command_line.parser("busy", __doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--cores", type=int, default=2, help="shared by servers and clients")
    parser.add_argument("--torchserve", action="store_true", help="TorchServe 0.12, if set up")
    parser.add_argument("--binary", metavar="FILE", help="this torchfront, not the release build")
    parser.add_argument("--no-build", action="store_true", help="what was built last")
    measure(parser.parse_args(argv))
