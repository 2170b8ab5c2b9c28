"""Several ranks as plain processes on gloo: they train as one learner does, skip together, and notice who is lost."""

import json
import math
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.redis.private_server import PrivateRedis
from cluster.services import RedisServices
from cluster.state.kinds import student_plan
from distill.architectures import ARCHITECTURES
from distill.errors import RunError
from distill.networks import QNetwork
from distill.typed_torch import manual_seed
from learner.label_replay import LabelledMinibatch, LabelReplay
from learner.ranks import Ranks
from learner.status import LearnerStatus
from learner.student_trainer import StudentTrainer
from learner.student_updater import StudentUpdater
from learner.updater_tensors import updater_tensors
from tests.support.chunk_streams import until
from tests.support.learnable_chunks import STEPS, learnable_chunk, tiny_config
from tests.support.rank_processes import PATIENCE, RankProcesses, mortal_ranks, rank_processes

ACTIONS = {"breakout": 4, "pong": 6}
UPDATES = 150
CHUNKS = 12
"""Of every game and stream."""
EXACT = 1e-4
"""Two ranks that split the minibatches of one learner differ from it by the order in which float32 is added up."""
CURVE = 0.1
"""Two ranks that draw their own minibatches differ by luck: mean losses of 50 updates, by this share of the first."""


@pytest.fixture(scope="module")
def processes() -> Iterator[RankProcesses]:
    with rank_processes() as processes:
        yield processes


class OneOfSeveral(LabelReplay):
    """Holds what a single learner's replay would, and gives each rank its part of the minibatch that it would draw."""

    def __init__(self, actions: int, ranks: Ranks | None) -> None:
        super().__init__(actions, 2_048, STEPS, torch.device("cpu"))
        self._part = slice(0, None, 1) if ranks is None else slice(ranks.rank, None, ranks.size)
        self._parts = 1 if ranks is None else ranks.size
        self._drawn = torch.Generator().manual_seed(17)

    def sample(self, batch_size: int, generator: torch.Generator) -> LabelledMinibatch:
        batch = super().sample(batch_size * self._parts, self._drawn)
        return LabelledMinibatch(*(column[self._part] for column in vars(batch).values()))


def updater_of(ranks: Ranks | None, settings: dict[str, Any], spoiled: tuple[int, ...] = ()) -> StudentUpdater:
    """Return an updater of both games; in the ranks that are named, labels are no numbers."""
    manual_seed(5)
    plan = student_plan(
        tiny_config({"learners": 1 if ranks is None else ranks.size, "shards": 2, "actors": 2, **settings})
    )
    plan = plan if ranks is None else plan.shared()
    replays = {game: OneOfSeveral(count, ranks) for game, count in ACTIONS.items()}
    for game, replay in replays.items():
        for sequence in range(10):
            bad = np.full((STEPS, ACTIONS[game]), math.nan, np.float32) if ranks and ranks.rank in spoiled else None
            name = f"{game}-of-{ranks.rank if ranks else 0}"
            replay.append(learnable_chunk(game, ACTIONS[game], sequence, name, q_values=bad))
    network = QNetwork(ARCHITECTURES[plan.student.student], ACTIONS)
    return StudentUpdater(
        network, replays, plan.student, plan.learner.optimization, torch.device("cpu"), None, plan.seed, ranks=ranks
    )


def curve(ranks: Ranks | None, settings: dict[str, Any]) -> tuple[list[tuple[str, float]], dict[str, np.ndarray]]:
    """Return game and loss of every update, and all weights at the end."""
    updater = updater_of(ranks, settings)
    updates = [updater.update(number / UPDATES)[0] for number in range(UPDATES)]
    weights = {name: value.numpy() for name, value in updater_tensors(updater).items() if name.startswith("network.")}
    return [(update.game, update.loss) for update in updates], weights


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "rmsprop", "max_gradient_norm": 0.05, "average": 0.99},
        {"schedule": "cosine", "loss": "mse", "batch_size": 64},
    ],
)
def test_two_ranks_make_the_updates_of_one_with_the_same_batch(
    processes: RankProcesses, settings: dict[str, Any]
) -> None:
    one, weights = curve(None, settings)
    (first, mine), (second, others) = processes.run(curve, settings)
    assert first == second, "both know the loss of the whole batch"
    for name, value in mine.items():
        assert np.array_equal(value, others[name]), f"{name} is the same in both, bit for bit"
        assert np.allclose(value, weights[name], rtol=EXACT, atol=EXACT)
    assert [game for game, _ in first] == [game for game, _ in one]
    assert [loss for _, loss in first] == pytest.approx([loss for _, loss in one], rel=EXACT, abs=EXACT)
    losses = [loss for _, loss in first]
    assert np.mean(losses[-20:]) < 0.9 * np.mean(losses[:20]), "it learns"


