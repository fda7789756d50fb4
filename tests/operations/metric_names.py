"""The metric names of PromQL expressions, found without a parser: what is left when texts, matchers,
groupings, ranges and functions are taken away."""

import re

WORDS = {"and", "or", "unless", "bool", "offset", "on", "ignoring", "group_left", "group_right", "by",
         "without", "inf", "nan"}


def names(expression):
    text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    text = re.sub(r"\{[^}]*\}", " ", text)
    text = re.sub(r"\[[^\]]*\]", " ", text)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", text)
    found = set()
    for match in re.finditer(r"[A-Za-z_:][A-Za-z0-9_:]*", text):
        before, after = text[:match.start()][-1:], text[match.end():].lstrip()[:1]
        # `5m` is a duration and `rate(` a function.
        if before.isdigit() or after == "(" or match[0].lower() in WORDS:
            continue
        found.add(match[0])
    return found


assert names('sum by (a) (rate(x_total{b=~"y|z{", c="d"}[5m])) / on (e) group_left (f) q:r > bool 2 * 1e3') == {
    "x_total", "q:r"}
assert names('max(a_b offset 30m) unless on () ALERTS{x="y"} and time() - 5 > c') == {"a_b", "ALERTS", "c"}
