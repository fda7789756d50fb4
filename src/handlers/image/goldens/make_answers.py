"""What TorchServe's own handlers answer for given model results: `answers.json`.

Run with TorchServe 0.12, torch and torchvision installed: `python3 make_answers.py`. The numbers are
made here without chance; NaN and infinities are texts. `text` is the answer as
TorchServe writes it (`json.dumps(..., indent=2)`).
"""

import json
import os

import torch
from ts.torch_handler.image_segmenter import ImageSegmenter
from ts.torch_handler.object_detector import ObjectDetector

HERE = os.path.dirname(os.path.abspath(__file__))


def scores():
    """Two pictures, five classes, 3 x 4 pixels; ties, near ties and what is no number among them."""
    numbers = torch.arange(2 * 5 * 3 * 4, dtype=torch.float64)
    values = (torch.sin(numbers * 12.9898) * 9).to(torch.float32).reshape(2, 5, 3, 4)
    values[0, :, 0, 0] = 1.5
    values[0, 1:3, 0, 1] = 7.25
    values[0, 4, 0, 2] = float("nan")
    values[0, 2, 0, 3] = float("inf")
    values[0, :, 1, 0] = float("-inf")
    values[0, 3, 1, 1] = float("-inf")
    values[1, 2, 2, 2] = 20.0
    values[1, 3, 2, 2] = 20.000002
    values[1, 1, 0, 0] = 100.0
    return values


def detections():
    boxes = torch.tensor([[0.1, 2.5, 30.25, 4e-7], [1.0, 2.0, 3.0, 1e20], [5.5, 6.5, 7.5, 8.5]])
    labels, chances = torch.tensor([1, 3, 2]), torch.tensor([0.5, 0.49999997, 0.9999])
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    return [
        {"boxes": boxes, "labels": labels, "scores": chances},
        {**none, "scores": torch.zeros(0)},
        {"boxes": boxes.flip(0), "labels": labels.flip(0), "scores": torch.tensor([0.1, 0.7, 0.6])},
    ]


def listed(tensor):
    """Numbers; what JSON has no number for, as text."""
    numbers = tensor.reshape(-1).tolist()
    return [n if abs(n) < float("inf") else str(n) for n in numbers]


segmenter = ImageSegmenter()
masks = segmenter.postprocess({"out": scores()})
detector = ObjectDetector()
detector.mapping = {"1": "person", "2": "score", "3": "d\u00e9j\u00e0"}
found = detector.postprocess(detections())
answers = {
    "scores": listed(scores()),
    "masks": [json.dumps(mask, indent=2) for mask in masks],
    "index_to_name": detector.mapping,
    "detections": [{key: listed(value) for key, value in d.items()} for d in detections()],
    "found": [json.dumps(one, indent=2) for one in found],
}
with open(os.path.join(HERE, "answers.json"), "w") as file:
    file.write(json.dumps(answers, indent=1) + "\n")
