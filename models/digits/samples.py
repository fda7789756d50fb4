"""Writes `../samples/`: pictures that the model never saw, and what Python answers for each.

Two held-out digits of every kind as MNIST has them, some of them larger, inverted or in colour,
and ten that `drawn.py` draws. `expected.json` holds the digit and the five best probabilities by
the steps of TorchServe's image_classifier with the parameters of model-config.yaml.
"""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

import mar
from digits import data
from digits.drawn import draw
from digits.model import MEAN, STD

FOLDER = Path(__file__).resolve().parent.parent / "samples"
PREPROCESSING = (
    "to one channel (Pillow's convert('L')), to 28 x 28 (Pillow's bilinear with antialiasing), "
    f"/ 255, (x - {MEAN}) / {STD}, softmax, the five best"
)


def write(archive):
    """Writes every sample and `expected.json`; refuses a sample that the model gets wrong."""
    torch.set_num_threads(1)
    with zipfile.ZipFile(archive) as content:
        module = torch.jit.load(io.BytesIO(content.read("model.pt"))).eval()
    expected = {}
    for name, digit, picture in pictures(module):
        probabilities = classify(module, picture)
        if next(iter(probabilities)) != str(digit):
            raise SystemExit(f"{name}: read as {probabilities}, is {digit}")
        file = io.BytesIO()
        picture.save(file, "PNG", optimize=True)
        mar.replace(FOLDER / name, file.getvalue())
        expected[name] = {"digit": digit, "probabilities": probabilities}
    for stale in set(FOLDER.glob("*.png")) - {FOLDER / name for name in expected}:
        stale.unlink()
    report = {
        "model": archive.name,
        "torch": torch.__version__.split("+")[0],
        "preprocessing": PREPROCESSING,
        "abs_tol": 0.002,
        "samples": expected,
    }
    mar.replace(FOLDER / "expected.json", (json.dumps(report, indent=1) + "\n").encode())
    print(f"wrote {len(expected)} samples to {FOLDER}")


def classify(module, picture):
    """The five best digits and their probabilities, best first."""
    grey = picture.convert("L").resize((28, 28), Image.Resampling.BILINEAR)
    values = torch.from_numpy(np.asarray(grey, dtype=np.uint8).copy()).float() / 255
    with torch.inference_mode():
        logits = module(((values - MEAN) / STD).reshape(1, 1, 28, 28))
    best = torch.softmax(logits, dim=1).topk(5)
    return {str(d): p for d, p in zip(best.indices[0].tolist(), best.values[0].tolist())}


def pictures(module):
    """Yields (file name, digit, picture)."""
    chosen = {}
    for digit in range(10):
        chosen[digit] = first_right(module, digit, count=4)
        for letter, picture in zip("ab", chosen[digit]):
            yield f"digit_{digit}_{letter}.png", digit, picture
    for digit in (2, 5, 8):
        large = chosen[digit][2].resize((112, 112), Image.Resampling.LANCZOS)
        yield f"large_{digit}.png", digit, large
    for digit in (1, 4, 9):
        large = ImageOps.invert(chosen[digit][2]).resize((112, 112), Image.Resampling.LANCZOS)
        yield f"large_{digit}_black_on_white.png", digit, large
    for digit in (3, 6):
        ink = ImageOps.colorize(chosen[digit][3], black=(250, 245, 230), white=(25, 35, 120))
        yield f"colour_{digit}.png", digit, ink.resize((200, 200), Image.Resampling.BICUBIC)
    for digit in range(10):
        yield f"drawn_{digit}.png", digit, draw(digit)


def first_right(module, digit, count):
    """The first held-out pictures of `digit` that the model reads, in the order of the split."""
    _, (held_out, digits) = data.load()
    found = []
    for values in held_out[digits == digit]:
        picture = Image.fromarray(values)
        if next(iter(classify(module, picture))) == str(digit):
            found.append(picture)
        if len(found) == count:
            return found
    raise SystemExit(f"the model reads fewer than {count} held-out pictures of {digit}")
