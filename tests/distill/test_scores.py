import json
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.errors import RunError
from distill.games import reference_score
from distill.scores import (
    GameScore,
    Ratio,
    bootstrap_interval,
    compare,
    geometric_mean,
    human_normalised,
    interquartile_mean,
    mean,
    mean_interval,
    score_ratio,
    stratified_resamples,
    summarise,
)

scores_lists = st.lists(st.floats(-1e5, 1e5), min_size=1, max_size=40)


def score(game: str, values: list[float], who: str = "student") -> GameScore:
    return GameScore.of(game, who, 1, values)


def slow_iqm(values: list[float]) -> float:
    cut = len(values) // 4
    return statistics.fmean(sorted(values)[cut : len(values) - cut])


@given(scores_lists)
def test_mean_and_iqm_agree_with_the_slow_versions(values):
    assert float(mean(np.array(values))) == pytest.approx(statistics.fmean(values), abs=1e-6)
    assert float(interquartile_mean(np.array(values))) == pytest.approx(slow_iqm(values), abs=1e-6)


def test_iqm_by_hand():
    assert float(interquartile_mean(np.array([0.0, 1, 2, 3, 4, 5, 6, 1000]))) == 3.5
    assert float(interquartile_mean(np.array([-50.0, 1, 2, 3, 1000]))) == 2.0
    assert float(interquartile_mean(np.array([7.0]))) == 7.0


def test_iqm_works_row_by_row():
    rows = np.random.default_rng(0).normal(size=(6, 9))
    assert interquartile_mean(rows) == pytest.approx([slow_iqm(list(row)) for row in rows])


def test_interval_agrees_with_a_slow_bootstrap_and_with_theory():
    values = list(np.random.default_rng(3).normal(10.0, 4.0, 100))
    low, high = mean_interval(values) or (0.0, 0.0)
    generator = np.random.default_rng(9)
    slow = sorted(statistics.fmean(generator.choice(values, len(values))) for _ in range(3000))
    assert (low, high) == pytest.approx((slow[75], slow[2925]), abs=0.15)
    half = 1.96 * np.std(values) / 10.0
    assert (high - low) / 2.0 == pytest.approx(half, rel=0.1)
    assert low < statistics.fmean(values) < high


def test_interval_covers_the_true_mean_about_95_times_in_100():
    generator = np.random.default_rng(5)
    covered = 0
    for _ in range(300):
        interval = mean_interval(generator.normal(0.0, 1.0, 50))
        covered += interval is not None and interval[0] <= 0.0 <= interval[1]
    assert 0.90 <= covered / 300 <= 0.985


def test_interval_is_seeded():
    values = list(np.random.default_rng(0).normal(size=30))
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


def test_one_episode_has_no_interval_and_none_is_refused():
    assert mean_interval([5.0]) is None
    with pytest.raises(RunError, match="at least one episode"):
        mean_interval([])


def test_resamples_stay_within_their_stratum():
    strata = [[1.0, 2.0], [100.0, 200.0, 300.0]]

    def check(resampled):
        assert [array.shape[1] for array in resampled] == [2, 3]
        assert set(np.unique(resampled[0])) <= {1.0, 2.0}
        assert set(np.unique(resampled[1])) <= {100.0, 200.0, 300.0}
        return resampled[0][:, 0]

    assert stratified_resamples(strata, check, resamples=500).shape == (500,)


def test_stratified_interval_does_not_see_the_spread_between_strata():
    generator = np.random.default_rng(0)
    near, far = list(generator.normal(0, 1, 40)), list(generator.normal(1000, 1, 40))
    interval = bootstrap_interval([near, far], lambda strata: mean(np.concatenate(strata, axis=-1)))
    assert interval is not None
    assert interval[1] - interval[0] < 1.0


def test_many_episodes_are_resampled_in_bounded_blocks():
    sizes = []

    def spy(strata):
        sizes.append(strata[0].size)
        return mean(strata[0])

    values = stratified_resamples([list(range(60_000))], spy, resamples=100)
    assert values.shape == (100,)
    assert max(sizes) <= 2_000_000
    assert len(sizes) > 1


