"""The small models of the integration tests: each shows one thing that a server must get right.

Scripted by `make_archives.py`, which writes a class's first lines into `archives.json` as its note.
"""

from typing import Dict, Final, List, Optional, Tuple

import torch
from torch import Tensor, nn


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
    """[row sum, batch size seen]: shows which requests shared a forward, and whose row is whose."""

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


class RunningConvolution(nn.Module):
    """A convolution whose results are added up from call to call, in a buffer that is written in place."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(12)
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.register_buffer("total", torch.zeros(1, 16, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x))
        self.total.add_(x.mean([0, 2, 3], keepdim=True))
        return x + self.total


class CounterAttribute(nn.Module):
    """How often it was called, kept in an attribute that is assigned (`prim::SetAttr`)."""

    calls: int

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return torch.full([x.size(0), 1], self.calls, dtype=torch.int64)


class Accumulator(nn.Module):
    """The sum of all rows so far, kept in an attribute that is started anew for another batch size."""

    total: Tensor

    def __init__(self):
        super().__init__()
        self.total = torch.zeros(0)

    def forward(self, x: Tensor) -> Tensor:
        if self.total.shape != x.shape:
            self.total = torch.zeros_like(x)
        self.total = self.total + x
        return self.total


class Heavy(nn.Module):
    """The input plus entries of a table of 4 MiB, which the archive holds in 40 KiB."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.register_buffer("table", torch.randn(4096).repeat(256))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table[x.abs().to(torch.int64) % self.table.size(0)]


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


class TinyConvNet(nn.Module):
    """Two convolutions and a batch norm: what freezing folds and channels_last lays out anew."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.norm.running_mean.uniform_(-0.5, 0.5)
        self.norm.running_var.uniform_(0.5, 2.0)
        self.second = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x)))
        return self.head(torch.relu(self.second(x)).mean(dim=[2, 3]))


class Norms(nn.Module):
    """Batch norms behind convolutions, with everything that may come next."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(6)
        convolution = dict(padding=1, bias=False)
        self.layers = nn.ModuleList(nn.Conv2d(3 if i == 0 else 12, 12, 3, **convolution) for i in range(7))
        self.up = nn.ConvTranspose2d(12, 12, 2, stride=2)
        self.norms = nn.ModuleList(nn.BatchNorm2d(12, affine=i != 2) for i in range(8))
        for norm in self.norms:
            norm.running_mean.uniform_(-0.5, 0.5)
            norm.running_var.uniform_(0.05, 2.0)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norms[0](self.layers[0](x)))
        x = nn.functional.relu6(self.norms[1](self.layers[1](x)), inplace=True)
        # A shortcut, in place and not, from either side, and one that is a norm's result itself.
        y = self.norms[2](self.layers[2](x))
        y += x
        x = torch.relu(y)
        x = torch.relu(x + self.norms[3](self.layers[3](x)))
        x = self.norms[4](self.layers[4](x)) + self.norms[5](self.layers[5](x))
        # A convolution that others use, too; a norm that nothing follows; a shortcut of another shape.
        both = self.layers[6](x)
        x = self.norms[6](both) + both.mean(dim=[2, 3], keepdim=True)
        x = self.norms[7](self.up(x))
        return self.head(nn.functional.hardtanh(x, -1.5, 2.5).mean(dim=[2, 3]))


