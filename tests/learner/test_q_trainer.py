"""The Q-learner's trainer on a real Redis: what it publishes, and how it goes on after a kill."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cluster.redis.connection import connect
from cluster.redis.private_server import PrivateRedis
from cluster.services import RedisServices
from distill.architectures import ARCHITECTURES
from distill.errors import RunError
from distill.models import load_model, model_bytes
from distill.networks import QNetwork
from distill.protocols import explorers_lineage
from distill.teach_config import TeachConfig
from learner.plans import QPlan
from learner.q_trainer import QTrainer
from tests.support.learnable_chunks import STEPS, learnable_chunk, push, services_of

GAME, ACTIONS = "pong", {"pong": 6}
CONFIG = TeachConfig.model_validate({
    "training": {"min_replay": 64, "replay_capacity": 4_096, "device": "cpu", "precision": "float32"},
    "q_learner": {
        "steps": 1_000, "network": "one_percent", "q_batch_size": 16, "candidate_steps": 160, "publish_seconds": 1e-6,
        "target_every": 7, "q_average": 0.99,
    },
})  # fmt: skip


@pytest.fixture
def services(one_redis_server: PrivateRedis, run_name: str, tmp_path: Path) -> RedisServices:
    return services_of(one_redis_server, run_name, (GAME,), tmp_path)


def plan(initial: bytes | None = None) -> QPlan:
    return QPlan("pong", CONFIG.training, CONFIG.q_learner, STEPS, 1, "fast", "abc", initial)


@pytest.fixture
def trainer_in(services: RedisServices) -> Callable[[Path], QTrainer]:
    return lambda directory: QTrainer(plan(), ACTIONS, services, directory, threaded=False)


def pushed(services: RedisServices, first: int, last: int) -> None:
    push(services, GAME, [learnable_chunk(GAME, 6, sequence) for sequence in range(first, last)])


def test_a_compressed_replay_takes_less_memory(services: RedisServices, tmp_path: Path):
    sizes: dict[str, int] = {}
    for replay in ("plain", "compressed"):
        training = CONFIG.training.model_copy(update={"replay": replay})
        trainer = QTrainer(replace(plan(), training=training), ACTIONS, services, tmp_path / replay, threaded=False)
        sizes[replay] = trainer.replays[GAME].size
        trainer.close()
    assert sizes["compressed"] < sizes["plain"] / 10


def test_explorers_get_a_version_at_once_and_candidates_come_by_steps(
    services: RedisServices, trainer_in: Callable[[Path], QTrainer], tmp_path: Path
):
    trainer = trainer_in(tmp_path)
    explorers, candidates = services.registry(explorers_lineage("pong")), services.registry("pong")
    assert explorers.resolve("latest") == 1, "explorers cannot begin without one"
    assert candidates.resolve("latest") is None
    pushed(services, 0, 25)
    progress = trainer.advance(60.0)
    # 25 chunks of 16 steps at 4 samples a step, 16 samples an update.
    assert progress.updates == 100
    assert progress.inserted == {GAME: 400}
    assert (progress.lineage, progress.done) == ("pong", False)
    assert progress.version == candidates.resolve("latest") == 3, "the first one, and 400 steps have passed 160 and 320"
    network, card = load_model(candidates.fetch(3))
    assert (card.kind, card.actions) == ("teacher", ACTIONS)
    assert card.training["method"] == "3-step Double DQN"
    assert 320 <= card.training["transitions"][GAME] <= 400
    assert (explorers.resolve("latest") or 0) > 10, "explorers follow often"
    candidates.publish(model_bytes(trainer.updater.network, card), {})
    trainer.publish()
    average, acting = load_model(candidates.fetch(5))[0], load_model(candidates.fetch(4))[0]
    pairs = zip(average.parameters(), acting.parameters(), trainer.updater.judged.parameters(), strict=True)
    for judged, newest, wanted in pairs:
        assert torch.equal(judged, wanted.detach().half().float())
        assert not torch.equal(judged, newest)
    pushed(services, 25, 63)
    assert trainer.advance(60.0).done, "1,000 steps were wanted"
    assert network.architecture == ARCHITECTURES["one_percent"]
    trainer.close()


def test_it_goes_on_as_if_it_had_not_been_killed(
    services: RedisServices, trainer_in: Callable[[Path], QTrainer], tmp_path: Path
):
    pushed(services, 0, 40)
    whole = trainer_in(tmp_path / "whole")
    while whole.feed.poll():
        pass
    whole.advance(60.0, updates=50)
    first = trainer_in(tmp_path / "parts")
    first.feed._reader.rewind()
    while first.feed.poll():
        pass
    first.advance(60.0, updates=30)
    first.checkpoint()
    first.advance(60.0, updates=5)  # lost, as by a kill
    first.feed.close()
    second = trainer_in(tmp_path / "parts")
    while second.feed.poll():
        pass
    assert second.updater.updates == 30
    progress = second.advance(60.0, updates=20)
    assert progress.updates == 50
    assert progress.inserted == {GAME: 640}, "refilled, not counted twice"
    for name in ("network", "target", "average"):
        pairs = zip(whole.updater.networks[name].parameters(), second.updater.networks[name].parameters(), strict=True)
        assert all(torch.equal(mine, other) for mine, other in pairs), name
    whole.close()
    second.close()


def test_q_values_begin_near_zero(trainer_in: Callable[[Path], QTrainer], tmp_path: Path):
    network = trainer_in(tmp_path).updater.network
    torch.manual_seed(1)
    like = QNetwork(network.architecture, network.actions)
    (last,), (expected,) = network.controller(GAME), like.controller(GAME)
    assert torch.equal(last.weight, 0.1 * expected.weight)
    assert torch.equal(last.bias, 0.1 * expected.bias)
    assert torch.equal(network.conv1.weight, like.conv1.weight)


def test_it_begins_with_the_initial_model(services: RedisServices, tmp_path: Path):
    trainer = QTrainer(plan(), ACTIONS, services, tmp_path / "first", threaded=False)
    data = model_bytes(trainer.updater.network, trainer._card())
    trainer.close()
    other = QTrainer(plan(data), ACTIONS, services, tmp_path / "second", threaded=False)
    for mine, given in zip(other.updater.network.parameters(), trainer.updater.network.parameters(), strict=True):
        assert torch.equal(mine, given)
    other.close()
    with pytest.raises(RunError, match="expected one_percent with actions"):
        QTrainer(plan(data), {"breakout": 4}, services, tmp_path / "third", threaded=False)


def test_the_first_version_for_explorers_is_owed_while_there_is_no_data(
    own_redis: PrivateRedis, run_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("learner.q_trainer.PUBLISH_RETRY_SECONDS", 0.0)
    services = services_of(own_redis, run_name, (GAME,), tmp_path)
    with connect(own_redis.url) as client:
        client.config_set("min-replicas-to-write", 1)
        trainer = QTrainer(plan(), ACTIONS, services, tmp_path, threaded=False)
        explorers = services.registry(explorers_lineage("pong"))
        trainer.advance(1.0)
        assert explorers.resolve("latest") is None
        client.config_set("min-replicas-to-write", 0)
    trainer.advance(1.0)
    trainer.advance(1.0)
    assert explorers.resolve("latest") == 1, "once, since nothing was learned in between"
    trainer.close()
