"""Statistics over seeds and episodes, against rliable's values, slow versions, and cases with known answers."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cluster.analysis.aggregates import aggregate_iqm, probability_of_improvement
from distill.errors import RunError
from distill.scores import Floats, interquartile_mean, mean
from distill.statistics import (
    Pair,
    Seeds,
    advantage,
    difference,
    geometric_mean_over_seeds,
    holm,
    mean_over_seeds,
    nested_estimate,
    nested_resamples,
    ratio_over_seeds,
    ratios_together,
    welch_test,
)

RLIABLE = json.loads(Path(__file__).with_name("rliable.json").read_text())
TEACHER: Seeds = [[99.0, 101.0], [100.0, 100.0]]


def of_games(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return the scores of every game, of [runs, games]."""
    return [list(column) for column in zip(*matrix, strict=True)]


def pair(*seeds: Sequence[float], game: str = "breakout", teacher: Seeds = TEACHER) -> Pair:
    return Pair(game, seeds, teacher)


@pytest.mark.parametrize("name, statistic", [("iqm", interquartile_mean), ("mean", mean)])
def test_statistics_of_single_episodes_are_rliables(name: str, statistic: Callable[[Floats], Floats]):
    expected = RLIABLE["estimates"][name]
    strata = [[[score] for score in game] for game in of_games(RLIABLE["x"])]
    found = nested_estimate(strata, lambda drawn: statistic(np.concatenate(drawn, axis=-1)))
    assert found.value == pytest.approx(expected["value"], abs=1e-12)
    assert found.interval == pytest.approx(expected["interval"], abs=0.01)


def test_aggregates_of_reports_are_rliables():
    x, y = of_games(RLIABLE["x"]), of_games(RLIABLE["y"])
    for name, found in (("iqm", aggregate_iqm(x)), ("probability_of_improvement", probability_of_improvement(x, y))):
        expected = RLIABLE["estimates"][name]
        assert found.value == pytest.approx(expected["value"], abs=1e-12)
        assert found.interval == pytest.approx(expected["interval"], abs=0.015)


def test_resamples_are_those_of_the_slow_version():
    generator = np.random.default_rng(3)
    seeds = [list(generator.normal(center, 1.0, size)) for center, size in ((0.0, 3), (2.0, 8), (5.0, 2))]
    found = nested_resamples([seeds], lambda drawn: drawn[0].mean(axis=-1), resamples=20_000)
    slow = [
        np.mean([np.mean(generator.choice(seeds[k], len(seeds[k]))) for k in generator.integers(0, 3, 3)])
        for _ in range(20_000)
    ]
    assert np.quantile(found, [0.025, 0.25, 0.5, 0.75, 0.975]) == pytest.approx(
        np.quantile(slow, [0.025, 0.25, 0.5, 0.75, 0.975]), abs=0.1
    )


def test_an_interval_holds_the_spread_between_seeds_that_episodes_alone_would_hide():
    apart, alike = [[10.0, 10.1], [20.0, 20.1], [30.0, 30.1]], [[20.0, 20.1], [20.0, 20.1], [20.0, 20.1]]
    wide, narrow = mean_over_seeds(apart).interval, mean_over_seeds(alike).interval
    assert wide is not None
    assert narrow is not None
    assert wide[1] - wide[0] > 10.0
    assert narrow[1] - narrow[0] < 0.2


def test_seeds_count_alike_however_many_episodes_they_played():
    assert mean_over_seeds([[0.0] * 9, [10.0]]).value == 5.0


def test_a_single_episode_has_no_interval():
    assert mean_over_seeds([[3.0]]).interval is None
    assert mean_over_seeds([[3.0], [5.0]]).interval is not None


@pytest.mark.parametrize("seeds", [[], [[]], [[1.0], []]], ids=str)
def test_what_has_no_episode_is_refused(seeds: Seeds):
    with pytest.raises(RunError, match="expected a seed in each"):
        mean_over_seeds(seeds)


def test_a_ratio_is_of_the_means_over_seeds():
    ratio = ratio_over_seeds(pair([40.0, 60.0], [80.0, 80.0]))
    assert (ratio.value, ratio.scale) == (pytest.approx(0.65), "raw")
    assert ratio.interval is not None
    assert ratio.interval[0] < 0.65 < ratio.interval[1]
    scaled = ratio_over_seeds(pair([-3.0, -2.7], game="pong", teacher=[[15.3, 15.3]]))
    assert scaled.scale == "above_random"
    assert scaled.value == pytest.approx((-2.85 + 20.7) / (15.3 + 20.7))


