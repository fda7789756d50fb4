"""Kills the server with SIGKILL at random moments, and starts it again each time. Promise 5.

    make kill                                         200 times with the release binary
    make kill ARGS="--times 20 --seed 7"
    python3 tests/kill --times 30 --bin target/debug/torchfront     as `make test` does

All runs share one folder: model store, snapshots, key file, temporary folder. In each run the server
restores the latest snapshot; then models are registered (from the store and from a URL, over a slow
connection) and unregistered, keys are rotated and workers scaled by several clients at once, until the
kill. The moment is random from the start of the process on. Every start must succeed, the snapshot that
it restores must be whole, the keys readable by their owner alone, and a model must answer. At the end the
server is started and stopped once more: only what it is meant to keep may be left.
"""

import argparse
import http.client
import http.server
import json
import os
import pathlib
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ARCHIVES = ["mlp", "mlp_v2", "echo", "heavy", "counter"]
# From the start of a process; it serves after a third of a second.
LATEST_KILL = 1.2
PATIENCE = 120


class Failed(Exception):
    """A promise was broken."""


class Run:
    """One life of the server in the shared folder."""

    def __init__(self, binary, folder):
        self.folder = folder
        self.log = open(folder / "server.log", "wb")
        environment = {
            **os.environ,
            "TEMP": str(folder / "temp"),
            "LOG_LOCATION": str(folder / "logs"),
        }
        environment.pop("TS_CONFIG_FILE", None)
        command = [binary, "--foreground", "--ts-config", folder / "config.properties", "--snapshot"]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=self.log, stderr=subprocess.STDOUT
        )
        self.addresses = None

    def text(self):
        return (self.folder / "server.log").read_text(errors="replace")

    def wait_until_it_serves(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            text = self.text()
            if "Model server started." in text:
                self.read_addresses(text)
                return
            if self.process.poll() is not None:
                raise Failed(f"it did not start, status {self.process.returncode}:\n{text}")
            time.sleep(0.01)
        raise Failed(f"it did not start:\n{self.text()}")

    def read_addresses(self, text):
        found = re.findall(r"(\w+) API on http://([\d.]+):(\d+)", text)
        self.addresses = {role: (host, int(port)) for role, host, port in found}

    def ask(self, role, method, path, key, body=b""):
        keys = json.loads((self.folder / "key_file.json").read_text())
        connection = http.client.HTTPConnection(*self.addresses[role], timeout=PATIENCE)
        try:
            headers = {"Authorization": f"Bearer {keys[key]['key']}"}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def end(self, number):
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        self.log.close()
        return status


class SlowFiles(http.server.BaseHTTPRequestHandler):
    """Serves one archive, slowly, under any name."""

    content = b""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        try:
            for start in range(0, len(self.content), 256):
                self.wfile.write(self.content[start : start + 256])
                time.sleep(0.02)
        except OSError:
            pass  # Its client was killed.

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None, help="of the moments; printed")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "target/release/torchfront")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(1 << 32)
    with tempfile.TemporaryDirectory(prefix="torchfront-kill-") as folder:
        try:
            done = kill(options.bin.resolve(), pathlib.Path(folder), options.times, seed)
        except Failed as failed:
            print(f"FAILED with --seed {seed}: {failed}")
            return 1
    print(done)
    return 0


