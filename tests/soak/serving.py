"""The server under test: started on free loopback ports in a folder of its own, and stopped."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import time

# Served from the start to the end; `operators.py` registers and unregisters others.
MODELS = {
    "mlp": {"minWorkers": 2, "batchSize": 16},
    "batch_probe": {"minWorkers": 2, "batchSize": 16},
    "error_on_negative": {"minWorkers": 2, "batchSize": 16},
    "counter": {"minWorkers": 2, "batchSize": 4},
    "digits": {"minWorkers": 2, "batchSize": 8},
    "tiny_classifier": {"minWorkers": 1, "batchSize": 4},
    "slow": {"minWorkers": 1, "batchSize": 1, "responseTimeout": 1},
}
ORIGIN = "https://always.example"
SOMETIMES = "https://sometimes.example"


class Server:
    """Running between `with` and its end."""

    def __init__(self, binary, root, folder):
        self.folder = folder
        store = folder / "store"
        store.mkdir()
        for archive in (root / "tests/goldens/archives").glob("*.mar"):
            shutil.copy(archive, store)
        shutil.copy(root / "models/digits.mar", store)
        self.config = folder / "config.properties"
        self.write_config(sometimes=True)
        self.log = open(folder / "server.log", "w+b")
        environment = {
            **os.environ,
            "TEMP": str(folder / "temp"),
            "LOG_LOCATION": str(folder / "logs"),
        }
        environment.pop("TS_CONFIG_FILE", None)
        self.process = subprocess.Popen(
            [binary, "--foreground", "--ts-config", self.config],
            cwd=folder,
            env=environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        self.pid = self.process.pid

    def write_config(self, sometimes):
        """The settings, with or without the origin that comes and goes."""
        models = {name: {"1.0": settings} for name, settings in MODELS.items()}
        origins = f"{ORIGIN}, {SOMETIMES}" if sometimes else ORIGIN
        lines = [
            *(f"{role}_address=http://127.0.0.1:0" for role in ("inference", "management", "metrics")),
            f"model_store={self.folder / 'store'}",
            "load_models=" + ",".join(f"{name}.mar" for name in MODELS),
            f"models={json.dumps(models)}",
            "enable_model_api=true",
            "access_log=false",
            # A scrape that falls into a rest must not differ from the others.
            "metric_time_interval=5",
            f"cors.allowed.origin={origins}",
            "cors.allowed.methods=GET, POST, PUT, OPTIONS",
            "cors.allowed.headers=Authorization, Content-Type",
        ]
        new = self.config.with_suffix(".new")
        new.write_text("\n".join([*lines, ""]))
        new.rename(self.config)

    def __enter__(self):
        try:
            self.addresses = self._addresses()
        except BaseException:
            self.process.kill()
            raise
        return self

    def __exit__(self, *_):
        if self.alive():
            self.process.kill()
            self.process.wait()
        self.log.close()

    def _addresses(self):
        end = time.monotonic() + 120
        while time.monotonic() < end:
            text = (self.folder / "server.log").read_text()
            if "Model server started." in text:
                found = re.findall(r"(\w+) API on http://([\d.]+):(\d+)", text)
                return {role: (host, int(port)) for role, host, port in found}
            if not self.alive():
                break
            time.sleep(0.05)
        raise SystemExit(f"the server did not start:\n{(self.folder / 'server.log').read_text()}")

    def alive(self):
        return self.process.poll() is None

    def keys(self):
        """The keys as they are now; the file is replaced whole."""
        keys = json.loads((self.folder / "key_file.json").read_text())
        return {name: entry["key"] for name, entry in keys.items()}

    def metrics_text(self):
        connection = http.client.HTTPConnection(*self.addresses["metrics"], timeout=30)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        """Ends it; what is wrong with how it ended, as texts."""
        if not self.alive():
            status = self.process.returncode
            return [f"the server ended by itself with status {status}:\n{self.tail()}"]
        self.process.terminate()
        wrongs = []
        try:
            status = self.process.wait(60)
            if status != 0:
                wrongs.append(f"exit status {status} after SIGTERM:\n{self.tail()}")
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            wrongs.append("did not end within a minute of SIGTERM")
        panics = [line for line in self.tail(None).splitlines() if "panicked" in line]
        wrongs += [f"panicked: {line}" for line in panics[:10]]
        left = [path for path in (self.folder / "temp").glob("torchfront-*")]
        left += [path for path in (self.folder / "logs").rglob(".*")]
        left += [path for path in self.folder.glob("*key_file*")]
        wrongs += [f"left behind: {path.relative_to(self.folder)}" for path in left]
        return wrongs

    def tail(self, characters=2000):
        text = (self.folder / "server.log").read_text(errors="replace")
        return text if characters is None else text[-characters:]
