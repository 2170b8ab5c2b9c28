"""The same actors, and the same learner, without Ray's calls and without Redis: bare loops on the same places."""

from dataclasses import dataclass, field
from typing import Any

import ray

from cluster.bench.bare import BareVariant
from cluster.ray.typed_ray import typed_ray
from cluster.scale.cells import Settings
from cluster.scale.processes import BareLoop
from cluster.workers.placement import Placement
from cluster.workers.supervisor import kill

_START_SECONDS = 120.0
_CHOICE_SECONDS = 0.5


@dataclass
class Reference:
    """Measures what there would be without a system around it.

    Attributes:
        settings: of the experiment.
        teacher: model file as bytes.
        variant: fastest way to write the training loop, found when it is first needed.
    """

    settings: Settings
    teacher: bytes
    variant: BareVariant | None = field(default=None, init=False)

    def measure(self, actors: int, placement: Placement) -> tuple[float, float | None]:
        """Return steps per second of so many bare actors, and samples per second of the bare learner beside them.

        Raises:
            RayError: if a process ends.
        """
        settings, config = self.settings, self.settings.run_config()
        loop = ray.remote(BareLoop)
        players: list[Any] = [loop.options(**placement.actor).remote() for _ in range(actors)]
        learners: list[Any] = [loop.options(**placement.learner).remote()] if settings.learn else []
        try:
            _get([each.ready.remote() for each in (*players, *learners)], _START_SECONDS)
            if learners and self.variant is None:
                call = learners[0].fastest.remote(config, settings.device, _CHOICE_SECONDS)
                (self.variant,) = _get([call], _START_SECONDS)
            game, lanes, seconds = settings.game, settings.lanes, settings.seconds
            calls = [each.collect.remote(game, self.teacher, lanes, seconds) for each in players]
            calls += [each.learn.remote(self.variant, config, settings.device, seconds) for each in learners]
            rates = _get(calls, seconds + _START_SECONDS)
        finally:
            for each in (*players, *learners):
                kill(each)
        return sum(rates[:actors]), rates[actors] if learners else None


def _get(calls: list[Any], seconds: float) -> list[Any]:
    return [typed_ray.get(call, timeout=seconds) for call in calls]
