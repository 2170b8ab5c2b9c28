"""The Ray actor around the coordinator."""

from collections.abc import Sequence

import ray

from actors.evaluation import Evaluation, EvaluationTask
from cluster.models.coordinator import Coordinator, Line, Orders
from cluster.services import RedisServices
from distill.teach_config import PromotionConfig


@ray.remote
class RemoteCoordinator:
    """A `Coordinator` in a process of its own; its name in Ray is `coordinator_name(run)`."""

    def __init__(self, lines: Sequence[Line], services: RedisServices, config: PromotionConfig, seed: int) -> None:
        self._coordinator = Coordinator(lines, services, config, seed)

    def advance(self, results: Sequence[tuple[EvaluationTask, Evaluation]], playing: EvaluationTask | None) -> Orders:
        """See `Coordinator.advance`."""
        return self._coordinator.advance(results, playing)


def coordinator_name(run: str) -> str:
    """Return the name under which Ray knows a run's coordinator."""
    return f"distill-coordinator-{run}"
