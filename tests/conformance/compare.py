"""Compares JSON values: numbers within tolerances, everything else exactly."""

import math


def outputs(listed):
    """The Open Inference outputs by name: shape, datatype and flat data.

    Plain values are tensors without dimensions on the wire, and `None` is none.
    """
    found = {}
    for output in listed:
        name = output["name"]
        if "scalar" not in output:
            found[name] = [output["shape"], output["datatype"], flat(output["data"])]
        elif isinstance(output["scalar"], list):
            items = ({"name": f"{name}.{i}", "scalar": v} for i, v in enumerate(output["scalar"]))
            found.update(outputs(items))
        elif output["scalar"] is not None:
            found[name] = [[], datatype(output["scalar"]), [output["scalar"]]]
    return found


def datatype(value):
    kinds = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES"}
    return kinds[type(value)]


def flat(data):
    if not isinstance(data, list):
        return [data]
    return [number for item in data for number in flat(item)] if nested(data) else data


def nested(data):
    return any(isinstance(item, list) for item in data)


def difference(expected, got, absolute, relative, place=""):
    """The first difference, or None."""
    here = place or "the answer"
    if isinstance(expected, bool) or isinstance(got, bool) or expected is None:
        # The wire has booleans as such; NumPy's goldens may have 0 and 1.
        return None if expected == got else f"{here}: expected {expected}, got {got}"
    if isinstance(expected, (int, float)) and isinstance(got, (int, float)):
        if close(expected, got, absolute, relative):
            return None
        return f"{here}: expected {expected}, got {got}"
    if type(expected) is not type(got):
        return f"{here}: expected {str(expected)[:80]}, got {str(got)[:80]}"
    if isinstance(expected, list):
        if len(expected) != len(got):
            return f"{here}: expected {len(expected)} items, got {len(got)}"
        pairs = zip(range(len(expected)), expected, got)
    elif isinstance(expected, dict):
        if set(expected) != set(got):
            return f"{here}: expected {sorted(expected)}, got {sorted(got)}"
        pairs = ((key, expected[key], got[key]) for key in expected)
    else:
        return None if expected == got else f"{here}: expected {expected!r}, got {got!r}"
    found = (difference(a, b, absolute, relative, f"{place}/{key}") for key, a, b in pairs)
    return next((text for text in found if text), None)


def close(expected, got, absolute, relative):
    if isinstance(expected, int) and isinstance(got, int):
        return expected == got
    if math.isnan(expected) or math.isinf(expected):
        return math.isnan(got) if math.isnan(expected) else expected == got
    return abs(expected - got) <= absolute + relative * abs(expected)
