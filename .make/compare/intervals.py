"""Medians of rounds, and how sure they are. Pure; the random numbers have a fixed seed."""

import random
import statistics

RESAMPLES = 4000


def median(rounds, key):
    values = [each[key] for each in rounds if each.get(key) is not None]
    return statistics.median(values) if values else None


def ratio(own, base, key):
    """The median of the ratios within each round, and its 95 % confidence interval by the bootstrap
    (the rounds are drawn again, with replacement); no interval below three rounds."""
    ratios = [mine[key] / theirs[key] for mine, theirs in zip(own, base)]
    if len(ratios) < 3:
        return statistics.median(ratios), None
    draw = random.Random(0)
    medians = sorted(
        statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES)
    )
    low, high = medians[int(RESAMPLES * 0.025)], medians[int(RESAMPLES * 0.975)]
    return statistics.median(ratios), (low, high)
