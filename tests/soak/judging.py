"""From samples to a verdict. Pure.

Memory goes up and down with the load, so that a line through it is found by Theil and Sen's method (the
median of the slopes of all pairs), which single peaks do not move, with Sen's interval for 95 %. Samples
that follow each other are alike (a phase of large requests lasts for minutes), so that there is less to
learn from them than their number says: the interval is widened as Hamed and Rao widen the variance of
Mann and Kendall's test (J. Hydrology 204, 1998). Memory has grown when the whole interval is above 0 and
the growth is more than the noise floor: pages that an allocator keeps are not a leak, a leak goes on.
Threads and descriptors are compared at rest, where they must be equal.
"""

import math
import random
import statistics

# Growth over the judged time below which nothing is claimed: MiB, and a part of the median.
FLOOR_MIB = 2.0
FLOOR_PART = 0.01
# Samples before this part of the run are warm-up: caches and pools fill.
WARM_UP = 0.25
BUCKET_SECONDS = 5


def theil_sen(points):
    """Slope and its 95 % interval, for (x, y) pairs; zeros for fewer than three."""
    if len(points) < 3:
        return 0.0, (0.0, 0.0)
    slopes = sorted(
        (y2 - y1) / (x2 - x1)
        for number, (x1, y1) in enumerate(points)
        for x2, y2 in points[number + 1 :]
        if x2 != x1
    )
    count, pairs, slope = len(points), len(slopes), statistics.median(slopes)
    variance = count * (count - 1) * (2 * count + 5) / 18
    spread = 1.96 * math.sqrt(variance * alikeness([y - slope * x for x, y in points]))
    low = max(0, int((pairs - spread) / 2))
    high = min(pairs - 1, int(math.ceil((pairs + spread) / 2)))
    return slope, (slopes[low], slopes[high])


def alikeness(values):
    """How many times less values in their order tell than as many independent ones: Hamed and Rao's
    `n / n*`, of the autocorrelations of their ranks that are significant (95 %). At least 1."""
    count = len(values)
    order = sorted(range(count), key=values.__getitem__)
    ranks = [0.0] * count
    for rank, number in enumerate(order):
        ranks[number] = rank - (count - 1) / 2
    power = sum(rank * rank for rank in ranks)
    total = 0.0
    for lag in range(1, count - 2):
        alike = sum(a * b for a, b in zip(ranks, ranks[lag:])) / power
        if abs(alike) > 1.96 / math.sqrt(count):
            total += (count - lag) * (count - lag - 1) * (count - lag - 2) * alike
    return max(1.0, 1 + 2 * total / (count * (count - 1) * (count - 2)))


