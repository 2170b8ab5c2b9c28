"""Counts durations into buckets, for a process that reports running totals to somebody else."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class HistogramTotals:
    """What was observed since a process began.

    Attributes:
        counts: observations per bucket, not accumulated; the last bucket holds those above the largest bound.
        sum: of all observations.
    """

    counts: tuple[int, ...]
    sum: float


class Histogram:
    """Sorts observations into buckets; a bucket includes its upper bound.

    Args:
        bounds: upper bounds, ascending, without infinity.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    @property
    def totals(self) -> HistogramTotals:
        """What was observed so far."""
        return HistogramTotals(tuple(self._counts), self._sum)


BOUNDS: dict[str, tuple[float, ...]] = {
    "inference": (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
    "environment": (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25),
    "push": (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
    "update": (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
    "gather": (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
}
"""Upper bounds in seconds of everything that is timed: by collectors the first three, by learners the others."""
FINE_BOUNDS = tuple(1e-4 * 1.1**place for place in range(130))
"""Upper bounds from 0.1 ms to 22 s, a tenth apart, for quantiles of what is known only while it is measured."""


def growth(earlier: HistogramTotals, later: HistogramTotals) -> HistogramTotals:
    """Return what was observed between two moments."""
    counts = (after - before for before, after in zip(earlier.counts, later.counts, strict=True))
    return HistogramTotals(tuple(counts), later.sum - earlier.sum)


def together(totals: Sequence[HistogramTotals]) -> HistogramTotals:
    """Return what several have observed, at least one of them, in the same buckets."""
    counts = (sum(column) for column in zip(*(each.counts for each in totals), strict=True))
    return HistogramTotals(tuple(counts), sum(each.sum for each in totals))


def quantile(bounds: Sequence[float], totals: HistogramTotals, share: float) -> float | None:
    """Return the value below which that share of the observations lies, None if there are none.

    Within a bucket they are taken as spread evenly; beyond the largest bound nothing is known, so that is returned.
    """
    observations = sum(totals.counts)
    if not observations:
        return None
    wanted = share * observations
    below, lower = 0.0, 0.0
    for count, upper in zip(totals.counts, bounds, strict=False):
        if count and below + count >= wanted:
            return lower + (upper - lower) * (wanted - below) / count
        below, lower = below + count, upper
    return bounds[-1]
