"""Starts one server, TorchServe or Torchfront, on a run's configuration, and stops it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from exchange import Closed, Connection

sys.path.append(str(Path(__file__).resolve().parents[2] / ".make/compare"))
import peers  # noqa: E402

PATIENCE = 180


def torchserve():
    """The command of TorchServe, and what its environment needs."""
    if not peers.has_torchserve():
        raise SystemExit(peers.TORCHSERVE_SETUP)
    environment = peers.torchserve_environment(tuned=True)
    return [peers.TORCHSERVE / "bin/torchserve", "--start"], environment


def torchfront(binary):
    return [Path(binary).resolve()], {}


def free_ports(number):
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Server:
    """A server that has loaded the models of a run."""

    def __init__(self, command, run, folder, store):
        (program, *rest), environment = command
        self.folder = folder
        ports = free_ports(5)
        if run.one_address:
            ports[1] = ports[0]
        names = ("inference", "management", "metrics")
        self.addresses = {name: ("127.0.0.1", port) for name, port in zip(names, ports)}
        lines = [f"{name}_address=http://127.0.0.1:{port}" for name, port in zip(names, ports)]
        lines += [f"grpc_inference_port={ports[3]}", f"grpc_management_port={ports[4]}"]
        file = folder / "config.properties"
        file.write_text("\n".join([*lines, f"model_store={store}", run.properties()]))
        temporary = folder / "tmp"
        temporary.mkdir()
        self.log = folder / "output.log"
        places = {"TMPDIR": temporary, "TEMP": temporary, "TMP": temporary}
        with open(self.log, "wb") as output:
            self.process = subprocess.Popen(
                [
                    str(word)
                    for word in [program, *rest, "--foreground", "--ncs", "--ts-config", file]
                ],
                cwd=folder,
                env={
                    **os.environ,
                    **environment,
                    **{key: str(path) for key, path in places.items()},
                },
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self.wait(run)
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def keys(self):
        """The three keys of `key_file.json`, by their names there."""
        file = self.folder / "key_file.json"
        try:
            return {name: entry["key"] for name, entry in json.loads(file.read_text()).items()}
        except (OSError, ValueError):
            return {}  # not there, or TorchServe is writing it

    def wait(self, run):
        """Until every model has a worker that serves."""
        names = [name for name, _ in run.models.values()]
        deadline = time.monotonic() + PATIENCE
        while names:
            if self.process.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-3000:]
                raise SystemExit(f"{self.process.args[0]} did not start:\n{tail}")
            if self.serves(run, names[0]):
                names.pop(0)
            else:
                time.sleep(0.05)

    def serves(self, run, model):
        key = self.keys().get("management", "")
        head = f"GET /models/{model} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n"
        if run.tokens and not key:
            return False
        try:
            with Connection(self.addresses["management"]) as connection:
                connection.send(head.encode())
                answer = connection.answer("GET")
        except (OSError, Closed):
            return False
        return answer.status == 200 and b'"READY"' in answer.body

    def stop(self):
        """TorchServe is a Python process, a Java process and the workers."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                break
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                continue
            time.sleep(0.1)
