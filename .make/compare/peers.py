"""Where the other servers are, and the command that installs each."""

import os
import pathlib
import shutil
import subprocess

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "torchfront"
TORCHSERVE = pathlib.Path(os.environ.get("TORCHSERVE_VENV", CACHE / "torchserve-0.12")).expanduser()
LITSERVE = pathlib.Path(os.environ.get("LITSERVE_VENV", CACHE / "litserve")).expanduser()

TORCHSERVE_SETUP = f"""\
TorchServe is not set up. 5 GB, some minutes:
  apt-get install openjdk-17-jre-headless
  python3 -m venv {TORCHSERVE}
  {TORCHSERVE}/bin/pip install torch==2.13.0 torchvision torchserve==0.12.0 \\
      torch-model-archiver captum pyyaml requests pynvml ninja packaging setuptools
(TORCHSERVE_VENV names another virtual environment.)"""

LITSERVE_SETUP = f"""\
LitServe is not set up:
  python3 -m venv {LITSERVE}
  {LITSERVE}/bin/pip install litserve python-multipart
and torch, torchvision and pillow in the same way, unless TorchServe's environment has them.
(LITSERVE_VENV names another virtual environment.)"""


def has_torchserve():
    return (TORCHSERVE / "bin/torchserve").exists() and shutil.which("java") is not None


def torchserve_environment(tuned):
    """What TorchServe is started with; tuned as its documentation says: one thread a worker."""
    environment = {"PATH": f"{TORCHSERVE}/bin:{os.environ['PATH']}"}
    return {**environment, "OMP_NUM_THREADS": "1"} if tuned else environment


def litserve_environment():
    """LitServe's, with TorchServe's torch where its own environment has none; None without both."""
    python = LITSERVE / "bin/python"
    if not python.exists() or not can_import(python, "litserve", "python_multipart"):
        return None
    needed = ("torch", "torchvision", "PIL")
    environment = {"OMP_NUM_THREADS": "1"}
    if can_import(python, *needed):
        return environment
    site = next(TORCHSERVE.glob("lib/python3*/site-packages"), None)
    if site and can_import(TORCHSERVE / "bin/python", *needed):
        return {**environment, "COMPARE_TORCH": str(site)}
    return None


def can_import(python, *modules):
    """Whether an interpreter finds these modules; they are not loaded."""
    code = (
        "import importlib.util, sys; "
        "sys.exit(any(importlib.util.find_spec(name) is None for name in sys.argv[1:]))"
    )
    return subprocess.run([python, "-c", code, *modules], capture_output=True).returncode == 0


def version(environment, package):
    """The version of a package in a virtual environment."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run([environment / "bin/python", "-c", code], capture_output=True, text=True)
    return done.stdout.strip() or "?"
