"""What a comparison of inference found, as Markdown and as a picture."""

import chart
import intervals


def figures(measured, jobs, base):
    """Everything that was found, as one value."""
    base = next((each for each in measured if each.name == base), measured[0])
    # A floor has one model: its memory says nothing.
    whole = [each for each in measured if each.model is None]

    def row(each, job, keys, compare):
        rounds = [one[job] for one in each.rounds]
        ratio, interval = intervals.ratio(rounds, [one[job] for one in base.rounds], compare)
        return {
            "server": each.name,
            **{key: intervals.median(rounds, key) for key in keys},
            "ratio": ratio,
            "interval": interval,
        }

    keys = ("rate", "p50_ms", "p99_ms", "cpu_ms")
    return {
        "base": base.name,
        "workloads": {
            job.name: [
                row(each, job.name, keys, "rate")
                for each in measured
                if each.model in (None, job.model)
            ]
            for job in jobs
        },
        "memory": [row(each, "memory", ("bytes",), "bytes") for each in whole],
        "start": [row(each, "start", ("seconds",), "seconds") for each in whole],
    }


def times(row, base):
    """A ratio with its interval; one that may as well be 1 says so."""
    if row["server"] == base:
        return "1"
    if row["interval"] is None:
        return f"{row['ratio']:.2f}"
    low, high = row["interval"]
    text = f"{row['ratio']:.2f} ({low:.2f} to {high:.2f})"
    return f"{text}, no difference" if low < 1 < high else text


def markdown(found, conditions):
    base = found["base"]
    lines = [conditions_text(conditions), ""]
    for name, rows in found["workloads"].items():
        lines += [
            f"**{name}**",
            "",
            f"| server | requests/s | x {found['base']} | p50, ms | p99, ms | CPU/request, ms |",
            "|---|--:|--:|--:|--:|--:|",
        ]
        for row in rows:
            lines.append(
                f"| {row['server']} | {row['rate']:,.0f} | {times(row, base)} | {row['p50_ms']:.2f} "
                f"| {row['p99_ms']:.2f} | {row['cpu_ms']:.3f} |"
            )
        lines.append("")
    lines += [
        "**both models, after the load**",
        "",
        f"| server | memory (PSS), MB | x {found['base']} | first correct answers, s |",
        "|---|--:|--:|--:|",
    ]
    for memory, start in zip(found["memory"], found["start"]):
        lines.append(
            f"| {memory['server']} | {memory['bytes'] / 1e6:,.0f} | {times(memory, base)} "
            f"| {start['seconds']:.2f} |"
        )
    return "\n".join([*lines, ""])


def conditions_text(conditions):
    versions = ", ".join(f"{name} {version}" for name, version in conditions["versions"].items())
    return (
        f"{conditions['date']}, {conditions['processor']}, {conditions['cores']} cores shared with "
        f"wrk, Linux {conditions['kernel']}, load {conditions['load_before']} before the start. "
        f"torchfront {conditions['commit']}, {versions}. {conditions['rounds']} rounds of "
        f"{conditions['seconds']} s; medians; ratios with 95 % confidence intervals."
    )


def picture(found, conditions):
    panels = []
    for name, rows in found["workloads"].items():
        bars = [
            (
                row["server"],
                row["rate"],
                f"{row['rate']:,.0f}/s, {row['ratio']:.2f} x",
                row["server"].startswith("torchfront"),
            )
            for row in rows
        ]
        panels.append((f"{name}: requests/s, x {found['base']}", bars))
    title = (
        f"{conditions['date']}, {conditions['cores']} cores shared with the client, "
        f"{conditions['processor']}, medians of {conditions['rounds']} rounds"
    )
    return chart.svg(title, panels)
