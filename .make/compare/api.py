"""The REST APIs: one list of requests to TorchServe and to Torchfront, answers side by side.

    make compare WHAT=api                            every run
    make compare WHAT=api ARGS="--run tokens"        one run; --verbose tells what is meant, too
    make compare WHAT=api ARGS=record                TorchServe alone, into tests/torchserve/recorded

Nothing is timed, so the debug binary will do. `make test` compares with the recorded answers.
"""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main(arguments):
    if "-h" in arguments or "--help" in arguments:
        print(__doc__, end="")
        return
    replay = [sys.executable, ROOT / "tests/torchserve"]
    if arguments[:1] == ["record"]:
        sys.exit(subprocess.run([*replay, *arguments], cwd=ROOT).returncode)
    build = [os.environ.get("CARGO", "cargo"), "build", "--locked", "--bin", "torchfront"]
    subprocess.run(build, cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    command = [*replay, "compare", "--bin", target / "debug/torchfront", *arguments]
    sys.exit(subprocess.run(command, cwd=ROOT).returncode)
