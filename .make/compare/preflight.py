"""CORS preflights: Torchfront next to nginx, bare actix and TorchServe.

    make compare WHAT=preflight                      every contender that is installed
    make compare WHAT=preflight ARGS=--torchserve    TorchServe 0.12 too
    make compare WHAT=preflight ARGS=--apart         servers on one half of the cores, wrk on the other
    make compare WHAT=preflight ARGS=--help          rounds, seconds, cores, one contender only

One server is alive at a time. The contenders take turns (A B C A B C ...), so that what the machine
does besides falls on all of them; a ratio is the median of the ratios within each round. Server and
wrk share the same cores, and a server has two speeds then, as the kernel places its threads with wrk's or
not: with --apart it has one. Each server's answer is checked before it is timed. Needs wrk; nginx for
its row: apt-get install wrk nginx-light
"""

import http.client
import os
import pathlib
import shutil
import statistics
import sys
import tempfile

import client
import command_line
import machine
import peers
from machine import ROOT
from running import free_port, started

ORIGIN = "https://mywebapp.com"
METHODS = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
HEADERS = "Authorization, Content-Type"
PREFLIGHT = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type",
}
TARGET = "/predictions/mlp"
NGINX = """\
daemon off; worker_processes {cores}; pid nginx.pid; error_log stderr;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;
  uwsgi_temp_path tmp; scgi_temp_path tmp;
  map $http_origin $cors_origin {{
    default "";
    "~^https://(mywebapp\\.com|anotherapp\\.net)$" $http_origin;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{
      if ($request_method = OPTIONS) {{
        add_header Access-Control-Allow-Origin $cors_origin always;
        add_header Access-Control-Allow-Credentials true always;
        add_header Access-Control-Allow-Methods "{methods}" always;
        add_header Access-Control-Allow-Headers "{headers}" always;
        add_header Access-Control-Max-Age 600 always;
        add_header Vary "Origin" always;
        return 204;
      }}
      return 404;
    }}
  }}
}}
"""


class Contender:
    """A server: how it is started on a port, and what its answer to the preflight must be."""

    def __init__(self, name, command, status=204, origin=ORIGIN, strict=True, environment=None):
        self.name = name
        self.command = command  # (folder, port) -> arguments
        self.status = status
        self.origin = origin  # the value of Access-Control-Allow-Origin, or None
        self.strict = strict  # whether a foreign origin must get no grant
        self.environment = environment or {}
        self.rounds = []


# --- the contenders --------------------------------------------------------------------------


def properties(folder, port, lines):
    file = folder / "config.properties"
    other = free_port()
    file.write_text(
        "\n".join(
            [
                f"inference_address=http://127.0.0.1:{port}",
                f"management_address=http://127.0.0.1:{other}",
                f"metrics_address=http://127.0.0.1:{free_port(other)}",
                f"model_store={ROOT / 'tests/goldens/archives'}",
                "load_models=mlp.mar",
                "disable_token_authorization=true",
                *lines,
                "",
            ]
        )
    )
    return file


def policy(dot):
    """The lines of the policy; `dot` stands between the words of a key, and is `_` in TorchServe's."""
    values = {"origin": ORIGIN, "methods": METHODS, "headers": HEADERS}
    return [f"cors{dot}allowed{dot}{key}={value}" for key, value in values.items()]


def torchfront(binary, cores, access_log, origins=1):
    def command(folder, port):
        lines = [
            f"number_of_netty_threads={cores}",
            f"access_log={str(access_log).lower()}",
            *policy("."),
            "cors.allow.credentials=true",
        ]
        if origins > 1:
            tenants = (f"https://app{n}.example\n" for n in range(1, origins))
            (folder / "origins.txt").write_text("".join(tenants))
            lines.append("cors.allowed.origin.file=origins.txt")
        return [binary, "--foreground", "--ts-config", properties(folder, port, lines)]

    return command


def nginx(program, cores):
    def command(folder, port):
        (folder / "tmp").mkdir(exist_ok=True)
        text = NGINX.format(cores=cores, port=port, methods=METHODS, headers=HEADERS)
        (folder / "nginx.conf").write_text(text)
        return [program, "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr"]

    return command


def torchserve(cores):
    """Tuned as its documentation says: few workers, one thread each, as many event loops as cores."""

    def command(folder, port):
        lines = [
            f"number_of_netty_threads={cores}",
            "default_workers_per_model=1",
            *policy("_"),
        ]
        file = properties(folder, port, lines)
        store = ROOT / "tests/goldens/archives"
        return [
            peers.TORCHSERVE / "bin/torchserve", "--start", "--foreground", "--ncs",
            "--disable-token-auth", "--ts-config", file, "--model-store", store,
            "--models", "mlp=mlp.mar",
        ]  # fmt: skip

    return command


def contenders(arguments):
    release = machine.release()
    binary, examples, cores = release / "torchfront", release / "examples", arguments.cores
    listed = [
        Contender(
            "bare actix-http, 204",
            lambda _, port: [examples / "bare_http", f"127.0.0.1:{port}", str(cores)],
            origin=None,
        ),
        Contender(
            "bare actix-http, same headers",
            lambda _, port: [examples / "bare_http", f"127.0.0.1:{port}", str(cores), "headers"],
            strict=False,
        ),
        Contender("torchfront", torchfront(binary, cores, False)),
        Contender("torchfront, access log", torchfront(binary, cores, True)),
        Contender("torchfront, 100,000 origins", torchfront(binary, cores, False, 100_000)),
        Contender(
            "actix-web + actix-cors",
            lambda _, port: [examples / "bare_actix_cors", f"127.0.0.1:{port}", str(cores)],
            status=200,
        ),
    ]
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program:
        listed.append(Contender("nginx, map of two origins", nginx(program, cores)))
    else:
        print("without nginx; to have it: apt-get install nginx-light", file=sys.stderr)
    if arguments.torchserve:
        if not peers.has_torchserve():
            sys.exit(peers.TORCHSERVE_SETUP)
        # It answers OPTIONS with the API description, and says its one origin to everybody.
        listed.append(
            Contender(
                "TorchServe 0.12, tuned",
                torchserve(cores),
                200,
                strict=False,
                environment=peers.torchserve_environment(tuned=True),
            )  # fmt: skip
        )
    return [each for each in listed if not arguments.only or each.name in arguments.only]


