"""The differences from TorchServe that are meant, as data.

A rule names the requests (`RUN/CASE`, shell patterns), a field, and what both servers say there, as
regular expressions for the whole value (None: absent). It points to a numbered line of the section
"Differences from TorchServe" of the README, where the reason stands.
"""

import re
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"


@dataclass(eq=False)
class Rule:
    line: str
    requests: tuple
    field: str
    theirs: str
    ours: str

    def __str__(self):
        return f"{self.line}: {self.field} of {', '.join(self.requests)}"

    def explains(self, name, field, theirs, ours):
        from compare import matches, named

        return (
            field == self.field
            and named(self.requests, name)
            and matches(self.theirs, theirs)
            and matches(self.ours, ours)
        )


RULES = []


def rule(line, requests, field, theirs, ours):
    RULES.append(Rule(line, tuple(requests.split()), field, theirs, ours))


rule("D01", "*", "header:date", None, "<date>")
rule("D01", "*", "header:x-content-type-options", None, "nosniff")
rule("D01", "*", "header:cache-control", "no-cache; no-store, must-revalidate, private", "no-cache, no-store, must-revalidate, private")
rule("D01", "*", "header:connection", "keep-alive", None)
rule("D02", "*", "header:connection", "close", None)
rule("D02", "*", "kept", "False", "True")
rule("D03", "*", "header:content-type", None, "application/json")



def faults():
    """Rules that point to no line of the README."""
    lines = set(re.findall(r"^\| (D\d+) \|", README.read_text(), re.MULTILINE))
    return [f"rule {rule} points to no line of the README" for rule in RULES if rule.line not in lines]
