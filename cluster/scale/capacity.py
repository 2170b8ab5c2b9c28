"""The model of capacity: what a transition costs at every station on its way, and so what the slowest lets through.

It is the utilisation law of queueing theory: a station that spends D CPU seconds on a transition is busy X * D of the
time at X transitions per second, and can be busy no more than the cores that it may use. D is fitted to measured points
by least squares; a server's process uses one core, and all together use no more than the machine has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from cluster.scale.points import Point, curve


@dataclass(frozen=True)
class Demand:
    """What one transition costs.

    Attributes:
        actors: CPU seconds of the actor that makes it, simulated or real.
        redis: CPU seconds of its Redis server.
        learner: CPU seconds of the learner's feed, from the stream into the replay.
        sample: CPU seconds of the learner for one sample, 0 where it made no updates.
        rest: cores that are busy with something else all the time.
        to_redis: bytes on the link from the actors to Redis.
        from_redis: bytes on the link from Redis to the learner.
        rate: transitions per second of one actor that nothing holds up.
    """

    actors: float
    redis: float
    learner: float
    sample: float
    rest: float
    to_redis: float
    from_redis: float
    rate: float


@dataclass(frozen=True)
class Prediction:
    """The largest throughput of a cell.

    Attributes:
        transitions: per second.
        station: what lets no more through.
    """

    transitions: float
    station: str


@dataclass(frozen=True)
class Check:
    """A prediction beside what was measured, and not fitted to.

    Attributes:
        actors: how many.
        servers: Redis servers.
        predicted: of the model.
        measured: mean of the repeats, transitions per second.
    """

    actors: int
    servers: int
    predicted: Prediction
    measured: float

    @property
    def error(self) -> float:
        """Return how far the prediction is off, as a share of what was measured; positive where it is too high."""
        return self.predicted.transitions / self.measured - 1.0


def fit_demand(points: Sequence[Point]) -> Demand:
    """Return the demand that explains these points best.

    Args:
        points: of one experiment, at least one.
    """
    x = np.array([point.transitions for point in points])
    taken = np.array([[point.ingested, point.samples] for point in points])
    learner, sample = _not_negative(taken, np.array([point.cores_of("learner") for point in points]))
    settings, fewest = points[0].settings, min(point.actors for point in points)
    alone = [point.transitions / point.actors for point in points if point.actors == fewest]
    return Demand(
        actors=_slope(x, [point.cores_of("actors") for point in points]),
        redis=_slope(x, [point.cores_of("redis") for point in points]),
        learner=learner,
        sample=sample,
        rest=fmean(point.cores_of("rest") for point in points),
        to_redis=_slope(x, [point.network_bytes["to_redis"] / point.seconds for point in points]),
        from_redis=_slope(taken[:, 0], [point.network_bytes["from_redis"] / point.seconds for point in points]),
        rate=1000.0 * settings["lanes"] / settings["simulate_env"] if settings["simulate_env"] else fmean(alone),
    )


def predict(demand: Demand, actors: int, servers: int, cores: int, *, simulated: bool) -> Prediction:
    """Return the throughput that the slowest station lets through.

    Args:
        demand: of a transition, without samples: the learner's updates get what is left.
        actors: how many.
        servers: Redis servers.
        cores: of the machine.
        simulated: whether all actors are one process.
    """
    together = demand.actors + demand.redis + demand.learner
    limits = [
        Prediction(actors * demand.rate, "the pace of the actors"),
        *([Prediction(_share(1.0, demand.actors), "the process that simulates the actors")] if simulated else []),
        Prediction(_share(servers, demand.redis), "Redis, of which a server uses one core"),
        Prediction(_share(1.0, demand.learner), "the learner's feed, which uses one core"),
        Prediction(_share(max(0.0, cores - demand.rest), together), "the machine's cores"),
    ]
    return min(limits, key=lambda limit: limit.transitions)


def split(points: Sequence[Point]) -> tuple[list[Point], list[Point]]:
    """Return the points that the model is fitted to, and those that it is checked with.

    It is checked with the largest number of actors, where an experiment has several, and wherever there are more Redis
    servers than in its smallest cells: further out than anything that was fitted.
    """
    servers = min(point.servers for point in points)
    counts = sorted(curve(points, servers))
    largest = counts[-1] if len(counts) > 1 else None
    held = [point for point in points if point.servers > servers or point.actors == largest]
    return [point for point in points if point not in held], held


def checks(points: Sequence[Point]) -> tuple[Demand, list[Check]]:
    """Fit a model to a part of an experiment, and check it with the rest; see `split`."""
    fitted, held = split(points)
    demand = fit_demand(fitted)
    found: list[Check] = []
    for servers in sorted({point.servers for point in held}):
        for actors, repeats in curve(held, servers).items():
            first, measured = repeats[0], fmean(point.transitions for point in repeats)
            simulated = first.settings["simulate_env"] is not None
            if measured:
                predicted = predict(demand, actors, servers, first.cores, simulated=simulated)
                found.append(Check(actors, servers, predicted, measured))
    return demand, found


def _slope(x: np.ndarray, y: Sequence[float]) -> float:
    """Return the slope of the line through the origin."""
    squares = float(x @ x)
    return float(x @ np.asarray(y)) / squares if squares else 0.0


def _not_negative(columns: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the factors of two columns, neither below 0, that explain y best."""
    found, *_ = np.linalg.lstsq(columns, y, rcond=None)
    first, second = (float(factor) for factor in found)
    if first < 0.0:
        return 0.0, _slope(columns[:, 1], list(y))
    if second < 0.0:
        return _slope(columns[:, 0], list(y)), 0.0
    return first, second


def _share(available: float, demand: float) -> float:
    return available / demand if demand else float("inf")
