"""Plays many episodes on all cores, or all hosts of a cluster.

Tasks are cut into blocks with seeds of their own, so the result does not depend on the number of cores.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import ray

from actors.evaluating_actor import EvaluatingActor
from actors.evaluation import Evaluation, EvaluationTask
from cluster.ray.cluster import RayCluster
from cluster.ray.typed_ray import typed_ray
from cluster.workers.supervisor import Supervisor, Worker, kill
from distill.games import reset_seed

EPISODES_PER_LANE = 2
SLICE_SECONDS = 0.5
POLL_SECONDS = 0.25


def blocks(task: EvaluationTask) -> list[EvaluationTask]:
    """Return a task as blocks of two episodes per lane; the last one has fewer lanes rather than unequal ones."""
    full, rest = divmod(task.episodes, task.lanes * EPISODES_PER_LANE)
    sizes = [(task.lanes * EPISODES_PER_LANE, task.lanes)] * full
    if rest:
        sizes.append((rest, rest if rest <= task.lanes else math.ceil(rest / EPISODES_PER_LANE)))
    return [
        replace(task, episodes=episodes, lanes=lanes, seed=reset_seed(task.seed, index) if index else task.seed)
        for index, (episodes, lanes) in enumerate(sizes)
    ]


class _Merger:
    """Puts the blocks of every task together again."""

    def __init__(self, tasks: Sequence[EvaluationTask]) -> None:
        self._tasks = tasks
        self._parts: list[dict[int, Evaluation]] = [{} for _ in tasks]
        self.blocks = [(t, b, block) for t, task in enumerate(tasks) for b, block in enumerate(blocks(task))]

    def add(self, task: int, block: int, evaluation: Evaluation) -> Evaluation | None:
        """Take a block's result; return the task's once it is whole."""
        self._parts[task][block] = evaluation
        parts = [self._parts[task][key] for key in sorted(self._parts[task])]
        if len(parts) < sum(owner == task for owner, _, _ in self.blocks):
            return None
        return replace(
            parts[0],
            scores=tuple(score for part in parts for score in part.scores),
            lengths=tuple(length for part in parts for length in part.lengths),
            seed=self._tasks[task].seed,
            steps=sum(part.steps for part in parts),
            seconds=sum(part.seconds for part in parts),
        )


def evaluate_serially(tasks: Sequence[EvaluationTask]) -> Iterator[Evaluation | None]:
    """Play tasks in this process; yield results as they come, and None in between."""
    merger = _Merger(tasks)
    evaluator = EvaluatingActor(None)
    for task, index, block in merger.blocks:
        evaluator.begin(block)
        while (evaluation := evaluator.advance(SLICE_SECONDS)) is None:
            yield None
        whole = merger.add(task, index, evaluation)
        if whole is not None:
            yield whole


def evaluate_on_ray(
    tasks: Sequence[EvaluationTask], cluster: RayCluster, on_restart: Callable[[Worker, str], None]
) -> Iterator[Evaluation | None]:
    """Play tasks that carry their models on as many Ray actors as a cluster has places; Ray must be initialised.

    Yields:
        Results as they come, and None in between.
    """
    merger = _Merger(tasks)
    models = {id(task.model): typed_ray.put(task.model) for task in tasks}
    waiting = deque(merger.blocks)
    playing: dict[str, tuple[int, int, EvaluationTask]] = {}
    supervisor = Supervisor(on_restart, trouble=cluster.trouble)
    evaluator = ray.remote(EvaluatingActor)
    # Together they ask for less than one CPU, so that they find a place whatever else still holds some.
    share = int(10_000 / (cluster.cores + 1)) / 10_000

    def make(name: str) -> Any:
        # A block that its evaluator's death cut short is begun again from its start, with the same seed.
        if name in playing:
            waiting.appendleft(playing.pop(name))
        return evaluator.options(**cluster.actor_options(share)).remote(None)

    def submit(name: str, handle: Any) -> Any:
        if name not in playing:
            if not waiting:
                return None
            _, _, block = playing[name] = waiting.popleft()
            return handle.begin.remote(replace(block, model=None), models[id(block.model)])
        return handle.advance.remote(SLICE_SECONDS)

    for index in range(min(cluster.evaluators, len(waiting))):
        name = f"evaluator-{index}"
        supervisor.add(
            Worker(name, "evaluator", lambda _, n=name: make(n), lambda h, n=name: submit(n, h), 1, essential=True)
        )
    try:
        left = len(merger.blocks)
        while left:
            for worker, answer in supervisor.poll(POLL_SECONDS):
                if isinstance(answer, Evaluation):
                    task, block, _ = playing.pop(worker.name)
                    left -= 1
                    whole = merger.add(task, block, answer)
                    if whole is not None:
                        yield whole
            yield None
    finally:
        for handle in supervisor.handles("evaluator"):
            kill(handle)
