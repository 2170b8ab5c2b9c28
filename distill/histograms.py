"""Counts durations into buckets, for a process that reports running totals to somebody else."""

from bisect import bisect_left
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
