"""Copies an archive, with another handler where it brings one in Python."""

import json
import shutil
import zipfile

MANIFEST = "MAR-INF/MANIFEST.json"


def handler(archive):
    """The handler that the manifest names."""
    with zipfile.ZipFile(archive) as content:
        return json.loads(content.read(MANIFEST))["model"]["handler"]


def write(source, target, handler):
    """`source` at `target`; with `handler`, that one and no Python."""
    if handler is None:
        shutil.copy(source, target)
        return
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith(".py"):
                continue
            if name == MANIFEST:
                manifest = json.loads(content)
                manifest["model"]["handler"] = handler
                manifest["model"]["modelName"] = target.stem
                content = json.dumps(manifest)
            new.writestr(name, content)
