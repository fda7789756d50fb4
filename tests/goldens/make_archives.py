#!/usr/bin/env python3
"""Builds the small model archives of the integration tests and what they must answer.

Writes `archives/*.mar` and `archives.json`. Every model of `small_models.py` is scripted, and run
by Python's torch from the archive as it was written, so that the expected outputs are those of the
committed bytes. Run it with the environment that `models/make.py` makes:

    python3 models/make.py --run tests/goldens/make_archives.py

`archives.json`: `archives.NAME` = file, handler, version, signature and `cases`. A case has
`inputs` and `outputs` in the Open Inference Protocol's JSON form (a value that is no tensor is
`{"name", "scalar"}` or `{"name", "list"}`), or `error`, a text that the failure contains. Results
that are not one tensor are flattened as `output.KEY` and `output.INDEX`. `plain` holds bodies of
`POST /predictions/NAME` for `base_handler`: one sample, without batch dimension. The calls in
`sequence` are made one after the other on one instance of the model. `pictures` holds what the
image handlers answer for a picture of `images/` (which `make_goldens.py` writes). An archive with
`refused` must not register.
"""

import io
import json
import random
import sys
import zipfile
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as pictures

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "models"))
import mar  # noqa: E402
from make_goldens import IMAGES, PREPROCESS, ROOT  # noqa: E402
from small_models import (  # noqa: E402
    Accumulator,
    BatchProbe,
    CounterAttribute,
    CounterBuffer,
    DictOut,
    Echo,
    ErrorOnNegative,
    FixedBatchOne,
    Heavy,
    Linears,
    ListStrIn,
    Mlp,
    MultiInput,
    Norms,
    Overtaken,
    Pools,
    RunningConvolution,
    ScalarsOut,
    Slow,
    Squares,
    TinyClassifier,
    TinyConvNet,
    TinyDetector,
    TinySegmenter,
    TupleOut,
)

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
    nested = isinstance(value, list) and isinstance(value[0], (Tensor, dict))
    if nested or isinstance(value, tuple):
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


def classify(module, names, picture):
    """As image_classifier answers, with every class that there is."""
    probabilities = torch.softmax(module(PREPROCESS(picture).unsqueeze(0)), dim=1)[0]
    order = probabilities.argsort(descending=True).tolist()
    return {names[str(i)]: probabilities[i].item() for i in order}


def detect(module, names, picture):
    """As object_detector answers: what scores at least 0.5."""
    found = module([pictures.to_tensor(picture)])[0]
    rows = zip(found["boxes"].tolist(), found["labels"].tolist(), found["scores"].tolist())
    return [{names[str(label)]: box, "score": score} for box, label, score in rows if score >= 0.5]


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
        if "names" in options:
            files["index_to_name.json"] = json.dumps(options["names"])
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
            calls = enumerate(sequence, start=1)
            entry["sequence"] = [run_case(fresh, f"call_{i}", call) for i, call in calls]
        if "answer" in options:
            entry["pictures"] = []
            for path in (IMAGES / "flower_rgb.png", IMAGES / "china_tall.png"):
                with torch.inference_mode():
                    answer = options["answer"](loaded, options["names"], Image.open(path))
                entry["pictures"].append({"file": str(path.relative_to(ROOT)), "answer": answer})
        self.archives[name] = entry

    def add_refused(self, name, content, files, why):
        """An archive that must be refused when it is registered."""
        mar.write(self.folder / f"{name}.mar", content, files)
        model = content["model"]
        self.archives[name] = {
            "file": f"{name}.mar",
            "model_name": model["modelName"],
            "handler": model["handler"],
            "version": model["modelVersion"],
            "refused": why,
        }


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

    integers = ("integers", [tensor([[1, 2, 3, 4]], torch.int64)], "the weights are float32")
    narrow = ("three_features", [tensor([[1.0, 2.0, 3.0]])], "the model wants four features")
    mlp_cases = one_and_three + [integers, narrow]
    built.add("mlp", Mlp(seed=0), mlp_cases, plain=[ROW, OTHER])
    built.add("mlp_v2", Mlp(seed=2), mlp_cases, plain=[ROW], model_name="mlp", version="2.0")
    rows = torch.linspace(-2, 2, 30).reshape(5, 6)
    built.add("linears", Linears(), [("one_row", [rows[:1]]), ("five_rows", [rows])])
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
    built.add("accumulator", Accumulator(), sequence=[[row], [row], [rows], [row]])
    built.add("heavy", Heavy(), one_and_three)

    texts = [
        ("two", [["a banana", "hello world foo"]]),
        ("empty_text", [[""]]),
        ("unicode", [["na\u00efve \u6771\u4eac"]], "TorchScript counts bytes, not characters"),
    ]
    built.add("list_str_in", ListStrIn(), texts)
    built.add("fixed_batch1", FixedBatchOne(), one_and_three, plain=[ROW])

    red = torch.zeros(1, 3, 2, 2)
    red[:, 0] = 1.0
    colours = {"0": "red", "1": "green", "2": "blue"}
    options = {"handler": "image_classifier", "answer": classify, "names": colours}
    built.add("tiny_classifier", TinyClassifier(), [("red", [red])], **options)
    options = {"handler": "image_classifier", "names": {"0": "a", "1": "b", "2": "c"}}
    built.add("tiny_convnet", TinyConvNet(), [("red", [red])], answer=classify, **options)
    built.add("norms", Norms(), [("red", [red])])
    built.add("pools", Pools(), [("rising", [torch.linspace(-1, 1, 2 * 3 * 4 * 3).reshape(2, 3, 4, 3)])])
    built.add("overtaken", Overtaken(), [("red", [red])])
    built.add("running_convolution", RunningConvolution(), sequence=[[red], [red * 2], [red]])
    built.add("squares", Squares(), [("rising", [torch.linspace(-1, 1, 2 * 3 * 9 * 8).reshape(2, 3, 9, 8)])])
    built.add("tiny_segmenter", TinySegmenter(), [("red", [red])], handler="image_segmenter")
    kinds = {"1": "picture", "2": "corner"}
    options = {"handler": "object_detector", "answer": detect, "names": kinds}
    built.add("tiny_detector", TinyDetector(), [("red", [[red[0]]])], **options)

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
    for stale in set(folder.glob("*.mar")) - {folder / a["file"] for a in archives.values()}:
        stale.unlink()
    made = {"torch": torch.__version__.split("+")[0], "archives": archives}
    mar.replace(HERE / "archives.json", (json.dumps(made, indent=1) + "\n").encode())
    for entry in archives.values():
        print(f"{(folder / entry['file']).stat().st_size:7d}  {entry['file']}")


if __name__ == "__main__":
    main()
