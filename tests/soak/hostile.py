"""Clients that err, dawdle and die. Whatever they do, the server owes them little, and itself much."""

import json
import time

import wire

BODY = json.dumps([0.1, -0.2, 0.3, 0.4]).encode()
# Each kind comes from an address of its own, so that a limit for one meets no other.
BAD, SLOW, DYING = "127.0.0.2", "127.0.0.3", "127.0.0.4"
# What a request may be answered with that cannot be read.
REFUSED = range(400, 600)


def visitors():
    return [bad, bad, garbage, slow_head, slow_body, slow_reader, dying, dying, dying, crowding]


def connect(context, source, role="inference"):
    try:
        return wire.Connection(context.server.addresses[role], source)
    except OSError:
        context.tally.count("refused connections", source)
        context.pause(0.5)
        return None


def bad(context):
    """Whole requests that are wrong."""
    json_ = {"Content-Type": "application/json"}
    image = {"Content-Type": "image/png"}
    role, method, path, headers, body = context.random.choice(
        [
            ("inference", "POST", "/predictions/mlp", json_, b"[0.1, -0.2"),
            ("inference", "POST", "/predictions/mlp", json_, b"[" * 5000),
            ("inference", "POST", "/predictions/mlp", json_, b'{"a": 1e999}'),
            ("inference", "POST", "/predictions/mlp", json_, b"[1.0]"),
            ("inference", "POST", "/predictions/mlp", json_, b"\xff\xfe\x00"),
            ("inference", "POST", "/predictions/mlp", json_, json.dumps(["x"] * 1000).encode()),
            ("inference", "POST", "/predictions/digits", image, b"\x89PNG\r\n\x1a\n" + b"\0" * 100),
            ("inference", "POST", "/predictions/digits", image, b"GIF89a" + b"\xff" * 1000),
            ("inference", "POST", "/predictions/digits", image, b""),
            ("inference", "POST", "/predictions/tiny_classifier", image, b"no picture"),
            ("inference", "POST", "/predictions/" + "x" * 300, json_, BODY),
            ("inference", "POST", "/predictions/mlp/9.9", json_, BODY),
            ("inference", "POST", "/v2/models/mlp/infer", json_, b'{"inputs": [{"shape": [-1]}]}'),
            (
                "inference",
                "POST",
                "/v2/models/mlp/infer",
                {**json_, "Inference-Header-Content-Length": "99999999999999999999"},
                b"{}",
            ),
            (
                "inference",
                "POST",
                "/predictions/digits",
                {"Content-Type": "multipart/form-data; boundary=b"},
                b"--b\r\n" * 200,
            ),
            ("management", "POST", "/models?url=nobody.mar", {}, b""),
            ("management", "POST", "/models?url=http://127.0.0.1:1/a.mar", {}, b""),
            ("management", "POST", "/models?url=../../etc/passwd", {}, b""),
            ("management", "POST", "/models?url=not_torchscript.mar", {}, b""),
            ("management", "POST", "/models?url=python_handler.mar", {}, b""),
            ("management", "PUT", "/models/mlp?min_worker=1000000000", {}, b""),
            ("management", "DELETE", "/models/nobody", {}, b""),
        ]
    )
    answer = context.ask(role, method, path, headers, body)
    context.tally.count("bad requests", answer.status)
    if answer.status not in REFUSED:
        raise wire.Wrong(f"{method} {path} with {body[:40]!r} was answered {answer}")
    context.pause(0.1)


def garbage(context):
    """Bytes that are no request, wrong keys, bodies without end."""
    connection = connect(context, BAD, context.random.choice(["inference", "management", "metrics"]))
    if connection is None:
        return
    wrong_key = {"Authorization": "Bearer wrong", "Content-Length": 0}
    post = "POST /predictions/mlp HTTP/1.1\r\nHost: x\r\n"
    endless = b"5\r\n[1, 2\r\n" * 20000
    connection.send(
        context.random.choice(
            [
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100,
                b"GET / HTTP/9.9\r\n\r\n",
                b"\r\n" * 500 + b"\0" * 2000,
                b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
                f"{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode(),
                f"{post}Content-Length: 99999999999\r\n\r\n".encode() + b"[" * 100_000,
                f"{post}Transfer-Encoding: chunked\r\n\r\n".encode() + endless,
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 1000,
                connection.head("POST", "/predictions/mlp", wrong_key),
                connection.head("PUT", "/models/mlp", wrong_key),
            ]
        )
    )
    connection.drain(0.3)
    context.tally.count("garbage", "sent")
    connection.reset() if context.random.random() < 0.5 else connection.close()
    context.pause(0.1)


def slow_head(context):
    """A head, letter by letter, that never ends."""
    trickle(context, b"GET /ping HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 50, "heads")


def slow_body(context):
    """A body, number by number, that never ends."""
    key = context.server.keys()["inference"]
    head = f"POST /predictions/mlp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    connection_head = f"{head}Content-Length: 1000000\r\n\r\n".encode()
    trickle(context, connection_head + b"[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1", "bodies")


def trickle(context, data, what):
    connection = connect(context, SLOW)
    if connection is None:
        return
    first = len(data) - 30
    connection.send(data[:first])
    for byte in data[first:]:
        connection.send(bytes([byte]))
        time.sleep(0.1)
    context.tally.count(f"slow {what}", "sent")
    connection.close()


def slow_reader(context):
    """Asks for much, many times, and reads little."""
    connection = connect(context, SLOW)
    if connection is None:
        return
    key = {"Authorization": f"Bearer {context.server.keys()['inference']}"}
    connection.socket.setsockopt(1, 8, 4096)  # SOL_SOCKET, SO_RCVBUF
    connection.send(connection.head("GET", "/openapi.json", key) * 100)
    for _ in range(20):
        time.sleep(0.1)
        connection.drain(0.001)
    context.tally.count("slow readers", "sent")
    connection.reset()


def dying(context):
    """Whole requests, half requests, and nobody there for the answer."""
    connection = connect(context, DYING)
    if connection is None:
        return
    model = context.random.choice(["mlp", "batch_probe", "error_on_negative", "counter", "slow"])
    if model == "slow" and context.random.random() < 0.8:
        model = "mlp"
    key = context.server.keys()["inference"]
    headers = {"Authorization": f"Bearer {key}", "Content-Length": len(BODY)}
    data = connection.head("POST", f"/predictions/{model}", headers) + BODY
    cut = context.random.choice([len(data), len(data), len(data) - 5, context.random.randrange(len(data))])
    connection.send(data[:cut])
    time.sleep(context.random.choice([0, 0, 0.001, 0.01]))
    context.tally.count("died", "whole" if cut == len(data) else "half")
    connection.reset() if context.random.random() < 0.7 else connection.close()
    context.pause(0.05)


def crowding(context):
    """More than a slow model can answer in its time: 200 or 504, each of them, and nothing else."""
    connections = [connect(context, DYING) for _ in range(5)]
    key = context.server.keys()["inference"]
    headers = {"Authorization": f"Bearer {key}", "Content-Length": len(BODY)}
    for connection in filter(None, connections):
        connection.send(connection.head("POST", "/predictions/slow", headers) + BODY)
    for connection in filter(None, connections):
        answer = connection.answer("POST /predictions/slow")
        connection.close()
        if answer.refuses_the_key():
            continue  # It was replaced between reading and sending.
        context.tally.count("crowding", answer.status)
        if answer.status not in (200, 503, 504):
            raise wire.Wrong(f"a crowded model answered {answer}")
    context.pause(8)
