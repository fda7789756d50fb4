"""What `/metrics` must add up to. Pure."""

import re

OUTCOMES = ("ok", "error", "bad_input", "cancelled", "expired")
SERIES = re.compile(r"^ts_predictions_total\{([^}]*)\} (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')


def outcomes(text):
    """Requests by model version and outcome."""
    found = {}
    for labels, value in SERIES.findall(text):
        labels = dict(LABEL.findall(labels))
        version = found.setdefault((labels["model_name"], labels["model_version"]), {})
        version[labels["outcome"]] = float(value)
    return found


def unaccounted(text):
    """Versions whose accepted requests are not the sum of the outcomes, while nothing is going on."""
    wrong = []
    for (name, version), counts in sorted(outcomes(text).items()):
        accepted = counts.get("accepted", 0)
        total = sum(counts.get(outcome, 0) for outcome in OUTCOMES)
        if accepted != total:
            wrong.append(f"{name} {version}: {accepted:.0f} accepted, {total:.0f} with an outcome")
    return wrong


def below(text, answered):
    """Models of which clients have seen more predictions than were counted."""
    counted = {}
    for (name, _), counts in outcomes(text).items():
        counted[name] = counted.get(name, 0) + counts.get("ok", 0)
    return [
        f"{name}: clients saw {seen} predictions, {counted.get(name, 0):.0f} were counted"
        for name, seen in sorted(answered.items())
        if counted.get(name, 0) < seen
    ]


def check():
    """That a miscount is seen."""
    labels = 'model_name="m",model_version="1.0",outcome='
    lines = [f'ts_predictions_total{{{labels}"accepted"}} 5', f'ts_predictions_total{{{labels}"ok"}} 3']
    assert unaccounted("\n".join(lines)) == ["m 1.0: 5 accepted, 3 with an outcome"]
    lines += [f'ts_predictions_total{{{labels}"{outcome}"}} 1' for outcome in ("error", "cancelled")]
    assert unaccounted("\n".join(lines)) == []
    assert below("\n".join(lines), {"m": 3}) == []
    second = 'ts_predictions_total{model_name="m",model_version="2.0",outcome="ok"} 2'
    assert below("\n".join([*lines, second]), {"m": 5}) == []
    assert below("\n".join(lines), {"m": 4}) == ["m: clients saw 4 predictions, 3 were counted"]
