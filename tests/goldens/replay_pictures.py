#!/usr/bin/env python3
"""Sends odd pictures to the real binary over HTTP and compares with Python's answers.

    python3 models/make.py && python3 tests/goldens/replay_pictures.py --bin target/debug/torchfront

The pictures of `pictures.zip` go to models/efficientnet_lite0.mar, and the probabilities are compared
with `pictures.json`: 1e-6 where the format keeps every pixel, 1e-4 for JPEG. `--config "optimize: freeze"`
tries other settings of the model than the server's own choice.
"""

import argparse
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ARCHIVE = HERE.parent.parent / "models" / "efficientnet_lite0.mar"
LOSSLESS, JPEG = 1e-6, 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bin", required=True, type=Path)
    parser.add_argument("--config", default="", help="lines of model-config.yaml")
    options = parser.parse_args()
    sys.exit(1 if pictures(options.bin, options.config) else 0)


def pictures(binary, config):
    goldens = json.loads((HERE / "pictures.json").read_text())["pictures"]
    archive = zipfile.ZipFile(HERE / "pictures.zip")
    worst, bad, compared = {"JPEG": 0.0, "lossless": 0.0}, [], 0
    with tempfile.TemporaryDirectory() as folder, serving(binary, configured(folder, config)) as url:
        for golden in goldens:
            name = golden["file"]
            status, body = post(url, archive.read(name), "application/octet-stream")
            if status != 200:
                print(f"  {name}: {status} {json.loads(body)['message']}")
                bad += [name] if golden["read"] else []
                continue
            got = json.loads(body)
            expected = golden["efficientnet_lite0"]
            kind = "JPEG" if name.endswith((".jpg", "lossy.webp")) else "lossless"
            far = max(abs(p - got.get(label, 0.0)) for label, p in expected.items())
            if not golden["exact"]:
                continue
            compared += 1
            worst[kind] = max(worst[kind], far)
            if far > (JPEG if kind == "JPEG" else LOSSLESS):
                bad.append(f"{name}: {far:.2g}")
    print(f"pictures: {compared} compared, largest difference {worst}; wrong: {bad or 'none'}")
    return len(bad)


def configured(folder, config):
    """The archive with these settings."""
    made = Path(folder, ARCHIVE.name)
    with zipfile.ZipFile(ARCHIVE) as archive, zipfile.ZipFile(made, "w") as copy:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "MAR-INF/MANIFEST.json":
                manifest = json.loads(content)
                manifest["model"]["configFile"] = "model-config.yaml"
                content = json.dumps(manifest)
            copy.writestr(name, content)
        copy.writestr("model-config.yaml", config + "\n")
    return made


@contextlib.contextmanager
def serving(binary, archive):
    name = archive.stem
    with tempfile.TemporaryDirectory() as folder:
        ports = [free_port() for _ in range(5)]
        names = ("inference", "management", "metrics")
        lines = [f"{n}_address=http://127.0.0.1:{port}" for n, port in zip(names, ports)]
        lines += [f"grpc_inference_port={ports[3]}", f"grpc_management_port={ports[4]}"]
        lines += [f"model_store={archive.parent.resolve()}", f"load_models={name}={archive.name}"]
        lines += ["disable_token_authorization=true", "default_workers_per_model=1"]
        config = Path(folder, "config.properties")
        config.write_text("\n".join(lines) + "\n")
        command = [str(binary.resolve()), "--ts-config", str(config), "--ncs", "--foreground"]
        log = open(Path(folder, "log"), "w+")
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait(f"http://127.0.0.1:{ports[0]}/ping", server, log)
            yield f"http://127.0.0.1:{ports[0]}/predictions/{name}"
        finally:
            server.terminate()
            server.wait()
            log.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(url, server, log):
    for _ in range(1200):
        if server.poll() is not None:
            log.seek(0)
            raise SystemExit(log.read())
        with contextlib.suppress(OSError):
            if urllib.request.urlopen(url).status == 200:
                return
        time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


def post(url, body, kind):
    request = urllib.request.Request(url, body, {"Content-Type": kind}, method="POST")
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


if __name__ == "__main__":
    main()
