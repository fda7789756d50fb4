"""Puts the published weights into the traced graph: `efficientnet_lite0.mar`, without torch.

`traced.zip` is the TorchScript module as `trace.py` saved it, less the weights; `weights.json`
inside it says which weight belongs into which record, and what the whole must hash to.
"""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import mar
from efficientnet_lite0 import weights

HERE = Path(__file__).resolve().parent
TRACED = HERE / "traced.zip"
LABELS = HERE / "index_to_name.json"
ARCHIVE = HERE.parent / "efficientnet_lite0.mar"
# Where the records of a tensor's elements lie in a TorchScript file.
ROOT = "archive/"
ALIGNMENT = 64


def build():
    """Writes the archive unless a whole and current one is there."""
    if is_current():
        print(f"{ARCHIVE} is there and whole")
        return
    model = assemble()
    index_to_name = LABELS.read_bytes()
    files = {"model.pt": model, "index_to_name.json": index_to_name}
    mar.write(ARCHIVE, mar.manifest("efficientnet_lite0", "image_classifier"), files)
    print(f"wrote {ARCHIVE} ({ARCHIVE.stat().st_size} bytes)")


def is_current():
    """True when the archive holds today's labels and a module that hashes as it must."""
    try:
        with zipfile.ZipFile(ARCHIVE) as archive:
            if archive.read("index_to_name.json") != LABELS.read_bytes():
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


def add_aligned(model, saved, name, content):
    """Stores a record so that its bytes start at a multiple of 64, as torch's own writer does."""
    entry = zipfile.ZipInfo(name, mar.ZIP_TIME)
    header = 30 + len(name.encode()) + 4
    padding = -(saved.tell() + header) % ALIGNMENT
    entry.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
    model.writestr(entry, content)


def digest(model):
    """SHA-256 over the names and bytes of a TorchScript file's records, in order of name."""
    whole = hashlib.sha256()
    with zipfile.ZipFile(io.BytesIO(model)) as records:
        for name in sorted(records.namelist()):
            content = records.read(name)
            whole.update(f"{name}\0{len(content)}\0".encode())
            whole.update(content)
    return whole.hexdigest()
