"""The sequential comparison of two models: its verdicts, and that it is wrong as often as it says."""

import numpy as np
import pytest

from distill.comparison import GAIN, error_rates, judge, sequential_test

TEST = sequential_test(8, 64, 0.995, 0.05)


def scores(generator: np.random.Generator, gain: float, count: int = 64) -> list[float]:
    return (gain + generator.standard_normal(count)).tolist()


@pytest.mark.parametrize(
    ("new", "old", "outcome"),
    [
        ([2.0, 3.0] * 4, [0.0, 1.0] * 4, "better"),
        ([0.0, 1.0] * 4, [2.0, 3.0] * 4, "not better"),
        ([0.0, 1.0] * 32, [0.0, 1.0] * 32, "undecided"),
        ([0.0, 1.0] * 4, [0.0, 1.0] * 4, None),
        ([5.0] * 7, [0.0] * 7, None),
    ],
)
def test_verdicts(new: list[float], old: list[float], outcome: str | None) -> None:
    verdict = judge({"pong": new}, {"pong": old}, TEST)
    assert (None if verdict is None else verdict.outcome) == outcome
    if verdict is not None:
        assert verdict.episodes == len(new)


def test_several_games_are_weighed_by_their_scales() -> None:
    few, many = [0.0, 1.0] * 8, [1000.0, 1001.0] * 8
    # A point more of breakout, of 29 that a human makes, against a point less of ms_pacman, of 15,375.
    new = {"breakout": [score + 1.0 for score in few], "ms_pacman": [score - 1.0 for score in many]}
    verdict = judge(new, {"breakout": few, "ms_pacman": many}, TEST)
    assert verdict is not None and verdict.outcome == "better"


def test_the_stated_error_rates_are_those_of_the_test() -> None:
    """Against a simulation of its own: fresh scores each time, looks written out."""
    generator = np.random.default_rng(3)
    stated = error_rates({"pong": scores(generator, 1.0)}, {"pong": scores(generator, 0.0)}, TEST, simulations=200)

    def share_better(gain: float) -> float:
        found = 0
        for _ in range(200):
            new, old = scores(generator, gain), scores(generator, 0.0)
            looks = (judge({"pong": new[:n]}, {"pong": old[:n]}, TEST) for n in range(8, 65, 8))
            found += next(verdict for verdict in looks if verdict is not None).outcome == "better"
        return found / 200

    # Three standard errors of the difference of two shares of 200.
    assert abs(stated.false_alarms - share_better(0.0)) < 0.08
    assert abs(stated.misses - (1.0 - share_better(GAIN))) < 0.15
    assert stated.false_alarms < 0.12
