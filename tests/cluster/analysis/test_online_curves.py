"""Curves of an online run: which scores count, what the teacher was when, how ratio and spread are measured."""

from typing import Any, Literal

import numpy as np
import pytest

from actors.evaluation import Purpose
from cluster.analysis.curves import (
    GameCurves,
    LastHalf,
    Point,
    Timeline,
    last_half,
    points_of,
    score_curve,
    spread,
    standard_error,
    teacher_steps,
)
from cluster.models.decisions import Promotion
from tests.support.evaluations import row

START = 1e9
SPEEDS = {"pong": 100, "student": 1}
"""Updates a minute."""


def test_only_the_first_look_at_a_version_is_a_point():
    rows = [
        row("pong", 2, 0, 120.0, 3.0, 5.0),
        row("pong", 1, 0, 60.0, 1.0),
        row("pong", 1, 1, 60.0, 9.0),
        row("pong", 1, 0, 60.0, 9.0, purpose="fresh"),
        row("student", 1, 0, 90.0, 7.0),
    ]
    assert points_of(rows, "pong", "pong") == [Point(1, 1.0, (1.0,)), Point(2, 2.0, (3.0, 5.0))]
    assert [point.mean for point in points_of(rows, "pong", "pong")] == [1.0, 4.0]
    assert score_curve([r for r in rows if r["lineage"] == "pong"]) == {"pong": [[1000, 1.0], [2000, 4.0]]}


def test_what_was_played_for_the_curves_takes_the_place_of_the_first_look():
    rows = [
        row("pong", 3, 0, 180.0, 4.0, 6.0, purpose="curve"),  # it had given way and had no look
        row("pong", 2, 0, 120.0, 2.0, 2.0, purpose="curve"),
        row("pong", 1, 0, 60.0, 9.0),  # of the first half
        row("pong", 2, 0, 120.0, 9.0),
    ]
    points = points_of(rows, "pong", "pong")
    assert points == [Point(1, 1.0, (9.0,)), Point(2, 2.0, (2.0, 2.0)), Point(3, 3.0, (4.0, 6.0))]
    assert score_curve(rows) == {"pong": [[1000, 9.0], [2000, 2.0], [3000, 5.0]]}
    steps = teacher_steps(
        [(r["version"], r["purpose"], r["scores"]) for r in rows],
        [promotion(2, 5.0)],
        Timeline.of(metrics(0.0, 10.0), "pong"),
    )
    assert steps == [(5.0, 2.0)], "they did not promote it"


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


def test_equal_versions_spread_by_their_standard_error():
    generator = np.random.default_rng(0)
    points = [
        # The first half is more varied, which must not count.
        Point(index, float(index), tuple(generator.normal(0.0, 30.0 if index < 300 else 3.0, 25)))
        for index in range(600)
    ]
    assert standard_error(points) == pytest.approx(3.0 / 25**0.5, rel=0.03)
    assert spread(points) == pytest.approx(3.0 / 25**0.5, rel=0.1)
    assert standard_error(points[:5]) is None
    assert standard_error([Point(index, float(index), (1.0,)) for index in range(9)]) is None, "one episode tells none"


def promotion(version: int, minutes: float, kind: Literal["promotion", "roll-back"] = "promotion") -> Promotion:
    return Promotion(version, None, ("best",), {}, START + 60.0 * minutes, "", kind)


def metrics(*minutes: float, pause: float = 0.0) -> list[dict[str, Any]]:
    """Return lines of metrics of minutes of training; the run paused for `pause` minutes after the first five."""
    return [
        {
            "time": START + 60.0 * (minute + (pause if minute > 5.0 else 0.0)),
            "learners": {name: {"seconds": 60.0 * minute, "updates": speed * minute} for name, speed in SPEEDS.items()},
        }
        for minute in minutes
    ]


def test_a_teacher_counts_with_the_episodes_that_did_not_promote_it():
    blocks: list[tuple[int, Purpose, tuple[float, ...]]] = [
        (1, "look", (2.0,)), (2, "look", (9.0,)), (2, "fresh", (3.0, 5.0)), (2, "fresh", (7.0,)),
    ]  # fmt: skip
    promotions = [promotion(1, 1.5), promotion(2, 7.0), promotion(7, 8.0)]
    steps = teacher_steps(blocks, promotions, Timeline.of(metrics(0.0, 10.0), "pong"))
    assert steps == [(1.5, 2.0), (7.0, 5.0)], "a version without an evaluation has no score"
    assert teacher_steps(blocks, promotions, Timeline.of([], "pong")) == []


def test_a_roll_back_is_a_step_at_its_own_time():
    blocks: list[tuple[int, Purpose, tuple[float, ...]]] = [(1, "look", (1.0,)), (2, "look", (2.0,))]
    promotions = [promotion(1, 1.5), promotion(2, 3.0), promotion(1, 9.0, "roll-back")]
    timeline = Timeline.of(metrics(0.0, 5.0, 5.001, 6.0, 20.0, pause=2.0), "pong")
    steps = teacher_steps(blocks, promotions, timeline)
    assert [score for _, score in steps] == [1.0, 2.0, 1.0]
    assert [minutes for minutes, _ in steps] == pytest.approx([1.5, 3.0, 7.0]), "a pause is no training"


def test_the_last_half_compares_the_student_with_what_its_teacher_was_then():
    # Random play has -20.7: a student of -0.7 beside a teacher of 4.3 has a ratio of 0.8, beside one of -0.7 of 1.
    rows = [row("pong", v, 0, 60.0 * v, -0.7 if v < 8 else 4.3) for v in range(1, 11)]
    rows += [row("student", v, 0, 60.0 * v, -20.7 if v < 5 else -0.7) for v in range(1, 11)]
    lines = metrics(*map(float, range(11)))
    curves = GameCurves.of(rows, [promotion(1, 1.0), promotion(8, 8.0)], lines, "pong", "pong")
    last = LastHalf.of("pong", "pong", curves, lines)
    assert last.ratio == pytest.approx((3 * 1.0 + 3 * 0.8) / 6), "minutes 5 to 7, and 8 to 10"
    assert (last.student_updates, last.q_learner_updates) == (5, 500)
    assert last.student_spread == pytest.approx(0.0, abs=1e-9)
    assert last.candidates_spread is not None and last.candidates_spread > 0.5
    nothing = LastHalf.of("pong", "pong", GameCurves([], [], []), [])
    assert nothing == LastHalf(None, None, None, None, None, 0, 0)
