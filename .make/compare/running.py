"""A server while it runs: its process tree, what that costs, its log, its end."""

import contextlib
import http.client
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")


class Running:
    """A started server on `port`; `folder` is its working and temporary folder."""

    def __init__(self, name, process, port, folder, log, started):
        self.name, self.process, self.port = name, process, port
        self.folder, self.log, self.started = folder, log, started

    def wait_until_right(self, fault, seconds=120):
        """Waits until `fault()`, which says what is wrong, finds nothing. Returns the seconds since
        the start. Ends the program when that does not happen."""
        reason = "no answer"
        while time.monotonic() - self.started < seconds:
            if self.process.poll() is not None:
                break
            try:
                reason = fault()
            except (OSError, http.client.HTTPException) as error:
                reason = str(error) or type(error).__name__
            if reason is None:
                return time.monotonic() - self.started
            time.sleep(0.02)
        sys.exit(f"{self.name}: {reason}\n{self.log.read_text(errors='replace')[-2000:]}")

    def cpu_seconds(self):
        """Processor time of the whole tree so far."""
        return cpu_ticks(self.process.pid) / TICKS

    def memory(self):
        """The tree's proportional set size in bytes: a page that n processes share counts 1/n."""
        return sum(proportional_set_size(pid) for pid in tree(self.process.pid))


@contextlib.contextmanager
def started(name, command, environment=None):
    """Starts `command(folder, port)`, and ends the session that it was started in afterwards."""
    with tempfile.TemporaryDirectory(prefix="compare-", ignore_cleanup_errors=True) as temporary:
        folder = pathlib.Path(temporary)
        port = free_port()
        log = folder / "output.log"
        words = [str(word) for word in command(folder, port)]
        own = {**os.environ, **(environment or {}), "TMPDIR": temporary, "TEMP": temporary}
        begin = time.monotonic()
        with open(log, "wb") as output:
            process = subprocess.Popen(
                words,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=own,
                start_new_session=True,
            )
        try:
            yield Running(name, process, port, folder, log, begin)
        finally:
            stop(process)


def stop(process):
    """Ends the session that the server was started in."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            pass
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            continue
        if wait_for_group(process.pid):
            return


def wait_for_group(group, seconds=10):
    """Whether the rest of a process group ends, too: workers may outlive the first process."""
    for _ in range(seconds * 20):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def free_port(*taken):
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in taken:
            return port


def processes():
    """Parent and processor ticks of every process, by its id."""
    found = {}
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = entry.read_text()
        except OSError:
            continue
        # The name in brackets may contain blanks.
        fields = text.rpartition(")")[2].split()
        found[int(text.split()[0])] = (int(fields[1]), int(fields[11]) + int(fields[12]))
    return found


def tree(root, found=None):
    """A process and everything below it."""
    children = {}
    for pid, (parent, _) in (found or processes()).items():
        children.setdefault(parent, []).append(pid)
    members, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        members.append(pid)
        waiting += children.get(pid, [])
    return members


def cpu_ticks(root):
    """User and system time of a process and everything below it, in clock ticks."""
    found = processes()
    return sum(found[pid][1] for pid in tree(root, found) if pid in found)


def proportional_set_size(pid):
    try:
        lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
