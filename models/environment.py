"""The Python environment with torch in it, for the scripts that train, trace and make goldens.

Made once by `make.py --run`, in the cache folder, of `requirements.txt`. The PyPI wheel of torch
for x86-64 Linux cannot be imported without its NVIDIA libraries, so that it takes about 5 GB there.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cache

REQUIREMENTS = Path(__file__).resolve().parent / "requirements.txt"
CHECK = "import torch, torchvision, numpy, PIL; print('torch', torch.__version__)"


def python():
    """The environment's interpreter; builds the environment when it is missing or out of date."""
    folder = cache.folder() / "models-venv"
    interpreter = folder / "bin" / "python"
    # Written last, so that an environment that was interrupted is built again.
    done = folder / "requirements.sha256"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    with cache.locked("models-venv"):
        if done.exists() and done.read_text() == wanted and interpreter.exists():
            return interpreter
        try:
            build(folder, interpreter)
        except BaseException:
            print(f"removing the unfinished environment {folder}", file=sys.stderr)
            shutil.rmtree(folder, ignore_errors=True)
            raise
        done.write_text(wanted)
    return interpreter


def build(folder, interpreter):
    print(f"building {folder} from {REQUIREMENTS.name} (2.5 GB to fetch, 5 GB on disk)", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    create(folder)
    pip = [str(interpreter), "-m", "pip", "--disable-pip-version-check"]
    install = [*pip, "install", "--quiet", "--only-binary", ":all:", "-r", str(REQUIREMENTS)]
    subprocess.run(install, check=True)
    subprocess.run([str(interpreter), "-c", CHECK], check=True)


def create(folder):
    """`python3 -m venv`, or `virtualenv` where Python came without ensurepip (Debian)."""
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(folder)], capture_output=True, text=True
    )
    if made.returncode == 0:
        return
    shutil.rmtree(folder, ignore_errors=True)
    if shutil.which("virtualenv") is None:
        sys.stderr.write(made.stdout + made.stderr)
        raise SystemExit("no virtual environment: install python3-venv or virtualenv")
    subprocess.run(["virtualenv", "--quiet", "-p", sys.executable, str(folder)], check=True)


def run(script, arguments):
    """Replaces this process by `script` in the environment."""
    interpreter = str(python())
    os.execv(interpreter, [interpreter, script, *arguments])
