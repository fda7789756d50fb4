"""MTCNN as one TorchScript module in the form of torchvision's detectors.

Three small networks look at a picture: the first at every place of a pyramid of its sizes, the second
and the third at what the one before left over. (Zhang et al., "Joint Face Detection and Alignment using
Multi-task Cascaded Convolutional Networks", 2016.) Networks and weights are those of the package
`facenet-pytorch`, and so are the thresholds; the steps between them are written here, in what plain
TorchScript has (no torchvision operators), to the same numbers.
"""

from typing import Dict, Final, List, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Detector(nn.Module):
    """Pictures of values 0 to 1 and of any size to `boxes`, `labels`, `scores` and `points` each."""

    # The least side of a face, and the step from one size of the pyramid to the next.
    smallest: Final[float] = 20.0
    factor: Final[float] = 0.709
    # What the three networks must be sure of.
    thresholds: Final[Tuple[float, float, float]] = (0.6, 0.7, 0.7)

    def __init__(self, pnet: nn.Module, rnet: nn.Module, onet: nn.Module):
        super().__init__()
        self.pnet, self.rnet, self.onet = pnet, rnet, onet

    def forward(self, images: List[Tensor]) -> List[Dict[str, Tensor]]:
        found: List[Dict[str, Tensor]] = []
        for image in images:
            found.append(self.faces(image.unsqueeze(0) * 255.0))
        return found

    def faces(self, image: Tensor) -> Dict[str, Tensor]:
        boxes = self.propose(image)
        crops, boxes = cut(image, boxes, 24)
        if len(boxes) > 0:
            moves, chances = self.rnet(crops)
            boxes, moves, _ = sure(boxes, moves, chances, moves, self.thresholds[1])
            kept = suppress(boxes, boxes[:, 4], 0.7, 0.0, False)
            boxes = squared(moved(boxes[kept], moves[kept], 1.0))
        crops, boxes = cut(image, boxes, 48)
        points = torch.zeros(0, 5, 2)
        if len(boxes) > 0:
            moves, places, chances = self.onet(crops)
            boxes, moves, places = sure(boxes, moves, chances, places, self.thresholds[2])
            sides = boxes[:, 2:4] - boxes[:, :2] + 1.0
            points = torch.stack([places[:, :5], places[:, 5:]], dim=2)
            points = sides.unsqueeze(1) * points + boxes[:, :2].unsqueeze(1) - 1.0
            boxes = moved(boxes, moves, 1.0)
            kept = suppress(boxes, boxes[:, 4], 0.7, 1.0, True)
            boxes, points = boxes[kept], points[kept]
        labels = torch.ones(len(boxes), dtype=torch.int64)
        found = {"boxes": boxes[:, :4], "labels": labels, "scores": boxes[:, 4], "points": points}
        return found

    def propose(self, image: Tensor) -> Tensor:
        """Where the first network sees faces: squares [x1, y1, x2, y2, chance]."""
        height, width = image.size(2), image.size(3)
        scale = 12.0 / self.smallest
        least = min(height, width) * scale
        all_boxes: List[Tensor] = [torch.zeros(0, 9)]
        while least >= 12.0:
            size = (int(height * scale + 1), int(width * scale + 1))
            moves, chances = self.pnet(resized(image, size))
            boxes = cells(moves[0], chances[0, 1], scale, self.thresholds[0])
            all_boxes.append(boxes[suppress(boxes, boxes[:, 4], 0.5, 0.0, False)])
            scale *= self.factor
            least *= self.factor
        boxes = torch.cat(all_boxes)
        boxes = boxes[suppress(boxes, boxes[:, 4], 0.7, 0.0, False)]
        return squared(moved(boxes[:, :5], boxes[:, 5:], 0.0))


def resized(image: Tensor, size: Tuple[int, int]) -> Tensor:
    """The mean of the pixels that lie under each new one, in the range that the networks know."""
    return (functional.interpolate(image, size=size, mode="area") - 127.5) * 0.0078125


def cells(moves: Tensor, chances: Tensor, scale: float, threshold: float) -> Tensor:
    """[x1, y1, x2, y2, chance, four moves] of each cell of 12 x 12 that may hold a face."""
    mask = chances >= threshold
    corner = mask.nonzero().to(moves.dtype).flip(1) * 2.0 + 1.0
    first, last = (corner / scale).floor(), ((corner + 11.0) / scale).floor()
    return torch.cat([first, last, chances[mask].unsqueeze(1), moves[:, mask].t()], dim=1)


def moved(boxes: Tensor, moves: Tensor, extra: float) -> Tensor:
    """The boxes with each side moved by a part of its length."""
    sides = (boxes[:, 2:4] - boxes[:, :2] + extra).repeat(1, 2)
    return torch.cat([boxes[:, :4] + moves * sides, boxes[:, 4:]], dim=1)


def squared(boxes: Tensor) -> Tensor:
    """The square around the same middle that has the longer side."""
    sides = boxes[:, 2:4] - boxes[:, :2]
    longer = torch.max(sides, dim=1, keepdim=True)[0]
    first = boxes[:, :2] + sides * 0.5 - longer * 0.5
    return torch.cat([first, first + longer, boxes[:, 4:]], dim=1)


def cut(image: Tensor, boxes: Tensor, side: int) -> Tuple[Tensor, Tensor]:
    """What is in each box, as a square of `side` pixels, and the boxes that have something in them."""
    crops: List[Tensor] = [torch.zeros(0, 3, side, side)]
    kept: List[int] = []
    whole = boxes[:, :4].trunc().to(torch.int64)
    for index in range(len(boxes)):
        left, top = max(int(whole[index, 0]), 1) - 1, max(int(whole[index, 1]), 1) - 1
        right = min(int(whole[index, 2]), image.size(3))
        bottom = min(int(whole[index, 3]), image.size(2))
        if right > left and bottom > top:
            crops.append(resized(image[:, :, top:bottom, left:right], (side, side)))
            kept.append(index)
    return torch.cat(crops), boxes[torch.tensor(kept, dtype=torch.int64)]


def sure(
    boxes: Tensor, moves: Tensor, chances: Tensor, places: Tensor, threshold: float
) -> Tuple[Tensor, Tensor, Tensor]:
    """The boxes that a network takes for faces, with its own chances."""
    kept = chances[:, 1] > threshold
    boxes = torch.cat([boxes[kept, :4], chances[kept, 1:2]], dim=1)
    return boxes, moves[kept], places[kept]


def suppress(boxes: Tensor, scores: Tensor, most: float, extra: float, of_less: bool) -> Tensor:
    """The indices of the best boxes, of which no two share more than `most` of their area together,
    or of the smaller one (`of_less`)."""
    sides = boxes[:, 2:4] - boxes[:, :2] + extra
    areas = sides[:, 0] * sides[:, 1]
    order = torch.argsort(scores, dim=0, descending=True, stable=True)
    kept: List[Tensor] = [torch.zeros(0, dtype=torch.int64)]
    while len(order) > 0:
        best, rest = order[:1], order[1:]
        kept.append(best)
        first = torch.max(boxes[best, :2], boxes[rest, :2])
        last = torch.min(boxes[best, 2:4], boxes[rest, 2:4])
        shared = (last - first + extra).clamp(min=0.0)
        common = shared[:, 0] * shared[:, 1]
        if of_less:
            share = common / torch.min(areas[best], areas[rest])
        else:
            share = common / (areas[best] + areas[rest] - common)
        order = rest[share <= most]
    return torch.cat(kept)
