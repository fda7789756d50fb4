#!/usr/bin/env python3
"""Registers and unregisters models ten thousand times and shows that nothing is left.

    tests/cycles/run.py --bin target/release/torchfront [--cycles 10000]

Four clients at once, each with a model of its own name that it registers with a worker, asks once and
unregisters. Prints the server's memory, threads, open files, unpacked folders and metric series as it
goes; exit status 0: the last quarter needs no more of any of them than the second one did, and every
answer was right. Linux.
"""

import argparse
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "tests/torchserve"))

import servers  # noqa: E402

CLIENTS = 4
SAMPLES = 20
# An allocator keeps some of what was freed.
SLACK = 0.04


class Sample:
    def __init__(self, pid, folder, metrics):
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in status)
        self.values = {
            "memory, MB": int(fields["VmRSS"].split()[0]) / 1024,
            "threads": int(fields["Threads"]),
            "files": len(os.listdir(f"/proc/{pid}/fd")),
            "unpacked": sum(len(names) for _, names, _ in os.walk(folder / "temp")),
            "series": len(metrics.splitlines()),
        }


def ask(connection, method, path, body=None, expect=200):
    connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != expect:
        raise AssertionError(f"{method} {path}: {answer.status} {text[:300]}")
    return text


def client(number, cycles, ports, done, failures):
    name = f"cycle{number}"
    manage = http.client.HTTPConnection("127.0.0.1", ports["management"], timeout=60)
    infer = http.client.HTTPConnection("127.0.0.1", ports["inference"], timeout=60)
    register = f"/models?url=mlp.mar&model_name={name}&initial_workers=1"
    try:
        for _ in range(cycles):
            ask(manage, "POST", register)
            row = json.loads(ask(infer, "POST", f"/predictions/{name}", "[0.1, 0.2, 0.3, 0.4]"))
            assert len(row) == 3, row
            ask(manage, "DELETE", f"/models/{name}")
            done[number] += 1
    except Exception as error:
        failures.append(f"{name}: {error!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, help="the server")
    parser.add_argument("--cycles", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(run(Path(options.bin).resolve(), options.cycles, Path(scratch)))


def run(binary, cycles, folder):
    (folder / "store").mkdir()
    (folder / "temp").mkdir()
    shutil.copy(ROOT / "tests/goldens/archives/mlp.mar", folder / "store")
    ports = dict(zip(["inference", "management", "metrics"], servers.free_ports(3)))
    lines = [f"{name}_address=http://127.0.0.1:{port}" for name, port in ports.items()]
    lines += [f"model_store={folder / 'store'}", "enable_model_api=true", "access_log=false",
              "disable_token_authorization=true", "disable_system_metrics=true"]
    (folder / "config.properties").write_text("\n".join(lines) + "\n")
    log = folder / "log"
    with open(log, "wb") as output:
        server = subprocess.Popen(
            [binary, "--ts-config", folder / "config.properties"], cwd=folder, stdout=output,
            stderr=output, env={**os.environ, "TEMP": str(folder / "temp")})
    try:
        while "Model server started" not in log.read_text():
            if server.poll() is not None:
                raise SystemExit(log.read_text()[-3000:])
            time.sleep(0.05)
        return watch(server, cycles, ports, folder)
    finally:
        server.terminate()
        server.wait(60)


def watch(server, cycles, ports, folder):
    done, failures = [0] * CLIENTS, []
    threads = [threading.Thread(target=client, args=(n, cycles // CLIENTS, ports, done, failures))
               for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    samples, started = [], time.monotonic()
    while any(thread.is_alive() for thread in threads):
        if sum(done) >= len(samples) * cycles / SAMPLES:
            samples.append(sample(server, folder, ports, sum(done)))
        time.sleep(0.02)
    samples.append(sample(server, folder, ports, sum(done)))
    print(f"{sum(done)} cycles in {time.monotonic() - started:.0f} s; "
          f"{len(failures)} clients failed")
    for failure in failures:
        print(failure)
    grown = []
    quarter = len(samples) // 4
    for name in samples[0].values:
        early = max(each.values[name] for each in samples[quarter : 2 * quarter])
        late = max(each.values[name] for each in samples[-quarter:])
        if late > early * (1 + SLACK) + 1:
            grown.append(f"{name} grew from {early:.0f} to {late:.0f}")
    left = samples[-1].values["unpacked"] - samples[0].values["unpacked"]
    if left > 0 and not failures:
        grown.append(f"{left} unpacked folders are left")
    for line in grown:
        print(line)
    return 1 if grown or failures or sum(done) < cycles - CLIENTS else 0


def sample(server, folder, ports, cycles):
    connection = http.client.HTTPConnection("127.0.0.1", ports["metrics"], timeout=60)
    one = Sample(server.pid, folder, ask(connection, "GET", "/metrics").decode())
    connection.close()
    shown = "  ".join(f"{name} {value:.0f}" for name, value in one.values.items())
    print(f"{cycles:>6} cycles  {shown}", flush=True)
    return one


if __name__ == "__main__":
    main()
