#!/usr/bin/env python3
"""Builds the small model archives of the integration tests and what they must answer.

Writes `archives/*.mar` and `archives.json`. Every model is scripted here, seeded, and run by
Python's torch from the archive as it was written, so that the expected outputs are those of the
committed bytes. Run it with the environment that `models/make.py` makes:

    python3 models/make.py --run tests/goldens/make_archives.py

`archives.json`: `archives.NAME` = file, handler, version, signature and `cases`. A case has
`inputs` and `outputs` in the Open Inference Protocol's JSON form (a value that is no tensor is
`{"name", "scalar"}` or `{"name", "list"}`), or `error`, a text that the failure contains. Results
that are not one tensor are flattened as `output.KEY` and `output.INDEX`. `plain` holds bodies of
`POST /predictions/NAME` for `base_handler`: one sample, without batch dimension. The calls in
`sequence` are made one after the other on one instance of the model.
"""

import io
import json
import random
import sys
import zipfile
from pathlib import Path
from typing import Dict, Final, List, Optional, Tuple

import torch
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "models"))
import mar  # noqa: E402

DATATYPES = {
    torch.bool: "BOOL",
    torch.uint8: "UINT8",
    torch.int32: "INT32",
    torch.int64: "INT64",
    torch.float16: "FP16",
    torch.bfloat16: "BF16",
    torch.float32: "FP32",
    torch.float64: "FP64",
}


# === models ===


class Mlp(nn.Module):
    """4 features in, 3 numbers out: the smallest model with weights."""

    def __init__(self, seed: int):
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Linear(4, 16)
        self.second = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))


class BatchProbe(nn.Module):
    """[row sum, batch size seen]: shows whether requests share a forward, and whose row is whose."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x.sum(dim=1)
        return torch.stack([rows, torch.full_like(rows, float(x.size(0)))], dim=1)


class Echo(nn.Module):
    """The input as it came, of any type and shape."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clone()


class Slow(nn.Module):
    """The input, after a fixed amount of arithmetic: about 300 ms on one core of 2025.

    The work does not depend on the size of the batch. `tanh` keeps the numbers finite, and the
    result takes part in the output so that no compiler may leave the work out.
    """

    rounds: Final[int]

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.rounds = 1200
        self.register_buffer("tile", torch.randn(8, 8) / 16)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.tile.repeat(32, 32)
        state = weight + x.sum().tanh()
        for _ in range(self.rounds):
            state = torch.mm(state, weight).tanh()
        return x + 0.0 * state.sum()


class DictOut(nn.Module):
    """A dict of tensors; each has one entry per row."""

    def forward(self, x: Tensor) -> Dict[str, Tensor]:
        return {"sum": x.sum(dim=1), "max": x.amax(dim=1), "argmax": x.argmax(dim=1)}


class TupleOut(nn.Module):
    """A nested tuple with a list inside; every tensor has one entry per row."""

    def forward(self, x: Tensor) -> Tuple[Tensor, Tuple[Tensor, List[Tensor]]]:
        return torch.softmax(x, dim=1), (x.argmax(dim=1), [x.sum(dim=1), x.amax(dim=1)])


class ScalarsOut(nn.Module):
    """A tuple of plain values: nothing in it has a batch dimension."""

    def forward(self, x: Tensor) -> Tuple[float, int, bool, str, Optional[int]]:
        return float(x.sum().item()), x.size(0), bool((x > 0).all().item()), "shape 2", None


class MultiInput(nn.Module):
    """Three inputs of three types and one that may be left out."""

    def forward(
        self, ids: Tensor, mask: Tensor, scale: Tensor, extra: Optional[Tensor] = None
    ) -> Tensor:
        picked = (ids * mask.to(torch.int64)).sum(dim=1).to(torch.float32) * scale
        if extra is not None:
            picked = picked + extra
        return picked


class ErrorOnNegative(nn.Module):
    """The square root; refuses the whole batch when any element is negative."""

    def forward(self, x: Tensor) -> Tensor:
        if bool((x < 0).any().item()):
            raise ValueError("negative input is not allowed")
        return x.sqrt()


