"""What one evaluating process does, made of plain parts."""

from actors.evaluation import Evaluation, EvaluationTask
from actors.evaluator import Evaluator
from actors.kept_lanes import KeptLanes
from distill.errors import BufferUnavailable
from distill.inference import load_q_function
from distill.protocols import ModelRegistry, Services


class EvaluatingActor:
    """Plays one task at a time, in slices.

    Args:
        services: where versions come from; not needed if every task carries its model.
    """

    def __init__(self, services: Services | None) -> None:
        self._services = services
        self._registries: dict[str, ModelRegistry] = {}
        self._lanes = KeptLanes()
        self._evaluator: Evaluator | None = None

    def begin(self, task: EvaluationTask, model: bytes | None = None) -> str:
        """Load a model, the task's own if none is given, and reset the emulators; an unfinished task is dropped.

        Return why the registry does not give the version now, after which the task can be begun again; empty if it did.
        """
        data = model or task.model
        if data is None:
            try:
                data = self._registry(task.lineage).fetch(task.version)
            except BufferUnavailable as error:
                return str(error)
        q_function, _ = load_q_function(data)
        self._evaluator = Evaluator(
            task.game,
            lambda observations: q_function(observations, task.game),
            who=task.who,
            version=task.version,
            episodes=task.episodes,
            lanes=task.lanes,
            epsilon=task.epsilon,
            seed=task.seed,
            protocol=task.protocol,
            kept=self._lanes,
        )
        return ""

    def _registry(self, lineage: str) -> ModelRegistry:
        assert self._services is not None, "a task without a model needs services"
        if lineage not in self._registries:
            self._registries[lineage] = self._services.registry(lineage)
        return self._registries[lineage]

    def advance(self, seconds: float) -> Evaluation | None:
        """Play for about `seconds`; return the result once all episodes are done."""
        assert self._evaluator is not None, "call begin first"
        if not self._evaluator.advance(seconds):
            return None
        result = self._evaluator.result()
        self._evaluator = None
        return result