def test_a_teacher_of_random_play_gives_no_ratio():
    assert ratio_over_seeds(pair([1.0, 2.0], game="pong", teacher=[[-21.0, -20.9]])).value is None


def test_geometric_mean_over_games():
    found = geometric_mean_over_seeds([
        pair([50.0, 50.0], [50.0, 50.0]), pair([200.0, 200.0], [200.0, 200.0], game="freeway"),
    ])  # fmt: skip
    assert found.value == pytest.approx(1.0)
    assert found.interval is not None
    assert found.interval == pytest.approx((1.0, 1.0), abs=0.02)


def test_geometric_mean_names_who_is_below_random():
    below = pair([-21.0, -21.0], game="pong", teacher=[[15.0, 15.0]])
    found = geometric_mean_over_seeds([pair([50.0, 50.0]), below])
    assert found.value is None
    assert found.reason == "below random play: pong"


@pytest.mark.parametrize("statistic, expected", [(mean, 0.65), (interquartile_mean, 0.6)])
def test_ratios_together_take_one_for_each_seed_and_game(statistic: Callable[[Floats], Floats], expected: float):
    pairs = [pair([10.0, 10.0], [60.0, 60.0]), pair([60.0, 60.0], [130.0, 130.0], game="freeway")]
    found = ratios_together(pairs, statistic)
    assert found is not None
    assert found.value == pytest.approx(expected)


def test_ratios_together_need_a_scale():
    assert ratios_together([], mean) is None
    assert ratios_together([pair([1.0, 1.0], game="pong", teacher=[[-21.0, -21.0]])], mean) is None


def test_advantage_tells_kinds_apart_and_draws_the_teacher_once():
    better, worse = pair([80.0, 82.0], [79.0, 81.0]), pair([40.0, 41.0], [40.0, 39.0])
    found = advantage([better], [worse])
    assert found is not None
    assert found.value == pytest.approx(80.5 / 40.0)
    assert found.interval is not None
    assert found.interval[0] > 1.9
    noisy: Seeds = [[10.0, 400.0, 20.0, 300.0]]
    same = advantage([pair([50.0], [50.0], teacher=noisy)], [pair([50.0], [50.0], teacher=noisy)])
    assert same is not None
    assert same.interval == pytest.approx((1.0, 1.0))


def test_advantage_needs_geometric_means_of_the_same_games():
    assert advantage([], []) is None
    assert advantage([pair([50.0, 50.0])], [pair([0.0, 0.0])]) is None
    with pytest.raises(RunError, match="compare the same games"):
        advantage([pair([50.0])], [pair([50.0], game="freeway")])


def test_difference():
    found = difference([[5.0, 7.0], [6.0, 6.0]], [[1.0, 1.0], [1.0, 3.0]])
    assert found.value == pytest.approx(4.5)
    assert found.interval is not None
    assert 2.5 <= found.interval[0] < 4.5 < found.interval[1] <= 6.0


def test_welchs_test_is_scipys_over_seeds():
    x, y = [[1.0, 3.0], [2.0, 4.0], [6.0, 8.0]], [[9.0], [11.0], [16.0]]
    expected = stats.ttest_ind([2.0, 3.0, 7.0], [9.0, 11.0, 16.0], equal_var=False)
    assert welch_test(x, y) == pytest.approx(expected.pvalue)
    assert welch_test(x, y) == pytest.approx(welch_test(y, x))


@pytest.mark.parametrize("x", [[[1.0, 2.0]], [[3.0], [3.0]]], ids=["one seed", "no spread"])
def test_welchs_test_needs_a_spread_over_seeds(x: Seeds):
    assert welch_test(x, [[5.0], [5.0]]) is None


def test_holm_on_a_known_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0.0, 1.0), max_size=8))
def test_holm_agrees_with_its_definition(p_values: list[float]):
    corrected = holm(p_values)
    for index, p in enumerate(p_values):
        # The largest, over all that are no larger, of p times how many are no smaller.
        ranked = sorted(p_values)
        slow = max(min(1.0, (len(ranked) - rank) * value) for rank, value in enumerate(ranked) if value <= p)
        assert corrected[index] == pytest.approx(slow)
