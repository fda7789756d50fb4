"""The result as text, JSON and a picture."""

import json
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, PANEL, GAP = 900, 80, 20, 130, 46
COLOURS = ("#0072b2", "#d55e00", "#009e73")
# Heading, unit, columns.
PANELS = [
    ("Memory", "MiB", ("rss_mib", "pss_mib")),
    ("Threads", "", ("threads",)),
    ("Descriptors", "", ("fds",)),
    ("Latency of one client, each second", "ms", ("ping_ms", "predict_ms")),
]


def write(folder, result):
    """Writes the three files; the text."""
    text = as_text(result)
    (folder / "report.txt").write_text(text + "\n")
    (folder / "report.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / "report.svg").write_text(svg(result))
    return f"{text}\n\n{folder}/report.txt, report.json, report.svg"


def as_text(result):
    lines = [f"\n{result['requests']} requests in {result['seconds'] / 60:.1f} minutes"]
    for kind, outcomes in result["outcomes"].items():
        seen = ", ".join(f"{number} x {outcome}" for outcome, number in outcomes.items())
        lines.append(f"  {kind}: {seen}")
    lines.append("")
    for name, verdict in result["verdicts"].items():
        grows = "GROWS" if verdict["grows"] else "does not grow"
        if "values" in verdict:
            lines.append(f"{name}: {grows}: {' '.join(map(str, verdict['values']))}")
            continue
        low, high = verdict["interval_mib_an_hour"]
        lines.append(
            f"{name}: {grows}: {verdict['mib_an_hour']:+} MiB an hour (95 %: {low:+} to {high:+}), "
            f"{verdict['grown_mib']:+} MiB over the judged time, median {verdict['median_mib']} MiB, "
            f"noise {verdict['floor_mib']} MiB"
        )
    for name, parts in result["latency_ms"].items():
        lines.append(f"{name}: " + ", ".join(f"{part} {value}" for part, value in parts.items()))
    wrongs = result["wrongs"]
    lines.append(f"lost or wrong: {len(wrongs) or 'nothing'}")
    lines += [f"  {text}" for text in wrongs]
    lines.append("PASSED" if result["passed"] else "FAILED")
    return "\n".join(lines)


def svg(result):
    rows = result["samples"]
    height = len(PANELS) * (PANEL + GAP) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" role="img">',
        "<title>Torchfront soak: memory, threads, descriptors and latency over time</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    last = max((row["at"] for row in rows), default=1) or 1
    for number, (heading, unit, columns) in enumerate(PANELS):
        top = 30 + number * (PANEL + GAP)
        parts += panel(rows, last, top, heading, unit, columns)
    parts.append(label(LEFT, height - 8, f"minutes; shaded: at rest; {result['requests']} requests"))
    return "\n".join([*parts, "</svg>", ""])


def panel(rows, last, top, heading, unit, columns):
    values = [row[column] for row in rows for column in columns if row.get(column) is not None]
    largest = max(values, default=1) * 1.1 or 1
    inner = WIDTH - LEFT - RIGHT

    def x(at):
        return LEFT + inner * at / last

    def y(value):
        return top + PANEL - PANEL * value / largest

    parts = [label(LEFT, top - 8, heading + (f", {unit}" if unit else ""), 'font-weight="bold"')]
    for start, end in rests(rows):
        parts.append(
            f'<rect x="{x(start):.1f}" y="{top}" width="{max(1, x(end) - x(start)):.1f}" '
            f'height="{PANEL}" fill="#eeeeee"/>'
        )
    for step in range(5):
        value = largest * step / 4
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
            f'stroke="#cccccc" stroke-width="0.5"/>'
        )
        parts.append(label(LEFT - 6, y(value) + 4, f"{value:.3g}", 'text-anchor="end"'))
    for step in range(7):
        at = last * step / 6
        parts.append(label(x(at), top + PANEL + 15, f"{at / 60:.3g}", 'text-anchor="middle"'))
    for column, colour in zip(columns, COLOURS):
        points = " ".join(
            f"{x(row['at']):.1f},{y(row[column]):.1f}" for row in rows if row.get(column) is not None
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
    for place, (column, colour) in enumerate(zip(columns, COLOURS)):
        name = label(WIDTH - RIGHT - 90 * place, top - 8, column, f'text-anchor="end" fill="{colour}"')
        parts.append(name)
    return parts


def rests(rows):
    """Start and end of each rest."""
    start = None
    for row in rows:
        if row["resting"] and start is None:
            start = row["at"]
        if not row["resting"] and start is not None:
            yield start, row["at"]
            start = None


def label(x, y, words, attributes='fill="#111111"'):
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{escape(words)}</text>'
