"""Compares two recordings of a run field by field; declared rules (`rules/`) explain differences.

A field is `status`, `kept`, `interim`, `body`, `header:NAME`, or `sample`: one line of metrics that only
one server has. A rule may also be about `lines`: the lines of a body that differ, without the others. Two bodies are equal when their text
is, but for numbers with a fraction: they may differ by 1e-5 of their size (another build of
libtorch, another order of additions), and their notation may, too.
"""

import difflib
import re
from fnmatch import fnmatchcase

import rules

NUMBER = re.compile(r"-?\d+\.\d+(?:[eE][+-]?\d+)?|-?\d+[eE][+-]?\d+")
TOLERANCE = 1e-5


class Comparison:
    """All differences of some runs."""

    def __init__(self):
        self.explained = []
        self.unexplained = []
        self.used = set()
        self.compared = 0

    def add(self, run, expected, got):
        """Compares the answers of one run."""
        missing = [case.id for case in run.cases if case.id not in expected]
        if missing or len(expected) != len(run.cases):
            raise SystemExit(f"{run.name}: the recording is of another list of requests: {missing}")
        for case in run.cases:
            self.compared += 1
            answer = self.without_additions(got[case.id])
            for field, theirs, ours in differences(expected[case.id], answer):
                rule = explanation(f"{run.name}/{case.id}", field, theirs, ours)
                difference = (f"{run.name}/{case.id}", field, theirs, ours, rule)
                if rule is None:
                    self.unexplained.append(difference)
                else:
                    self.used.add(id(rule))
                    self.explained.append(difference)

    def without_additions(self, answer):
        """The answer less the parts that TorchServe's does not have by declaration."""
        body = answer["body"]
        for addition in rules.ADDITIONS:
            body, found = re.subn(addition.pattern, "", body, flags=re.DOTALL)
            if found:
                self.used.add(id(addition))
        return {**answer, "body": body}

    def report(self, whole, verbose):
        """Prints what is to be told; the exit status."""
        faults = rules.faults()
        if whole:
            idle = (rule for rule in [*rules.RULES, *rules.ADDITIONS] if id(rule) not in self.used)
            faults += [f"rule {rule} explains nothing any more: take it out" for rule in idle]
        if verbose:
            for difference in self.explained:
                tell(*difference)
        for difference in self.unexplained:
            tell(*difference)
        for fault in faults:
            print(fault)
        cases = len({name for name, *_ in self.unexplained})
        print(
            f"{self.compared} requests: {len(self.explained)} differences explained, "
            f"{len(self.unexplained)} not (in {cases} requests)"
        )
        return 1 if self.unexplained or faults else 0


def differences(theirs, ours):
    """The fields that differ, with both values; None is absent."""
    for field in ("status", "kept", "interim"):
        if theirs.get(field) != ours.get(field):
            yield field, theirs.get(field), ours.get(field)
    for name in sorted({*theirs["headers"], *ours["headers"]}):
        values = theirs["headers"].get(name), ours["headers"].get(name)
        if values[0] != values[1]:
            yield f"header:{name}", *values
    if is_prometheus(theirs) and is_prometheus(ours) and theirs["body"] and ours["body"]:
        yield from sample_differences(theirs["body"].splitlines(), ours["body"].splitlines())
    elif not same_text(theirs["body"], ours["body"]):
        yield "body", theirs["body"], ours["body"]


def is_prometheus(answer):
    return answer["headers"].get("content-type", "").startswith("text/plain; version=0.0.4")


def sample_differences(theirs, ours):
    """Metrics, line by line: their order says nothing."""
    for line in sorted({*theirs} - {*ours}):
        yield "sample", line, None
    for line in sorted({*ours} - {*theirs}):
        yield "sample", None, line


def same_text(theirs, ours):
    if theirs == ours:
        return True
    if NUMBER.split(theirs) != NUMBER.split(ours):
        return False
    pairs = zip(NUMBER.findall(theirs), NUMBER.findall(ours))
    return all(near(float(one), float(other)) for one, other in pairs)


def near(one, other):
    return one == other or abs(one - other) <= TOLERANCE * max(abs(one), abs(other), 1e-2)


def explanation(name, field, theirs, ours):
    """The rule that fits a difference, or None."""
    values = {field: (theirs, ours)}
    if field == "body":
        values["lines"] = changed_lines(theirs, ours)
    for rule in rules.RULES:
        if rule.field in values and named(rule.requests, name):
            one, other = values[rule.field]
            if matches(rule.theirs, one) and matches(rule.ours, other):
                return rule
    return None


def changed_lines(theirs, ours):
    """The lines that only one of two bodies has."""
    one, other = theirs.splitlines(), ours.splitlines()
    removed, added = [], []
    blocks = difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
    for kind, start, end, other_start, other_end in blocks:
        if kind != "equal" and not same_text(
            "\n".join(one[start:end]), "\n".join(other[other_start:other_end])
        ):
            removed += one[start:end]
            added += other[other_start:other_end]
    return "\n".join(removed), "\n".join(added)


def tell(name, field, theirs, ours, rule):
    print(f"\n{name}: {field}" + (f"   ({rule})" if rule else ""))
    if field == "body" and "\n" in f"{theirs}{ours}".strip():
        lines = difflib.unified_diff(
            str(theirs).splitlines(),
            str(ours).splitlines(),
            "TorchServe",
            "Torchfront",
            lineterm="",
            n=1,
        )
        for number, line in enumerate(lines):
            if number == 40:
                print("  ...")
                break
            print("  " + line[:300])
    else:
        print(f"  TorchServe: {str(theirs)[:300]!r}\n  Torchfront: {str(ours)[:300]!r}")


def matches(pattern, value):
    """Whether a rule's pattern fits a value: None means absent, a text is a regular expression."""
    if pattern is None or value is None:
        return pattern is None and value is None
    return re.fullmatch(pattern, str(value), re.DOTALL) is not None


def named(globs, name):
    return any(fnmatchcase(name, glob) for glob in globs)
