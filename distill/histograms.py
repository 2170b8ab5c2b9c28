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
