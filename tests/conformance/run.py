#!/usr/bin/env python3
"""Asks a server every case of models that come with a `meta.json`, and compares with Python's answers.

    tests/conformance/run.py --bin target/debug/torchfront [--models DIR] [--only NAME ...]

`DIR` holds one folder a model: `NAME.mar`, `meta.json` and its files (README.md has the form). An
archive with a Python handler of its own is served with `handler: base_handler` in its place. Exit
status 0: every case is within its tolerance, every call that must fail fails, and what TorchServe
refuses and this server answers stands in `served_here.json`.
"""

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import archives
import cases
from server import Server

HERE = Path(__file__).resolve().parent


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, help="the server")
    parser.add_argument("--models", default=HERE / "models", type=Path, help="the models' folder")
    parser.add_argument("--only", nargs="*", default=[], help="names of models")
    parser.add_argument("--verbose", action="store_true", help="print every case")
    options = parser.parse_args()
    known = json.loads((HERE / "served_here.json").read_text())
    models = [
        cases.Model(meta)
        for meta in sorted(options.models.resolve().glob("*/meta.json"))
        if not options.only or meta.parent.name in options.only
    ]
    if not models:
        sys.exit(f"no meta.json below {options.models}")
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for envelope, group in by_envelope(models).items():
            results += ask_all(options.bin, Path(scratch) / (envelope or "none"), envelope, group)
    failed = report(results, known, options.verbose)
    sys.exit(1 if failed or not results else 0)


def by_envelope(models):
    """What each server is asked: its envelope to (model, case)."""
    groups = defaultdict(list)
    for model in models:
        for case in model.cases():
            groups[case.envelope].append((model, case))
    return groups


def ask_all(binary, folder, envelope, group):
    store = folder / "store"
    store.mkdir(parents=True)
    for model, case in group:
        archive = store / case.archive
        if not archive.exists():
            archives.write(model.archive, archive, case.handler)
    lines = [f"service_envelope={envelope}"] if envelope else []
    results = []
    with Server(binary, folder, store, lines) as server:
        loaded = set()
        for model, case in group:
            # A model that remembers its calls is loaded anew for each case.
            if case.archive not in loaded or model.stateful:
                if case.archive in loaded:
                    server.unregister(case.name)
                server.register(case.archive)
                loaded.add(case.archive)
            results.append((f"{model.name}/{case.id}", case.run(server)))
    return results


def report(results, known, verbose):
    failed = 0
    for name, result in results:
        if result.verdict == cases.Verdict.SERVED and name not in known:
            result.verdict = cases.Verdict.WRONG
            result.why = f"TorchServe refuses it, and served_here.json does not have it: {result.why}"
        if result.verdict == cases.Verdict.WRONG:
            failed += 1
            print(f"WRONG  {name}: {result.why}")
        elif verbose:
            print(f"{result.verdict.value:6} {name} {result.why}")
    served = sum(result.verdict == cases.Verdict.SERVED for _, result in results)
    print(
        f"{len(results) - failed} of {len(results)} cases are right, {served} of them are answered "
        "here and refused by TorchServe"
    )
    return failed


if __name__ == "__main__":
    main()
