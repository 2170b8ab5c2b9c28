"""The model of capacity: known costs are found again, and the slowest station is named."""

import pytest

from cluster.scale.capacity import Demand, checks, fit_demand, predict, split
from cluster.scale.fleet import PRICE, USABLE, Costs, Fleet
from tests.support.made_points import COSTS, PACE, REAL, experiment, point

DEMAND = Demand(
    actors=20e-6, redis=2e-6, learner=3e-6, sample=0.0, rest=0.05, to_redis=50.0, from_redis=48.0, rate=PACE
)

IDLE = {"actors": 0.0, "redis": 0.0, "rest": 0.0}


def test_known_costs_are_found_again():
    demand = fit_demand(experiment((1, 10, 50)))
    assert demand.actors == pytest.approx(COSTS["actors"])
    assert demand.redis == pytest.approx(COSTS["redis"])
    assert demand.learner == pytest.approx(COSTS["learner"])
    assert (demand.to_redis, demand.from_redis) == (pytest.approx(50.0), pytest.approx(48.0))
    assert demand.rate == PACE
    assert demand.sample == 0.0


def test_the_costs_of_feed_and_updates_are_told_apart():
    made = [
        point(n, samples=samples, cpu_seconds={**IDLE, "learner": 10.0 * (n * PACE * 3e-6 + samples * 3e-4)})
        for n, samples in ((1, 2000.0), (10, 2500.0), (20, 1000.0))
    ]
    demand = fit_demand(made)
    assert demand.learner == pytest.approx(3e-6)
    assert demand.sample == pytest.approx(3e-4)


def test_the_pace_of_real_actors_is_that_of_the_fewest():
    made = [point(n, settings=REAL, transitions=rate) for n, rate in ((1, 2800.0), (2, 4000.0))]
    assert fit_demand(made).rate == 2800.0


@pytest.mark.parametrize(
    "actors, servers, cores, simulated, transitions, station",
    [
        (10, 1, 4, True, 8000.0, "pace"),
        (1000, 1, 64, True, 50_000.0, "simulates"),
        (1000, 1, 4, True, 50_000.0, "simulates"),
        (1000, 1, 64, False, 1000 * PACE / 2.4, "feed"),
        (1000, 1, 1, False, 0.95 / 25e-6, "cores"),
    ],
)
def test_the_slowest_station_decides(
    actors: int, servers: int, cores: int, simulated: bool, transitions: float, station: str
):
    found = predict(DEMAND, actors, servers, cores, simulated=simulated)
    assert found.transitions == pytest.approx(transitions)
    assert station in found.station


def test_the_model_is_checked_where_it_was_not_fitted():
    made = experiment((1, 10, 1000), servers=(1, 2))
    fitted, held = split(made)
    assert {(p.actors, p.servers) for p in fitted} == {(1, 1), (10, 1)}
    assert {(p.actors, p.servers) for p in held} == {(1000, 1), (1, 2), (10, 2), (1000, 2)}
    demand, found = checks(made)
    assert demand == fit_demand(fitted)
    assert {(c.actors, c.servers) for c in found} == {(p.actors, p.servers) for p in held}
    for check in found:
        if check.actors < 1000:
            assert check.error == pytest.approx(0.0)
        else:
            # The made machine is held up by its cores alone, and has no simulation of one core.
            assert check.predicted.station == "the process that simulates the actors"
            assert check.error < 0.0


def test_one_cell_alone_is_fitted_and_not_checked():
    demand, found = checks([point(4)])
    assert demand.redis == pytest.approx(COSTS["redis"])
    assert found == []


def test_a_fleet_has_room_at_every_station():
    fleet = Fleet.of(10_000, Costs(DEMAND, DEMAND, 3e-4))
    assert fleet.transitions == 10_000 * PACE
    assert fleet.actor_cores == pytest.approx(fleet.transitions * 20e-6)
    for count, busy in ((fleet.servers, 2e-6), (fleet.ranks, 3e-6)):
        assert fleet.transitions * busy / count <= USABLE
        assert fleet.transitions * busy / (count - 1) > USABLE
    assert fleet.to_redis == pytest.approx(8 * 50.0 * fleet.transitions)
    assert fleet.connections * fleet.servers >= 10_000
    assert fleet.sample_cores == pytest.approx(fleet.transitions * 3e-4 / USABLE)
    assert fleet.price == pytest.approx(PRICE * (fleet.actor_cores + fleet.servers + fleet.ranks))