class Squares(nn.Module):
    """Convolutions of 3 x 3 that Winograd's algorithm is for, and those that it is not for."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(8)

        def convolution(channels, filters, size=3, **options):
            return nn.Conv2d(channels, filters, size, **options)

        self.first = convolution(3, 16, padding=1)  # three channels: not for it
        self.around = nn.ModuleList(convolution(16, 16, padding=1, bias=i == 0) for i in range(2))
        self.around_norms = nn.ModuleList(nn.BatchNorm2d(16) for i in range(2))
        self.spread = convolution(16, 16, padding=1)
        self.spread_norm = nn.BatchNorm2d(16)
        self.wide = convolution(16, 48, padding=1, bias=False)
        self.wide_norm = nn.BatchNorm2d(48)
        self.smaller = convolution(48, 32)
        self.oblong = convolution(32, 16, padding=[0, 1])
        self.larger = convolution(16, 16, padding=2)
        # Not for it.
        self.strided = convolution(16, 16, padding=1, stride=2)
        self.dilated = convolution(16, 16, padding=2, dilation=2)
        self.grouped = convolution(16, 16, padding=1, groups=2)
        self.same = convolution(16, 16, padding="same")
        self.flat = convolution(16, 16, 1)
        self.odd = convolution(16, 20, padding=1)
        self.head = nn.Linear(20, 5)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 2.0)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        # A shortcut, and one that is spread over the picture.
        y = torch.relu(self.around_norms[0](self.around[0](x)))
        x = torch.relu(self.around_norms[1](self.around[1](y)) + x)
        x = torch.relu(self.spread_norm(self.spread(x)) + x.mean(dim=[2, 3], keepdim=True))
        x = nn.functional.relu6(self.wide_norm(self.wide(x)))
        # With an activation alone, with nothing, and one that others use, too.
        x = torch.relu(self.smaller(x))
        x = self.oblong(x)
        both = self.larger(x)
        x = nn.functional.hardtanh(both, -1.0, 2.0) + both
        x = self.dilated(self.strided(x)) + self.grouped(self.strided(x))
        # One picture without a batch.
        x = torch.stack([self.larger(x[i]) for i in range(x.size(0))])
        x = self.odd(self.flat(self.same(x)))
        return self.head(x.mean(dim=[2, 3]))


class Pools(nn.Module):
    """Max poolings of all shapes."""

    def forward(self, x: Tensor) -> Tensor:
        pooled = [
            nn.functional.max_pool2d(x, 3, 2, 1),
            nn.functional.max_pool2d(x, 2),
            nn.functional.max_pool2d(x, 3, 2, 1, ceil_mode=True),
            nn.functional.max_pool2d(x, [3, 2], [1, 3], [1, 0], ceil_mode=True),
            nn.functional.max_pool2d(x, 2, 1, 1, dilation=2),
            nn.functional.max_pool2d(x[0], 3, 1, 1).unsqueeze(0),
        ]
        return torch.cat([p.flatten() for p in pooled])


class Overtaken(nn.Module):
    """What a layer has read is changed before the activation behind the layer runs."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(9)
        self.first = nn.Conv2d(3, 16, 1)
        self.layers = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1) for _ in range(2))
        self.norm = nn.BatchNorm2d(16)
        self.norm.running_mean.uniform_(-0.5, 0.5)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        y = self.layers[0](x)
        x.add_(1.0)
        y = torch.relu(y)
        # The shortcut is.
        z = self.norm(self.layers[1](y)) + x
        x.mul_(0.25)
        z = torch.relu(z)
        v = (z + x).mean(dim=[2, 3])
        w = self.head(v)
        v.neg_()
        return torch.relu(w) + v.sum(dim=1, keepdim=True)


class Linears(nn.Module):
    """Fully connected layers, with everything that may come before and next."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(7)
        self.layers = nn.ModuleList(nn.Linear(6, 6, bias=i != 3) for i in range(8))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.layers[0](x))
        x = nn.functional.relu6(self.layers[1](x), inplace=True)
        x = nn.functional.hardtanh(self.layers[2](x), -0.2, 0.3)
        x = torch.relu(self.layers[3](x))
        # A layer that others use, too.
        both = self.layers[4](x)
        x = torch.relu(both) + both
        # Inputs of other ranks, and one whose rows are not contiguous.
        x = self.layers[5](x.unsqueeze(1)).squeeze(1) + self.layers[5](x[0])
        x = torch.relu(self.layers[6](x.t().contiguous().t()))
        # Only for some inputs.
        if x.size(0) > 1:
            x = torch.relu(self.layers[7](x))
        return self.layers[7](x)


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
