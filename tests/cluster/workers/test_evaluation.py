"""Evaluation on all cores: the same episodes whatever plays them, and however often it dies."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.evaluation import Evaluation, EvaluationTask
from cluster.ray.cluster import RayCluster
from cluster.workers.episodes import blocks, evaluate_on_ray, evaluate_serially
from cluster.workers.supervisor import Worker
from tests.support.sandbox import TEACHERS, until


def make_task(episodes: int, lanes: int, model: bytes | None = None, game: str = "breakout") -> EvaluationTask:
    return EvaluationTask("teacher", game, 3, model, episodes, lanes, epsilon=0.05, seed=11)


@given(st.integers(1, 500), st.integers(1, 40))
def test_blocks_share_the_episodes_evenly(episodes: int, lanes: int):
    task = make_task(episodes, lanes)
    found = blocks(task)
    assert sum(block.episodes for block in found) == episodes
    assert all(1 <= block.lanes <= lanes for block in found)
    assert all(-(-block.episodes // block.lanes) <= 2 for block in found), "at most two episodes a lane"
    assert len({block.seed for block in found}) == len(found)
    assert found[0].seed == task.seed
    assert blocks(task) == found


@pytest.fixture(scope="module")
def task() -> EvaluationTask:
    return make_task(5, 1, (TEACHERS / "breakout.safetensors").read_bytes())


@pytest.fixture(scope="module")
def serial(task: EvaluationTask) -> Evaluation:
    """What one process plays, the truth for all others."""
    (evaluation,) = (found for found in evaluate_serially([task]) if found is not None)
    return evaluation


def played(evaluation: Evaluation) -> tuple[object, ...]:
    return evaluation.scores, evaluation.lengths, evaluation.steps, evaluation.seed, evaluation.version


def evaluators() -> list[int]:
    """Return the evaluators among this process' descendants."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                fields = (path / "stat").read_text().rpartition(")")[2].split()
                names[int(path.name)] = (path / "cmdline").read_text()
                parents[int(path.name)] = int(fields[1])
            except OSError:
                continue

    def ours(pid: int) -> bool:
        return pid == os.getpid() or (pid in parents and ours(parents[pid]))

    return [pid for pid, name in names.items() if name.startswith("ray::EvaluatingActor.advance") and ours(pid)]


def test_a_result_counts_every_episode_once_and_names_its_player(serial: Evaluation):
    assert len(serial.scores) == len(serial.lengths) == 5
    assert len(set(zip(serial.scores, serial.lengths, strict=True))) == 5, "blocks have seeds of their own"
    assert (serial.game, serial.who, serial.version) == ("breakout", "teacher", 3)
    assert serial.steps == sum(serial.lengths)


@pytest.mark.usefixtures("own_ray")
def test_the_result_depends_neither_on_the_cores_nor_on_an_evaluators_death(task: EvaluationTask, serial: Evaluation):
    restarts: list[str] = []

    def on_restart(worker: Worker, reason: str) -> None:
        restarts.append(worker.name)

    alone = [found for found in evaluate_on_ray([task], RayCluster(1), on_restart) if found is not None]
    assert [played(evaluation) for evaluation in alone] == [played(serial)]
    assert restarts == []

    steps: Iterator[Evaluation | None] = evaluate_on_ray([task], RayCluster(2), on_restart)
    results = [next(steps)]
    until(lambda: results.append(next(steps)) or evaluators(), "an evaluator plays")
    os.kill(evaluators()[0], signal.SIGKILL)
    results += steps
    whole = [found for found in results if found is not None]
    assert [played(evaluation) for evaluation in whole] == [played(serial)]
    assert len(restarts) == 1