def skips(ranks: Ranks, spoiled: tuple[int, ...]) -> tuple[list[bool], bool, str]:
    """Return whether updates were made, whether weights have moved, and how it ended."""
    updater = updater_of(ranks, {}, spoiled)
    before = [parameter.clone() for parameter in updater.network.parameters()]
    finite: list[bool] = []
    ended = ""
    try:
        for _ in range(20):
            finite.append(updater.update(0.0)[0].finite)
    except RunError as error:
        ended = str(error)
    moved = any(not torch.equal(a, b) for a, b in zip(before, updater.network.parameters(), strict=True))
    return finite, moved, ended


@pytest.mark.parametrize("spoiled", [(0,), (1,), (0, 1)])
def test_what_is_not_finite_in_one_rank_is_skipped_by_all(processes: RankProcesses, spoiled: tuple[int, ...]) -> None:
    for finite, moved, ended in processes.run(skips, spoiled):
        assert finite == [False] * 9
        assert not moved
        assert "10 updates in a row were not finite" in ended
        for rank in range(2):
            assert f"-of-{rank}/" in ended, "the chunks of every rank's minibatch are named"


def services_of(url: str, run: str, folder: Path) -> RedisServices:
    limits = Limits(capacity=100_000, backlog=100_000, shards=2)
    return RedisServices(BufferAddress(url, run, tuple(ACTIONS), limits), folder)


def push(services: RedisServices, first: int, last: int) -> None:
    """Push chunks with these numbers to both streams of every game."""
    for game, count in ACTIONS.items():
        for shard in range(2):
            writer = services.writer(game, shard)
            for sequence in range(first, last):
                assert writer.wait(5.0)
                # What the streams hold differs.
                chunk = learnable_chunk(game, count, sequence, f"{game}-{shard}", q_values=None)
                writer.write(chunk)
            assert writer.flush(5.0) == 0
            writer.close()


def settings_of(learners: int) -> dict[str, Any]:
    return {"learners": learners, "shards": 2, "actors": 2, "eval_every": 100, "updates": 400, "warmup_updates": 50}


def train(
    ranks: Ranks | None, url: str, run: str, folder: Path, updates: int, extra: int = 0
) -> tuple[list[dict[str, float]], LearnerStatus, list[str]]:
    """Begin from the newest checkpoint, make updates, checkpoint, make some more that are lost.

    Returns:
        Mean losses of slices of 10 updates, the last status, and the files of checkpoints that this rank knows.
    """
    size = 1 if ranks is None else ranks.size
    trainer = StudentTrainer(
        student_plan(tiny_config(settings_of(size))), ACTIONS, services_of(url, run, folder), folder, threaded=False,
        ranks=ranks,
    )  # fmt: skip
    while trainer.feed.poll():
        pass
    losses: list[dict[str, float]] = []
    status = trainer.advance(0.0)
    until = status.updates + updates
    while status.updates < until:
        status = trainer.advance(60.0, 10)
        losses.append(status.loss)
    trainer.checkpoint()
    trainer.advance(60.0, extra)
    trainer.feed.close()
    files = [entry.file for entry in trainer.checkpoints.entries] if ranks is None or ranks.first else []
    return losses, status, files


def curve_of(losses: list[dict[str, float]], game: str) -> np.ndarray:
    """Return the mean losses of a game in stretches of 50 updates."""
    stretches = [losses[at : at + 5] for at in range(0, len(losses), 5)]
    return np.array([np.mean([loss[game] for loss in stretch if game in loss]) for stretch in stretches])