def test_human_normalised_by_hand():
    assert human_normalised("breakout", 1.7) == 0.0
    assert human_normalised("breakout", 30.5) == 1.0
    assert human_normalised("pong", 14.6) == pytest.approx(1.0)
    assert human_normalised("pong", -38.35) == pytest.approx(-0.5)
    assert human_normalised("carnival", 100.0) is None


@given(scores_lists)
def test_a_game_score_survives_json(values):
    one = score("breakout", values)
    assert GameScore.from_json(json.loads(json.dumps(one.to_json()))) == one


def test_a_game_score_holds_the_statistics():
    one = score("pong", [1.0, 2.0, 3.0, 10.0])
    assert (one.episodes, one.mean, one.iqm) == (4, 4.0, 2.5)
    assert one.standard_deviation == pytest.approx(statistics.stdev([1, 2, 3, 10]))
    assert one.human_normalised == pytest.approx((4.0 + 20.7) / 35.3)
    assert one.interval is not None
    assert 1.0 <= one.interval[0] < 4.0 < one.interval[1] <= 10.0


@pytest.mark.parametrize("values", [[], [math.nan], [1.0, math.inf]])
def test_scores_that_are_none_or_not_finite_are_refused(values):
    with pytest.raises(RunError, match="student at pong"):
        score("pong", values)


def test_a_stored_score_with_other_fields_is_refused():
    data = score("pong", [1.0, 2.0]).to_json()
    with pytest.raises(RunError, match="found"):
        GameScore.from_json({**data, "extra": 1})


@pytest.mark.parametrize(
    ("game", "student", "teacher", "expected"),
    [
        ("breakout", 287.8, 303.9, Ratio(287.8 / 303.9, "raw", 287.8 / 303.9)),
        ("freeway", 26.7, 25.8, Ratio(26.7 / 25.8, "raw", 26.7 / 25.8)),  # random is exactly 0
        ("pong", 16.3, 16.2, Ratio(37.0 / 36.9, "above_random", 16.3 / 16.2)),
        ("pong", -3.0, -2.2, Ratio(17.7 / 18.5, "above_random", None)),  # -3 / -2.2 would praise the student
        ("carnival", 50.0, 100.0, Ratio(0.5, "raw", 0.5)),  # no reference scores
    ],
)
def test_ratio_by_hand(game, student, teacher, expected):
    ratio = score_ratio(game, student, teacher)
    assert ratio.value == pytest.approx(expected.value)
    assert ratio.raw == (None if expected.raw is None else pytest.approx(expected.raw))
    assert (ratio.scale, ratio.interval, ratio.reason) == (expected.scale, None, None)


@pytest.mark.parametrize(
    ("game", "teacher"), [("pong", -20.7), ("pong", -21.0), ("breakout", 1.7), ("breakout", 0.5), ("carnival", 0.0)]
)
def test_a_teacher_at_or_below_random_gives_a_reason_instead_of_a_ratio(game, teacher):
    ratio = score_ratio(game, 5.0, teacher)
    assert ratio.value is None
    assert ratio.reason is not None
    assert game in ratio.reason
    assert f"{teacher:.1f}" in ratio.reason


@given(st.sampled_from(["pong", "breakout", "pitfall", "qbert"]), st.floats(0.1, 500))
def test_a_student_that_plays_like_its_teacher_has_ratio_one(game, above):
    reference = reference_score(game)
    assert reference is not None
    teacher = reference.random + above
    assert score_ratio(game, teacher, teacher).value == pytest.approx(1.0)


def test_interval_of_a_ratio_widens_with_both_players_spread():
    generator = np.random.default_rng(0)
    student, teacher = list(generator.normal(10, 3, 64)), list(generator.normal(10, 3, 64))
    both = compare(score("breakout", student), score("breakout", teacher, "teacher")).ratio.interval
    sure = compare(score("breakout", student), score("breakout", [10.0] * 64, "teacher")).ratio.interval
    assert both is not None
    assert sure is not None
    # The delta method: relative variances of independent means add up.
    relative = math.hypot(np.std(student) / np.mean(student), np.std(teacher) / np.mean(teacher)) / 8.0
    width = 2 * 1.96 * relative * np.mean(student) / np.mean(teacher)
    assert both[1] - both[0] == pytest.approx(width, rel=0.1)
    assert sure[1] - sure[0] < 0.8 * (both[1] - both[0])