def buckets(rows, key, seconds=BUCKET_SECONDS):
    """Medians of a column over equal times, as (time, median)."""
    grouped = {}
    for row in rows:
        if row.get(key) is not None:
            grouped.setdefault(int(row["at"] // seconds), []).append(row[key])
    return [((number + 0.5) * seconds, statistics.median(all_)) for number, all_ in grouped.items()]


def growth(points, noise):
    """A verdict on a column of MiB over time in seconds. `noise`: MiB that say nothing."""
    slope, (low, high) = theil_sen(points)
    span = points[-1][0] - points[0][0] if len(points) > 1 else 0
    middle = statistics.median(value for _, value in points) if points else 0
    floor = max(noise, FLOOR_PART * middle)
    grown = slope * span
    return {
        "mib_an_hour": round(slope * 3600, 2),
        "interval_mib_an_hour": [round(low * 3600, 2), round(high * 3600, 2)],
        "grown_mib": round(grown, 2),
        "floor_mib": round(floor, 2),
        "median_mib": round(middle, 1),
        "grows": low > 0 and grown > floor,
    }


def constant(values):
    """A verdict on counts at rest, the first of which is warm-up: a helper thread that has not ended yet
    comes and goes, what leaks ends higher than it ever was."""
    *before, last = values[1:] or values
    return {"values": values, "grows": bool(before) and last > max(before)}


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else None


def judge(rows, rests, people, ended, seconds):
    """Everything that the report shows."""
    loaded = [row for row in rows if not row["resting"]]
    settled = [row for row in loaded if row["at"] >= WARM_UP * seconds]
    verdicts = {
        "rss": growth(buckets(settled, "rss_mib"), FLOOR_MIB),
        "pss": growth(buckets(settled, "pss_mib"), FLOOR_MIB),
        "rss at rest": growth(
            [(rest["at"], rest["rss_mib"]) for rest in rests if rest["at"] >= WARM_UP * seconds],
            FLOOR_MIB,
        ),
        "threads at rest": constant([rest["threads"] for rest in rests]),
        "descriptors at rest": constant([rest["fds"] for rest in rests]),
    }
    latency = {
        key: {part: percentile([row[key] for row in loaded if row[key] is not None], number)
              for part, number in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}
        for key in ("ping_ms", "predict_ms")
    }
    tally = people.tally
    wrongs = [*tally.wrongs, *ended]
    for rest in rests:
        wrongs += [f"at {rest['at']} s, {text}" for text in rest["unaccounted"] + rest["forgotten"]]
    unanswered = sum(row[key] is None for row in rows for key in ("ping_ms", "predict_ms"))
    if unanswered:
        wrongs.append(f"the measuring client was not answered {unanswered} times")
    return {
        "passed": not wrongs and not any(verdict["grows"] for verdict in verdicts.values()),
        "seconds": round(rows[-1]["at"] if rows else 0, 1),
        "requests": tally.total(),
        "outcomes": tally.as_dict(),
        "verdicts": verdicts,
        "latency_ms": latency,
        "wrongs": wrongs,
        "rests": rests,
        "samples": rows,
    }


def check():
    """That growth is seen, and noise is not growth."""
    # A saw tooth with peaks, level.
    level = [(x, 100 + x % 7 + (40 if x % 50 == 0 else 0)) for x in range(0, 1500, 5)]
    assert not growth(level, FLOOR_MIB)["grows"], growth(level, FLOOR_MIB)
    leaking = [(x, y + x * 0.01) for x, y in level]
    verdict = growth(leaking, FLOOR_MIB)
    assert verdict["grows"] and abs(verdict["mib_an_hour"] - 36) < 2, verdict
    # Allocators fill up and stop.
    settled = [(x, 100 + min(x, 60) / 60) for x in range(0, 1500, 5)]
    assert not growth(settled, FLOOR_MIB)["grows"], growth(settled, FLOOR_MIB)
    falling = [(x, 200 - x * 0.01) for x in range(0, 1500, 5)]
    assert not growth(falling, FLOOR_MIB)["grows"]
    # What wanders for minutes and comes back is no growth, more often than in the 5 % of the interval;
    # a leak under it is seen all the same.
    found, missed = 0, 0
    for seed in range(40):
        wander = wandering(random.Random(seed))
        found += growth(wander, FLOOR_MIB)["grows"]
        missed += not growth([(x, y + x * 0.03) for x, y in wander], FLOOR_MIB)["grows"]
    assert found <= 6 and missed <= 4, (found, missed)
    assert theil_sen([(0, 1), (1, 3), (2, 5), (3, 7)])[0] == 2
    assert not constant([20, 23, 23, 23])["grows"]
    assert not constant([20, 23, 22, 23, 22])["grows"]
    assert not constant([29, 29, 30, 30, 29, 30])["grows"]
    assert constant([20, 23, 23, 24])["grows"]
    assert buckets([{"at": 1, "a": 1}, {"at": 2, "a": 9}, {"at": 3, "a": 2}], "a") == [(2.5, 2)]


def wandering(chance):
    """Memory that is pulled back to 280 MiB within a minute or two, every 5 seconds of 23 minutes."""
    points, off = [], 0.0
    for x in range(0, 1350, BUCKET_SECONDS):
        off = 0.95 * off + chance.gauss(0, 3)
        points.append((x, 280 + off + chance.gauss(0, 2)))
    return points
