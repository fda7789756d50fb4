"""What a declaration of a difference is, and the parts that declarations share."""

import re
from dataclasses import dataclass

RULES = []
ADDITIONS = []


@dataclass(eq=False)
class Rule:
    """One field of some requests: what each server says there."""

    line: str
    requests: tuple
    field: str
    theirs: str
    ours: str

    def __str__(self):
        return f"{self.line}: {self.field} of {' '.join(self.requests)}"


@dataclass(eq=False)
class Addition:
    """A part of Torchfront's bodies that TorchServe's do not have: left out of the comparison."""

    line: str
    pattern: str

    def __str__(self):
        return f"{self.line}: the addition {self.pattern}"


def rule(line, requests, field, theirs, ours):
    """Declares a difference; `requests` are shell patterns for RUN/CASE, with blanks between them."""
    RULES.append(Rule(line, tuple(requests.split()), field, theirs, ours))


def answers(line, requests, theirs, ours):
    """Other answers as a whole: both are (status, body)."""
    rule(line, requests, "status", str(theirs[0]), str(ours[0]))
    rule(line, requests, "body", theirs[1], ours[1])


def addition(line, pattern):
    """Declares a part that only Torchfront's bodies have."""
    ADDITIONS.append(Addition(line, pattern))


def cases(prefix, names):
    """The patterns for these cases of a run: `prefix` is RUN/, or RUN/ and what they have in common."""
    return " ".join(f"{prefix}{name}" for name in names.split())


def error(code, kind, message):
    """An error in TorchServe's form; `message` is a regular expression for the text in the JSON."""
    lines = f'{{\n  "code": {code},\n  "type": "{kind}",\n  "message": "'
    return f'{re.escape(lines)}{message}"\n\\}}\n'


ANY = r".*"
FAILED = (503, error(503, "InternalServerException", "Prediction failed"))
BAD = (400, error(400, "BadRequestException", ANY))
NO_ROUTE = (404, error(404, "ResourceNotFoundException", "Requested resource is not found.*"))
LABELS = r'\{\n(  "\w+": [0-9.e-]+,?\n)+\}'
HEALTHY = r'\{\n  "status": "Healthy"\n\}\n'
NO_KEY = (400, error(400, "InvalidKeyException", "Token Authorization failed.*"))
CACHING = {
    "cache-control": "no-cache; no-store, must-revalidate, private",
    "pragma": "no-cache",
    "expires": "Thu, 01 Jan 1970 00:00:00 UTC",
}
NO_MODEL = (404, error(404, "ModelNotFoundException", "Model not found: .*"))
ARRAY = r"\[.*\]"
