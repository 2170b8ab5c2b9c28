"""The trainer on a real Redis: waits for data, publishes, checkpoints, resumes where it was."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cluster.models.mirror import ModelMirror
from cluster.redis.connection import connect
from cluster.redis.private_server import PrivateRedis
from cluster.services import RedisServices
from cluster.state.kinds import student_plan
from distill.architectures import ARCHITECTURES
from distill.errors import BufferUnavailable, RunError
from distill.model_card import ModelCard
from distill.models import load_model, model_bytes
from distill.networks import QNetwork
from learner.device import choose_device
from learner.student_trainer import StudentTrainer
from tests.support.learnable_chunks import STEPS, learnable_chunk, push, services_of, tiny_config
from tests.support.no_room import no_room

ACTIONS = {"breakout": 4, "pong": 6}


@pytest.fixture
def services(one_redis_server: PrivateRedis, run_name: str, tmp_path: Path) -> RedisServices:
    services = services_of(one_redis_server, run_name, tuple(ACTIONS), tmp_path)
    for game, count in ACTIONS.items():
        push(services, game, [learnable_chunk(game, count, sequence) for sequence in range(20)])
    return services


def trainer_of(services: RedisServices, directory: Path, settings: dict[str, object] | None = None) -> StudentTrainer:
    trainer = StudentTrainer(student_plan(tiny_config(settings)), ACTIONS, services, directory, threaded=False)
    while trainer.feed.poll():
        pass
    return trainer


def test_it_stops_where_the_ratio_or_the_budget_ends(services: RedisServices, tmp_path: Path) -> None:
    trainer = trainer_of(services, tmp_path)
    progress = trainer.advance(60.0)
    # 40 chunks of 16 transitions, 8 samples each, minibatches of 16: 320 updates are allowed, 200 wanted.
    assert progress.updates == 200
    assert progress.done
    assert progress.samples == 200 * 16
    assert progress.inserted == {"breakout": 20 * STEPS, "pong": 20 * STEPS}
    assert progress.ratio == pytest.approx(200 * 16 / (40 * STEPS))
    assert set(progress.loss) == set(ACTIONS)
    trainer.close()

    held = trainer_of(services, tmp_path / "other", {"sample_to_insert": 2.0, "sample_to_insert_window": 10_000.0})
    progress = held.advance(60.0)
    assert progress.updates == 40 * STEPS * 2 // 16
    assert not progress.done
    held.close()


def test_versions_are_published_with_what_they_are(services: RedisServices, tmp_path: Path) -> None:
    trainer = trainer_of(services, tmp_path)
    trainer.advance(60.0, updates=120)
    registry = services.registry("student")
    assert registry.resolve("latest") == 2
    assert registry.describe(1)["updates"] == 50
    _, card = load_model(registry.fetch(2))
    assert (card.kind, card.actions, card.training["updates"]) == ("student", ACTIONS, 100)
    assert trainer.publish_final() == 3
    assert trainer.publish_final() == 3, "the same weights are not published twice"
    trainer.close()


@pytest.mark.parametrize("replay", ["plain", "compressed"])
def test_a_resumed_trainer_makes_the_same_updates_as_one_that_never_stopped(
    services: RedisServices, tmp_path: Path, replay: str
) -> None:
    whole = trainer_of(services, tmp_path / "whole")
    whole.advance(60.0, updates=150)

    first = trainer_of(services, tmp_path / "parts", {"replay": replay})
    assert (first.replays["pong"].size < whole.replays["pong"].size) == (replay == "compressed")
    first.advance(60.0, updates=90)
    first.checkpoint()
    first.advance(60.0, updates=7)  # lost, as by a kill
    first.feed.close()
    second = trainer_of(services, tmp_path / "parts", {"replay": replay})
    assert second.updater.updates == 90
    progress = second.advance(60.0, updates=60)
    assert progress.updates == 150
    assert progress.samples == 150 * 16
    assert progress.inserted == {"breakout": 20 * STEPS, "pong": 20 * STEPS}
    for mine, other in zip(whole.updater.network.parameters(), second.updater.network.parameters(), strict=True):
        assert torch.equal(mine, other)
    whole.close()
    second.close()


def test_a_resumed_trainer_refills_though_it_was_a_window_behind(services: RedisServices, tmp_path: Path) -> None:
    first = trainer_of(services, tmp_path, {"sample_to_insert_window": 300.0, "updates": 10})
    assert first.advance(60.0).done
    # The feed may have read more than the window before it ended: what is done samples no more.
    while first.feed.poll():
        pass
    first.close()
    second = StudentTrainer(
        student_plan(tiny_config({"sample_to_insert_window": 300.0, "updates": 30})), ACTIONS, services, tmp_path,
        threaded=False,
    )  # fmt: skip
    assert not second.limiter.may_insert()
    assert second.advance(60.0).updates == 30
    second.close()


def test_scores_choose_the_checkpoint_that_is_kept(services: RedisServices, tmp_path: Path) -> None:
    trainer = trainer_of(services, tmp_path, {"keep_last": 1})
    trainer.advance(60.0, updates=60)
    trainer.record_score(1, 0.9)
    trainer.advance(60.0, updates=140)
    trainer.record_score(4, 0.5)
    trainer.close()
    best = trainer.checkpoints.best()
    assert best is not None
    assert best.version == 1
    assert (tmp_path / "checkpoints" / "student" / best.file).exists()


def test_an_unreachable_registry_delays_the_version_but_not_the_training(
    own_redis: PrivateRedis, run_name: str, tmp_path: Path
) -> None:
    services = services_of(own_redis, run_name, tuple(ACTIONS), tmp_path)
    for game, count in ACTIONS.items():
        push(services, game, [learnable_chunk(game, count, sequence) for sequence in range(20)])
    trainer = trainer_of(services, tmp_path)
    trainer.advance(60.0, updates=40)
    own_redis.stop()
    progress = trainer.advance(60.0, updates=40)
    assert progress.updates == 80
    assert progress.version == 0
    trainer.checkpoint()
    trainer.feed.close()


def taught(services: RedisServices, directory: Path, labels: str) -> StudentTrainer:
    """Return a trainer whose teachers are the best of other lineages, with all chunks that were pushed."""
    config = tiny_config({"sample_to_insert": 8.0, "sample_to_insert_window": 600.0})
    plan = replace(student_plan(config), teachers={game: game for game in ACTIONS}, labels=labels)
    trainer = StudentTrainer(plan, ACTIONS, services, directory, threaded=False)
    trainer.advance(60.0)
    return trainer


def promote(services: RedisServices, game: str, seed: int) -> tuple[int, QNetwork]:
    torch.manual_seed(seed)
    architecture = ARCHITECTURES["one_percent"]
    network = QNetwork(architecture, {game: ACTIONS[game]})
    registry = services.registry(game)
    version = registry.publish(model_bytes(network, ModelCard("teacher", architecture, network.actions)), {})
    registry.assign("best", version)
    return version, network


def until_taught(trainer: StudentTrainer, versions: dict[str, int]) -> None:
    deadline = time.monotonic() + 30.0
    while trainer.taught_by() != versions:
        assert time.monotonic() < deadline
        trainer.advance(0.05)


def test_without_a_teacher_it_reads_on_and_makes_no_update(services: RedisServices, tmp_path: Path) -> None:
    trainer = taught(services, tmp_path, "fresh")
    following = {thread for thread in threading.enumerate() if thread.name == "follow best"}
    while trainer.advance(0.1).inserted != dict.fromkeys(ACTIONS, 20 * STEPS):
        pass
    assert trainer.updater.updates == 0
    versions = {game: promote(services, game, 1)[0] for game in ACTIONS}
    until_taught(trainer, versions)
    assert trainer.updater.updates == 0, "what came while it had no teacher is not made up for"
    for game, count in ACTIONS.items():
        push(services, game, [learnable_chunk(game, count, sequence) for sequence in range(20, 24)])
    trainer.advance(60.0)
    assert trainer.updater.updates == 8 * STEPS * 8 // 16
    trainer.close()
    assert len(following) >= len(ACTIONS)
    assert not following & set(threading.enumerate()), "a registry that goes next is not missed"


def test_what_was_due_before_a_restart_is_made_up_for(services: RedisServices, tmp_path: Path) -> None:
    first = taught(services, tmp_path, "fresh")
    while first.advance(0.1).inserted != dict.fromkeys(ACTIONS, 20 * STEPS):
        pass
    versions = {game: promote(services, game, 1)[0] for game in ACTIONS}
    until_taught(first, versions)
    for game, count in ACTIONS.items():
        push(services, game, [learnable_chunk(game, count, sequence) for sequence in range(20, 24)])
    assert first.advance(60.0, updates=10).updates == 10
    first.close()
    second = taught(services, tmp_path, "fresh")
    until_taught(second, versions)
    assert second.advance(60.0).updates == 8 * STEPS * 8 // 16
    second.close()


def test_fresh_labels_are_those_of_the_best_teacher(services: RedisServices, tmp_path: Path) -> None:
    trainer = taught(services, tmp_path, "fresh")
    until_taught(trainer, {game: promote(services, game, 1)[0] for game in ACTIONS})
    version, second = promote(services, "pong", 2)
    until_taught(trainer, {"breakout": 1, "pong": version})
    frames = torch.randint(0, 256, (5, 4, 84, 84), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(trainer._labels(frames, "pong"), second(frames, "pong"))
    trainer.close()


def test_stored_labels_of_older_teachers_are_dropped(services: RedisServices, tmp_path: Path) -> None:
    trainer = taught(services, tmp_path, "stored")
    while trainer.advance(0.1).inserted != dict.fromkeys(ACTIONS, 20 * STEPS):
        pass
    until_taught(trainer, {game: promote(services, game, 1)[0] for game in ACTIONS})
    assert [len(trainer.replays[game]) for game in ACTIONS] == [0, 0], "they were labelled by version 0"
    stale = [learnable_chunk("pong", 6, sequence) for sequence in range(20, 23)]
    current = [
        replace(c, header=replace(c.header, teacher_version=1, producer_id="b" * 8, sequence=0)) for c in stale[:1]
    ]
    push(services, "pong", [*stale, *current])
    while trainer.feed.poll():
        pass
    assert trainer.feed.stale == 3 * STEPS
    assert len(trainer.replays["pong"]) == STEPS
    trainer.close()


def test_devices() -> None:
    assert choose_device("cpu").type == "cpu"
    if torch.cuda.is_available():
        assert choose_device("auto").type == "cuda"
    else:
        assert choose_device("auto").type == "cpu"
        with pytest.raises(RunError, match="no usable CUDA"):
            choose_device("cuda")


def test_a_version_that_redis_refused_is_published_by_the_learner_that_resumes(
    services: RedisServices, tmp_path: Path
) -> None:
    client = connect(services.address.registry)
    trainer = trainer_of(services, tmp_path)
    trainer.advance(60.0, updates=50)
    registry = services.registry("student")
    assert registry.resolve("latest") == 1
    client.config_set("min-replicas-to-write", 1)
    try:
        assert trainer.advance(60.0, updates=60).version == 1, "what was due at update 100 is refused"
        assert trainer.publish_final() == 0
        trainer.checkpoint()
    finally:
        client.config_set("min-replicas-to-write", 0)
    trainer.close()

    resumed = trainer_of(services, tmp_path)
    assert resumed.advance(60.0, updates=1).version == 2
    assert registry.describe(2)["updates"] == 111
    assert resumed.advance(60.0, updates=1).version == 2, "nothing is owed any more"
    resumed.close()


def test_a_folder_that_takes_no_more_delays_versions_and_checkpoints_but_not_the_training(
    services: RedisServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(services, tmp_path)
    assert trainer.advance(60.0, updates=60).version == 1
    registry = services.registry("student")
    with no_room():
        trainer.checkpoint()
        assert trainer.publish_final() == 2
        for _ in range(3):
            with pytest.raises(BufferUnavailable, match="cannot be written: File too large"):
                trainer.publish()
        status = trainer.advance(60.0, updates=10)
        assert (status.updates, status.checkpoint_updates) == (70, 50)
        assert {kind for kind, (count, why) in status.refused.items() if count and why} == {"checkpoint", "model"}
        assert "File too large" in status.refused["checkpoint"][1] and "cannot be written" in status.refused["model"][1]
        # Only what the folder knows is built upon: one version is ahead of it, and no more.
        assert registry.resolve("latest") == 2
        monkeypatch.setattr("learner.trainer.REFUSED_SECONDS", 0.0)
        for act in (trainer.checkpoint, trainer.publish):
            with pytest.raises(RunError, match="for 0 minutes"):
                act()
        status = trainer.close()
        assert status.refused["checkpoint"][1]
    trainer = trainer_of(services, tmp_path)
    assert trainer.updater.updates == 50
    assert trainer.publish() == 3
    assert registry.resolve("latest") == 3
    mirror = ModelMirror(tmp_path, "student")
    assert [mirror.has(version) for version in (1, 2, 3)] == [True] * 3, "the folder got what it lacked"
    trainer.close()
