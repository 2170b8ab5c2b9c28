"""The aggregates of reports, against slow versions that are obviously what rliable defines."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cluster.analysis.aggregates import aggregate_iqm, probability_of_improvement
from distill.errors import RunError

SCORES = st.lists(st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=6), min_size=1, max_size=4)


def slow_iqm(games: list[list[float]]) -> float:
    """The mean without the lowest and the highest quarter of all scores; parts of a score are never cut off."""
    scores = sorted(score for game in games for score in game)
    cut = len(scores) // 4
    kept = scores[cut : len(scores) - cut]
    return sum(kept) / len(kept)


def slow_probability(x: list[list[float]], y: list[list[float]]) -> float:
    """The share of pairs that X wins, a tie being half a win, averaged over games."""
    shares = [
        sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in product(of_x, of_y)) / (len(of_x) * len(of_y))
        for of_x, of_y in zip(x, y, strict=True)
    ]
    return sum(shares) / len(shares)


def slow_interval(statistic, *groups: list[list[float]]) -> tuple[float, float]:
    """Draw the runs of every game of every group with replacement, ten thousand times."""
    generator = np.random.default_rng(7)
    values = [
        statistic(*([list(generator.choice(game, len(game))) for game in games] for games in groups))
        for _ in range(10_000)
    ]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


@settings(deadline=None, max_examples=60)
@given(SCORES)
def test_the_iqm_is_that_of_all_scores_together(games: list[list[float]]):
    assert aggregate_iqm(games).value == pytest.approx(slow_iqm(games))


@settings(deadline=None, max_examples=60)
@given(SCORES, st.data())
def test_the_probability_counts_pairs_with_ties_as_one_half(x: list[list[float]], data: st.DataObject):
    game = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=6)
    y = data.draw(st.lists(game, min_size=len(x), max_size=len(x)))
    assert probability_of_improvement(x, y).value == pytest.approx(slow_probability(x, y))


def test_the_probability_is_what_rliable_asks_scipy_for():
    x, y = np.random.default_rng(1).normal(size=(2, 8, 3)).round(1)
    expected = [
        stats.mannwhitneyu(x[:, game], y[:, game], alternative="greater").statistic / (8 * 8) for game in range(3)
    ]
    assert probability_of_improvement(x.T.tolist(), y.T.tolist()).value == pytest.approx(np.mean(expected))


def test_equal_and_dominating_scores():
    low, high = [[1.0, 2.0], [3.0]], [[5.0, 6.0], [7.0]]
    assert probability_of_improvement(low, low).value == 0.5
    assert probability_of_improvement(high, low).value == 1.0
    assert probability_of_improvement(low, high).value == 0.0


def test_intervals_draw_runs_within_games():
    generator = np.random.default_rng(3)
    # Games of very different scale: drawing over games instead would give intervals many times as wide.
    x = [generator.normal(mean, 1.0, 10).tolist() for mean in (0.0, 100.0, 200.0)]
    y = [generator.normal(mean, 1.0, 12).tolist() for mean in (0.5, 100.0, 199.5)]
    iqm, probability = aggregate_iqm(x), probability_of_improvement(x, y)
    assert iqm.interval == pytest.approx(slow_interval(slow_iqm, x), abs=0.06)
    assert probability.interval == pytest.approx(slow_interval(slow_probability, x, y), abs=0.02)


def test_one_run_has_no_interval():
    assert aggregate_iqm([[1.0], [2.0]]).interval is None
    assert probability_of_improvement([[1.0]], [[2.0]]).interval is None
    assert probability_of_improvement([[1.0, 2.0]], [[2.0]]).interval is None


def test_games_without_scores_and_unlike_games_are_refused():
    for games in ([], [[1.0], []]):
        with pytest.raises(RunError, match="expected a score"):
            aggregate_iqm(games)
    with pytest.raises(RunError, match="X has 1 games, Y 2"):
        probability_of_improvement([[1.0]], [[1.0], [2.0]])
