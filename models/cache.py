"""Where fetched things are kept between runs, and a lock so that two runs do not collide."""

import contextlib
import fcntl
import os
from pathlib import Path


def folder():
    """`${XDG_CACHE_HOME:-~/.cache}/torchfront`, made if it is not there."""
    path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torchfront"
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def locked(name):
    """Waits until no other run holds the lock `name`; released when the process ends."""
    with open(folder() / f".{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
