"""What one evaluating process does, made of plain parts; `actors.remote` only puts it behind Ray."""

from dataclasses import dataclass

from actors.evaluator import Evaluation, Evaluator
from distill.inference import make_q_function
from distill.models import load_model
from distill.protocols import Services


@dataclass(frozen=True)
class EvaluationTask:
    """Whole episodes to play.

    Attributes:
        who: `teacher` or `student`.
        game: ROM name.
        version: version of the student in the registry; 0 for a model given as bytes.
        model: the model file as bytes, or None to fetch `version`.
        episodes: number of episodes.
        lanes: emulators.
        epsilon: share of uniformly random actions.
        seed: of emulators and random actions.
    """

    who: str
    game: str
    version: int
    model: bytes | None
    episodes: int
    lanes: int
    epsilon: float
    seed: int


class EvaluatingActor:
    """Plays one task at a time, in slices.

    Args:
        services: where student versions come from; not needed if every task carries its model.
    """

    def __init__(self, services: Services | None) -> None:
        self._registry = services.registry() if services is not None else None
        self._evaluator: Evaluator | None = None

    def begin(self, task: EvaluationTask, model: bytes | None = None) -> None:
        """Load a model, the task's own if none is given, and reset the emulators; an unfinished task is dropped."""
        data = model or task.model
        if data is None:
            assert self._registry is not None, "a task without a model needs services"
            data = self._registry.fetch(task.version)
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

    def advance(self, seconds: float) -> Evaluation | None:
        """Play for about `seconds`; return the result once all episodes are done."""
        assert self._evaluator is not None, "call begin first"
        if not self._evaluator.advance(seconds):
            return None
        result = self._evaluator.result()
        self._evaluator = None
        return result
