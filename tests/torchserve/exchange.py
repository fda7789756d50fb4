"""One HTTP/1.1 request over a socket, sent byte for byte, and the answer as it came.

`http.client` hides what is compared here: interim answers, the end of a connection, heads that are
not quite right.
"""

import socket
from dataclasses import dataclass

TIMEOUT = 120


@dataclass
class Answer:
    """What a server answered. `headers` are pairs, names in lower case, in the order of arrival."""

    status: int
    headers: list
    body: bytes
    interim: list

    def header(self, name):
        """The values of a header, joined as HTTP joins them, or None."""
        values = [value for each, value in self.headers if each == name]
        return ", ".join(values) if values else None


class Closed(Exception):
    """The connection ended before an answer was complete."""


class Connection:
    """One connection to a server."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, content):
        try:
            self.socket.sendall(content)
        except OSError:
            pass  # answered and closed before it has read everything

    def receive(self):
        try:
            piece = self.socket.recv(1 << 16)
        except ConnectionError:
            piece = b""
        if not piece:
            raise Closed
        self.rest += piece

    def answer(self, method):
        """The next answer; interim ones (100 Continue) are kept as their statuses."""
        interim = []
        while True:
            status, headers = self.head()
            if status >= 200:
                return Answer(status, headers, self.body(method, status, headers), interim)
            interim.append(status)

    def head(self):
        while b"\r\n\r\n" not in self.rest:
            self.receive()
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        start, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.split(":", 1) for line in lines)
        return int(start.split()[1]), [(name.lower(), value.strip()) for name, value in pairs]

    def body(self, method, status, headers):
        named = dict(headers)
        if method == "HEAD" or status in (204, 304):
            return b""
        if named.get("transfer-encoding", "").lower() == "chunked":
            return self.chunks()
        if "content-length" in named:
            return self.take(int(named["content-length"]))
        try:
            while True:
                self.receive()
        except Closed:
            body, self.rest = self.rest, b""
            return body

    def chunks(self):
        body = b""
        while True:
            while b"\r\n" not in self.rest:
                self.receive()
            size, _, self.rest = self.rest.partition(b"\r\n")
            size = int(size.split(b";")[0], 16)
            piece = self.take(size + 2)
            if size == 0:
                return body
            body += piece[:-2]

    def take(self, length):
        while len(self.rest) < length:
            self.receive()
        piece, self.rest = self.rest[:length], self.rest[length:]
        return piece

    def ends(self):
        """Whether the server closes the connection within some seconds."""
        self.socket.settimeout(5)
        try:
            while self.socket.recv(1 << 16):
                pass
        except socket.timeout:
            return False
        except OSError:
            pass
        return True
