"""Explorers: their first network, their epsilon, and what their chunks say of both."""

from pathlib import Path

import numpy as np
import pytest
import torch

from actors.exploring_actor import ExplorerSpec, ExploringActor, explorer_epsilon
from actors.policy import warm_policy
from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.redis.private_server import PrivateRedis
from cluster.services import RedisServices
from distill.architectures import ARCHITECTURES
from distill.chunks import Chunk, ChunkDecoder, rebuild_observations
from distill.inference import load_q_function
from distill.model_card import ModelCard
from distill.models import model_bytes
from distill.networks import QNetwork
from distill.protocols import explorers_lineage
from distill.teach_config import ExploreConfig

GAME, ACTIONS = "breakout", 4
ARCHITECTURE = ARCHITECTURES["one_percent"]
CONFIG = ExploreConfig(lanes=2, chunk_steps=16, epsilon_start=0.0, epsilon_final=0.0)


@pytest.fixture
def services(one_redis_server: PrivateRedis, run_name: str, tmp_path: Path) -> RedisServices:
    address = BufferAddress(one_redis_server.url, run_name, (GAME,), Limits(100_000, 100_000))
    return RedisServices(address, tmp_path)


def model(seed: int) -> bytes:
    torch.manual_seed(seed)
    network = QNetwork(ARCHITECTURE, {GAME: ACTIONS})
    return model_bytes(network, ModelCard("teacher", ARCHITECTURE, {GAME: ACTIONS}))


def spec(labels: str = "acting", config: ExploreConfig = CONFIG) -> ExplorerSpec:
    return ExplorerSpec(GAME, "breakout", config, 1, "explorer-0", 0, 0, labels)


def chunks(services: RedisServices) -> list[Chunk]:
    reader, decoder = services.reader(0), ChunkDecoder()
    found = [decoder.decode(stored.data) for stored in reader.read(GAME, 1_000)]
    reader.close()
    return found


def explore_until(explorer: ExploringActor, services: RedisServices, version: int) -> None:
    for _ in range(200):
        if explorer.advance(0.1, 0).teacher_version == version:
            return
    pytest.fail(f"the explorer does not play with version {version}")


def test_it_fetches_before_its_first_step_and_reports_what_it_plays_with(services: RedisServices):
    registry = services.registry(explorers_lineage("breakout"))
    first, second = model(1), model(2)
    registry.publish(first, {})
    explorer = ExploringActor(spec(), services)
    assert explorer.advance(0.3, 0).teacher_version == 1
    registry.publish(second, {})
    explore_until(explorer, services, 2)
    assert explorer.advance(0.3, 0).steps > 0
    explorer.finish(5.0)
    played = chunks(services)
    assert {chunk.header.teacher_version for chunk in played} == {1, 2}
    policies = {v: warm_policy(load_q_function(data)[0], GAME) for v, data in ((1, first), (2, second))}
    for chunk in played:
        observations = rebuild_observations(chunk)
        oldest = policies[chunk.header.teacher_version](observations)
        assert np.array_equal(oldest[0], chunk.q_values[0]), "a chunk names the version of its first step"
        newer = policies[2](observations)
        same = np.isclose(oldest, chunk.q_values, atol=1e-6) | np.isclose(newer, chunk.q_values, atol=1e-6)
        assert same.all()
        assert np.array_equal(chunk.q_values.argmax(1), chunk.taken), "epsilon is 0"


def test_the_best_labels_while_the_acting_network_drives(services: RedisServices):
    acting, best = model(1), model(2)
    services.registry(explorers_lineage("breakout")).publish(acting, {})
    promoted = services.registry("breakout")
    promoted.publish(best, {})
    promoted.assign("best", 1)
    explorer = ExploringActor(spec("best"), services)
    explore_until(explorer, services, 1)
    explorer.advance(0.5, 0)
    explorer.finish(5.0)
    drives, labels = (warm_policy(load_q_function(data)[0], GAME) for data in (acting, best))
    labelled = [chunk for chunk in chunks(services) if chunk.header.teacher_version == 1]
    assert labelled
    for chunk in labelled:
        observations = rebuild_observations(chunk)
        np.testing.assert_allclose(labels(observations), chunk.q_values, atol=1e-6)
        assert np.array_equal(drives(observations).argmax(1), chunk.taken)
        assert chunk.header.driver_version == 1


@pytest.mark.parametrize(("longest", "least", "most"), [(1, 0.15, 0.35), (128, 0.6, 1.0)])
def test_random_actions_last_as_long_as_the_configuration_lets_them(
    longest: int, least: float, most: float, services: RedisServices
):
    services.registry(explorers_lineage("breakout")).publish(model(1), {})
    config = ExploreConfig(lanes=2, chunk_steps=16, epsilon_start=1.0, epsilon_final=1.0, epsilon_repeat=longest)
    explorer = ExploringActor(spec(config=config), services)
    while explorer.advance(0.1, 0).steps < 1_000:
        pass
    explorer.finish(5.0)
    repeated = np.concatenate([chunk.taken[1:] == chunk.taken[:-1] for chunk in chunks(services)])
    assert least < repeated.mean() < most, "one of 4 actions repeats itself by chance in a quarter of the steps"


def test_epsilon_falls_by_the_games_steps_and_is_spread_over_explorers():
    config = ExploreConfig(actors=3, epsilon_start=1.0, epsilon_final=0.04, epsilon_steps=1_000)
    assert explorer_epsilon(config, 0, 0) == 1.0
    assert explorer_epsilon(config, 0, 500) == pytest.approx(0.52)
    last = [explorer_epsilon(config, index, 5_000) for index in range(3)]
    assert last == pytest.approx([0.04, 0.04**1.25, 0.04**1.5])
    assert explorer_epsilon(ExploreConfig(epsilon_final=0.0), 0, 10**9) == 0.0
