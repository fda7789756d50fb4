"""What the server has and how fast it answers, once a second, from outside."""

import http.client
import os
import re
import threading
import time

KINDS = {"rss_mib": r"^Rss:\s+(\d+) kB", "pss_mib": r"^Pss:\s+(\d+) kB"}


class Sampler:
    """Measures once a second until it is stopped."""

    def __init__(self, server):
        self.server = server
        self.rows = []
        self.resting = False
        self._stopped = threading.Event()
        self._probe = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self, began):
        self._began = began
        self._thread.start()

    def stop(self):
        self._stopped.set()
        self._thread.join(60)

    def measure(self):
        """Memory in MiB, threads and descriptors of the process now."""
        proc = f"/proc/{self.server.pid}"
        with open(f"{proc}/smaps_rollup") as file:
            rollup = file.read()
        found = {
            name: int(re.search(pattern, rollup, re.MULTILINE)[1]) / 1024
            for name, pattern in KINDS.items()
        }
        found["threads"] = len(os.listdir(f"{proc}/task"))
        found["fds"] = len(os.listdir(f"{proc}/fd"))
        return found

    def _run(self):
        due = time.monotonic()
        while not self._stopped.is_set():
            try:
                row = self.measure()
            except OSError:
                return  # It is gone; the run says so.
            row["at"] = round(time.monotonic() - self._began, 2)
            row["resting"] = self.resting
            row["ping_ms"] = self._timed("GET", "/ping", None)
            row["predict_ms"] = self._timed("POST", "/predictions/mlp", b"[0.1, -0.2, 0.3, 0.4]")
            self.rows.append(row)
            due += 1
            self._stopped.wait(max(0, due - time.monotonic()))

    def _timed(self, method, path, body):
        """Milliseconds, or none when it was not answered 200."""
        began = time.monotonic()
        for attempt in range(2):
            try:
                if self._probe is None:
                    address = self.server.addresses["inference"]
                    self._probe = http.client.HTTPConnection(*address, timeout=30)
                headers = {"Authorization": f"Bearer {self.server.keys()['inference']}"}
                self._probe.request(method, path, body, headers)
                answer = self._probe.getresponse()
                answer.read()
                if answer.status == 200:
                    return round((time.monotonic() - began) * 1000, 3)
            except (OSError, http.client.HTTPException):
                # A kept connection may have been closed for its age.
                if self._probe is not None:
                    self._probe.close()
                self._probe = None
        return None
