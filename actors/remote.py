"""Ray actors around the plain classes. Each call is a short slice, so that none is ever stuck behind a long one."""

import ray
import torch

from actors.collecting_actor import CollectingActor, CollectorSpec, CollectorStatus
from actors.evaluating_actor import EvaluatingActor
from actors.evaluation import Evaluation, EvaluationTask
from actors.exploring_actor import ExplorerSpec, ExploringActor
from distill.protocols import Services


@ray.remote
class RemoteCollector:
    """A `CollectingActor` in a process of its own."""

    def __init__(self, spec: CollectorSpec, services: Services) -> None:
        torch.set_num_threads(1)
        self._actor = CollectingActor(spec, services)

    def collect(self, seconds: float, student_share: float) -> CollectorStatus:
        """See `CollectingActor.collect`."""
        return self._actor.collect(seconds, student_share)

    def finish(self, timeout: float) -> int:
        """See `CollectingActor.finish`."""
        return self._actor.finish(timeout)


@ray.remote
class RemoteExplorer:
    """An `ExploringActor` in a process of its own."""

    def __init__(self, spec: ExplorerSpec, services: Services) -> None:
        torch.set_num_threads(1)
        self._actor = ExploringActor(spec, services)

    def explore(self, seconds: float, game_steps: int) -> CollectorStatus:
        """See `ExploringActor.explore`."""
        return self._actor.explore(seconds, game_steps)

    def finish(self, timeout: float) -> int:
        """See `ExploringActor.finish`."""
        return self._actor.finish(timeout)


@ray.remote
class RemoteEvaluator:
    """An `EvaluatingActor` in a process of its own."""

    def __init__(self, services: Services | None) -> None:
        torch.set_num_threads(1)
        self._actor = EvaluatingActor(services)

    def begin(self, task: EvaluationTask, model: bytes | None = None) -> None:
        """See `EvaluatingActor.begin`."""
        self._actor.begin(task, model)

    def advance(self, seconds: float) -> Evaluation | None:
        """See `EvaluatingActor.advance`."""
        return self._actor.advance(seconds)