def test_interval_of_a_pong_ratio_is_measured_above_random():
    comparison = compare(score("pong", [-10.0, -5.0, 0.0] * 10), score("pong", [-2.2] * 30, "teacher"))
    low, high = comparison.ratio.interval or (0.0, 0.0)
    means = mean_interval([-10.0, -5.0, 0.0] * 10)
    assert means is not None
    assert (low, high) == pytest.approx(((means[0] + 20.7) / 18.5, (means[1] + 20.7) / 18.5), abs=0.02)


def test_a_teacher_near_random_has_a_ratio_but_no_interval():
    comparison = compare(score("pong", [0.0] * 8), score("pong", [-21.0] * 7 + [-10.0], "teacher"))
    assert comparison.ratio.value is not None
    assert comparison.ratio.interval is None
    assert "too near random" in (comparison.ratio.reason or "")


def test_comparing_different_games_is_refused():
    with pytest.raises(RunError, match=r"pong.*breakout"):
        compare(score("pong", [1.0]), score("breakout", [1.0], "teacher"))


@given(st.lists(st.floats(0.01, 100.0), min_size=1, max_size=12))
def test_geometric_mean_agrees_with_the_slow_version(ratios):
    assert geometric_mean(ratios) == pytest.approx(math.prod(ratios) ** (1.0 / len(ratios)))


def test_geometric_mean_of_the_paper():
    assert geometric_mean([0.947, 1.035, 1.009, 1.550]) == pytest.approx(1.113, abs=5e-4)
    ten = [0.552, 0.711, 1.289, 1.029, 0.893, 0.996, 1.329, 1.547, 0.318, 1.064]
    assert geometric_mean(ten) == pytest.approx(0.893, abs=5e-4)


def test_geometric_mean_where_there_is_none():
    assert geometric_mean([]) is None
    assert geometric_mean([1.0, -0.1]) is None
    assert geometric_mean([1.0, 0.0]) == 0.0


def test_summary_of_two_games():
    generator = np.random.default_rng(1)
    comparisons = [
        compare(score("breakout", list(generator.normal(9, 2, 40))), score("breakout", [10.0] * 40, "teacher")),
        compare(score("qbert", list(generator.normal(4000, 500, 40))), score("qbert", [4000.0] * 40, "teacher")),
    ]
    total = summarise(comparisons)
    ratios = [c.ratio.value or 0.0 for c in comparisons]
    assert total.value == pytest.approx(math.sqrt(ratios[0] * ratios[1]))
    assert (total.games, total.left_out, total.reason) == (2, (), None)
    assert total.interval is not None
    assert total.value is not None
    relative = 0.5 * math.hypot(*(np.std(c.student.scores) / c.student.mean for c in comparisons)) / math.sqrt(40)
    assert total.interval[1] - total.interval[0] == pytest.approx(2 * 1.96 * relative * total.value, rel=0.1)


def test_summary_leaves_out_games_without_a_ratio_and_says_so():
    good = compare(score("breakout", [9.0, 9.5]), score("breakout", [10.0, 10.5], "teacher"))
    hopeless = compare(score("pong", [0.0, 1.0]), score("pong", [-21.0, -21.0], "teacher"))
    total = summarise([good, hopeless])
    assert total.value == pytest.approx(good.ratio.value)
    assert (total.games, total.left_out) == (1, ("pong",))
    assert summarise([hopeless]).reason == "no game has a ratio"


def test_summary_with_a_student_below_random_has_no_value():
    below = compare(score("pong", [-21.0, -21.0]), score("pong", [5.0, 6.0], "teacher"))
    total = summarise([below])
    assert total.value is None
    assert total.reason == "below random play: pong"
