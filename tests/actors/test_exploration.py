"""Random actions that last: their share, their lengths, and where they end."""

from itertools import groupby

import numpy as np
import pytest

from actors.exploration import Exploration, mean_steps
from distill.errors import RunError

LANES, ACTIONS, BEST = 64, 1_000, 500
Q_VALUES = np.tile(np.eye(ACTIONS, dtype=np.float32)[BEST], (LANES, 1))


def play(exploration: Exploration, steps: int) -> np.ndarray:
    """Return [steps, LANES] actions; among so many a random one is nearly never the best one or the one before."""
    return np.array([exploration.choose(Q_VALUES) for _ in range(steps)])


def random_runs(taken: np.ndarray) -> list[int]:
    """Return the lengths of the random actions that neither the first nor the last step cuts off."""
    lengths: list[int] = []
    for lane in taken.T:
        runs = [(action, len(list(run))) for action, run in groupby(lane)]
        lengths.extend(length for action, length in runs[1:-1] if action != BEST)
    return lengths


@pytest.mark.parametrize("longest", [1, 2, 16, 128])
@pytest.mark.parametrize("epsilon", [0.05, 0.5, 1.0])
def test_epsilon_is_the_share_of_random_steps_however_long_they_last(longest: int, epsilon: float):
    taken = play(Exploration(LANES, epsilon, longest, np.random.default_rng(1)), 4_000)
    assert (taken != BEST).mean() == pytest.approx(epsilon, rel=0.06, abs=0.002)


def test_epsilon_0_is_greedy_and_a_new_epsilon_holds_from_the_next_step_on():
    exploration = Exploration(LANES, 0.0, 128, np.random.default_rng(1))
    assert (play(exploration, 200) == BEST).all()
    exploration.epsilon = 1.0
    assert (play(exploration, 200) != BEST).mean() > 0.99
    exploration.epsilon = 0.0
    assert (play(exploration, 400)[128:] == BEST).all()


def test_lengths_follow_the_zeta_distribution_up_to_the_longest():
    lengths = np.array(random_runs(play(Exploration(LANES, 0.3, 20, np.random.default_rng(2)), 20_000)))
    weights = np.arange(1, 100_001, dtype=np.float64) ** -2
    expected = weights / weights.sum()
    for length in (1, 2, 3, 10):
        assert (lengths == length).mean() == pytest.approx(expected[length - 1], rel=0.1)
    assert (lengths == 20).mean() == pytest.approx(expected[19:].sum(), rel=0.1)
    assert (lengths > 20).mean() < 0.001, "only where the same action was drawn twice running"
    assert lengths.mean() == pytest.approx(mean_steps(20), rel=0.03)


@pytest.mark.parametrize("longest", [1, 2, 7, 128])
def test_mean_steps_is_that_of_its_definition(longest: int):
    steps = np.arange(1, 1_000_001)
    weights = steps**-2.0
    assert mean_steps(longest) == pytest.approx(np.average(np.minimum(steps, longest), weights=weights), rel=1e-3)
    assert mean_steps(1) == 1.0


def test_a_random_action_ends_with_its_lanes_episode():
    exploration = Exploration(LANES, 1.0, 1_000, np.random.default_rng(3))
    kept = ended = 0
    half = np.arange(LANES // 2)
    for _ in range(300):
        before = exploration.choose(Q_VALUES)
        exploration.end(half)
        same = before == exploration.choose(Q_VALUES)
        ended, kept = ended + int(same[half].sum()), kept + int(same[LANES // 2 :].sum())
    assert ended < 40, "only by chance, once in a thousand"
    assert kept > 3_000


def test_damaged_q_values_are_refused_even_if_all_steps_are_random():
    with pytest.raises(RunError, match="expected finite q-values"):
        Exploration(LANES, 1.0, 1, np.random.default_rng(0)).choose(np.full_like(Q_VALUES, np.nan))
