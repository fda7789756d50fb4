"""The differences from TorchServe that are meant, as data.

A rule names the requests (`RUN/CASE`, shell patterns), a field, and what both servers say there, as
regular expressions for the whole value (None: absent). It points to a numbered line of the section
"Differences from TorchServe" of the README, where the reason stands. The fields are those of
`compare.py`.
"""

import re
from pathlib import Path

from . import inference, management, metrics, wire
from .form import ADDITIONS, RULES

__all__ = ["ADDITIONS", "RULES", "faults", "inference", "management", "metrics", "wire"]

README = Path(__file__).resolve().parents[3] / "README.md"


def faults():
    """Declarations that point to no line of the README."""
    lines = set(re.findall(r"^\| (D\d+) \|", README.read_text(), re.MULTILINE))
    declared = [*RULES, *ADDITIONS]
    return [
        f"{each} points to no line of the README" for each in declared if each.line not in lines
    ]
