#!/usr/bin/env python3
"""Asks a server everything that its OpenAPI documents allow, and much that they do not.

    tests/openapi/run.py --bin target/debug/torchfront

Installs schemathesis once into the user's cache, starts the server on free ports with a scratch model
store, and runs schemathesis against the three `/openapi.json` with a fixed seed and few examples an
operation; then again with token authorization, with each listener's key and without one. Exit status 0:
no server error, and no status, media type, body or header that a document does not name.
"""

import argparse
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv

VERSION = "4.32.5"
CONFIG = pathlib.Path(__file__).resolve().parent / "schemathesis.toml"
ARCHIVES = pathlib.Path(__file__).resolve().parent.parent / "goldens" / "archives"
# One of JSON, one of pictures, and one that is only in the store.
LOADED = ["mlp.mar", "tiny_classifier.mar"]
STORE = [*LOADED, "scalars_out.mar"]
CHECKS = ",".join([
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
])


def program():
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    folder = cache / "torchfront" / f"schemathesis-{VERSION}"
    program = folder / "bin" / "schemathesis"
    if not program.exists():
        print(f"fetching schemathesis {VERSION} into {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, f"schemathesis=={VERSION}"], check=True)
    return program


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_until_ready(port, server):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    sys.exit("the server did not start")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, help="the server")
    parser.add_argument("--examples", type=int, default=5, help="of an operation")
    options = parser.parse_args()
    schemathesis = program()
    ask_everything(schemathesis, options.bin, options.examples, tokens=False)
    # What differs is who may ask: fewer examples say as much.
    ask_everything(schemathesis, options.bin, 1, tokens=True)


def ask_everything(schemathesis, binary, examples, tokens):
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        store = folder / "store"
        store.mkdir()
        for name in STORE:
            shutil.copy(ARCHIVES / name, store)
        ports = free_ports(3)
        listeners = dict(zip(["inference", "management", "metrics"], ports))
        lines = [f"{name}_address=http://127.0.0.1:{port}" for name, port in listeners.items()]
        lines += [
            f"model_store={store}",
            f"load_models={','.join(LOADED)}",
            f"disable_token_authorization={str(not tokens).lower()}",
            "enable_model_api=true",
            "access_log=false",
            # Its routes are in the document where pages may report.
            "cors.report.enabled=true",
        ]
        properties = folder / "config.properties"
        properties.write_text("\n".join(lines) + "\n")
        command = [pathlib.Path(binary).resolve(), "--foreground", "--start", "--ts-config", properties]
        with open(folder / "log", "w+") as log:
            server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
            try:
                wait_until_ready(listeners["inference"], server)
                failed = [label for label, port, key in asked(listeners, folder, tokens)
                          if not conforms(schemathesis, label, port, key, folder, examples)]
                if server.poll() is not None:
                    failed.append(f"the server ended with {server.returncode}")
            finally:
                server.terminate()
                server.wait(30)
            if failed:
                log.seek(0)
                print("".join(log.readlines()[-20:]))
                sys.exit(f"not as documented: {', '.join(failed)}")


def asked(listeners, folder, tokens):
    """Label, port and key of each pass."""
    if not tokens:
        return [(name, port, None) for name, port in listeners.items()]
    keys = json.loads((folder / "key_file.json").read_text())
    inference, management = (keys[name]["key"] for name in ("inference", "management"))
    return [
        ("inference with its key", listeners["inference"], inference),
        ("inference without a key", listeners["inference"], None),
        ("management with its key", listeners["management"], management),
        ("management with the key of another", listeners["management"], inference),
    ]


def conforms(schemathesis, label, port, key, folder, examples):
    print(f"-- {label}", flush=True)
    command = [
        schemathesis, "--config-file", CONFIG, "run", f"http://127.0.0.1:{port}/openapi.json",
        "--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-examples", str(examples),
        "--seed", "1", "--generation-deterministic",
        "--no-shrink", "--request-timeout", "30", "--warnings", "off", "--no-color",
        "--continue-on-failure",
    ]
    if key:
        command += ["--header", f"Authorization: Bearer {key}"]
    return subprocess.run(command, cwd=folder).returncode == 0


if __name__ == "__main__":
    main()
