"""A trained network as its users want it: `load_student(path).act(observations, game)`."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from distill.errors import DistillError
from distill.games import OBSERVATION_SHAPE
from distill.inference import QFunction, load_q_function
from distill.model_card import ModelCard


class Student:
    """A network that plays; made by `load_student`.

    Attributes:
        card: what the model file says about it.
    """

    def __init__(self, q_function: QFunction, card: ModelCard, *, seed: int | None) -> None:
        self.card = card
        self._q_function = q_function
        self._random = np.random.default_rng(seed)

    @property
    def games(self) -> tuple[str, ...]:
        """The games it plays, by ROM name."""
        return tuple(self.card.actions)

    def actions(self, game: str) -> int:
        """Return A, the size of the game's minimal action set.

        Raises:
            DistillError: if it does not play the game.
        """
        if game not in self.card.actions:
            raise DistillError(f"game {game!r}: this student plays {', '.join(self.games)}")
        return self.card.actions[game]

    def q_values(self, observations: npt.NDArray[np.uint8], game: str) -> npt.NDArray[np.float32]:
        """Return the outputs for one observation or a batch.

        A student of any loss but MSE, and a teacher that was a policy, give logits of a policy, not discounted rewards,
        as the card's `labels` say; the best is the largest.

        Args:
            observations: [4, 84, 84] or [B, 4, 84, 84] uint8, oldest frame first.
            game: ROM name.

        Returns:
            [B, A] float32; B is 1 for a single observation.

        Raises:
            DistillError: if it does not play the game, or shape or dtype differ.
        """
        self.actions(game)
        shape, dtype = np.shape(observations), np.asarray(observations).dtype
        if dtype != np.uint8 or shape[-3:] != OBSERVATION_SHAPE or len(shape) not in (3, 4):
            raise DistillError(
                f"observations: expected [4, 84, 84] or [B, 4, 84, 84] uint8, found {list(shape)} {dtype}"
            )
        batch = np.ascontiguousarray(observations).reshape(-1, *OBSERVATION_SHAPE)
        return self._q_function(batch, game)

    def act(self, observations: npt.NDArray[np.uint8], game: str, epsilon: float = 0.0) -> npt.NDArray[np.int64]:
        """Return the best action of each observation, or with probability `epsilon` a uniformly random one.

        Args:
            observations: [4, 84, 84] or [B, 4, 84, 84] uint8, oldest frame first.
            game: ROM name.
            epsilon: 0 to 1.

        Returns:
            [B] int64, indices into the game's minimal action set.

        Raises:
            DistillError: if it does not play the game, or an argument is out of range.
        """
        if not 0.0 <= epsilon <= 1.0:
            raise DistillError(f"epsilon: expected 0 to 1, found {epsilon}")
        best = self.q_values(observations, game).argmax(axis=1)
        random = self._random.integers(self.actions(game), size=len(best))
        return np.where(self._random.random(len(best)) < epsilon, random, best)


def load_student(path: str | Path, *, device: str = "cpu", threads: int = 1, seed: int | None = None) -> Student:
    """Load a model file to play with it.

    Args:
        path: a model file of this project.
        device: "cpu", or a CUDA device such as "cuda:0".
        threads: CPU threads of one call.
        seed: of the random actions; drawn from the system if None.

    Raises:
        ModelFileError: if it is missing, damaged, of another format, or does not fit its games.
    """
    q_function, card = load_q_function(Path(path), device, threads)
    return Student(q_function, card, seed=seed)
