"""Puts the published weights into the traced encoder: `minilm_l6.mar`, without torch.

As `assembly.py`: `traced.zip` is what `trace.py` saved, less the weights.
"""

import io
import json
import zipfile
from pathlib import Path

import mar
from assembly import ROOT, add_aligned, digest
from minilm_l6 import weights

HERE = Path(__file__).resolve().parent
TRACED = HERE / "traced.zip"
ARCHIVE = HERE.parent / "minilm_l6.mar"
CONFIG = """\
# Sentence embeddings: the mean of the tokens' vectors, one long.
batchSize: 16
text_classifier:
  task: embedding
  max_length: 256
"""


def build():
    """Writes the archive unless a current one is there."""
    if is_current():
        print(f"{ARCHIVE} is there and whole")
        return
    files = {
        "model.pt": assemble(),
        "tokenizer.json": weights.file("tokenizer.json"),
        "model-config.yaml": CONFIG,
    }
    fields = mar.manifest("minilm_l6", "text_classifier", configFile="model-config.yaml")
    mar.write(ARCHIVE, fields, files)
    print(f"wrote {ARCHIVE} ({ARCHIVE.stat().st_size} bytes)")


def is_current():
    """True when the archive holds today's settings and a module that hashes as it must."""
    try:
        with zipfile.ZipFile(ARCHIVE) as archive:
            if archive.read("model-config.yaml").decode() != CONFIG:
                return False
            return digest(archive.read("model.pt")) == plan()["digest"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return False


def plan():
    with zipfile.ZipFile(TRACED) as traced:
        return json.loads(traced.read("weights.json"))


def assemble():
    """The TorchScript file with its weights, checked."""
    tensors = weights.state_dict()
    to_fill = plan()["weights"]
    saved = io.BytesIO()
    with zipfile.ZipFile(TRACED) as traced, zipfile.ZipFile(saved, "w") as model:
        records = {n: traced.read(n) for n in traced.namelist() if n != "weights.json"}
        records.update({record: tensors[name] for record, name in to_fill.items()})
        # The pickle first, as torch writes it.
        for name in sorted(records, key=lambda record: (record != ROOT + "data.pkl", record)):
            add_aligned(model, saved, name, records[name])
    if digest(saved.getvalue()) != plan()["digest"]:
        raise SystemExit("the assembled module is not the one that was traced: see trace.py")
    return saved.getvalue()
