"""Curves of an online run: which scores count, what the teacher was when, how ratio and spread are measured."""

import numpy as np
import pytest
from online_support import row

from cluster.ledger import Promotion
from cluster.online.curves import GameCurves, LastHalf, Point, last_half, points_of, score_curve, spread, teacher_steps


def test_only_the_first_look_at_a_version_is_a_point():
    rows = [
        row("pong", 2, 0, 120.0, 3.0, 5.0),
        row("pong", 1, 0, 60.0, 1.0),
        row("pong", 1, 1, 60.0, 9.0),
        row("pong", 1, 1_000_000, 60.0, 9.0),
        row("student", 1, 0, 90.0, 7.0),
    ]
    assert points_of(rows, "pong", "pong") == [Point(1, 1.0, (1.0,)), Point(2, 2.0, (3.0, 5.0))]
    assert [point.mean for point in points_of(rows, "pong", "pong")] == [1.0, 4.0]
    assert score_curve([r for r in rows if r["line"] == "pong"]) == {"pong": [[1000, 1.0], [2000, 4.0]]}


def test_spread_is_that_around_the_trend_of_the_last_half():
    generator = np.random.default_rng(0)
    noise = generator.normal(size=200)
    # A steep climb with noise of 1 in the last half, and of 10 in the first, which does not count.
    points = [
        Point(index, float(index), (0.3 * index + (10.0 if index < 100 else 1.0) * noise[index],))
        for index in range(200)
    ]
    assert [point.version for point in last_half(points)] == list(range(100, 200))
    assert spread(points) == pytest.approx(1.0, abs=0.15)
    assert spread(points[:7]) is not None
    assert spread(points[:5]) is None, "three points of a last half say nothing"


def promotion(version: int, mean: float) -> Promotion:
    return Promotion(version, None, ("best",), {"pong": {"mean": mean}}, 0.0, "")


def test_a_teacher_counts_with_the_episodes_that_did_not_promote_it():
    rows = [
        row("pong", 1, 0, 60.0, 2.0),
        row("pong", 2, 0, 300.0, 9.0),
        row("pong", 2, 1_000_000, 300.0, 3.0, 5.0),
        row("pong", 2, 1_000_001, 300.0, 7.0),
    ]
    promotions = [promotion(1, 2.0), promotion(2, 9.0), promotion(7, 99.0)]
    steps = teacher_steps(rows, promotions, "pong", "pong")
    assert steps == [(1.0, 2.0), (5.0, 5.0)], "a version without an evaluation has no place on the axis"


def test_the_last_half_compares_the_student_with_what_its_teacher_was_then():
    # Random play has -20.7: a student of -0.7 beside a teacher of 4.3 has a ratio of 0.8, beside one of -0.7 of 1.
    rows = [row("pong", v, 0, 60.0 * v, -0.7 if v < 8 else 4.3) for v in range(1, 11)]
    rows += [row("student", v, 0, 60.0 * v, -20.7 if v < 5 else -0.7) for v in range(1, 11)]
    speeds = {"pong": 100, "student": 1}
    curves = GameCurves.of(rows, [promotion(1, -0.7), promotion(8, 4.3)], "pong", "pong")
    metrics = [
        {"learners": {name: {"seconds": 60.0 * v, "updates": speed * v} for name, speed in speeds.items()}}
        for v in range(11)
    ]
    last = LastHalf.of("pong", "pong", curves, metrics)
    assert last.ratio == pytest.approx((3 * 1.0 + 3 * 0.8) / 6), "minutes 5 to 7, and 8 to 10"
    assert (last.student_updates, last.q_learner_updates) == (5, 500)
    assert last.student_spread == pytest.approx(0.0, abs=1e-9)
    assert last.candidates_spread is not None and last.candidates_spread > 0.5
    nothing = LastHalf.of("pong", "pong", GameCurves([], [], []), [])
    assert nothing == LastHalf(None, None, None, 0, 0)
