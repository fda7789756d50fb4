"""Writes model archives (`.mar`) in the layout of torch-model-archiver, byte for byte repeatable.

Used by `make.py`, `digits/train.py` and `tests/goldens/make_archives.py`. An archive is written
beside its target and renamed, so that a half-written one is never seen.
"""

import io
import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path

# A fixed time stamp: two builds of the same content give the same archive.
CREATED_ON = "01/01/2026 00:00:00"
ZIP_TIME = (2026, 1, 1, 0, 0, 0)
ARCHIVER_VERSION = "0.12.0"

# What libtorch's own writer adds to every file.
WRITER_RECORDS = (".data/serialization_id", ".data/version", "version", "byteorder")


def repeatable():
    """Starts the running script again with Python's hash seed fixed, if it is not.

    TorchScript writes the constants of a module in the order of a Python set.
    """
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, *sys.argv])


def manifest(name, handler, serialized_file="model.pt", version="1.0", **fields):
    """The content of `MAR-INF/MANIFEST.json`; `fields` are `configFile`, `modelFile` and such."""
    model = {
        "modelName": name,
        "serializedFile": serialized_file,
        "handler": handler,
        "modelVersion": version,
        **fields,
    }
    return {
        "createdOn": CREATED_ON,
        "runtime": "python",
        "model": model,
        "archiverVersion": ARCHIVER_VERSION,
    }


def write(path, manifest_fields, files):
    """Writes the archive `path`; `files` maps names inside it to `str` or `bytes`."""
    entries = dict(files)
    entries["MAR-INF/MANIFEST.json"] = json.dumps(manifest_fields, indent=2)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name, ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    replace(path, buffer.getvalue())


def replace(path, content):
    """Puts `content` at `path` in one step: temporary file, flush to disk, rename."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def torchscript_bytes(module):
    """A scripted or traced module as libtorch saves it, without the debug records.

    The debug records hold the paths of the Python sources on the machine that built the module:
    they would differ between two checkouts, and no server reads them.
    """
    import torch

    saved = io.BytesIO()
    torch.jit.save(module, saved)
    saved.seek(0)
    reader = torch._C.PyTorchFileReader(saved)
    stripped = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(stripped)
    for name in reader.get_all_records():
        if name.endswith(".debug_pkl") or name in WRITER_RECORDS:
            continue
        content = reader.get_record(name)
        writer.write_record(name, content, len(content))
    writer.write_end_of_file()
    return stripped.getvalue()