class CounterBuffer(nn.Module):
    """How often it was called, kept in a buffer that is written in place."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1, dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        return self.calls.expand(x.size(0), 1).clone()


class CounterAttribute(nn.Module):
    """How often it was called, kept in an attribute that is assigned (`prim::SetAttr`)."""

    calls: int

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return torch.full([x.size(0), 1], self.calls, dtype=torch.int64)


class ListStrIn(nn.Module):
    """[bytes of UTF-8, letters a, words] of each text."""

    def forward(self, texts: List[str]) -> Tensor:
        rows: List[List[int]] = []
        for text in texts:
            rows.append([len(text), text.count("a"), len(text.split(" "))])
        return torch.tensor(rows, dtype=torch.int64)


class FixedBatchOne(nn.Module):
    """Takes one row at a time, as a model traced without a dynamic batch does."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(1, 4) * 2.0


class TinyClassifier(nn.Module):
    """Three logits: ten times the mean of red, green and blue of the normalised picture."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=[2, 3]) * 10.0


class TinySegmenter(nn.Module):
    """Two classes per pixel, in the form of torchvision's segmentation models."""

    def forward(self, x: Tensor) -> Dict[str, Tensor]:
        level = x.mean(dim=1, keepdim=True)
        return {"out": torch.cat([-level, level], dim=1)}


class TinyDetector(nn.Module):
    """One box around the picture and one that scores too low, in torchvision's form."""

    def forward(self, images: List[Tensor]) -> List[Dict[str, Tensor]]:
        found: List[Dict[str, Tensor]] = []
        for image in images:
            height, width = float(image.size(1)), float(image.size(2))
            boxes = torch.tensor([[0.0, 0.0, width, height], [0.0, 0.0, 1.0, 1.0]])
            scores = torch.tensor([0.75, 0.25])
            found.append({"boxes": boxes, "labels": torch.tensor([1, 2]), "scores": scores})
        return found


# === values as JSON ===


def tensor(values, dtype=torch.float32):
    return torch.tensor(values, dtype=dtype)


def describe(name, value):
    """A value as entries of the Open Inference Protocol's `inputs` or `outputs`."""
    if isinstance(value, Tensor):
        data = value.reshape(-1).tolist()
        datatype = DATATYPES[value.dtype]
        return [{"name": name, "shape": list(value.shape), "datatype": datatype, "data": data}]
    if isinstance(value, dict):
        return [e for key, item in value.items() for e in describe(f"{name}.{key}", item)]
    if isinstance(value, tuple) or (isinstance(value, list) and isinstance(value[0], (Tensor, dict))):
        return [e for i, item in enumerate(value) for e in describe(f"{name}.{i}", item)]
    if isinstance(value, list):
        return [{"name": name, "list": value}]
    return [{"name": name, "scalar": value}]


def argument_names(module):
    return [argument.name for argument in module.forward.schema.arguments][1:]


def run_case(module, name, arguments, note=None):
    """Runs `forward` and writes down what went in and what came out, or that it failed."""
    case = {"id": name}
    names = argument_names(module) + [f"surplus{i}" for i in range(len(arguments))]
    case["inputs"] = [e for n, a in zip(names, arguments) for e in describe(n, a)]
    try:
        with torch.inference_mode():
            case["outputs"] = describe("output", module(*arguments))
    except Exception as error:
        case["error"] = error_text(error)
    if note:
        case["note"] = note
    return case


