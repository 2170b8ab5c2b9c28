"""Says in words what holds a system up at its largest number of actors, and what to add next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from cluster.scale.points import ROLES, Point

_FULL = 0.9
"""Share of a core, or of all cores, from which it counts as used up."""
_WAITING = 0.1
"""Share of the time from which waiting counts."""
_KEEPS_UP = 0.9
"""Share of the reference at which throughput still counts as growing with the actors."""

Station = Literal["nothing", "cores", "strangers", "simulation", "redis", "learner", "limiter", "actors"]


@dataclass(frozen=True)
class Verdict:
    """What holds the system up.

    Attributes:
        station: where.
        sentence: how that is known, and what to add next.
    """

    station: Station
    sentence: str


@dataclass(frozen=True)
class _Means:
    """Means over the repeats of the largest number of actors."""

    actors: int
    servers: int
    cores: int
    roles: Mapping[str, float]
    busiest: float
    waits: Mapping[str, float]
    simulated: bool
    learns: bool
    ingested: float


def verdict(by_actors: Mapping[int, Sequence[Point]]) -> Verdict:
    """Return what holds up the largest number of actors.

    Args:
        by_actors: points of one number of Redis servers, with one number of actors at least.
    """
    found = _means(by_actors[max(by_actors)])
    since = saturation(by_actors)
    begins = "" if since is None else f" Throughput no longer grows with the actors from {since:,} on."
    station, sentence = _judge(found)
    return Verdict(station, f"At {found.actors:,} actors {sentence}.{begins}")


def saturation(by_actors: Mapping[int, Sequence[Point]]) -> int | None:
    """Return the smallest number of actors that bring less than 90 % of as many times the fewest; None if all do."""
    fewest = min(by_actors)
    each = fmean(point.transitions / point.actors for point in by_actors[fewest])
    short = (n for n, points in by_actors.items() if fmean(p.transitions for p in points) < _KEEPS_UP * each * n)
    return min(short, default=None)


def _means(points: Sequence[Point]) -> _Means:
    first = points[0]
    return _Means(
        actors=first.actors,
        servers=first.servers,
        cores=first.cores,
        roles={role: fmean(point.cores_of(role) for point in points) for role in ROLES},
        busiest=fmean(point.busiest_server / point.seconds for point in points),
        waits={who: fmean(point.waits[who] for point in points) for who in first.waits},
        simulated=first.settings["simulate_env"] is not None,
        learns=bool(first.settings["learn"]),
        ingested=fmean(point.ingested for point in points),
    )


def _judge(found: _Means) -> tuple[Station, str]:
    if found.busiest > _FULL:
        return "redis", (
            f"a Redis server is busy {found.busiest:.0%} of a core, and it uses no more than one: add a server"
            f" (--redis-shards {2 * found.servers})"
        )
    if found.simulated and found.roles["actors"] > _FULL:
        return "simulation", (
            f"the process that simulates them is busy {found.roles['actors']:.0%} of a core, and it uses no more than"
            " one: the system itself could take more, so simulate from several machines, or take the figure as a lower"
            " bound"
        )
    if sum(found.roles.values()) > _FULL * found.cores:
        most = max(ROLES, key=lambda role: found.roles[role])
        if most == "rest":
            return "strangers", (
                f"all {found.cores} cores are busy, {found.roles[most]:.1f} of them with something else than this"
                " system: measure on a machine that does nothing else"
            )
        return "cores", (
            f"all {found.cores} cores are busy, {found.roles[most]:.1f} of them with {_WHO[most]}: add cores, which is"
            " a further host for the actors; the other parts have shares of their own"
        )
    return _who_waits(found)


def _who_waits(found: _Means) -> tuple[Station, str]:
    told = f"the actors wait {found.waits['actors']:.0%} of the time for room in the buffer"
    if found.waits["actors"] > _WAITING and found.waits["feed"] > _WAITING:
        return "limiter", (
            f"{told}, since the feed waits {found.waits['feed']:.0%} for the learner to sample: add learner ranks or a"
            " faster device, or lower --sample-to-insert"
        )
    if found.waits["actors"] > _WAITING:
        return "learner", (
            f"{told}, since the learner takes {found.ingested:,.0f} transitions/s in: add a learner rank, which reads"
            " streams of its own"
        )
    if found.learns and found.waits["learner"] > _WAITING:
        return "actors", f"the learner waits {found.waits['learner']:.0%} of the time for data: add actors"
    return "nothing", "nothing is used up and nobody waits: add actors"


_WHO = {
    "actors": "the actors",
    "redis": "Redis",
    "learner": "the learner",
}
