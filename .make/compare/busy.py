"""Preflights while photographs keep every core busy: how long one waits, one at a time.

    make compare WHAT=busy                           Torchfront, and the floor
    make compare WHAT=busy ARGS=--torchserve         TorchServe 0.12 too
    make compare WHAT=busy ARGS="--rounds 9"         figures to quote

wrk sends a photograph to resnet18 over 16 connections, as `WHAT=inference` does; meanwhile another wrk
sends preflights over one connection, each after the answer to the one before. The floor is a bare
actix-http service in a process of its own beside Torchfront's forwards: what it waits for is a core, so
what Torchfront waits beyond it would be a queue, a lock or a forward. Each server is in a session of its own,
as the system divides the cores among sessions. Contenders take turns; figures are medians of the rounds, a
ratio is the median of the ratios within each round. Needs wrk.
"""

import argparse
import concurrent.futures
import contextlib
import pathlib
import statistics
import sys
import tempfile
import time

import client
import inference
import machine
import peers
import preflight
from running import started

# Seconds until the server is busy; and that the photographs go on for after the last preflight.
AHEAD, BEHIND = 2, 1
PHOTOGRAPHS = 16  # connections


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
    ours = torchfront(pathlib.Path(arguments.binary or release / "torchfront"), cores)
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


def turn(contender, photograph, scripts, arguments):
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
        photographs, preflights = scripts
        seconds = arguments.seconds + AHEAD + BEHIND
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(1))
        url = f"http://127.0.0.1:{server.port}/predictions/{photograph.model}"
        load = pool.submit(client.wrk, url, photographs, PHOTOGRAPHS, seconds)
        time.sleep(AHEAD)
        before, clock = server.cpu_seconds(), time.monotonic()
        url = f"http://127.0.0.1:{asked.port}{preflight.TARGET}"
        found = client.wrk(url, preflights, 1, arguments.seconds)
        busy = (server.cpu_seconds() - before) / (time.monotonic() - clock) / arguments.cores
        load = load.result()
    for what, result in (("preflights", found), ("photographs", load)):
        if result["errors"] or not result["requests"]:
            sys.exit(f"{contender.name}: of {result['requests']} {what} {result['errors']} failed")
    contender.rounds.append(
        {
            "rate": found["requests"] / found["us"] * 1e6,
            "p50": found["p50"] / 1000,
            "p99": found["p99"] / 1000,
            "photographs": load["requests"] / load["us"] * 1e6,
            "busy": busy,
        }
    )


def wrong_status(contender, port):
    status, _ = preflight.ask(port, preflight.PREFLIGHT)
    return None if status == contender.status else f"a preflight was answered with {status}"


# --- the table -------------------------------------------------------------------------------


def table(measured):
    floor = measured[0]
    print("| preflights answered by | a second | p50, ms | p99, ms | ratio | photographs/s | busy |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for each in measured:
        middle = {key: statistics.median(r[key] for r in each.rounds) for key in each.rounds[0]}
        ratio = statistics.median(
            own["p99"] / base["p99"] for own, base in zip(each.rounds, floor.rounds)
        )
        print(
            f"| {each.name} | {middle['rate']:,.0f} | {middle['p50']:.2f} | {middle['p99']:.2f} "
            f"| {ratio:.2f} | {middle['photographs']:.1f} | {middle['busy']:.0%} |"
        )
    print("\nratio: of p99; busy: of the cores, by the server of photographs. p99 of the rounds, in ms:")
    for each in measured:
        print(f"  {each.name}: " + " ".join(f"{one['p99']:.2f}" for one in each.rounds))


def measure(arguments):
    client.need_wrk()
    if not arguments.no_build:
        machine.build("--bin", "torchfront", "--example", "bare_http")
    expected = inference.prepare(inference.PHOTO)
    arguments.cores = len(machine.pin(arguments.cores))
    measured = contenders(arguments)
    *_, photograph = inference.workloads(inference.PHOTO, expected)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        headers = {"Content-Type": photograph.content_type}
        scripts = (
            client.script(folder / "photographs.lua", "POST", headers, inference.PHOTO),
            client.script(folder / "preflights.lua", "OPTIONS", preflight.PREFLIGHT),
        )
        for number in range(arguments.rounds):
            for each in measured:
                print(f"round {number + 1} of {arguments.rounds}: {each.name}", file=sys.stderr)
                turn(each, photograph, scripts, arguments)
    table(measured)


def main(argv):
    description, _, rest = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        prog="compare busy",
        description=description,
        epilog=rest,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--cores", type=int, default=2, help="shared by the servers and wrk")
    parser.add_argument("--torchserve", action="store_true", help="TorchServe 0.12, if set up")
    parser.add_argument("--binary", metavar="FILE", help="this torchfront, not the release build")
    parser.add_argument("--no-build", action="store_true", help="what was built last")
    measure(parser.parse_args(argv))
