#!/usr/bin/env python3
"""Real clients against the server: `curl -T`, Python's `requests`, `tritonclient[http]` with binary
tensors and compression, and Prometheus' own text parser.

    tests/clients/run.py --bin target/debug/torchfront

Installs the clients once into the user's cache, starts the server on free ports with token
authorization on, and runs every check of `checks.py` in that environment. Exit status 0: all passed.
"""

import argparse
import hashlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PACKAGES = (HERE / "requirements.txt").read_text().split()
ARCHIVES = [ROOT / "models/digits.mar", ROOT / "tests/goldens/archives/mlp.mar"]


def python():
    """The interpreter of an environment with the clients."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    name = hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()[:12]
    folder = cache / "torchfront" / f"clients-{name}"
    program, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        print(f"fetching {', '.join(PACKAGES)} into {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([program, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        complete.touch()
    return program


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait(path, server, log):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        if "Model server started" in log.read_text() and path.exists():
            return
        time.sleep(0.05)
    sys.exit(f"the server did not start:\n{log.read_text()[-3000:]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, help="the server")
    options = parser.parse_args()
    binary, interpreter = pathlib.Path(options.bin).resolve(), python()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        store = folder / "store"
        store.mkdir()
        for archive in ARCHIVES:
            shutil.copy(archive, store)
        listeners = ["inference", "management", "metrics"]
        addresses = [f"127.0.0.1:{port}" for port in free_ports(3)]
        lines = [f"{name}_address=http://{at}" for name, at in zip(listeners, addresses)]
        lines += [f"model_store={store}", "load_models=all", "enable_model_api=true",
                  "response_compression=all"]
        properties = folder / "config.properties"
        properties.write_text("\n".join(lines) + "\n")
        log = folder / "log"
        with open(log, "wb") as output:
            command = [binary, "--foreground", "--start", "--ts-config", properties]
            environment = {**os.environ, "TEMP": str(folder)}
            server = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output,
                                      env=environment)
        try:
            keys = folder / "key_file.json"
            wait(keys, server, log)
            done = subprocess.run([interpreter, HERE / "checks.py", keys, *addresses])
        finally:
            server.terminate()
            server.wait(30)
        if done.returncode != 0:
            print(log.read_text()[-3000:])
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