def error_text(error):
    """The last line that says what happened, without the part that is Python's own."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    for line in reversed(lines):
        for marker in ("builtins.ValueError: ", "RuntimeError: "):
            if marker in line:
                return line.split(marker, 1)[1]
    return lines[0].split(" Declaration:")[0]


def plain_case(module, body):
    """One sample without batch dimension, as `base_handler` takes and answers it."""
    with torch.inference_mode():
        answer = module(torch.as_tensor(body).unsqueeze(0))[0]
    return {"body": body, "answer": answer.tolist()}


# === archives ===


class Built:
    """The archives that are written so far, and what is known of each."""

    def __init__(self, folder):
        self.folder = folder
        self.archives = {}

    def add(self, name, module, cases=(), plain=(), sequence=(), **options):
        """Scripts `module`, writes NAME.mar, reads it back, and runs the cases on what was read."""
        scripted = torch.jit.script(module.eval())
        handler = options.get("handler", "base_handler")
        version = options.get("version", "1.0")
        fields = {"configFile": "model-config.yaml"} if "config" in options else {}
        files = {"model.pt": mar.torchscript_bytes(scripted)}
        if "config" in options:
            files["model-config.yaml"] = options["config"]
        files.update(options.get("files", {}))
        model_name = options.get("model_name", name)
        content = mar.manifest(model_name, handler, version=version, **fields)
        mar.write(self.folder / f"{name}.mar", content, files)

        loaded = load(self.folder / f"{name}.mar")
        entry = {"file": f"{name}.mar", "model_name": model_name, "handler": handler}
        entry["version"] = version
        entry["note"] = " ".join(module.__doc__.split())
        entry["signature"] = str(loaded.forward.schema)
        entry["abs_tol"] = 1e-5
        entry["cases"] = [run_case(loaded, *case) for case in cases]
        if plain:
            entry["plain"] = [plain_case(loaded, body) for body in plain]
        if sequence:
            fresh = load(self.folder / f"{name}.mar")
            entry["sequence"] = [run_case(fresh, f"call_{i + 1}", c) for i, c in enumerate(sequence)]
        self.archives[name] = entry

    def add_refused(self, name, content, files, why):
        """An archive that must be refused when it is registered."""
        mar.write(self.folder / f"{name}.mar", content, files)
        model = content["model"]
        entry = {"file": f"{name}.mar", "model_name": model["modelName"]}
        self.archives[name] = {**entry, "handler": model["handler"], "version": "1.0", "refused": why}


def load(path):
    with zipfile.ZipFile(path) as archive:
        return torch.jit.load(io.BytesIO(archive.read("model.pt"))).eval()


ROW = [0.1, -0.2, 0.3, 0.4]
OTHER = [1.0, 2.0, 3.0, -4.0]

CONFIGURED = """\
# Every key here is TorchServe's own.
minWorkers: 1
maxWorkers: 2
batchSize: 4
maxBatchDelay: 50
responseTimeout: 30
startupTimeout: 60
deviceType: cpu
jobQueueSize: 32
"""

HANDLER_PY = '''\
"""A handler of its own: this archive needs a Python worker."""


class DoublingHandler:
    def initialize(self, context):
        self.context = context

    def handle(self, rows, context):
        return [row.get("data") or row.get("body") for row in rows]
'''

MODEL_PY = '''\
"""The class whose state dict is in the archive: an eager model."""

import torch
from torch import nn


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 16)
        self.second = nn.Linear(16, 3)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))
'''


def build(folder):
    built = Built(folder)
    row, rows = tensor([ROW]), tensor([ROW, OTHER, [0.0] * 4])
    one_and_three = [("one", [row]), ("three", [rows])]

    integers = ("integers", [tensor([[1, 2, 3, 4]], torch.int64)], "refused: the weights are float32")
    narrow = ("three_features", [tensor([[1.0, 2.0, 3.0]])], "refused: the model wants four features")
    mlp_cases = one_and_three + [integers, narrow]
    built.add("mlp", Mlp(seed=0), mlp_cases, plain=[ROW, OTHER])
    built.add("mlp_v2", Mlp(seed=2), mlp_cases, plain=[ROW], model_name="mlp", version="2.0")
    built.add("configured", Mlp(seed=0), one_and_three, plain=[ROW], config=CONFIGURED)
    built.add("batch_probe", BatchProbe(), one_and_three, plain=[ROW])

    echoes = [
        ("integers", [tensor([[1, 2], [3, 4]], torch.int64)]),
        ("big_integer", [tensor([[9007199254740993]], torch.int64)]),
        ("floats", [tensor([[1.0, 2.5, -0.0, 3.4028234663852886e38]])]),
        ("doubles", [tensor([[0.1, 1e300]], torch.float64)]),
        ("booleans", [tensor([[True, False]], torch.bool)]),
        ("bytes", [tensor([[0, 255]], torch.uint8)]),
        ("halves", [tensor([[0.5, -2.0]], torch.float16)]),
        ("three_dimensions", [tensor([[[1.0], [2.0]], [[3.0], [4.0]]])]),
        ("no_rows", [torch.zeros(0, 3)]),
    ]
    plain = [[1, 2], [[1, 2], [3, 4]], [1.0, 2.5], [True, False], 7, 0.5, [9007199254740993]]
    built.add("echo", Echo(), echoes, plain=plain)

    built.add("slow", Slow(), [("one", [row])], plain=[ROW])
    built.add("dict_out", DictOut(), one_and_three)
    built.add("tuple_out", TupleOut(), one_and_three)
    built.add("scalars_out", ScalarsOut(), [("one", [row])])

    ids = tensor([[1, 2, 3], [4, 5, 6]], torch.int64)
    mask = tensor([[True, True, False], [True, False, True]], torch.bool)
    scale, extra = tensor([0.5, 2.0]), tensor([1.0, 1.0])
    multi = [
        ("three", [ids, mask, scale]),
        ("four", [ids, mask, scale, extra]),
        ("too_few", [ids, mask]),
        ("too_many", [ids, mask, scale, extra, extra]),
    ]
    built.add("multi_input", MultiInput(), multi)

    good, bad = tensor([[1.0, 4.0]]), tensor([[1.0, 4.0], [9.0, -4.0]])
    negative = [("good", [good]), ("one_bad_row", [bad])]
    built.add("error_on_negative", ErrorOnNegative(), negative, plain=[[1.0, 4.0]])
    built.add("counter", CounterBuffer(), sequence=[[row], [rows], [row]])
    built.add("counter_attribute", CounterAttribute(), sequence=[[row], [rows], [row]])

    texts = [
        ("two", [["a banana", "hello world foo"]]),
        ("empty_text", [[""]]),
        ("unicode", [["na\u00efve \u6771\u4eac"]], "TorchScript counts bytes, not characters"),
    ]
    built.add("list_str_in", ListStrIn(), texts)
    built.add("fixed_batch1", FixedBatchOne(), one_and_three, plain=[ROW])

    red = torch.zeros(1, 3, 2, 2)
    red[:, 0] = 1.0
    names = {"files": {"index_to_name.json": json.dumps({"0": "red", "1": "green", "2": "blue"})}}
    built.add("tiny_classifier", TinyClassifier(), [("red", [red])], handler="image_classifier", **names)
    built.add("tiny_segmenter", TinySegmenter(), [("red", [red])], handler="image_segmenter")
    found = {"files": {"index_to_name.json": json.dumps({"1": "picture", "2": "corner"})}}
    built.add("tiny_detector", TinyDetector(), [("red", [[red[0]]])], handler="object_detector", **found)

    add_refused_archives(built)
    return built.archives


def add_refused_archives(built):
    scripted = mar.torchscript_bytes(torch.jit.script(Mlp(seed=0).eval()))
    noise = random.Random(3).randbytes(512)
    built.add_refused(
        "not_torchscript",
        mar.manifest("not_torchscript", "base_handler"),
        {"model.pt": noise},
        "the serialized file is not TorchScript",
    )
    built.add_refused(
        "python_handler",
        mar.manifest("python_handler", "handler.py"),
        {"model.pt": scripted, "handler.py": HANDLER_PY},
        "the archive has a Python handler of its own",
    )
    state = io.BytesIO()
    torch.save(Mlp(seed=0).state_dict(), state)
    built.add_refused(
        "eager",
        mar.manifest("eager", "base_handler", modelFile="model.py"),
        {"model.pt": state.getvalue(), "model.py": MODEL_PY},
        "the archive has a model file: a state dict and a Python class instead of TorchScript",
    )


def main():
    mar.repeatable()
    torch.set_num_threads(1)
    folder = HERE / "archives"
    archives = build(folder)
    for stale in sorted(set(folder.glob("*.mar")) - {folder / a["file"] for a in archives.values()}):
        stale.unlink()
    made = {"torch": torch.__version__.split("+")[0], "archives": archives}
    mar.replace(HERE / "archives.json", (json.dumps(made, indent=1) + "\n").encode())
    for entry in archives.values():
        print(f"{(folder / entry['file']).stat().st_size:7d}  {entry['file']}")


if __name__ == "__main__":
    main()
