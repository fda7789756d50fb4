"""wrk as the client: one request, sent again and again on connections that are kept."""

import json
import shutil
import subprocess
import sys

SCRIPT = """\
wrk.method = %(method)s
wrk.headers = %(headers)s
%(body)s
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nRESULT {"requests":%%d,"us":%%d,"p50":%%d,"p99":%%d,"errors":%%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""
BODY = 'local file = assert(io.open(%s, "rb")); wrk.body = file:read("*a"); file:close()'


def need_wrk():
    if not shutil.which("wrk"):
        sys.exit("wrk is missing: apt-get install wrk nginx-light")


def script(path, method, headers, body=None):
    """Writes the script of a request; `body` is the path of a file."""
    pairs = ", ".join(f"[{quoted(name)}] = {quoted(value)}" for name, value in headers.items())
    read = BODY % quoted(str(body)) if body else ""
    text = SCRIPT % {"method": quoted(method), "headers": f"{{ {pairs} }}", "body": read}
    path.write_text(text)
    return path


def wrk(url, script, connections, seconds):
    """Requests, microseconds (us, p50, p99) and errors of a closed loop."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", script]
    done = subprocess.run([*command, url], capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    return json.loads(line.removeprefix("RESULT "))


def quoted(text):
    """As Lua reads it; JSON's escapes of printable ASCII are Lua's, too."""
    return json.dumps(text)
