"""What the points of an experiment say together: means with intervals, both laws, and what holds the system up."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from cluster.scale.capacity import Check, Demand, checks, split
from cluster.scale.laws import Fit, fit
from cluster.scale.points import Point, curve
from cluster.scale.verdict import Verdict, saturation, verdict
from distill.scores import Interval, mean_interval


@dataclass(frozen=True)
class Mean:
    """A mean over repeats.

    Attributes:
        value: of it.
        interval: 95 % bootstrap interval, None with a single repeat.
    """

    value: float
    interval: Interval | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Mean":
        """Return the mean of at least one value."""
        return cls(fmean(values), mean_interval(values) if len(values) > 1 else None)


@dataclass(frozen=True)
class Curve:
    """What more and more actors bring with one number of Redis servers.

    Attributes:
        servers: Redis servers.
        points: by number of actors, in ascending order.
        transitions: acknowledged per second.
        amdahl: Amdahl's law as fitted, None with too few numbers of actors.
        usl: the universal scalability law, likewise.
        verdict: what holds up the largest number of actors.
        saturated: from how many actors on throughput no longer grows with them, None if it always does.
    """

    servers: int
    points: Mapping[int, Sequence[Point]]
    transitions: Mapping[int, Mean]
    amdahl: Fit | None
    usl: Fit | None
    verdict: Verdict
    saturated: int | None

    @classmethod
    def of(cls, points: Sequence[Point], servers: int) -> "Curve":
        """Put together the points with so many servers."""
        by_actors = curve(points, servers)
        rates = {actors: [point.transitions for point in repeats] for actors, repeats in by_actors.items()}
        return cls(
            servers,
            by_actors,
            {actors: Mean.of(values) for actors, values in rates.items()},
            fit(rates, "amdahl"),
            fit(rates, "usl"),
            verdict(by_actors),
            saturation(by_actors),
        )


@dataclass(frozen=True)
class Summary:
    """An experiment.

    Attributes:
        points: all of them, at least one.
        curves: one for each number of Redis servers.
        demand: what a transition costs, fitted to a part of the points.
        checks: the model beside the other points.
    """

    points: Sequence[Point]
    curves: Sequence[Curve]
    demand: Demand
    checks: Sequence[Check]

    @classmethod
    def of(cls, points: Sequence[Point]) -> "Summary":
        """Put an experiment together."""
        curves = [Curve.of(points, servers) for servers in sorted({point.servers for point in points})]
        return cls(points, curves, *checks(points))

    @property
    def unbalanced(self) -> list[Point]:
        """The points whose books do not balance."""
        return [point for point in self.points if point.books is not None and point.books["wrong"]]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON, with the points in it."""
        first = self.points[0]
        return {
            "machine": first.machine,
            "commit": first.commit,
            "settings": first.settings,
            "curves": [
                {
                    "servers": each.servers,
                    "transitions": {str(actors): asdict(mean) for actors, mean in each.transitions.items()},
                    "amdahl": each.amdahl and asdict(each.amdahl),
                    "usl": each.usl and asdict(each.usl),
                    "verdict": asdict(each.verdict),
                    "saturated_from": each.saturated,
                }
                for each in self.curves
            ],
            "demand": asdict(self.demand),
            "fitted_points": len(split(self.points)[0]),
            "checks": [asdict(check) | {"error": check.error} for check in self.checks],
            "points": [asdict(point) for point in self.points],
        }
