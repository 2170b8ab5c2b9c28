"""What plays: a function from observations to q-values, and the epsilon-greedy choice of actions from these.

A policy's logits stand in the place of q-values: its most likely action is the best one. It was trained to draw its
actions from their softmax, which plays a little differently; here all teachers play alike, by best action and epsilon.
"""

from collections.abc import Callable
from typing import cast

import numpy as np
import numpy.typing as npt

from distill.errors import RunError
from distill.games import OBSERVATION_SHAPE
from distill.inference import QFunction

Policy = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
"""Takes [B, 4, 84, 84] uint8 observations and returns [B, A] float32 q-values of one game."""


def warm_policy(q_function: QFunction, game: str) -> Policy:
    """Return the policy of a q-function for a game; what its first call has to set up is done."""
    q_function(np.zeros((1, *OBSERVATION_SHAPE), np.uint8), game)
    return lambda observations: q_function(observations, game)


def greedy(q_values: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return the best of [B, A] q-values as [B] int64 actions.

    Raises:
        RunError: if a q-value is not finite, because a best action does not exist then.
    """
    if not np.isfinite(q_values).all():
        raise RunError("policy: expected finite q-values, found NaN or infinity; the network's weights are damaged")
    return q_values.argmax(axis=1)


def epsilon_greedy(
    q_values: npt.NDArray[np.float32], epsilon: float, generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return [B] int64 actions for [B, A] q-values: the best, or with probability `epsilon` a uniformly random one.

    Raises:
        RunError: if a q-value is not finite.
    """
    best = greedy(q_values)
    rows, actions = cast(tuple[int, int], q_values.shape)
    explore = generator.random(rows) < epsilon
    return np.where(explore, generator.integers(0, actions, rows), best)
