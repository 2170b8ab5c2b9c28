"""What one series keeps so that it survives the restarts of those who report to it. No clock, no thread, no HTTP."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal

from distill.histograms import HistogramTotals

_COMBINE: dict[str, Callable[[list[float]], float]] = {"sum": sum, "max": max, "mean": fmean}


@dataclass
class CounterSeries:
    """A counter that adds up the running totals of several sources, and of all their processes.

    Attributes:
        value: counted so far; it never drops.
    """

    value: float = 0.0
    _last: dict[str, float] = field(default_factory=dict[str, float])

    def report(self, total: float, source: str, *, resumed: bool = False) -> None:
        """Add what `source` has counted since its last report.

        Args:
            total: what it has counted since it began.
            source: who reports.
            resumed: whether the total goes on from an earlier process, as that of a learner with a checkpoint does.
                Then the first total, and one that is lower than the last, only tell where to count from.
        """
        last = self._last.get(source)
        if last is not None and total >= last:
            self.value += total - last
        elif not resumed:
            self.value += total
        self._last[source] = total

    def forget(self, source: str) -> None:
        """Take the next total of `source` for that of a new process."""
        self._last.pop(source, None)


@dataclass
class GaugeSeries:
    """A gauge that several sources may set.

    Attributes:
        combine: how their values become one.
        initial: the value before anybody sets it, None for no series.
    """

    combine: Literal["sum", "max", "mean"]
    initial: float | None
    _values: dict[str | None, float] = field(default_factory=dict[str | None, float])

    @property
    def value(self) -> float | None:
        """The value, or None if there is none to show."""
        return _COMBINE[self.combine](list(self._values.values())) if self._values else self.initial

    def set(self, value: float, source: str | None) -> None:
        """Set the value of one source, or of no source in particular."""
        self.initial = None
        self._values[source] = value

    def forget(self, source: str) -> None:
        """Drop what `source` has set; the series goes with its last value."""
        self._values.pop(source, None)


@dataclass
class HistogramSeries:
    """A histogram that adds up the running totals of several sources, and of all their processes.

    Attributes:
        counts: observations per bucket, not accumulated.
        sum: of all observations.
    """

    counts: list[int]
    sum: float = 0.0
    _last: dict[str, HistogramTotals] = field(default_factory=dict[str, HistogramTotals])

    def report(self, totals: HistogramTotals, source: str) -> None:
        """Add what `source` has observed since its last report."""
        last = self._last.get(source)
        if last is None or any(now < before for now, before in zip(totals.counts, last.counts, strict=True)):
            last = HistogramTotals((0,) * len(totals.counts), 0.0)
        self.counts = [
            count + now - before for count, now, before in zip(self.counts, totals.counts, last.counts, strict=True)
        ]
        self.sum += totals.sum - last.sum
        self._last[source] = totals

    def forget(self, source: str) -> None:
        """Take the next totals of `source` for those of a new process."""
        self._last.pop(source, None)
