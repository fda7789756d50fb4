#!/usr/bin/env python3
"""TorchServe's own API test collections against the server, with local stand-ins for its model zoo.

    tests/collections/run.py --bin target/debug/torchfront [--verbose]

The collections register models by their `https` addresses; here a web server on loopback has archives
of the same names, which all classify digits. Needs the Python standard library. Exit status 0: every
assertion holds, or is one of the README's differences.
"""

import argparse
import base64
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT / "tests/torchserve")]

import servers  # noqa: E402
import steps  # noqa: E402
import store  # noqa: E402

ZOO = ("squeezenet1_1 mnist densenet161 alexnet resnet-18 resnet-152-batch vgg11").split()
PICTURE = (ROOT / "models/samples/digit_7_a.png").read_bytes()
LISTENERS = ("inference", "management", "metrics")


@contextmanager
def server(binary, folder, lines, scheme):
    """A server with an empty model store; yields its addresses by listener."""
    (folder / "store").mkdir(parents=True)
    ports = dict(zip(LISTENERS, servers.free_ports(3)))
    properties = folder / "config.properties"
    properties.write_text("\n".join([
        *(f"{name}_address={scheme}://127.0.0.1:{port}" for name, port in ports.items()),
        f"model_store={folder / 'store'}", "enable_model_api=true",
        "disable_token_authorization=true", "allowed_urls=http://127\\\\.0\\\\.0\\\\.1:.*",
        "download_allowed_networks=127.0.0.0/8", *lines, ""]))
    log = folder / "log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [binary, "--foreground", "--start", "--ncs", "--ts-config", properties], cwd=folder,
            stdout=output, stderr=output, env={**os.environ, "TEMP": str(folder)})
    try:
        deadline = time.monotonic() + 60
        while "Model server started" not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the server did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.05)
        yield ports
    finally:
        process.terminate()
        process.wait(30)


def ask(step, ports, scheme, zoo):
    """Status and body."""
    where = ("127.0.0.1", ports[step.listener])
    if scheme == "https":
        # The server's certificate is its own; newman is told not to look, too.
        unchecked = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(*where, timeout=60, context=unchecked)
    else:
        connection = http.client.HTTPConnection(*where, timeout=60)
    connection.request(step.method, step.path.replace("{zoo}", zoo), step.body, step.headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def problem(step, status, body):
    """What does not hold; none when all does."""
    text = body.decode(errors="replace")
    if step.ours:
        _, statuses = step.ours
        return None if status in statuses else f"{status} is none of {statuses}: {text[:300]}"
    if status not in step.statuses:
        return f"{status} is none of {step.statuses}: {text[:300]}"
    if step.type and json.loads(text)["type"] != step.type:
        return f"type is not {step.type}: {text[:300]}"
    if step.message and step.message not in text.replace('\\"', '"'):
        return f"{step.message!r} is not in {text[:300]}"
    if step.text and not re.search(step.text, text):
        return f"{step.text!r} is not found"
    if step.says and not step.says(json.loads(text)):
        return f"not as asserted: {text[:300]}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, help="the server")
    parser.add_argument("--verbose", action="store_true", help="name every step")
    options = parser.parse_args()
    binary = Path(options.bin).resolve()
    encoded = base64.b64encode(PICTURE).decode()
    instances = json.dumps({"instances": [{"data": encoded}]}).encode()
    inputs = json.dumps({
        "id": "d3b15cad-50a2-4eaf-80ce-8b0a428bd298",
        "inputs": [{"name": "input-0", "shape": [1], "datatype": "BYTES", "data": [encoded]}],
    }).encode()
    collections = [
        ("management", "http", [], steps.management()),
        ("inference", "http", [], steps.inference(PICTURE)),
        ("explanation", "http", [], steps.explanation(PICTURE)),
        ("kserve", "http", ["service_envelope=kserve"], steps.kserve(instances)),
        ("kservev2", "http", ["service_envelope=kservev2"], steps.kservev2(inputs)),
        ("https", "https", [], steps.https(PICTURE)),
        ("workflow", "http", [], steps.workflow()),
    ]
    failed, told = 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "zoo").mkdir()
        for name in ZOO:
            shutil.copy(ROOT / "models/digits.mar", folder / f"zoo/{name}.mar")
        web, zoo = store.serve(folder / "zoo")
        for name, scheme, lines, asked in collections:
            asked = list(asked)
            with server(binary, folder / name, lines, scheme) as ports:
                for step in asked:
                    wrong = problem(step, *ask(step, ports, scheme, zoo))
                    told += bool(step.ours)
                    if wrong:
                        failed += 1
                        print(f"FAILED  {name}: {step.name}: {wrong}")
                    elif options.verbose:
                        print(f"ok      {name}: {step.name} {' '.join(step.ours[:1])}")
            print(f"{name}: {len(asked)} requests", flush=True)
        web.shutdown()
    print(f"{failed} failed, {told} differ on purpose")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
