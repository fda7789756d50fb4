"""Replays one list of requests against TorchServe 0.12 and Torchfront and compares the answers.

    python3 tests/torchserve check --bin target/debug/torchfront     against the recorded answers
    python3 tests/torchserve compare --bin ...                       both servers, side by side
    python3 tests/torchserve record                                  TorchServe, into recorded/

`--run NAME` does one run only. Needs the Python standard library; `record` and `compare` need
TorchServe and Java.
"""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import compare  # noqa: E402
import recordings  # noqa: E402
import replay  # noqa: E402
import runs  # noqa: E402
import servers  # noqa: E402


def arguments(argv):
    parser = argparse.ArgumentParser(prog="tests/torchserve", description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["check", "compare", "record"])
    parser.add_argument("--bin", help="the Torchfront binary")
    parser.add_argument("--run", action="append", help="one run only; may be repeated")
    parser.add_argument("--verbose", action="store_true", help="print explained differences, too")
    chosen = parser.parse_args(argv)
    if chosen.what != "record" and not chosen.bin:
        parser.error("--bin is needed: the Torchfront binary")
    known = [run.name for run in runs.RUNS]
    for name in chosen.run or ():
        if name not in known:
            parser.error(f"there is no run {name}; there are: {', '.join(known)}")
    return chosen


def main(argv):
    chosen = arguments(argv)
    runs.check_names()
    comparison = compare.Comparison()
    for run in runs.RUNS:
        if chosen.run and run.name not in chosen.run:
            continue
        print(f"{run.name}: {len(run.cases)} requests", flush=True)
        if chosen.what == "check":
            expected = recordings.read(run)
        else:
            expected = replay.replay(servers.torchserve(), run)
        if chosen.what == "record":
            recordings.write(run, expected)
            continue
        got = replay.replay(servers.torchfront(chosen.bin), run)
        comparison.add(run, expected, got)
    if chosen.what == "record":
        return 0
    return comparison.report(whole=not chosen.run, verbose=chosen.verbose)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
