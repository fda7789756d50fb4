"""The cases of a `meta.json`, how each is asked, and what the answer is compared with."""

import enum
import json
import struct
from dataclasses import dataclass
from pathlib import Path

import archives
from compare import difference, outputs

OWN_HANDLER = "tensor_json.py"
TENSORS = "base_handler"


class Verdict(enum.Enum):
    """What came of a case."""

    RIGHT = "right"
    WRONG = "WRONG"
    # TorchServe refuses it, and this server answers.
    SERVED = "served"


@dataclass
class Result:
    """A verdict and its reason."""

    verdict: Verdict
    why: str = ""


class Model:
    """One folder."""

    def __init__(self, meta):
        self.folder = meta.parent
        self.name = meta.parent.name
        self.meta = json.loads(meta.read_text())
        self.archive = self.folder / f"{self.name}.mar"
        self.stateful = bool(self.meta.get("stateful"))
        self.brings_python = archives.handler(self.archive).endswith(".py")

    def cases(self):
        http = self.meta.get("http_cases", []) + self.meta.get("envelope_cases", [])
        return [
            *(HttpCase(self, case) for case in http),
            *(TensorCase(self, case) for case in self.meta.get("tensor_cases", [])),
        ]

    def file(self, name):
        """A file by its name relative to this folder, to all models, or to their parent."""
        for folder in (self.folder, self.folder.parent, self.folder.parent.parent):
            if (folder / name).exists():
                return folder / name
        raise SystemExit(f"{self.name}: there is no {name}")


class Case:
    """What both kinds share."""

    def __init__(self, model, case, handler):
        self.model = model
        self.case = case
        self.id = case["id"]
        # None: the archive as it is.
        self.handler = handler
        self.name = model.name if handler is None else f"{model.name}_{handler}"
        self.archive = f"{self.name}.mar"
        self.tolerances = case.get("abs_tol", 1e-5), case.get("rel_tol", 1e-5)

    def ask(self, server, body, headers):
        return server.request("POST", f"/predictions/{self.name}", body, headers)

    def compare(self, expected, got):
        why = difference(expected, got, *self.tolerances)
        return Result(Verdict.WRONG, why) if why else Result(Verdict.RIGHT)


class HttpCase(Case):
    """A body as TorchServe's clients send it."""

    def __init__(self, model, case):
        tensors = model.brings_python or case.get("handler") == OWN_HANDLER
        super().__init__(model, case, TENSORS if tensors else None)
        self.envelope = case.get("envelope")

    def run(self, server):
        body, headers = self.body()
        status, got = self.ask(server, body, headers)
        text = got.decode(errors="replace")
        if self.case["status"] != 200:
            return refused(status, text)
        if status != 200:
            return Result(Verdict.WRONG, f"status {status}: {text}")
        if "expect_text" in self.case and self.case["expect_text"] == text:
            return Result(Verdict.RIGHT)
        try:
            got = json.loads(text)
        except ValueError:
            return Result(Verdict.WRONG, f"no JSON: {text[:200]}")
        expected = self.expected()
        if isinstance(expected, dict) and "outputs" in expected:
            return self.compare(outputs(expected["outputs"]), outputs(got.get("outputs", [])))
        return self.compare(expected, got)

    def expected(self):
        if "expect_json" in self.case:
            return self.case["expect_json"]
        if "expect_file" in self.case:
            return json.loads(self.model.file(self.case["expect_file"]).read_text())
        return json.loads(self.case["expect_text"])

    def body(self):
        content = self.model.file(self.case["request_file"]).read_bytes()
        media = self.case.get("content_type")
        field = self.case.get("multipart_part_name")
        if field is None:
            return content, {"Content-Type": media} if media else {}
        edge = b"edge-of-a-part-0123456789"
        head = b'--%s\r\nContent-Disposition: form-data; name="%s"; filename="f"\r\n' % (
            edge,
            field.encode(),
        )
        if media:
            head += b"Content-Type: %s\r\n" % media.encode()
        body = head + b"\r\n" + content + b"\r\n--%s--\r\n" % edge
        return body, {"Content-Type": f"multipart/form-data; boundary={edge.decode()}"}


class TensorCase(Case):
    """Tensors to `forward` and back, in the Open Inference Protocol."""

    envelope = None

    def __init__(self, model, case):
        super().__init__(model, case, TENSORS)

    def run(self, server):
        if not self.case["input"].endswith(".json"):
            return self.run_in_chunks(server)
        given = json.loads(self.model.file(self.case["input"]).read_text())
        status, text = self.send(server, given["inputs"])
        if self.case["status"] != "ok":
            return Result(Verdict.WRONG, f"answered: {text[:200]}") if status == 200 else Result(
                Verdict.RIGHT, text
            )
        if status != 200:
            return Result(Verdict.WRONG, f"status {status}: {text}")
        expected = json.loads(self.model.file(self.case["output"]).read_text())
        return self.compare(outputs(expected["outputs"]), outputs(json.loads(text)["outputs"]))

    def run_in_chunks(self, server):
        """One call for each chunk of a raw signal, in order; all other inputs as in `first_call`."""
        expected = json.loads(self.model.file(self.case["output"]).read_text())
        others = json.loads((self.model.folder / "cases/first_call.in.json").read_text())["inputs"]
        raw = self.model.file(self.case["input"]).read_bytes()
        size = expected["chunk"] * 4
        got = []
        for number in range(expected["chunks"]):
            chunk = raw[number * size : (number + 1) * size].ljust(size, b"\0")
            numbers = list(struct.unpack(f"<{expected['chunk']}f", chunk))
            signal = {**others[0], "shape": [1, expected["chunk"]], "data": numbers}
            status, text = self.send(server, [signal, *others[1:]])
            if status != 200:
                return Result(Verdict.WRONG, f"chunk {number}: status {status}: {text}")
            got += json.loads(text)["outputs"][0]["data"]
        return self.compare(expected["probs_in_order_from_reset"], got)

    def send(self, server, inputs):
        """Data that are files of raw numbers follow the JSON, as the protocol's extension has it."""
        tail = b""
        written = []
        for given in inputs:
            given = dict(given)
            if "file" in given:
                name = Path(self.case["input"]).parent / given.pop("file")
                raw = self.model.file(name).read_bytes()
                given["parameters"] = {"binary_data_size": len(raw)}
                tail += raw
            written.append(given)
        head = json.dumps({"inputs": written}).encode()
        headers = {"Content-Type": "application/json"}
        if tail:
            headers = {
                "Content-Type": "application/octet-stream",
                "Inference-Header-Content-Length": str(len(head)),
            }
            status, got = server.request(
                "POST", f"/v2/models/{self.name}/infer", head + tail, headers
            )
        else:
            status, got = self.ask(server, head, headers)
        return status, got.decode(errors="replace")


def refused(status, text):
    """What TorchServe refuses."""
    if status == 200:
        return Result(Verdict.SERVED, text[:200])
    if status in (400, 413, 415, 503):
        return Result(Verdict.RIGHT, text)
    return Result(Verdict.WRONG, f"status {status}: {text}")