def newest_state(folder: Path) -> dict[str, Any]:
    file = max((folder / "checkpoints" / "student").glob("*.safetensors"))
    with safe_open(file, framework="pt") as checkpoint:
        return json.loads(checkpoint.metadata()["state"])


def test_two_ranks_learn_as_fast_as_one_from_their_own_streams(
    processes: RankProcesses, one_redis_server: PrivateRedis, run_name: str, tmp_path: Path
) -> None:
    url = one_redis_server.url
    for number in (1, 2):
        push(services_of(url, f"{run_name}-{number}", tmp_path), 0, CHUNKS)
    alone, status, _ = train(None, url, f"{run_name}-1", tmp_path / "one", 300)
    (first, mine, files), (second, other, none) = processes.run(train, url, f"{run_name}-2", tmp_path / "two", 300)
    assert first == second
    assert files and not none, "the first rank has the checkpoints"
    assert mine.version == other.version == 3
    assert mine.updates == status.updates == 300
    assert mine.samples == other.samples == status.samples // 2
    for game in ACTIONS:
        assert mine.inserted[game] == other.inserted[game] == status.inserted[game] // 2 == CHUNKS * STEPS
        mine_at, other_at = curve_of(first, game), curve_of(alone, game)
        assert np.abs(mine_at - other_at).max() < CURVE * other_at[0], (game, mine_at, other_at)
    described = services_of(url, f"{run_name}-2", tmp_path / "two").registry("student").describe(3)
    assert described["samples"] == 300 * 16
    assert described["transitions"] == dict.fromkeys(ACTIONS, 2 * CHUNKS * STEPS)


@pytest.mark.parametrize("before, after", [(2, 2), (2, 1), (1, 2)])
def test_any_number_of_ranks_goes_on_where_a_checkpoint_was(
    processes: RankProcesses, one_redis_server: PrivateRedis, run_name: str, tmp_path: Path, before: int, after: int
) -> None:
    url, services = one_redis_server.url, services_of(one_redis_server.url, run_name, tmp_path)

    def sit(learners: int, updates: int) -> list[LearnerStatus]:
        if learners == 1:
            return [train(None, url, run_name, tmp_path, updates, extra=7)[1]]
        return [status for _, status, _ in processes.run(train, url, run_name, tmp_path, updates, extra=7)]

    push(services, 0, CHUNKS)
    sit(before, 30)
    state = newest_state(tmp_path)
    assert (state["updates"], state["feed"]["limiter"]["sampled"]) == (30, 30 * 16)
    assert state["feed"]["consumed"] == {f"{game}-{shard}": CHUNKS - 1 for game in ACTIONS for shard in range(2)}

    push(services, CHUNKS, CHUNKS + 3)
    statuses = sit(after, 20)
    assert {status.updates for status in statuses} == {50}, "what came after the checkpoint is made anew"
    assert sum(sum(status.replay.values()) for status in statuses) == 4 * (CHUNKS + 3) * STEPS, "the replay is refilled"
    state = newest_state(tmp_path)
    assert state["feed"]["limiter"]["sampled"] == 50 * 16
    assert state["feed"]["inserted"] == dict.fromkeys(ACTIONS, 2 * (CHUNKS + 3) * STEPS), "nothing is counted twice"
    assert state["feed"]["limiter"]["inserted"] == 4 * (CHUNKS + 3) * STEPS


def meet_for_ever(ranks: Ranks, words: Path) -> None:
    """Meet the others until one is lost, and say what that is told by."""
    word = words / str(ranks.rank)
    try:
        while ranks.agree(time.monotonic(), True):
            word.with_suffix(".meets").touch()
    except RuntimeError as error:
        word.write_text(str(error))


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_rank_that_is_lost_is_missed_by_the_other(lost: int, how: int, tmp_path: Path) -> None:
    with mortal_ranks(meet_for_ever, tmp_path) as pids:
        until(lambda: len(list(tmp_path.glob("*.meets"))) == 2, "both have met", 60.0)
        os.kill(pids[lost], how)
        until((tmp_path / str(1 - lost)).exists, "the other has missed it", 4 * PATIENCE)
