"""`torchfront bench` as the client: a constant rate, or one request after the other; wrk has no rate,
and adds to its percentiles the requests that it would have sent while it waited."""

import json
import subprocess
import sys


def offer(binary, url, load, method="POST", headers=None, status=200, body=None):
    """The figures of one run, as it prints them. `load`: its flags, that say how much and how long."""
    lines = [word for pair in (headers or {}).items() for word in ("-H", ": ".join(pair))]
    command = [
        binary, "bench", url, "--json", "-X", method, "--expect-status", str(status), *lines, *load
    ]  # fmt: skip
    done = subprocess.run(command + (["--body", body] if body else []), capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    found = json.loads(done.stdout)
    if found["errors"]["total"]:
        sys.exit(f"answers were wrong or missing: {found['errors']}")
    return found
