"""The model store of a run, the folder beside it, and a web server with archives.

Sound archives are copied from `tests/goldens/archives` and `archives/`; broken ones are made from
`mlp.mar`, each with one thing wrong.
"""

import functools
import http.server
import io
import json
import shutil
import tarfile
import threading
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
GOLDENS = HERE.parent / "goldens/archives"
SOUND = "mlp mlp_v2 echo configured tiny_classifier not_torchscript python_handler eager"
CREATED = {"createdOn": "01/01/2026 00:00:00", "runtime": "python", "archiverVersion": "0.12.0"}


def manifest(name, runtime="python", **model):
    model = {"modelName": name, "serializedFile": "model.pt", "handler": "base_handler", **model}
    model = {key: value for key, value in model.items() if value is not None}
    return json.dumps({**CREATED, "runtime": runtime, "model": model})


def write(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def broken(store, weights):
    """Archives made from the weights of `mlp.mar`."""

    def archive(name, text, **files):
        more = {key.replace("__", "."): content for key, content in files.items()}
        entries = {"MAR-INF/MANIFEST.json": text} if text is not None else {}
        write(store / f"{name}.mar", {**entries, "model.pt": weights, **more})

    archive("no_version", manifest("no_version"))
    archive("no_handler", manifest("no_handler", handler=None))
    archive("no_name", manifest(None))
    archive("no_manifest", None)
    archive("no_model_entry", json.dumps(CREATED))
    archive("bad_manifest", "{")
    archive("empty_manifest", "")
    archive("bad_runtime", manifest("bad_runtime", runtime="cobol"))
    archive("python3", manifest("python3", runtime="python3"))
    archive("missing_weights", manifest("missing_weights", serializedFile="other.pt"))
    yaml = "batchSize: [\nminWorkers: }"
    archive(
        "bad_yaml",
        manifest("bad_yaml", configFile="model-config.yaml"),
        **{"model-config__yaml": yaml},
    )
    (store / "not_a_zip.mar").write_bytes(b"this is no archive\n" * 20)
    (store / "empty.mar").write_bytes(b"")


def folders(store, weights):
    """A model as a folder, as a folder in a folder, as a tar file."""
    text = manifest("folder", modelVersion="1.0")
    for folder in (store / "folder", store / "nested/inner"):
        (folder / "MAR-INF").mkdir(parents=True)
        (folder / "MAR-INF/MANIFEST.json").write_text(text)
        (folder / "model.pt").write_bytes(weights)
    (store / "empty_folder").mkdir()
    with tarfile.open(store / "packed.tar.gz", "w:gz") as archive:
        for name, content in [("MAR-INF/MANIFEST.json", text.encode()), ("model.pt", weights)]:
            entry = tarfile.TarInfo(f"packed/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def build(folder):
    """Writes `folder/store` and `folder/outside`."""
    store, outside = folder / "store", folder / "outside"
    store.mkdir()
    outside.mkdir()
    for name in SOUND.split():
        shutil.copy(GOLDENS / f"{name}.mar", store)
    for archive in (HERE / "archives").glob("*.mar"):
        shutil.copy(archive, store)
    with zipfile.ZipFile(store / "mlp.mar") as archive:
        weights = archive.read("model.pt")
    broken(store, weights)
    folders(store, weights)
    shutil.copy(store / "no_version.mar", outside / "fetched.mar")
    shutil.copy(store / "no_version.mar", outside / "from_file.mar")
    shutil.copy(store / "colours.mar", outside)
    return store, outside


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve(folder):
    """A web server with the files of `folder`; returns it and its address."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"
