#!/usr/bin/env python3
"""Builds `archives/`: a picture classifier with six classes, which TorchServe's own handler can serve.

    python3 models/make.py --run tests/torchserve/make_archives.py

TorchServe's `image_classifier` asks for five classes at least; the archives of `tests/goldens` have
three.
"""

import json
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "models"))
import mar  # noqa: E402

LABELS = {
    "0": "red",
    "1": "green",
    "2": ["n0002", "blue"],
    "3": "cyan",
    "4": "magenta",
    "5": "yellow",
}


class Colours(nn.Module):
    """Six logits: the means of red, green and blue, and their opposites; any height and width."""

    scale: float

    def __init__(self, scale: float):
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(dim=[2, 3]) * self.scale
        return torch.cat([means, -means], dim=1)


def main():
    mar.repeatable()
    for name, scale, version in [("colours", 2.0, "1.0"), ("colours_v2", 1.0, "2.0")]:
        scripted = torch.jit.script(Colours(scale).eval())
        files = {
            "model.pt": mar.torchscript_bytes(scripted),
            "index_to_name.json": json.dumps(LABELS),
        }
        manifest = mar.manifest("colours", "image_classifier", version=version)
        mar.write(HERE / "archives" / f"{name}.mar", manifest, files)


if __name__ == "__main__":
    main()