# --- one turn --------------------------------------------------------------------------------


def ask(port, headers):
    """One OPTIONS on a connection of its own: status and headers in lower case. TorchServe keeps the
    connection whatever the request says, so that the answer ends where it says it ends."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("OPTIONS", TARGET, headers={**headers, "Connection": "close"})
        response = connection.getresponse()
        response.read()
    finally:
        connection.close()
    return response.status, {name.lower(): value for name, value in response.getheaders()}


def fault(contender, port):
    """What is wrong with the contender's answers, or None."""
    status, headers = ask(port, PREFLIGHT)
    granted = headers.get("access-control-allow-origin")
    if (status, granted) != (contender.status, contender.origin):
        return f"answered {status}, origin {granted}; want {contender.status}, {contender.origin}"
    if contender.strict:
        status, headers = ask(port, {**PREFLIGHT, "Origin": "https://evil.example"})
        if headers.get("access-control-allow-origin"):
            return "granted the preflight of a foreign origin"
    return None


def turn(contender, arguments, script):
    """Starts the server, checks it, warms it up, measures it, stops it."""
    machine.confine(arguments.server_cores)
    with started(contender.name, contender.command, contender.environment) as server:
        machine.confine(arguments.client_cores)
        server.wait_until_right(lambda: fault(contender, server.port))
        url = f"http://127.0.0.1:{server.port}{TARGET}"
        client.wrk(url, script, arguments.connections, 1)
        before = server.cpu_seconds()
        result = client.wrk(url, script, arguments.connections, arguments.seconds)
        seconds = server.cpu_seconds() - before
        if problem := fault(contender, server.port):
            sys.exit(f"{contender.name}, after the measurement: {problem}")
    if result["errors"]:
        sys.exit(f"{contender.name}: {result['errors']} answers were wrong or missing")
    contender.rounds.append(
        {
            "rate": result["requests"] / result["us"] * 1e6,
            "p50": result["p50"],
            "p99": result["p99"],
            "cpu": seconds * 1e6 / result["requests"],
        }
    )


# --- the table -------------------------------------------------------------------------------


def table(measured):
    floor = measured[0]
    print(f"\n{'':32}{'requests/s':>11}{'ratio':>8}{'p50 us':>8}{'p99 us':>8}{'CPU us':>8}")
    for each in measured:
        middle = {key: statistics.median(r[key] for r in each.rounds) for key in each.rounds[0]}
        ratios = [own["rate"] / base["rate"] for own, base in zip(each.rounds, floor.rounds)]
        print(
            f"{each.name:32}{middle['rate']:11,.0f}{statistics.median(ratios):8.3f}"
            f"{middle['p50']:8.0f}{middle['p99']:8.0f}{middle['cpu']:8.2f}"
        )
    print(f"\nratio: to {floor.name}, median of the rounds' ratios; CPU: of the server, a request")
    for own in (each for each in measured if each.name == "torchfront"):
        for each in (each for each in measured if each is not own):
            ratios = sorted(r["rate"] / o["rate"] for r, o in zip(own.rounds, each.rounds))
            print(
                f"  torchfront to {each.name}: {statistics.median(ratios):.3f} "
                f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
            )
    for each in measured:
        rates = " ".join(f"{r['rate'] / 1000:.1f}" for r in each.rounds)
        print(f"  {each.name}: {rates} k/s")


def measure(arguments):
    client.need_wrk()
    available = machine.pin(arguments.cores)
    if not arguments.no_build:
        machine.build(
            "--bin", "torchfront", "--example", "bare_http", "--example", "bare_actix_cors"
        )
    arguments.server_cores = arguments.client_cores = available
    if arguments.apart:
        middle = (len(available) + 1) // 2
        if middle == len(available):
            sys.exit("--apart needs two cores")
        arguments.server_cores, arguments.client_cores = available[:middle], available[middle:]
        arguments.cores = middle
    measured = contenders(arguments)
    with tempfile.TemporaryDirectory() as folder:
        script = client.script(pathlib.Path(folder, "preflight.lua"), "OPTIONS", PREFLIGHT)
        print(
            f"{arguments.rounds} rounds of {arguments.seconds} s, {arguments.connections} "
            f"connections, server on cores {arguments.server_cores}, wrk on "
            f"{arguments.client_cores}, load {os.getloadavg()[0]:.2f} before the start"
        )
        for number in range(arguments.rounds):
            for each in measured:
                print(f"\rround {number + 1}: {each.name:40}", end="", flush=True)
                turn(each, arguments, script)
    print(f"\r{'':60}", end="")
    table(measured)


def main(argv):
    parser = command_line.parser("preflight", __doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--cores", type=int, default=2, help="of server and wrk together")
    parser.add_argument("--apart", action="store_true", help="server and wrk share no core")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--only", action="append", metavar="NAME", help="these contenders alone")
    parser.add_argument("--torchserve", action="store_true", help="TorchServe 0.12, if set up")
    parser.add_argument("--no-build", action="store_true", help="what was built last")
    measure(parser.parse_args(argv))