def kill(binary, folder, times, seed):
    chance = random.Random(seed)
    files = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SlowFiles)
    SlowFiles.content = (ROOT / "tests/goldens/archives/heavy.mar").read_bytes()
    threading.Thread(target=files.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{files.server_address[1]}/downloaded.mar"
    prepare(folder, url)
    # The first snapshot, so that there is one to restore.
    first = Run(binary, folder)
    first.wait_until_it_serves()
    first.end(signal.SIGTERM)
    moments = {"while it started": 0, "while it served": 0}
    for number in range(times):
        run = Run(binary, folder)
        moment = time.monotonic() + chance.uniform(0, LATEST_KILL)
        killed_early = not started_before(run, moment)
        if not killed_early:
            act(run, moment, chance, url)
        moments["while it started" if killed_early else "while it served"] += 1
        run.end(signal.SIGKILL)
        check(binary, folder, number)
    files.shutdown()
    time.sleep(1.2)  # What is younger may still be somebody's.
    last = Run(binary, folder)
    last.wait_until_it_serves()
    status = last.end(signal.SIGTERM)
    if status != 0:
        raise Failed(f"status {status} at the last stop:\n{last.text()}")
    look_for_strays(folder)
    places = ", ".join(f"{count} {place}" for place, count in moments.items())
    return f"{times} kills ({places}; --seed {seed}), {times} clean starts, no stray file"


def prepare(folder, url):
    store = folder / "store"
    store.mkdir()
    for archive in ARCHIVES:
        shutil.copy(ROOT / f"tests/goldens/archives/{archive}.mar", store)
    lines = [
        *(f"{role}_address=http://127.0.0.1:0" for role in ("inference", "management", "metrics")),
        f"model_store={store}",
        "load_models=mlp.mar",
        "enable_model_api=true",
        "default_workers_per_model=1",
        "access_log=false",
        f"allowed_urls={re.escape(url)}".replace("\\", "\\\\"),
        "download_allowed_networks=127.0.0.0/8",
        "download_min_rate=0",
    ]
    (folder / "config.properties").write_text("\n".join([*lines, ""]))


def started_before(run, moment):
    """Waits until it serves, or until the moment has come."""
    while time.monotonic() < moment:
        text = run.text()
        if "Model server started." in text:
            run.read_addresses(text)
            return True
        if run.process.poll() is not None:
            raise Failed(f"it did not start, status {run.process.returncode}:\n{text}")
        time.sleep(0.005)
    return False


def act(run, moment, chance, url):
    """Everything at once, again and again, until the moment has come."""

    def repeat(seed, calls):
        own = random.Random(seed)
        while time.monotonic() < moment:
            role, method, path, key = own.choice(calls)
            try:
                run.ask(role, method, path, key)
            except (OSError, http.client.HTTPException, ValueError):
                return  # It is about to be killed, or was.

    management = [
        ("management", "POST", f"/models?url={name}.mar&initial_workers=1", "management")
        for name in ARCHIVES[1:]
    ]
    management += [
        ("management", "DELETE", f"/models/{name}", "management") for name in ("echo", "heavy", "mlp/2.0")
    ]
    management.append(("management", "PUT", "/models/mlp?min_worker=2&max_worker=2", "management"))
    download = [
        ("management", "POST", f"/models?url={url}&model_name=downloaded&initial_workers=1", "management"),
        ("management", "DELETE", "/models/downloaded", "management"),
    ]
    rotate = [("management", "PUT", f"/token?type={which}", "API") for which in ("inference", "management")]
    threads = [
        threading.Thread(target=repeat, args=(chance.random(), calls), daemon=True)
        for calls in (management, management, download, rotate)
    ]
    for thread in threads:
        thread.start()
    time.sleep(max(0, moment - time.monotonic()))


def check(binary, folder, number):
    """A start after the kill: it succeeds, its model answers, its keys are its own."""
    names = [path.name for path in (folder / "logs/config").iterdir()]
    for name in names:
        if not name.startswith("."):
            text = (folder / "logs/config" / name).read_text()
            if "model_snapshot=" not in text or not text.endswith("\n"):
                raise Failed(f"after kill {number}: the snapshot {name} is not whole:\n{text}")
    if number % 5:
        return  # The next run is a start, too: what it restores, it must load.
    run = Run(binary, folder)
    try:
        run.wait_until_it_serves()
        mode = stat.S_IMODE((folder / "key_file.json").stat().st_mode)
        if mode != 0o600:
            raise Failed(f"after kill {number}: key_file.json has mode {mode:o}")
        status, body = run.ask(
            "inference", "POST", "/predictions/mlp", "inference", b"[0.1, -0.2, 0.3, 0.4]"
        )
        if status != 200:
            raise Failed(f"after kill {number}: mlp answers {status} {body!r}:\n{run.text()}")
    finally:
        run.end(signal.SIGKILL)


def look_for_strays(folder):
    """What the server is meant to keep is known; everything else is stray."""
    kept = {"config.properties", "server.log", "store", "logs", "temp"}
    strays = [path for path in folder.iterdir() if path.name not in kept]
    archives = {f"{archive}.mar" for archive in ARCHIVES} | {"downloaded.mar"}
    strays += [path for path in (folder / "store").iterdir() if path.name not in archives]
    strays += [path for path in (folder / "temp").iterdir()]
    snapshot = re.compile(r"\d{17}-(startup|snapshot|shutdown)\.cfg")
    snapshots = list((folder / "logs/config").iterdir())
    strays += [path for path in snapshots if not snapshot.fullmatch(path.name)]
    if len(snapshots) > 101:
        strays.append(f"{len(snapshots)} snapshots")
    if strays:
        raise Failed(f"left behind: {', '.join(map(str, strays))}")


if __name__ == "__main__":
    sys.exit(main())
