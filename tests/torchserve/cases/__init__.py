"""The requests that are replayed, as data. A run (`runs.py`) sends its cases in order.

Texts may hold `$STORE` (the model store), `$OUTSIDE` (a folder beside it), `$ORIGIN` (a web server
that has archives), `$INFERENCE_KEY`, `$MANAGEMENT_KEY` and `$API_KEY`.
"""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
IMAGES = CHECKOUT / "tests/goldens/images"

JSON = "application/json"
OCTETS = "application/octet-stream"
FORM = "application/x-www-form-urlencoded"
BOUNDARY = "torchserve-boundary"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"


@dataclass
class Case:
    """One request. `raw` replaces head and body; `until` repeats it until the answer matches."""

    id: str
    to: str
    method: str = "GET"
    target: str = "/"
    headers: tuple = ()
    body: bytes = b""
    until: str = None
    raw: bytes = None
    version: str = "HTTP/1.1"
    chunked: bool = False
    expect: bool = False


def case(to, id, method, target, body=None, type=None, headers=(), **more):
    """A case; `type` is the Content-Type."""
    if isinstance(body, (dict, list)):
        body, type = json.dumps(body), type or JSON
    if isinstance(body, str):
        body = body.encode()
    headers = tuple(headers) if type is None else (("Content-Type", type), *headers)
    return Case(id, to, method, target, headers, body or b"", **more)


def inference(id, method, target, body=None, type=None, **more):
    return case("inference", id, method, target, body, type, **more)


def management(id, method, target, body=None, type=None, **more):
    return case("management", id, method, target, body, type, **more)


def metrics(id, method, target, body=None, type=None, **more):
    return case("metrics", id, method, target, body, type, **more)


def image(name):
    """The bytes of a picture of `tests/goldens/images`."""
    return (IMAGES / name).read_bytes()


def base64_of(content):
    return base64.b64encode(content).decode()


def multipart(*parts):
    """A multipart body; a part is (name, content, type or None, file name or None)."""
    body = b""
    for name, content, type, file in parts:
        disposition = f'form-data; name="{name}"' + (f'; filename="{file}"' if file else "")
        body += f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n".encode()
        body += f"Content-Type: {type}\r\n".encode() if type else b""
        body += b"\r\n" + (content.encode() if isinstance(content, str) else content) + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


# A picture of 2 x 2 pixels as `image_classifier` takes it as JSON: channels, rows, columns.
SMALL = [[[1.0, 0.5], [0.25, 0.0]], [[0.5, 0.5], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.125]]]
