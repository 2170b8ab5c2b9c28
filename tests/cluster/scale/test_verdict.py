"""What is said to hold a system up, and what to add."""

from dataclasses import replace
from typing import Any

import pytest

from cluster.scale.verdict import Station, saturation, verdict
from tests.support.made_points import PACE, REAL, point

LEARNING = replace(REAL, learn=True)


def cpu(actors: float = 0.1, redis: float = 0.1, learner: float = 0.1, rest: float = 0.1) -> dict[str, float]:
    """CPU seconds of ten, of so many cores."""
    return {"actors": 10.0 * actors, "redis": 10.0 * redis, "learner": 10.0 * learner, "rest": 10.0 * rest}


def waits(actors: float = 0.0, learner: float = 0.0, feed: float = 0.0) -> dict[str, float]:
    return {"actors": actors, "learner": learner, "feed": feed}


@pytest.mark.parametrize(
    "changes, station, told",
    [
        ({}, "nothing", "add actors"),
        ({"servers": 2, "busiest_server": 9.5, "cpu_seconds": cpu(redis=1.9)}, "redis", "--redis-shards 4"),
        ({"cpu_seconds": cpu(actors=0.97)}, "simulation", "simulate from several machines"),
        ({"cpu_seconds": cpu(actors=3.2, learner=0.6), "settings": REAL}, "cores", "3.2 of them with the actors"),
        ({"cpu_seconds": cpu(actors=0.5, learner=3.0)}, "cores", "3.0 of them with the learner"),
        ({"cpu_seconds": cpu(rest=3.5)}, "strangers", "a machine that does nothing else"),
        ({"waits": waits(actors=0.4, feed=0.8)}, "limiter", "--sample-to-insert"),
        ({"waits": waits(actors=0.4)}, "learner", "add a learner rank"),
        ({"waits": waits(learner=0.6), "settings": LEARNING}, "actors", "waits 60% of the time for data"),
        # A learner that makes no updates waits for nothing.
        ({"waits": waits(learner=0.6)}, "nothing", "nobody waits"),
    ],
)
def test_what_is_used_up_is_named(changes: dict[str, Any], station: Station, told: str):
    found = verdict({8: [point(8, **changes)]})
    assert found.station == station
    assert told in found.sentence
    assert found.sentence.startswith("At 8 actors ")


def test_it_is_told_from_where_on_more_actors_bring_nothing():
    by_actors = {n: [point(n, transitions=min(n, 20) * PACE)] for n in (1, 10, 20, 40)}
    assert saturation(by_actors) == 40
    assert verdict(by_actors).sentence.endswith("Throughput no longer grows with the actors from 40 on.")
    assert saturation({n: [point(n)] for n in (1, 10)}) is None
