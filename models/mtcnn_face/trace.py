#!/usr/bin/env python3
"""Scripts MTCNN (`detector.py`) with the networks of facenet-pytorch and writes `traced.zip`, committed.

    python3 models/make.py --run models/mtcnn_face/trace.py [PICTURE...]

Only what is not a published weight is kept in `traced.zip`; `assembly.py` puts the weights back. What the
module finds in `sample.jpg` and in the pictures is compared with what facenet-pytorch finds; `expected.json`
is what TorchServe's object_detector answers for `sample.jpg` (a part of NASA's portrait of Eileen Collins,
public domain, from scikit-image's `data.astronaut()`).
"""

import io
import json
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
import mar  # noqa: E402
from detector import Detector  # noqa: E402
from on_pypi import MTCNN_FACE as MODEL  # noqa: E402


def main():
    mar.repeatable()
    torch.set_num_threads(1)
    theirs = facenet_pytorch()
    ours = Detector(theirs.pnet, theirs.rnet, theirs.onet).eval()
    MODEL.write_traced(mar.torchscript_bytes(torch.jit.script(ours)))
    loaded = torch.jit.load(io.BytesIO(MODEL.assemble())).eval()
    for path in [HERE / "sample.jpg", *sys.argv[1:]]:
        check(loaded, theirs, Image.open(path).convert("RGB"), path)
    write_expected(loaded)


def facenet_pytorch():
    """The package's own detector, from its wheel: pip would bring an old torch with it."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(MODEL.wheel.fetch()) as wheel:
            wheel.extractall(folder)
        sys.path.insert(0, folder)
        from facenet_pytorch import MTCNN

        return MTCNN(keep_all=True)


def write_expected(ours):
    """`expected.json`: ToTensor, the module, what scores at least 0.5."""
    tensor = as_tensor(Image.open(HERE / "sample.jpg"))
    with torch.inference_mode():
        found = ours([tensor])[0]
    pairs = zip(found["boxes"].tolist(), found["scores"].tolist())
    answer = [{"face": box, "score": score} for box, score in pairs if score >= 0.5]
    mar.replace(HERE / "expected.json", (json.dumps(answer, indent=2) + "\n").encode())


def as_tensor(picture):
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1) / 255.0


def check(ours, theirs, picture, path):
    tensor = as_tensor(picture)
    with torch.inference_mode():
        found = ours([tensor, tensor[:, :40, :40]])[0]
    boxes, _, points = theirs.detect(picture, landmarks=True)
    expected = np.zeros((0, 4)) if boxes is None else boxes
    # facenet-pytorch lists the largest face first.
    sides = found["boxes"][:, 2:] - found["boxes"][:, :2]
    order = sides.prod(1).argsort(descending=True)
    if len(order) != len(expected):
        raise SystemExit(f"{path}: {len(order)} faces, facenet-pytorch finds {len(expected)}")
    worst = max([0.0, *np.abs(found["boxes"][order].numpy() - expected).reshape(-1).tolist()])
    if len(order):
        worst = max(worst, np.abs(found["points"][order].numpy() - points).max())
    if worst > 0.01:
        raise SystemExit(f"{path}: boxes or points differ by {worst} pixels")
    print(f"{path}: {len(order)} faces, as facenet-pytorch to {worst:.2g} pixels")


if __name__ == "__main__":
    main()
