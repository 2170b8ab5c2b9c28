"""Points of scaling experiments that nobody has measured: what a machine would give whose costs are known."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from cluster.scale.books import Books
from cluster.scale.cells import Settings, cells_of
from cluster.scale.points import Point

CORES = 4
REAL = Settings("pong", None, 16, 128, False, None, "cpu", 10.0, 2.0, None, None)
SIMULATED = replace(REAL, simulate_env=20.0)
COSTS = {"actors": 20e-6, "redis": 2e-6, "learner": 3e-6}
"""CPU seconds of a transition, by role."""
PACE = 800.0
BOOKS = Books(acknowledged=100, trained=60, trimmed=40)


def point(actors: int = 1, servers: int = 1, repeat: int = 1, **changes: Any) -> Point:
    """Return a point at which nothing holds anything up, as far as it is not changed."""
    transitions = float(changes.pop("transitions", PACE * actors))
    settings = changes.pop("settings", SIMULATED)
    seconds = 10.0
    made = Point(
        actors=actors,
        servers=servers,
        repeat=repeat,
        settings=settings.identity(),
        seconds=seconds,
        transitions=transitions,
        ingested=transitions,
        samples=0.0,
        push={"p50": 0.001, "p99": 0.004},
        waits={"actors": 0.0, "learner": 0.0, "feed": 0.0},
        cpu_seconds={role: seconds * transitions * cost for role, cost in COSTS.items()} | {"rest": 0.5},
        busiest_server=seconds * transitions * COSTS["redis"] / servers,
        network_bytes={"to_redis": seconds * transitions * 50.0, "from_redis": seconds * transitions * 48.0},
        unread=0,
        reference=PACE * actors,
        reference_samples=None,
        background=0.02,
        cores=CORES,
        books=None if settings.simulate_env is None else asdict(BOOKS) | {"wrong": []},
        machine="a machine of 4 cores",
        commit="0123456789abcdef",
    )
    return replace(made, **changes)


def experiment(
    actors: Sequence[int], servers: Sequence[int] = (1,), repeats: int = 2, settings: Settings = SIMULATED
) -> list[Point]:
    """Return all points of an experiment whose throughput ends where the cores do."""
    most = (CORES - 0.05) / sum(COSTS.values())
    return [
        point(cell.actors, cell.servers, cell.repeat, settings=settings, transitions=min(PACE * cell.actors, most))
        for cell in cells_of(actors, servers, repeats)
    ]
