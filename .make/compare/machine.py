"""The machine that a comparison runs on, and the build that it measures."""

import datetime
import os
import pathlib
import platform
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def pin(cores):
    """Confines this program and its children, servers and client, to so many cores."""
    available = sorted(os.sched_getaffinity(0))[:cores]
    if len(available) < cores:
        print(f"only {len(available)} cores here, not {cores}", file=sys.stderr)
    confine(available)
    return available


def confine(cores):
    """Confines this program, and what it starts from now on, to these cores."""
    os.sched_setaffinity(0, cores)


def release():
    """The folder with the release build."""
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    return pathlib.Path(ROOT, target, "release")


def build(*arguments):
    command = [os.environ.get("CARGO", "cargo"), "build", "--release", "--locked", *arguments]
    subprocess.run(command, cwd=ROOT, check=True)


def describe(cores):
    """What a reader has to know to judge the figures."""
    model = "?"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    return {
        "date": datetime.date.today().isoformat(),
        "processor": model,
        "cores": len(cores),
        "kernel": platform.release(),
        "commit": commit or "?",
        "load_before": round(os.getloadavg()[0], 2),
    }
