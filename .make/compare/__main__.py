"""Measures Torchfront next to other servers, on this machine, in one run.

    make compare WHAT=preflight [ARGS=...]     CORS preflights
    make compare WHAT=busy [ARGS=...]          CORS preflights while photographs keep the cores busy
    make compare WHAT=inference [ARGS=...]     a small network as JSON, resnet18 with a photograph
    make compare WHAT=pictures [ARGS=...]      decoding and resizing, next to Pillow and torchvision
    make compare WHAT=reload [ARGS=...]        changes of the CORS policy under load
    make compare WHAT=api [ARGS=...]           the answers of the REST APIs, request by request

ARGS=--help says what each takes.
"""

import importlib
import pathlib
import sys

# Each is a file of this folder with a function `main(arguments)`.
KNOWN = [
    what
    for what in ("preflight", "busy", "inference", "pictures", "reload", "api")
    if pathlib.Path(__file__).with_name(f"{what}.py").exists()
]

if __name__ == "__main__":
    what, arguments = (sys.argv[1:2] or [""])[0], sys.argv[2:]
    if what in ("-h", "--help"):
        print(__doc__, end="")
    elif what not in KNOWN:
        sys.exit(f"{__doc__}\n{what or 'nothing'!r} is not one of {', '.join(KNOWN)}")
    else:
        importlib.import_module(what).main(arguments)
