"""Starts the server on free ports, registers models with one worker each, sends requests."""

import http.client
import socket
import subprocess
import time


class Server:
    """A running server; a context manager."""

    def __init__(self, binary, folder, store, lines):
        names = ["inference", "management", "metrics"]
        self.ports = dict(zip(names, free_ports(3)))
        lines = [
            *(f"{name}_address=http://127.0.0.1:{port}" for name, port in self.ports.items()),
            f"model_store={store}",
            "load_models=none",
            "disable_token_authorization=true",
            "enable_model_api=true",
            "access_log=false",
            "max_request_size=65535000",
            *lines,
        ]
        properties = folder / "config.properties"
        properties.write_text("\n".join(lines) + "\n")
        self.log = open(folder / "log", "w+")
        command = [binary, "--foreground", "--start", "--ts-config", properties]
        self.process = subprocess.Popen(command, cwd=folder, stdout=self.log, stderr=self.log)

    def __enter__(self):
        deadline = time.monotonic() + 120
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                if self.request("GET", "/ping")[0] == 200:
                    return self
            except OSError:
                time.sleep(0.05)
        self.__exit__()
        raise SystemExit("the server did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()

    def register(self, archive):
        path = f"/models?url={archive}&initial_workers=1&synchronous=true"
        status, body = self.request("POST", path, port="management")
        if status != 200:
            raise SystemExit(f"{archive} is not registered: {body.decode(errors='replace')}")

    def unregister(self, name):
        self.request("DELETE", f"/models/{name}", port="management")

    def request(self, method, path, body=None, headers=None, port="inference"):
        """Status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=120)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def free_ports(number):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
