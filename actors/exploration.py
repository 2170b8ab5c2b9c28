"""Epsilon-greedy exploration whose random actions last: temporally extended, or ez-greedy (Dabney et al. 2021)."""

import numpy as np
import numpy.typing as npt

from actors.policy import greedy

ZETA_POWER = 2.0
"""A random action lasts n steps with a probability proportional to `n ** -2`: their mu (arXiv 2006.01782)."""


class Exploration:
    """Chooses the actions of N lanes: the best ones, but random ones in a share of the steps.

    A random action is repeated, as many steps as a zeta distribution says: most for one step, some for long. Single
    random steps cancel one another out: in a game like Freeway, where only a whole way across is rewarded, they show
    no reward.

    Args:
        lanes: how many play side by side.
        epsilon: share of the steps, repeated ones counted, whose action is random; it may be set anew at any time.
        longest: most steps that a random action lasts; 1 makes this plain epsilon-greedy.
        generator: where chance comes from.
    """

    def __init__(self, lanes: int, epsilon: float, longest: int, generator: np.random.Generator) -> None:
        self.epsilon = epsilon
        self._longest = longest
        self._generator = generator
        self._actions = np.zeros(lanes, np.int64)
        self._steps_left = np.zeros(lanes, np.int64)
        self._mean_steps = mean_steps(longest)

    def choose(self, q_values: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Return [N] int64 actions for [N, A] q-values.

        Raises:
            RunError: if a q-value is not finite.
        """
        best = greedy(q_values)
        begins = (self._steps_left == 0) & (self._generator.random(len(best)) < self._begin_probability())
        count = int(begins.sum())
        self._actions[begins] = self._generator.integers(0, q_values.shape[1], count)
        self._steps_left[begins] = np.minimum(self._generator.zipf(ZETA_POWER, count), self._longest)
        explores = self._steps_left > 0
        self._steps_left -= explores
        return np.where(explores, self._actions, best)

    def end(self, lanes: npt.NDArray[np.int64]) -> None:
        """Let no random action of these lanes reach into their next episode."""
        self._steps_left[lanes] = 0

    def _begin_probability(self) -> float:
        """Return how probable it is that a step that is free to be greedy begins a random action instead.

        A random action and the greedy steps before it take `mean_steps + (1 - p) / p` steps on average; epsilon is the
        share of the first summand.
        """
        return self.epsilon / (self.epsilon + self._mean_steps * (1.0 - self.epsilon))


def mean_steps(longest: int) -> float:
    """Return the mean of the zeta distribution's draws, when larger ones than `longest` count as `longest`."""
    shorter = np.cumsum(np.arange(1, longest, dtype=np.float64) ** -ZETA_POWER) / (np.pi**2 / 6.0)
    return 1.0 + float((1.0 - shorter).sum())
