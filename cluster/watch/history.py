"""What the lines of metrics say over time: thinned curves, and what happened in the last minute."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from distill.protocols import STUDENT

MOST_SAMPLES = 300
"""Points of a curve; a chart has no room for more."""
RECENT_SECONDS = 60.0

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Reported:
    """The newest status of a collecting actor.

    Attributes:
        counts: what it reported.
        time: when a line of metrics first had it, seconds since 1970.
    """

    counts: Row
    time: float


@dataclass
class History:
    """Keeps what the page shows of `metrics.jsonl`.

    Attributes:
        newest: the newest line, None before the first.
        actors: newest status of every collecting actor.
    """

    newest: Row | None = None
    actors: dict[str, Reported] = field(default_factory=dict[str, Reported])
    _samples: list[Row] = field(default_factory=list[Row])
    _recent: deque[Row] = field(default_factory=deque[Row])
    _stride: int = 1
    _lines: int = 0

    def add(self, row: Row) -> None:
        """Take the next line."""
        self.newest = row
        self._recent.append(row)
        while row["time"] - self._recent[0]["time"] > RECENT_SECONDS:
            self._recent.popleft()
        for name, counts in row["collectors"].items():
            if name not in self.actors or self.actors[name].counts != counts:
                self.actors[name] = Reported(counts, row["time"])
        if self._lines % self._stride == 0:
            self._samples.append(row)
        self._lines += 1
        if len(self._samples) > MOST_SAMPLES:
            self._samples = self._samples[::2]
            self._stride *= 2

    def learners(self) -> dict[str, Row]:
        """Return the newest counts of every learner by its lineage, the student's first."""
        if self.newest is None:
            return {}
        found: Mapping[str, Row] = self.newest["learners"]
        return {lineage: found[lineage] for lineage in sorted(found, key=lambda lineage: (lineage != STUDENT, lineage))}

    def thinned(self) -> list[Row]:
        """Return some of all lines, spread evenly, with the newest of all at the end."""
        if self.newest is None or self._samples[-1] is self.newest:
            return self._samples
        return [*self._samples, self.newest]

    def curves(self, lineage: str) -> dict[str, Any]:
        """Return a learner's curves: `minutes`, and in step with it rates per second and losses by game."""
        rows = [row["learners"][lineage] for row in self.thinned() if lineage in row["learners"]]
        seconds = [row["seconds"] for row in rows]
        return {
            "minutes": [round(second / 60.0, 3) for second in seconds],
            "updates_per_second": _rates(seconds, [row["updates"] for row in rows]),
            "transitions_per_second": _rates(seconds, [sum(row["inserted_transitions"].values()) for row in rows]),
            "loss": {
                game: [row["loss"].get(game) for row in rows]
                for game in sorted({game for row in rows for game in row["loss"]})
            },
        }

    def waits(self) -> list[dict[str, Any]]:
        """Return which share of the last minute every learner, its feed and all actors together have waited."""
        if len(self._recent) < 2:
            return []
        first, last = self._recent[0], self._recent[-1]
        seconds = last["time"] - first["time"]
        found: list[dict[str, Any]] = []
        for lineage, counts in last["learners"].items():
            before = first["learners"].get(lineage, {}).get("wait_seconds")
            if before is not None:
                found += [
                    {
                        "who": who,
                        "lineage": lineage,
                        "share": _share(counts["wait_seconds"][side] - before[side], seconds),
                    }
                    for who, side in (("learner", "sample"), ("feed", "insert"))
                ]
        both = [
            counts["seconds"]["wait"] - first["collectors"][name]["seconds"]["wait"]
            for name, counts in last["collectors"].items()
            if name in first["collectors"]
        ]
        if both:
            found.append({"who": "actors", "lineage": None, "share": _share(sum(both), seconds * len(both))})
        return found

    def actor_rate(self, name: str) -> float | None:
        """Return an actor's transitions per second over the last minute, None if it began within it."""
        statuses = [(row["time"], row["collectors"].get(name)) for row in self._recent]
        known = [(time, counts["transitions"]) for time, counts in statuses if counts is not None]
        if len(known) < 2 or known[-1][1] < known[0][1]:
            return None
        return (known[-1][1] - known[0][1]) / max(1e-9, known[-1][0] - known[0][0])


def _share(part: float, whole: float) -> float:
    """Return a share; counts of a process that was replaced meanwhile begin anew, so it is kept within 0 and 1."""
    return min(1.0, max(0.0, part / max(1e-9, whole)))


def _rates(seconds: list[float], counts: list[int]) -> list[float | None]:
    """Return the growth per second since the point before, None for the first."""
    rates: list[float | None] = [None]
    for i in range(1, len(counts)):
        span, grown = seconds[i] - seconds[i - 1], counts[i] - counts[i - 1]
        rates.append(round(grown / span, 2) if span > 0.0 and grown >= 0 else None)
    return rates[: len(counts)]
