"""What one evaluating process does, made of plain parts; `actors.remote` only puts it behind Ray."""

from dataclasses import dataclass

from actors.evaluator import Evaluation, Evaluator
from distill.inference import make_q_function
from distill.models import load_model
from distill.protocols import ModelRegistry, Services


@dataclass(frozen=True)
class EvaluationTask:
    """Whole episodes to play.

    Attributes:
        who: `teacher`, `student` or `candidate`.
        game: ROM name.
        version: its version in the registry; 0 for a model given as bytes.
        model: the model file as bytes, or None to fetch `version` of `line`.
        episodes: number of episodes.
        lanes: emulators.
        epsilon: share of uniformly random actions.
        seed: of emulators and random actions.
        line: line of models that the version is of.
        block: number of these episodes among the version's blocks of episodes.
    """

    who: str
    game: str
    version: int
    model: bytes | None
    episodes: int
    lanes: int
    epsilon: float
    seed: int
    line: str = "student"
    block: int = 0


class EvaluatingActor:
    """Plays one task at a time, in slices.

    Args:
        services: where versions come from; not needed if every task carries its model.
    """

    def __init__(self, services: Services | None) -> None:
        self._services = services
        self._registries: dict[str, ModelRegistry] = {}
        self._evaluator: Evaluator | None = None

    def begin(self, task: EvaluationTask, model: bytes | None = None) -> None:
        """Load a model, the task's own if none is given, and reset the emulators; an unfinished task is dropped."""
        data = model or task.model
        if data is None:
            data = self._registry(task.line).fetch(task.version)
        network, _ = load_model(data)
        q_function = make_q_function(network)
        self._evaluator = Evaluator(
            task.game,
            lambda observations: q_function(observations, task.game),
            who=task.who,
            version=task.version,
            episodes=task.episodes,
            lanes=task.lanes,
            epsilon=task.epsilon,
            seed=task.seed,
        )

    def _registry(self, line: str) -> ModelRegistry:
        assert self._services is not None, "a task without a model needs services"
        if line not in self._registries:
            self._registries[line] = self._services.registry(line)
        return self._registries[line]

    def advance(self, seconds: float) -> Evaluation | None:
        """Play for about `seconds`; return the result once all episodes are done."""
        assert self._evaluator is not None, "call begin first"
        if not self._evaluator.advance(seconds):
            return None
        result = self._evaluator.result()
        self._evaluator = None
        return result
