"""HTTP/1.1 over a socket: whole requests for those who behave, loose bytes for those who do not."""

import json
import socket
import struct
import time

PATIENCE = 60
# Below the time after which the server closes a connection that is idle.
OLD_SECONDS = 2
CLOSED = "closed without an answer"


class Wrong(Exception):
    """The server did what it must not."""


class Answer:
    """Status, headers (lower case) and body."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body
        self.closes = headers.get("connection", "").lower() == "close"

    def refuses_the_key(self):
        if self.status == 429:
            return True
        return "www-authenticate" in self.headers

    def json(self):
        return json.loads(self.body)

    def __str__(self):
        return f"{self.status} {self.body[:300]!r}"


class Connection:
    """One connection from a loopback address."""

    def __init__(self, address, source="127.0.0.1"):
        self.socket = socket.create_connection(address, PATIENCE, (source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host = f"{address[0]}:{address[1]}"
        self._rest = b""
        self._used = time.monotonic()

    def is_old(self):
        return time.monotonic() - self._used > OLD_SECONDS

    def request(self, method, path, headers=(), body=b""):
        """Sends all and reads the answer."""
        self.send(self.head(method, path, {**dict(headers), "Content-Length": len(body)}) + body)
        return self.answer(f"{method} {path}")

    def head(self, method, path, headers=()):
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}"]
        lines += [f"{name}: {value}" for name, value in dict(headers).items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # It may have answered early; the answer says why.

    def answer(self, what):
        """Reads one answer; a missing one is wrong."""
        while b"\r\n\r\n" not in self._rest:
            self._more(what)
        head, self._rest = self._rest.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        if headers.get("transfer-encoding") == "chunked":
            body = self._chunks(what)
        else:
            length = int(headers.get("content-length", 0))
            while len(self._rest) < length:
                self._more(what)
            body, self._rest = self._rest[:length], self._rest[length:]
        self._used = time.monotonic()
        return Answer(int(first.split(" ", 2)[1]), headers, body)

    def _chunks(self, what):
        body = b""
        while True:
            while b"\r\n" not in self._rest:
                self._more(what)
            size, self._rest = self._rest.split(b"\r\n", 1)
            size = int(size, 16)
            while len(self._rest) < size + 2:
                self._more(what)
            body, self._rest = body + self._rest[:size], self._rest[size + 2 :]
            if size == 0:
                return body

    def _more(self, what):
        try:
            piece = self.socket.recv(65536)
        except TimeoutError:
            raise Wrong(f"no answer within {PATIENCE} s to {what}") from None
        except OSError as error:
            raise Wrong(f"{CLOSED}: {what}: {error}") from None
        if not piece:
            raise Wrong(f"{CLOSED}: {what}, after {self._rest[:100]!r}")
        self._rest += piece

    def drain(self, seconds):
        """Reads until it is closed, for at most this long."""
        end = time.monotonic() + seconds
        try:
            while (left := end - time.monotonic()) > 0:
                self.socket.settimeout(left)
                if not self.socket.recv(65536):
                    return
        except OSError:
            return

    def reset(self):
        """Closes with RST, as a process that dies."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        try:
            self.socket.close()
        except OSError:
            pass
